"""RedBeat in a Redis Cluster: keys on all nodes, slots that move, nodes that die."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from certificates import Authority
from readers_application import Application, by_label, collected, value
from redbeat_samples import FLAGS, SUCCEED, Watch, beat, beat_is
from redis_servers import LOCKED, Cluster, TLSCluster, documented_users
from servers import RedisServer, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Exporter

ENTRIES = 12
LOCK = "redbeat::lock"
SCHEDULE = {
    f"entry {number}": {"task": SUCCEED, "schedule": 1 if number == 0 else 3600}
    for number in range(ENTRIES)
}


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        yield Cluster(folder, stack)


@pytest.fixture(params=["plain", "TLS"])
def any_cluster(folder: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        if request.param == "plain":
            yield Cluster(folder, stack)
        else:
            authority = Authority(folder)
            shown = authority.issue("node", "subjectAltName=IP:127.0.0.1")
            yield TLSCluster(folder, stack, [authority], shown, authority.issue("client"))


def shop_in(
    cluster: Cluster, application: Applications, broker_url: str, **more: str
) -> Application:
    return application(
        broker_url=broker_url, beat_schedule=SCHEDULE, **cluster.celery_settings(), **more
    )


def runs(exporter: Exporter) -> float:
    return beat(exporter.metrics(), "entry_runs_total", entry="entry 0") or 0


def calls(cluster: Cluster, node: RedisServer, command: str) -> int:
    with cluster.plain(node) as client:
        return client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)


def test_slots_on_the_move(
    any_cluster: Cluster, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = shop_in(any_cluster, application, redis_url)
    user, rights = documented_users()[LOCKED]
    for node in any_cluster.nodes:
        with any_cluster.plain(node) as client:
            client.execute_command("ACL SETUSER", user, *rights, "+cluster|slots", "+asking")
    # One node is enough to find the others.
    watcher = exporter(
        *FLAGS,
        *any_cluster.flags,
        CELERY_BROKER_URL=redis_url,
        REDBEAT_REDIS_URL=any_cluster.url_of(any_cluster.nodes[1], account=f"{user}:password@"),
    )
    tested = shop.beat()
    metrics = beat_is(watcher, 1, 10)
    assert beat(metrics, "lock_held") == 1
    wait_until(lambda: runs(watcher) >= 2, 10, "runs")
    metrics = collected(watcher, "redbeat")
    assert beat(metrics, "schedule_entries") == ENTRIES
    assert len(by_label(metrics, "celery_beat_entry_enabled", "entry")) == ENTRIES
    assert beat(metrics, "schedule_invalid_entries") == 0

    # Two slots leave their nodes: that of the lock, and that of an entry.
    with Watch(watcher) as watch:
        for key in (LOCK, "redbeat:entry 7"):
            source = any_cluster.owner(key)
            target = next(node for node in any_cluster.nodes if node is not source)
            with any_cluster.plain(source) as old, any_cluster.plain(target) as new:
                slot = old.execute_command("CLUSTER KEYSLOT", key)
                names = {
                    node: client.execute_command("CLUSTER MYID")
                    for node, client in ((source, old), (target, new))
                }
                # Half-way: the node that the slot leaves says ASK for keys that have left.
                new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
                old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
                # Beat must not ask, so that who asks is the exporter.
                tested.pause()
                old.migrate("127.0.0.1", target.port, key, 0, 60_000)
                asked = calls(any_cluster, target, "asking")
                collected(watcher, "redbeat")
                metrics = collected(watcher, "redbeat")
                tested.resume()
                assert calls(any_cluster, target, "asking") > asked
                assert beat(metrics, "lock_held") == 1
                assert beat(metrics, "schedule_entries") == ENTRIES

                # There: MOVED, once.
                moved = any_cluster.redirections(source)
                tested.pause()
                for node in (new, old):
                    node.execute_command("CLUSTER SETSLOT", slot, "NODE", names[target])
                collected(watcher, "redbeat")
                metrics = collected(watcher, "redbeat")
                assert any_cluster.redirections(source) > moved
                settled = any_cluster.redirections(source)
                for _ in range(3):
                    metrics = collected(watcher, "redbeat")
                assert any_cluster.redirections(source) == settled
                tested.resume()
                assert beat(metrics, "lock_held") == 1
                assert beat(metrics, "schedule_entries") == ENTRIES
            assert any_cluster.owner(key) is target
        before = runs(watcher)
        wait_until(lambda: runs(watcher) >= before + 2, 10, "runs")
    watch.check_all(lambda metrics: beat(metrics, "lock_held") == 1, "one lock all the time")
    watch.check_all(
        lambda metrics: beat(metrics, "schedule_entries") == ENTRIES, "all entries all the time"
    )
    errors = by_label(watcher.metrics(), "celery_beat_exporter_collector_errors_total", "collector")
    assert errors["redbeat"] == 0, watcher.log_tail()


def test_a_dead_node(
    folder: Path, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """The node with the lock dies, and its replica takes over."""
    with contextlib.ExitStack() as stack:
        cluster = Cluster(folder, stack, replicas=1)
        shop_in(cluster, application, redis_url).store("stored", 3600)
        owner = cluster.owner(LOCK)
        with cluster.client() as client:
            client.set(LOCK, "0" * 32, px=600_000)
            assert client.execute_command("WAIT", 1, 60_000, target_nodes="all")
        watcher = exporter(*FLAGS, REDBEAT_REDIS_URL=cluster.url)
        assert beat(collected(watcher, "redbeat"), "lock_held") == 1
        owner.kill()

        def metrics_of_the_successor() -> bool:
            return beat(watcher.metrics(), "lock_held") == 1

        wait_until(lambda: beat(watcher.metrics(), "lock_held") is None, 5, "nothing to be known")
        wait_until(metrics_of_the_successor, 20, "the exporter to find the successor")
        assert beat(watcher.metrics(), "schedule_entries") == 1
        assert value(watcher.metrics(), "celery_beat_exporter_source_up", source="redbeat") == 1


def test_one_slot_without_a_lock(
    cluster: Cluster, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = shop_in(
        cluster, application, redis_url, redbeat_key_prefix="{redbeat}:", redbeat_lock_key=None
    )
    watcher = exporter(
        *FLAGS,
        "--beat.max-loop-interval=1s",
        "--redbeat.key-prefix={redbeat}:",
        "--redbeat.lock-key=none",
        CELERY_BROKER_URL=redis_url,
        REDBEAT_REDIS_URL=cluster.url,
    )
    # Only a SCAN finds it: it is not in beat's configuration.
    shop.store("stored", 3600)
    shop.beat()
    beat_is(watcher, 1, 10)
    wait_until(lambda: beat(watcher.metrics(), "schedule_entries") == ENTRIES + 1, 5, "all entries")


def test_a_node_taken_for_a_server(cluster: Cluster, exporter: Exporters) -> None:
    watcher = exporter(*FLAGS, REDBEAT_REDIS_URL=f"redis://127.0.0.1:{cluster.nodes[0].port}")
    assert (
        value(collected(watcher, "redbeat"), "celery_beat_exporter_source_up", source="redbeat")
        == 0
    )
    assert "write redis-cluster:// in its URL" in watcher.log.read_text()


def test_a_server_taken_for_a_node(redis_url: str, exporter: Exporters) -> None:
    url = redis_url.replace("redis://", "redis-cluster://").removesuffix("/0")
    watcher = exporter(*FLAGS, REDBEAT_REDIS_URL=url)
    assert (
        value(collected(watcher, "redbeat"), "celery_beat_exporter_source_up", source="redbeat")
        == 0
    )
    assert "cluster support disabled" in watcher.log.read_text()

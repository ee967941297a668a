"""A Redis that sentinels watch: the master dies, is demoted, comes back, and beat and exporter follow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import redis
from readers_application import collected, value
from redbeat_samples import FLAGS, SUCCEED, Watch, beat, beat_is
from redis_servers import LOCKED, MASTER, Watched, documented_users
from servers import free_port, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Exporter

FAILOVER_SECONDS = 180.0  # longest wait for one
EVERY = 15  # seconds, the interval of the one entry: longer than a failover
SENTINEL_FLAGS = (
    *FLAGS,
    "--collect.timeout=10s",
    # A beat that retries waits for up to four seconds, and a failover takes a while: of sentinels that
    # have stood still, half a minute more (TILT).
    "--beat.grace=90s",
    f"--redis.sentinel-password={Watched.SENTINEL_PASSWORD}",
)


@pytest.fixture
def watched(folder: Path) -> Iterator[Watched]:
    with contextlib.ExitStack() as stack:
        yield Watched(folder, stack)


def broker_url(watched: Watched) -> str:
    """As kombu wants it: what counts is said in the first part."""
    first, *others = (f"127.0.0.1:{sentinel.port}" for sentinel in watched.sentinels)
    password = quote(Watched.PASSWORD, safe="")
    return ";".join(
        [f"sentinel://:{password}@{first}/0", *(f"sentinel://{other}" for other in others)]
    )


def source(exporter: Exporter, name: str) -> float | None:
    metrics = collected(exporter, "redbeat" if name == "redbeat" else "queues")
    return value(metrics, "celery_beat_exporter_source_up", source=name)


def test_failovers(watched: Watched, application: Applications, exporter: Exporters) -> None:
    places = [["127.0.0.1", sentinel.port] for sentinel in watched.sentinels]
    account = {"password": Watched.SENTINEL_PASSWORD}
    shop = application(
        broker_url=broker_url(watched),
        broker_transport_options={"master_name": MASTER, "sentinel_kwargs": account},
        redbeat_redis_url="redis-sentinel://as-the-options-say",
        redbeat_redis_options={
            "sentinels": places,
            "service_name": MASTER,
            "password": Watched.PASSWORD,
            "sentinel_kwargs": account,
            "socket_timeout": 1,
            "retry_period": 180,
        },
        beat_schedule={"often": {"task": SUCCEED, "schedule": EVERY}},
    )
    watcher = exporter(
        *SENTINEL_FLAGS,
        f"--broker.sentinel-master={MASTER}",
        CELERY_BROKER_URL=broker_url(watched),
    )
    shop.beat()
    runs = beat(beat_is(watcher, 1, 20), "entry_runs_total", entry="often")

    def next_run() -> float:
        """How often beat has run the entry, once it has done so again."""

        def more() -> float | None:
            now = beat(watcher.metrics(), "entry_runs_total", entry="often") or 0
            return now if now > runs else None

        return wait_until(more, FAILOVER_SECONDS, "another run")

    runs = next_run()
    with Watch(watcher) as watch:
        watched.first.kill()
        wait_until(
            lambda: watched.is_master(watched.second), FAILOVER_SECONDS, "the replica to take over"
        )
        wait_until(
            lambda: source(watcher, "redbeat") == 1, FAILOVER_SECONDS, "the exporter to follow"
        )
        wait_until(lambda: source(watcher, "broker") == 1, 5, "the exporter to follow")
        runs = next_run()
    # While nobody was the master nothing was known; nothing false was said.
    watch.check_all(lambda metrics: beat(metrics, "up") in (None, 1), "up or absent")
    assert value(watcher.metrics(), "celery_queue_length", queue_name="celery") >= 1

    # The old master comes back as a replica, and takes over in an orderly manner.
    watched.first.start()

    def is_in_step() -> bool:
        with redis.Redis(port=watched.first.port, password=Watched.PASSWORD) as client:
            return client.info("replication").get("master_link_status") == "up"

    wait_until(is_in_step, 20, "the old master to follow the new one")
    runs = next_run()
    with Watch(watcher) as watch:
        with watched.sentinels[1].client() as client:
            # Refused until the first failover is long enough ago.
            wait_until(lambda: fails_over(client), FAILOVER_SECONDS, "the failover to begin")
        wait_until(
            lambda: watched.is_master(watched.first),
            FAILOVER_SECONDS,
            "the old master to take over",
        )
        wait_until(
            lambda: source(watcher, "redbeat") == 1, FAILOVER_SECONDS, "the exporter to follow"
        )
        next_run()
    watch.check_all(lambda metrics: beat(metrics, "up") in (None, 1), "up or absent")
    assert Watched.PASSWORD not in watcher.log.read_text()
    assert Watched.SENTINEL_PASSWORD not in watcher.log.read_text()


def fails_over(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.ResponseError):
        return client.execute_command("SENTINEL FAILOVER", MASTER) in (True, "OK")
    return False


def test_a_master_demoted_by_hand(watched: Watched, exporter: Exporters) -> None:
    """Its connections stay, and it goes on answering: with what the new master tells it, or not at all."""
    watcher = exporter(
        *SENTINEL_FLAGS,
        f"--broker.sentinel-master={MASTER}",
        CELERY_BROKER_URL=broker_url(watched),
    )
    assert source(watcher, "broker") == 1
    for sentinel in watched.sentinels:
        sentinel.stop()
    with redis.Redis(port=watched.first.port, password=Watched.PASSWORD) as client:
        client.replicaof("127.0.0.1", watched.second.port)
    assert source(watcher, "broker") == 0
    with redis.Redis(port=watched.first.port, password=Watched.PASSWORD) as client:
        client.replicaof("NO", "ONE")
    watched.sentinels[2].start()
    wait_until(lambda: source(watcher, "broker") == 1, 10, "the exporter to find it again")


def test_sentinels_that_do_not_help(watched: Watched, exporter: Exporters) -> None:
    """Some are down, one hangs, one knows nothing: the rest must do."""
    password = quote(Watched.PASSWORD, safe="")
    ports = [free_port(), *(sentinel.port for sentinel in watched.sentinels)]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    watched.sentinels[0].pause()
    with watched.sentinels[1].client() as client:
        client.sentinel_remove(MASTER)

    def start(*flags: str, account: str = f":{password}@") -> Exporter:
        url = f"redis-sentinel://{account}{hosts}/0"
        return exporter(*SENTINEL_FLAGS, *flags, REDBEAT_REDIS_URL=url)

    watcher = start(f"--redbeat.sentinel-master={MASTER}")
    try:
        assert source(watcher, "redbeat") == 1
    finally:
        watched.sentinels[0].resume()

    watcher = start("--redbeat.sentinel-master=another")
    assert source(watcher, "redbeat") == 0
    assert "the sentinel knows no master named another" in watcher.log.read_text()

    # RedBeat's default name.
    watcher = start()
    assert source(watcher, "redbeat") == 0
    assert "knows no master named master;" in watcher.log.read_text()

    watcher = start(f"--redbeat.sentinel-master={MASTER}", account=":wrong@")
    assert source(watcher, "redbeat") == 0
    assert (
        f"log in to redis://127.0.0.1:{watched.first.port}/0: WRONGPASS" in watcher.log.read_text()
    )

    watcher = start(f"--redbeat.sentinel-master={MASTER}", "--redis.sentinel-password=wrong")
    assert source(watcher, "redbeat") == 0
    assert "log in to redis://127.0.0.1:" in watcher.log.read_text()

    # A user with the documented rights, with the sentinels and with the servers.
    user, rights = documented_users()[LOCKED]
    with redis.Redis(port=watched.first.port, password=Watched.PASSWORD) as client:
        client.execute_command("ACL SETUSER", user, *rights, "+role")
    with watched.sentinels[2].client() as client:
        right = "+sentinel|get-master-addr-by-name"
        client.execute_command("ACL SETUSER", user, "on", f">{Watched.SENTINEL_PASSWORD}", right)
    watcher = start(
        f"--redbeat.sentinel-master={MASTER}",
        f"--redis.sentinel-user={user}",
        account=f"{user}:password@",
    )
    assert source(watcher, "redbeat") == 1, watcher.log_tail()

"""A Redis Cluster that speaks TLS alone: what its nodes are called, what their certificates are for."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from certificates import Authority
from readers_application import collected, value
from redbeat_samples import FLAGS, beat
from redis_servers import TLSCluster
from servers import PATIENCE_SECONDS, RedisServer, free_port, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Exporter

# All keys in one slot, so that the other nodes are not asked.
ONE_SLOT = "{redbeat}:"
ENTRIES = 3
NAME, ADDRESS = "DNS:localhost", "IP:127.0.0.1"


@pytest.fixture(scope="module")
def authorities() -> Iterator[list[Authority]]:
    """That which the exporter knows, and another."""
    with tempfile.TemporaryDirectory() as folder:
        yield [Authority(Path(folder)), Authority(Path(folder), "other")]


@pytest.fixture(scope="module")
def shared_cluster(authorities: list[Authority]) -> Iterator[TLSCluster]:
    own = authorities[0].issue("client")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        yield TLSCluster(Path(folder), stack, authorities, own, own)


@pytest.fixture
def cluster(shared_cluster: TLSCluster, redis_url: str, application: Applications) -> TLSCluster:
    """With a schedule and nothing else, and nodes that announce no more than their address."""
    shared_cluster.announce(
        cluster_announce_ip="127.0.0.1",
        cluster_announce_hostname="",
        cluster_preferred_endpoint_type="ip",
    )
    for node in shared_cluster.nodes:
        with shared_cluster.plain(node) as client:
            client.flushall()
    shop = application(
        broker_url=redis_url, redbeat_key_prefix=ONE_SLOT, **shared_cluster.celery_settings()
    )
    for number in range(ENTRIES):
        shop.store(f"entry {number}", 3600)
    return shared_cluster


def owner_and_others(cluster: TLSCluster) -> tuple[RedisServer, list[RedisServer]]:
    """The node with the schedule, and those without."""
    owner = cluster.owner(ONE_SLOT)
    return owner, [node for node in cluster.nodes if node is not owner]


def watch(exporter: Exporters, cluster: TLSCluster, url: str, *flags: str) -> Exporter:
    given = [*FLAGS, f"--redbeat.key-prefix={ONE_SLOT}", *cluster.flags, *flags]
    return exporter(*given, REDBEAT_REDIS_URL=url)


def entries(exporter: Exporter) -> float | None:
    """Entries that were read; None when Redis could not be."""
    metrics = collected(exporter, "redbeat")
    read = beat(metrics, "schedule_entries")
    up = value(metrics, "celery_beat_exporter_source_up", source="redbeat")
    assert (read is not None) == (up == 1)
    return read


BY_NAME = {"cluster_announce_hostname": "localhost", "cluster_preferred_endpoint_type": "hostname"}
# What nodes announce and what their certificates are for; the host, the URL's parameters and the
# flags of an exporter; the host that it refuses, None where all is well.
NAMES = {
    "addresses": ({}, ADDRESS, "127.0.0.1", "", [], None),
    "addresses other than the one given": (
        {"cluster_announce_ip": "127.0.0.2"},
        "IP:127.0.0.2",
        "localhost",
        "",
        [],
        None,
    ),
    "host names": (BY_NAME, NAME, "127.0.0.1", "", [], None),
    "host names beside the preferred addresses": (
        {**BY_NAME, "cluster_preferred_endpoint_type": "ip"},
        NAME,
        "localhost",
        "",
        [],
        "127.0.0.1",
    ),
    "addresses, and the name told": (
        {},
        NAME,
        "127.0.0.1",
        "",
        ["--redis.tls-server-name=localhost"],
        None,
    ),
    "addresses, and a name told of a certificate for many": (
        {},
        "DNS:*.redis.example",
        "127.0.0.1",
        "",
        ["--redis.tls-server-name=node-1.redis.example"],
        None,
    ),
    "host names, and another name told": (
        BY_NAME,
        NAME,
        "localhost",
        "",
        ["--redis.tls-server-name=redis.example"],
        "localhost",
    ),
    "any name": ({}, NAME, "127.0.0.1", "&ssl_check_hostname=false", [], None),
    # As behind a load balancer that the nodes do not know.
    "no endpoint": (
        {"cluster_preferred_endpoint_type": "unknown-endpoint"},
        NAME,
        "localhost",
        "",
        [],
        None,
    ),
    "no host name although it is preferred": (
        {"cluster_announce_ip": "127.0.0.2", "cluster_preferred_endpoint_type": "hostname"},
        "IP:127.0.0.2",
        "localhost",
        "",
        [],
        None,
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_names(
    cluster: TLSCluster, authorities: list[Authority], exporter: Exporters, case: str
) -> None:
    announced, names, host, parameters, flags, refused = NAMES[case]
    cluster.announce(**announced)
    owner, (asked, target) = owner_and_others(cluster)
    cluster.show(authorities[0].issue("node", f"subjectAltName={names}"), [owner, target])
    of_host = NAME if host == "localhost" else f"IP:{host}"
    cluster.show(authorities[0].issue("asked", f"subjectAltName={names},{of_host}"), [asked])
    watcher = watch(exporter, cluster, cluster.url_of(asked, host=host) + parameters, *flags)
    if refused:
        assert entries(watcher) is None
        log = watcher.log.read_text()
        node = asked if refused == host else owner
        assert f"rediss://{refused}:{node.port}/0: the server's certificate is for another" in log
        # An address that stands in no setting needs to be explained.
        assert ("the cluster announces this address" in log) == (refused != host)
        return

    assert entries(watcher) == ENTRIES, watcher.log_tail()
    moved = cluster.redirections(owner)
    cluster.move(ONE_SLOT, target)
    assert entries(watcher) == ENTRIES, watcher.log_tail()
    assert cluster.redirections(owner) > moved
    assert cluster.owner(ONE_SLOT) is target
    failures = [line for line in watcher.log.read_text().splitlines() if "failed" in line]
    # While a slot is on its way to a node without a name, nobody says where that node is.
    assert [line for line in failures if not re.search(r"ASK \d+ \?:", line)] == []


def test_a_node_of_another_authority(
    cluster: TLSCluster, authorities: list[Authority], exporter: Exporters
) -> None:
    """It does no harm until a slot moves there, and is refused then."""
    good = authorities[0].issue("node", f"subjectAltName={ADDRESS}")
    cluster.show(good)
    _, (asked, target) = owner_and_others(cluster)
    cluster.show(authorities[1].issue("other node", f"subjectAltName={ADDRESS}"), [target])
    watcher = watch(exporter, cluster, cluster.url_of(asked))
    assert entries(watcher) == ENTRIES, watcher.log_tail()

    cluster.move(ONE_SLOT, target)
    assert entries(watcher) is None
    words = f"rediss://127.0.0.1:{target.port}/0: the server's certificate is signed by no CA"
    assert words in watcher.log.read_text()
    cluster.show(good, [target])
    assert entries(watcher) == ENTRIES, watcher.log_tail()


def test_a_refusal_tells_more_than_a_dead_node(
    cluster: TLSCluster, authorities: list[Authority], exporter: Exporters
) -> None:
    cluster.show(authorities[0].issue("node", f"subjectAltName={NAME}"))
    first, _, parameters = cluster.url_of(cluster.nodes[0]).partition("?")
    watcher = watch(exporter, cluster, f"{first},127.0.0.1:{free_port()}?{parameters}")
    assert entries(watcher) is None
    assert "is for another name" in watcher.log.read_text()


def test_a_url_without_tls(cluster: TLSCluster, exporter: Exporters) -> None:
    url = cluster.url_of(cluster.nodes[0])
    watcher = watch(exporter, cluster, url.partition("?")[0], "--collect.timeout=5s")
    assert entries(watcher) is None
    words = "if it speaks TLS write rediss:// or ?ssl_cert_reqs=required"
    wait_until(lambda: words in watcher.log.read_text(), PATIENCE_SECONDS, words)


def test_a_node_taken_for_a_server(
    cluster: TLSCluster, authorities: list[Authority], exporter: Exporters
) -> None:
    cluster.show(authorities[0].issue("node", f"subjectAltName={ADDRESS}"))
    _, (asked, _) = owner_and_others(cluster)
    watcher = watch(exporter, cluster, f"rediss://127.0.0.1:{asked.port}")
    assert entries(watcher) is None
    words = "write redis-cluster:// and ?ssl_cert_reqs=required in its URL"
    assert words in watcher.log.read_text()

"""Sentinels and nodes of a cluster that lead to a server which must not learn the password."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from lying_redis import LyingRedis
from readers_application import value
from servers import wait_until
from stack import exporter_binary

if TYPE_CHECKING:
    from redbeat_samples import Exporters

PASSWORD = "s3cr3t"
FLAGS = ("--collect.interval=200ms", "--redbeat.sentinel-master=m")
ERRORS = "celery_beat_exporter_collector_errors_total"


def text(words: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(words), words.encode())


@pytest.fixture
def stranger() -> Iterator[LyingRedis]:
    with LyingRedis() as stranger:
        yield stranger


@pytest.fixture(params=["redis-sentinel", "redis-cluster"])
def url(request: pytest.FixtureRequest, stranger: LyingRedis) -> Iterator[str]:
    """Of a server that names the stranger as the master, or as the node that has all keys."""
    place = text("127.0.0.1") + b":%d\r\n" % stranger.port
    with LyingRedis() as liar:
        liar.answers[b"SENTINEL"] = b"*2\r\n" + place
        liar.answers[b"CLUSTER"] = b"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n" + place
        yield f"{request.param}://:{PASSWORD}@127.0.0.1:{liar.port}"


def check(url: str, *flags: str) -> str:
    """What it prints; it finds something wrong with such a server in any case."""
    command = [exporter_binary(), "check", "--redbeat.sentinel-master=m", *flags]
    environment = {**os.environ, "REDBEAT_REDIS_URL": url}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == 1, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    # Long lines are folded.
    return " ".join(done.stdout.split())


def test_the_password_follows(stranger: LyingRedis, url: str, exporter: Exporters) -> None:
    watcher = exporter(*FLAGS, REDBEAT_REDIS_URL=url)
    wait_until(lambda: PASSWORD.encode() in stranger.passwords, 60, "the stranger to learn it")
    words = "the password goes in clear to whatever address"
    wait_until(lambda: words in watcher.log.read_text(), 60, "the warning")
    assert "the password goes in clear to whatever address" in check(url)


def test_a_list_of_what_is_allowed(stranger: LyingRedis, url: str, exporter: Exporters) -> None:
    allowed = "--redis.allowed-nodes=10.0.0.0/8,*.internal"
    watcher = exporter(*FLAGS, allowed, REDBEAT_REDIS_URL=url)

    def refused() -> bool:
        metrics = watcher.metrics()
        return (value(metrics, ERRORS, collector="redbeat", reason="not_allowed") or 0) > 2

    wait_until(refused, 60, "the address to be refused")
    assert value(watcher.metrics(), "celery_beat_exporter_source_up", source="redbeat") == 0
    log = watcher.log.read_text()
    assert f"redis://127.0.0.1:{stranger.port}/0: not done, since the " in log
    assert "the password goes in clear" not in log
    assert "and --redis.allowed-nodes does not allow it" in check(url, allowed)
    assert not stranger.passwords
    assert not stranger.commands

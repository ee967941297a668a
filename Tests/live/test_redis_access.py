"""Users with the rights that docs/redis.md gives them, and no others; Redis on a unix socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from contents import QUEUE, fill_redis
from readers_application import by_label, collected, value
from redbeat_samples import FLAGS, SUCCEED, beat, beat_is
from redis_servers import LOCKED, PING, QUEUES, UNLOCKED, documented_users, plain
from servers import RedisServer, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters

# What needs no right, and what may be refused; and what the test itself does.
BESIDES = {"auth", "client|setname", "config|resetstat", "pexpire"}


@pytest.fixture
def socket(folder: Path) -> Path:
    return folder / "redis.sock"


@pytest.fixture
def server(folder: Path, socket: Path) -> Iterator[RedisServer]:
    with RedisServer(folder, arguments=["--unixsocket", str(socket)]) as server:
        yield server


PING_FLAGS = ["--beat.scheduler=ping", "--beat.ping=celerybeat@*"]


@pytest.mark.parametrize(
    ("users", "variable", "flags", "collectors"),
    [
        ([LOCKED], "REDBEAT_REDIS_URL", [], ["redbeat"]),
        ([UNLOCKED], "REDBEAT_REDIS_URL", ["--redbeat.lock-key=none"], ["redbeat"]),
        ([QUEUES], "CELERY_BROKER_URL", [], ["queues"]),
        ([QUEUES, PING], "CELERY_BROKER_URL", PING_FLAGS, ["queues", "ping"]),
    ],
    ids=["lock", "no lock", "queues", "ping"],
)
def test_documented_rights(
    server: RedisServer,
    redis_url: str,
    exporter: Exporters,
    users: list[int],
    variable: str,
    flags: list[str],
    collectors: list[str],
) -> None:
    """They suffice, and each command that is granted is used."""
    fill_redis(server.url)
    fill_redis(redis_url)
    names, rights = zip(*(documented_users()[user] for user in users))
    with plain(server) as client:
        client.execute_command(
            "ACL SETUSER", names[0], *(right for group in rights for right in group)
        )
        client.config_resetstat()
        # What is not under test has all rights elsewhere.
        elsewhere = {"REDBEAT_REDIS_URL": redis_url} if "redbeat" not in collectors else {}
        url = f"redis://{names[0]}:password@127.0.0.1:{server.port}/0"
        watcher = exporter(*FLAGS, *flags, **{**elsewhere, variable: url})
        # Only a lock that is seen to be extended is asked for its owner.
        client.pexpire("redbeat::lock", 1_400_000)
        for collector in collectors:
            collected(watcher, collector)
        errors = by_label(
            watcher.metrics(), "celery_beat_exporter_collector_errors_total", "collector"
        )
        assert [errors[collector] for collector in collectors] == [0] * len(collectors)
        sources = by_label(watcher.metrics(), "celery_beat_exporter_source_up", "source")
        assert set(sources.values()) == {1}
        used = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    granted = {word[1:] for group in rights for word in group if word.startswith("+")}
    assert used - BESIDES == granted


@pytest.mark.parametrize("command", ["zcard", "hstrlen", "hmget", "pttl", "getrange"])
def test_a_right_that_is_missing(server: RedisServer, exporter: Exporters, command: str) -> None:
    """It is named, whatever is asked by that command, and no entry is blamed for it."""
    fill_redis(server.url)
    name, rights = documented_users()[LOCKED]
    with plain(server) as client:
        client.execute_command("ACL SETUSER", name, *rights, f"-{command}")
        url = f"redis://{name}:password@127.0.0.1:{server.port}/0"
        watcher = exporter(*FLAGS, REDBEAT_REDIS_URL=url)
        errors = "celery_beat_exporter_collector_errors_total"

        def refused() -> bool:
            client.pexpire("redbeat::lock", 1_400_000)  # seen to be extended: whose is it?
            metrics = collected(watcher, "redbeat")
            return bool(value(metrics, errors, collector="redbeat", reason="permission"))

        wait_until(refused, 60, "that the right is missed")
    log = watcher.log.read_text()
    assert "NOPERM" in log and command in log.lower()
    assert "schedule entry" not in log


def test_a_unix_socket(
    server: RedisServer, socket: Path, application: Applications, exporter: Exporters
) -> None:
    """The application's own URLs, in the spellings of kombu and of redis-py."""
    with plain(server) as client:
        client.execute_command("ACL SETUSER", "default", ">p@ss/word")
    broker_url = f"redis+socket://:p%40ss%2Fword@{socket}?virtual_host=/1"
    redbeat_url = f"unix://:p%40ss%2Fword@{socket}?db=2"
    shop = application(
        broker_url=broker_url,
        redbeat_redis_url=redbeat_url,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1, "options": {"queue": QUEUE}}},
    )
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=broker_url, REDBEAT_REDIS_URL=redbeat_url)
    shop.beat()
    metrics = beat_is(watcher, 1, 10)
    assert beat(metrics, "schedule_entries") == 1
    wait_until(
        lambda: value(watcher.metrics(), "celery_queue_length", queue_name=QUEUE), 5, "a task"
    )

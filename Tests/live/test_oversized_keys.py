"""Keys and servers of which there is more than anybody could hold: it is told, and all else as well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import redis
from lying_redis import LyingRedis, PeakMemory
from readers_application import Application, by_label, collected, succeed, value
from redbeat_samples import beat
from servers import RedisServer, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Exporter, Metrics

FLAGS = ("--collect.interval=200ms", "--collect.timeout=10s")
ERRORS = "celery_beat_exporter_collector_errors_total"
MEGABYTE = 1 << 20
# Resident memory over what the exporter has when all is well.
BOUND = 64 * MEGABYTE


def problems(metrics: Metrics, collector: str) -> set[str]:
    return {
        dict(labels)["reason"]
        for (name, labels), number in metrics.items()
        if name == ERRORS and number and ("collector", collector) in labels
    }


def fill(client: redis.Redis, shop: Application) -> None:
    """What an application leaves behind."""
    shop.send(succeed, queue="mail")
    shop.store("hourly", 3600)
    client.zadd("unacked_index", {"tag": 1_795_221_950.5})
    client.hset("unacked", "tag", "message")
    client.sadd("redbeat::statics", "hourly")
    client.set("redbeat::lock", "8c534400e54411f19fe5b02fc0000000", ex=1500)


def spoil(client: redis.Redis) -> None:
    """Strings that others leave beside it, one by one: a server keeps its memory, too."""
    for number in range(9):
        client.sadd("_kombu.binding.mail", b"%d" % number * (8 * MEGABYTE))
    long = b"x" * (70 * MEGABYTE)
    client.zadd("unacked_index", {long: 1_795_221_940})
    client.zadd("redbeat::schedule", {long: 1})
    client.sadd("redbeat::statics", long)
    client.sadd(b"_kombu.binding." + b"x" * (100 * MEGABYTE), "a")
    client.hset(b"redbeat:" + b"x" * (100 * MEGABYTE), "definition", "{}")
    client.hset("redbeat:huge", "definition", long)
    client.zadd("redbeat::schedule", {"redbeat:huge": 2})


def test_one_key_spoils_no_other(
    own_redis: RedisServer, application: Applications, exporter: Exporters
) -> None:
    url = own_redis.url
    with redis.Redis.from_url(url) as client:
        fill(client, application(broker_url=url))
        watcher = exporter(*FLAGS, CELERY_BROKER_URL=url)
        memory = PeakMemory(watcher)
        before = collected(watcher, "queues")
        assert by_label(before, "celery_queue_length", "queue_name") == {"mail": 1}
        spoil(client)
        metrics = wait_until(lambda: told(watcher), 60, "all that is oversized to be told")

        assert by_label(metrics, "celery_queue_length", "queue_name") == {"mail": 1}
        assert value(metrics, "celery_unacked_messages") == 1
        assert value(metrics, "celery_oldest_unacked_timestamp_seconds") == 1_795_221_940
        assert beat(metrics, "lock_held") == 1
        assert beat(metrics, "schedule_entries") == 3
        assert beat(metrics, "schedule_invalid_entries") == 2
        entries = [
            dict(labels)["entry"]
            for (name, labels) in metrics
            if name == "celery_beat_entry_enabled"
        ]
        assert entries == ["hourly"]
        for source in ("broker", "redbeat"):
            assert value(metrics, "celery_beat_exporter_source_up", source=source) == 1
        assert problems(metrics, "queues") == problems(metrics, "redbeat") == {"over_limit"}
        print(f"resident memory over idle: {memory.growth / MEGABYTE:.1f} MB")
        assert memory.growth < BOUND


def told(watcher: Exporter) -> Metrics | None:
    """The metrics after collections that told of the last of it."""
    metrics = watcher.metrics()
    ended = min(
        value(
            metrics, "celery_beat_exporter_collector_last_success_timestamp_seconds", collector=name
        )
        or 0
        for name in ("queues", "redbeat")
    )
    has_entry = beat(metrics, "schedule_invalid_entries") == 2
    queues = value(metrics, ERRORS, collector="queues", reason="over_limit") or 0
    return metrics if has_entry and queues > 3 and ended > time.time() - 30 else None


LISTS = 1 << 20
# Each has 64 MB.
REPLIES = {
    "integers": b"*%d\r\n" % LISTS + (b"*14\r\n" + b":1\r\n" * 14) * LISTS,
    "strings": b"*%d\r\n" % LISTS + (b"*8\r\n" + b"$1\r\na\r\n" * 8) * LISTS,
    "empty lists": b"*%d\r\n" % LISTS + (b"*15\r\n" + b"*0\r\n" * 15) * LISTS,
    "nested": b"*1\r\n" * (1 << 24),
    "a string": b"$%d\r\n" % (64 * MEGABYTE) + b"x" * (64 * MEGABYTE) + b"\r\n",
    "a page": b"*2\r\n$1\r\n7\r\n*131000\r\n" + (b"$1000\r\n" + b"x" * 1000 + b"\r\n") * 131000,
    "a line": b"+" + b"x" * (64 * MEGABYTE),
}


@pytest.mark.parametrize("reply", REPLIES)
def test_a_server_that_says_too_much(exporter: Exporters, reply: str) -> None:
    with LyingRedis() as lying:
        watcher = watch(exporter, lying)
        memory = PeakMemory(watcher)
        lying.answer = REPLIES[reply]
        metrics = more_collections(watcher, 2)
        print(f"{reply}: resident memory over idle: {memory.growth / MEGABYTE:.1f} MB")
        assert memory.growth < BOUND
        for name in ("queues", "redbeat"):
            # A collection asks several questions, each of which has its time.
            took = value(metrics, "celery_beat_exporter_collector_duration_seconds", collector=name)
            assert took < 4 * TIMEOUT + 5


def test_a_server_of_which_all_is_read(exporter: Exporters) -> None:
    """It says at each collection as much as is read, and always something else."""
    numbers = iter(range(1 << 40))

    def name(prefix: bytes) -> bytes:
        return prefix + b"%d:" % next(numbers) + b"x" * 480

    def strings(*texts: bytes) -> bytes:
        return b"*%d\r\n" % len(texts) + b"".join(
            b"$%d\r\n%s\r\n" % (len(text), text) for text in texts
        )

    def page(command: list[bytes]) -> bytes:
        prefix = b"" if command[0] == b"SSCAN" else command[3].removesuffix(b"*")
        return b"*2\r\n$1\r\n7\r\n" + strings(*(name(prefix) for _ in range(4000)))

    def members(_: list[bytes]) -> bytes:
        pairs = [(name(b"redbeat:"), b"1795221960") for _ in range(14_000)]
        return strings(*(text for pair in pairs for text in pair))

    members_once = members([])
    options = b"[" + b"[]," * 9_000 + b"1]"
    definition = (
        b'{"name": "a", "task": "t", "schedule": {"__type__": "interval", "every": 5, "relative": '
        b'false}, "options": ' + options + b', "args": ["' + b"x" * (8 * MEGABYTE - 40_000) + b'"]}'
    )
    binding = b"a\x06\x16\x06\x16%d" + b"y" * 240
    with LyingRedis(b":1\r\n") as lying:
        lying.answers |= {
            b"TIME": strings(b"1795221950", b"0"),
            b"TYPE": lambda command: (
                b"+string\r\n" if command[1].endswith(b"lock") else b"+zset\r\n"
            ),
            b"PTTL": b":1490500\r\n",
            b"INFO": strings(b"role:master")[4:],
            b"ZCARD": b":20000\r\n",
            b"GETRANGE": b"$1\r\nx\r\n",
            b"SCAN": page,
            b"SSCAN": page,
            b"SRANDMEMBER": lambda _: strings(*(binding % next(numbers) for _ in range(10))),
            b"ZRANGE": lambda command: (
                strings(b"tag", b"1") if b"unacked" in command[1] else members_once
            ),
            b"HSTRLEN": lambda command: (
                b":%d\r\n" % (len(definition) if command[2] == b"definition" else 0)
            ),
            b"HMGET": strings(definition, b""),
        }
        watcher = exporter(
            "--collect.interval=200ms", CELERY_BROKER_URL=f"redis://127.0.0.1:{lying.port}"
        )
        memory = PeakMemory(watcher)
        metrics = more_collections(watcher, 6)
        for name in ("queues", "redbeat"):
            assert value(metrics, "celery_beat_exporter_collector_success", collector=name) == 1
        assert beat(metrics, "schedule_entries") == 20_000
        assert len(by_label(metrics, "celery_queue_length", "queue_name")) == 1000
        print(f"resident memory over idle: {memory.growth / MEGABYTE:.1f} MB")
        assert memory.growth < BOUND


TIMEOUT = 2  # seconds


def watch(exporter: Exporters, lying: LyingRedis) -> Exporter:
    url = f"redis://127.0.0.1:{lying.port}"
    return exporter(
        "--collect.interval=200ms", f"--collect.timeout={TIMEOUT}s", CELERY_BROKER_URL=url
    )


def more_collections(watcher: Exporter, count: int) -> Metrics:
    """The metrics after each collector has ended so many more collections."""

    def ended() -> dict[str, float]:
        metrics = watcher.metrics()
        return {
            name: value(metrics, "celery_beat_exporter_collector_duration_seconds", collector=name)
            for name in ("queues", "redbeat")
        }

    # No two take the same time.
    seen = {name: {took} for name, took in ended().items()}

    def enough() -> bool:
        for name, took in ended().items():
            seen[name].add(took)
        return all(len(times) > count for times in seen.values())

    wait_until(enough, 120, "several collections")
    return watcher.metrics()

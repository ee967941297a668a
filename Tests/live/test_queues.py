"""What the exporter reads of the broker, filled by real producers and workers, and by junk."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
import redis
from readers_application import Application, by_label, collected, nap, succeed, value
from servers import wait_until
from stack import Exporter

Applications = Callable[..., Application]
Exporters = Callable[..., Exporter]

FLAGS = ("--collect.interval=200ms",)
LENGTH = "celery_queue_length"
SEPARATOR = "\x06\x16"
UGLY = 'quote " backslash \\ newline \n end'


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url)


def lengths(exporter: Exporter) -> dict[str, float]:
    return by_label(collected(exporter, "queues"), LENGTH, "queue_name")


def priorities(exporter: Exporter, queue: str) -> dict[str, float]:
    return {
        dict(labels)["priority"]: number
        for (name, labels), number in collected(exporter, "queues").items()
        if name == "celery_queue_priority_length" and ("queue_name", queue) in labels
    }


def test_named_queues(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(broker_url=redis_url)
    for priority in (0, 0, 1, 3, 5, 6, 8, 9, 9, 9):
        shop.send(succeed, queue="jobs", priority=priority)
    for _ in range(4):
        shop.send(succeed, queue="plain")
    shop.send(succeed, queue="not asked for")
    client.sadd("broken", "a", "set")
    client.rpush("half broken", "message")
    client.set(f"half broken{SEPARATOR}6", "text")
    watcher = exporter(
        *FLAGS,
        "--queues=jobs,idle",
        "--queues=plain,broken,half broken",
        "--no-queues.discover",
        CELERY_BROKER_URL=redis_url,
    )

    # Of a queue that is partly unreadable no length is true.
    assert lengths(watcher) == {"jobs": 10, "idle": 0, "plain": 4}
    # kombu keeps a message in the greatest step that is not above its priority.
    assert priorities(watcher, "jobs") == {"0": 3, "3": 2, "6": 2, "9": 3}
    assert priorities(watcher, "plain") == {}
    metrics = watcher.metrics()
    errors = "celery_beat_exporter_collector_errors_total"
    assert value(metrics, errors, collector="queues", reason="wrong_type") >= 2
    assert value(metrics, "celery_beat_exporter_source_up", source="broker") == 1
    assert value(metrics, "celery_unacked_messages") == 0
    assert value(metrics, "celery_oldest_unacked_timestamp_seconds") is None

    client.set("unacked", "text")
    client.set("unacked_index", "text")
    before = value(metrics, errors, collector="queues", reason="wrong_type")
    metrics = collected(watcher, "queues")
    assert value(metrics, errors, collector="queues", reason="wrong_type") > before
    assert value(metrics, LENGTH, queue_name="jobs") == 10
    # Nobody knows how many there are.
    assert value(metrics, "celery_unacked_messages") is None
    assert value(metrics, "celery_oldest_unacked_timestamp_seconds") is None
    client.delete("unacked", "unacked_index")

    # Drained, the steps that were in use stay, at 0.
    client.delete("jobs", *(f"jobs{SEPARATOR}{step}" for step in (3, 6, 9)))
    assert lengths(watcher)["jobs"] == 0
    assert priorities(watcher, "jobs") == {"0": 0, "3": 0, "6": 0, "9": 0}


def test_discovered_queues(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(broker_url=redis_url)
    shop.send(succeed)
    for _ in range(3):
        shop.send(succeed, queue="made by a producer", priority=9)
    shop.send(succeed, queue=UGLY)
    # Only the exchanges of remote control have to do with replies.
    shop.send(succeed, queue="reply.mail")
    shop.store("often", 60, options={"queue": "named by the schedule"})
    client.rpush("named by the schedule", "message")
    for exchange in ("celery.pidbox", "reply.celery.pidbox", "celeryev"):
        client.sadd(f"_kombu.binding.{exchange}", f"{SEPARATOR}{SEPARATOR}not a queue of tasks")
    client.sadd(
        "_kombu.binding.hostile",
        "",
        "no separator",
        f"only{SEPARATOR}two",
        f"a{SEPARATOR}b{SEPARATOR}",
        f"a{SEPARATOR}b{SEPARATOR}c{SEPARATOR}four",
        b"\xff\x06\x16\x06\x16not UTF-8 \xff",
        f"nul{SEPARATOR}{SEPARATOR}NUL \0 inside",
    )
    client.rpush(b"not UTF-8 \xff", "one", "two")
    client.rpush("NUL \0 inside", "one")
    client.set("_kombu.binding.text", "text")
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)

    found = wait_until(
        lambda: (now := lengths(watcher)).get("named by the schedule") is not None and now,
        5,
        "the queue of the schedule",
    )
    expected = {
        "celery": 1,
        "made by a producer": 3,
        UGLY: 1,
        "reply.mail": 1,
        "named by the schedule": 1,
        "four": 0,
        "NUL \0 inside": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    # No label can name it, and under another name it would be another queue.
    assert "not UTF-8 \ufffd" not in found
    assert set(found) == set(expected)
    errors = "celery_beat_exporter_collector_errors_total"
    assert value(watcher.metrics(), errors, collector="queues", reason="wrong_type") > 0


def test_unacknowledged_messages_behind_a_key_prefix(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url, broker_transport_options={"global_keyprefix": "tenant1:"}
    )
    client.rpush("celery", "another tenant's")
    worker = shop.worker("celery", "made by a worker")
    watcher = exporter(*FLAGS, "--broker.key-prefix=tenant1:", CELERY_BROKER_URL=redis_url)

    before = time.time()
    for _ in range(5):
        shop.send(succeed, countdown=3600)

    def unacked() -> float | None:
        return value(collected(watcher, "queues"), "celery_unacked_messages")

    wait_until(lambda: unacked() == 5, 10, "5 messages with the worker")
    after = time.time()
    oldest = value(watcher.metrics(), "celery_oldest_unacked_timestamp_seconds")
    assert before <= oldest <= after
    delivered = client.zrange("tenant1:unacked_index", 0, 0, withscores=True)[0][1]
    assert oldest == pytest.approx(delivered, abs=1e-3)
    # The worker's own queue for remote control is none of tasks.
    assert lengths(watcher) == {"celery": 0, "made by a worker": 0}

    # What runs is acknowledged.
    for _ in range(3):
        shop.send(nap, 0.01)
    # Each is logged when it comes and when it ends.
    wait_until(lambda: worker.log.read_text().count(f"{nap.name}[") == 6, 10, "3 naps")
    assert lengths(watcher) == {"celery": 0, "made by a worker": 0}
    assert unacked() == 5
    # A warm shutdown gives back what waits.
    worker.stop()
    assert lengths(watcher)["celery"] == 5
    assert unacked() == 0
    assert value(watcher.metrics(), "celery_oldest_unacked_timestamp_seconds") is None


def test_other_separator_and_steps(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        broker_transport_options={"sep": ":", "priority_steps": list(range(10))},
    )
    for priority in range(10):
        for _ in range(priority + 1):
            shop.send(succeed, queue="jobs", priority=priority)
    watcher = exporter(
        *FLAGS,
        "--queues.separator=:",
        "--queues.priority-steps=0,1,2,3,4,5,6,7,8,9",
        CELERY_BROKER_URL=redis_url,
    )
    assert lengths(watcher) == {"jobs": 55}
    assert priorities(watcher, "jobs") == {str(step): step + 1 for step in range(10)}


# Declares broadcast queues as so many workers do, of which each is killed.
KILLED_WORKERS = """
import os, signal, sys
from kombu import Connection, Exchange
from kombu.common import Broadcast
channel = Connection(sys.argv[1]).channel()
for number in range(int(sys.argv[2])):
    Broadcast("news")(channel).declare()
for number in range(3):
    Broadcast("direct", exchange=Exchange("direct"), routing_key="news")(channel).declare()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leftover_broadcast_queues(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Each start of a worker makes one, and a killed worker leaves it: they hide no real queue, and
    have no series unless messages wait in one."""
    command = [sys.executable, "-c", KILLED_WORKERS, redis_url, "1200"]
    killed = subprocess.run(command, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    bindings = client.scard("_kombu.binding.news")
    assert bindings == 1200, "no trap"
    shop = application(broker_url=redis_url)
    shop.send(succeed, queue="reports")
    watcher = exporter(*FLAGS, "--queues=idle", CELERY_BROKER_URL=redis_url)
    assert lengths(watcher) == {"reports": 1, "idle": 0}
    # What is sent to a queue that nobody reads any more waits for ever.
    [left] = [
        m.decode().split(SEPARATOR)[2] for m in client.srandmember("_kombu.binding.direct", 1)
    ]
    client.rpush(left, "message")
    assert lengths(watcher) == {"reports": 1, "idle": 0, left: 1}
    client.delete(left, "reports")
    assert lengths(watcher) == {"reports": 0, "idle": 0}
    errors = "celery_beat_exporter_collector_errors_total"
    assert value(watcher.metrics(), errors, collector="queues", reason="over_limit") in (None, 0)


def test_more_queues_than_are_kept(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Those that are configured come first, then those in the schedule, then those with messages."""
    shop = application(broker_url=redis_url)
    members = [f"{SEPARATOR}{SEPARATOR}a{number:04}" for number in range(1500)]
    client.sadd("_kombu.binding.many", *members)
    shop.store("often", 60, options={"queue": "x of the schedule"})
    for queue in ("y with messages", "z with messages"):
        shop.send(succeed, queue=queue)
    watcher = exporter(*FLAGS, "--queues=zz", CELERY_BROKER_URL=redis_url)
    found = wait_until(
        lambda: "x of the schedule" in (now := lengths(watcher)) and now, 5, "the schedule"
    )
    assert len(found) == 1000
    named = {name: number for name, number in found.items() if not name.startswith("a")}
    assert named == {"zz": 0, "x of the schedule": 0, "y with messages": 1, "z with messages": 1}
    errors = "celery_beat_exporter_collector_errors_total"
    assert value(watcher.metrics(), errors, collector="queues", reason="over_limit") > 0

"""PersistentScheduler, which leaves no trace: judged by its tasks in the task table, and by its answers to pings."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from readers_application import Application, collected, is_alive, value, values
from servers import wait_until
from stack import Exporter, write_json

if TYPE_CHECKING:
    from stack import Metrics

Applications = Callable[..., Application]
Exporters = Callable[..., Exporter]

SECONDS = 60.0  # longest wait
GRACE = 3.0
TOLERANCE = 3.0
FLAGS = ("--collect.interval=200ms", "--beat.grace=3s")
# Half of what the last digit of a sum of two times may be off.
ROUNDING = 0.001
SUCCEED, FAIL = "readers_application.succeed", "readers_application.fail"
NAP = "readers_application.nap"
PERSISTENT = {"beat_scheduler": "celery.beat:PersistentScheduler", "beat_max_loop_interval": 1}
PATTERN = "--beat.ping=celerybeat@*"


def beat(metrics: Metrics, scheduler: str, name: str, **labels: str) -> float | None:
    """A family of the exporter's about beat, named without what all these have in common."""
    return value(metrics, f"celery_beat_{name}", scheduler=scheduler, **labels)


def beat_is(exporter: Exporter, scheduler: str, up: int) -> Metrics:
    """The first metrics in which beat is up, or not."""

    def metrics() -> Metrics | None:
        now = exporter.metrics()
        return now if beat(now, scheduler, "up") == up else None

    return wait_until(metrics, SECONDS, f"celery_beat_up {up} of {scheduler}")


def schedule_file(folder: Path, *entries: dict[str, str]) -> str:
    """The flag for a configuration file that expects these entries."""
    path = folder / "exporter.yml"
    write_json(path, {"schedule": list(entries)})
    return f"--config.file={path}"


def dies_on_time(exporter: Exporter) -> Metrics:
    """The first metrics without a beat that has just ended or hangs, by the tasks that no longer run."""

    def dead() -> Metrics | None:
        metrics = exporter.metrics()
        end = beat(metrics, "evidence", "deadline_timestamp_seconds") + GRACE
        left = end - beat(metrics, "evidence", "observed_timestamp_seconds")
        if beat(metrics, "evidence", "up"):
            assert left > -ROUNDING, f"alive {-left} s after its time"
            return None
        assert left < ROUNDING, f"dead {left} s before its time"
        return metrics

    return wait_until(dead, SECONDS, "beat to be dead")


def test_evidence(
    folder: Path,
    redis_url: str,
    database_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    shop = application(
        broker_url=redis_url,
        **PERSISTENT,
        beat_schedule={
            "often": {"task": SUCCEED, "schedule": 1},
            "unheard": {"task": NAP, "schedule": 1, "args": [0], "options": {"queue": "nobody"}},
        },
    )
    often = {"entry": "often", "task": SUCCEED, "interval": "1s", "tolerance": f"{TOLERANCE:.0f}s"}
    nightly = {"entry": "nightly", "task": FAIL, "crontab": "0 4 * * *", "zone": "Europe/Paris"}
    unheard = {"task": NAP, "interval": "1s", "tolerance": "1s"}
    flag = schedule_file(folder, often, nightly)
    shop.worker("celery", database_url=database_url)
    watcher = exporter(*FLAGS, flag, CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)
    assert beat(watcher.metrics(), "evidence", "up") in (None, 0)

    process = shop.beat()
    beat_is(watcher, "evidence", 1)
    first = beat(watcher.metrics(), "evidence", "scheduler_heartbeat")

    def more_runs() -> Metrics | None:
        metrics = watcher.metrics()
        assert is_alive(metrics, "evidence", 1 + TOLERANCE)
        return metrics if beat(metrics, "evidence", "scheduler_heartbeat") > first + 3 else None

    metrics = wait_until(more_runs, SECONDS, "three more runs")
    heartbeat = beat(metrics, "evidence", "scheduler_heartbeat")
    assert beat(metrics, "evidence", "last_task_time") == heartbeat
    assert beat(metrics, "evidence", "deadline_timestamp_seconds") == heartbeat + 1 + TOLERANCE
    assert beat(metrics, "evidence", "schedule_entries") == 2
    labels = {"entry": "often", "task_name": SUCCEED}
    assert beat(metrics, "evidence", "entry_last_run_timestamp_seconds", **labels) == heartbeat
    assert beat(metrics, "evidence", "entry_overdue_seconds", **labels) == 0
    nightly_due = beat(metrics, "evidence", "entry_next_due_timestamp_seconds", entry="nightly")
    assert time.gmtime(nightly_due).tm_hour in (2, 3)
    assert nightly_due > heartbeat
    # What nothing of this kind can tell is not told.
    told = {name for name, labels in metrics if ("scheduler", "evidence") in labels}
    assert not {name for name in told if "_lock_" in name}
    assert "celery_beat_max_loop_interval_seconds" not in told
    assert "celery_beat_instances" not in told

    process.pause()
    dies_on_time(watcher)
    process.resume()
    beat_is(watcher, "evidence", 1)
    process.kill()
    metrics = dies_on_time(watcher)
    assert beat(metrics, "evidence", "entry_overdue_seconds", **labels) > TOLERANCE

    # An exporter that starts now finds in the table what it did not see happen.
    late = exporter(*FLAGS, flag, CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)
    assert beat(late.metrics(), "evidence", "up") == 0
    assert beat(late.metrics(), "evidence", "scheduler_heartbeat") == beat(
        watcher.metrics(), "evidence", "scheduler_heartbeat"
    )

    process.start()
    beat_is(watcher, "evidence", 1)
    # A task whose queue has no worker does not run, but beat lives.
    flag = schedule_file(folder, often, unheard)
    other = exporter(*FLAGS, flag, CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)

    def is_overdue() -> bool:
        metrics = other.metrics()
        assert is_alive(metrics, "evidence", 1 + TOLERANCE)
        return beat(metrics, "evidence", "entry_overdue_seconds", entry=NAP) > 2

    wait_until(is_overdue, SECONDS, "the unheard entry to be overdue")
    assert process.stop() == 0
    dies_on_time(watcher)


def test_evidence_of_long_ago(
    folder: Path,
    redis_url: str,
    database_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    """The table is searched backwards as far as it takes, and no further than it goes."""
    shop = application(broker_url=redis_url)
    shop.worker("celery", database_url=database_url)
    shop.send(shop.app.tasks[SUCCEED])
    shop.send(shop.app.tasks[FAIL])
    with psycopg.connect(database_url, autocommit=True) as connection:
        # Each table with its columns for start and end.
        tables = (
            ("task_info", "task_time", "completed_time"),
            ("task_logs", "started_at", "completed_at"),
        )

        def ended() -> list[int]:
            exists = "SELECT count(to_regclass(name)) FROM unnest(%s::text[]) AS name"
            names = [table for table, _, _ in tables]
            if connection.execute(exists, (names,)).fetchone()[0] < len(tables):
                return []
            return [
                connection.execute(f"SELECT count({end}) FROM {table}").fetchone()[0]
                for table, _, end in tables
            ]

        wait_until(lambda: ended() == [2, 2], SECONDS, "both tasks in both tables")
        for table, start, end in tables:
            for task, hours in ((SUCCEED, 30), (FAIL, 70)):
                connection.execute(
                    f"UPDATE {table} SET {start} = {start} - %s * interval '1 hour',"
                    f" {end} = {end} - %s * interval '1 hour' WHERE task_name = %s",
                    (hours, hours, task),
                )

    def watcher(entry: dict[str, str]) -> Exporter:
        return exporter(*FLAGS, schedule_file(folder, entry), DATABASE_URL=database_url)

    # It ran 30 hours ago, which is in time for the one and a missed day for the other.
    slow = watcher({"entry": "slow", "task": SUCCEED, "interval": "48h"})
    daily = watcher({"entry": "daily", "task": SUCCEED, "interval": "24h"})
    beat_is(slow, "evidence", 1)
    beat_is(daily, "evidence", 0)
    # The table begins 70 hours ago, so nobody can tell of 90.
    seldom = watcher({"entry": "seldom", "task": NAP, "interval": "90h"})
    deadline = "deadline_timestamp_seconds"
    begins = beat(slow.metrics(), "evidence", "scheduler_heartbeat") - 40 * 3600

    def searched_to_the_end() -> bool:
        metrics = seldom.metrics()
        assert beat(metrics, "evidence", "up") is None
        end = begins + 90 * 3600 + 60
        return beat(metrics, "evidence", deadline) == pytest.approx(end, abs=SECONDS)

    wait_until(searched_to_the_end, SECONDS, "the beginning of the table")


def test_a_missing_table_is_no_sign_of_life(
    folder: Path, database_url: str, exporter: Exporters
) -> None:
    flag = schedule_file(folder, {"task": SUCCEED, "interval": "1s", "tolerance": "0s"})
    watcher = exporter(*FLAGS, flag, DATABASE_URL=database_url)
    metrics = beat_is(watcher, "evidence", 0)
    assert beat(metrics, "evidence", "scheduler_heartbeat") is None
    assert beat(metrics, "evidence", "schedule_entries") == 1
    errors = "celery_beat_exporter_collector_errors_total"
    assert value(metrics, errors, collector="evidence", reason="malformed") > 0
    assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1


def test_ping(redis_url: str, application: Applications, exporter: Exporters) -> None:
    shop = application(
        broker_url=redis_url,
        **PERSISTENT,
        beat_enable_remote_control=True,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    # A worker listens too, and is no beat.
    shop.worker("celery")
    watcher = exporter(*FLAGS, PATTERN, CELERY_BROKER_URL=redis_url)
    metrics = watcher.metrics()
    assert beat(metrics, "ping", "up") == 0
    assert beat(metrics, "ping", "instances") == 0
    assert beat(metrics, "ping", "scheduler_heartbeat") is None

    launched = time.time()
    process = shop.beat()
    metrics = beat_is(watcher, "ping", 1)
    assert beat(metrics, "ping", "instances") == 1
    assert launched < beat(metrics, "ping", "scheduler_heartbeat") < time.time()
    assert not [name for name, _ in metrics if name.startswith("celery_beat_schedule_")]
    first = beat(metrics, "ping", "scheduler_heartbeat")

    def later() -> bool:
        metrics = watcher.metrics()
        assert is_alive(metrics, "ping", GRACE)
        return beat(metrics, "ping", "scheduler_heartbeat") > first + 2

    wait_until(later, SECONDS, "more answers")

    process.pause()
    metrics = beat_is(watcher, "ping", 0)
    assert beat(metrics, "ping", "instances") == 0
    process.resume()
    # The answers to the pings that it slept through count for nobody.
    metrics = beat_is(watcher, "ping", 1)
    assert beat(metrics, "ping", "instances") == 1

    second = shop.beat("second")

    def counted(beats: int) -> Callable[[], bool]:
        return lambda: beat(watcher.metrics(), "ping", "instances") == beats

    wait_until(counted(2), SECONDS, "two beats")
    process.kill()
    wait_until(counted(1), SECONDS, "one beat")
    assert second.stop() == 0
    beat_is(watcher, "ping", 0)

    assert watcher.stop() == 0
    with redis.Redis.from_url(redis_url) as client:
        left = [key for key in client.scan_iter() if b"exporter" in key]
    assert left == [], "answers that nobody fetched"


def test_nobody_answers_within_the_shortest_timeout(redis_url: str, exporter: Exporters) -> None:
    """Both waits for an answer are beside the time that the broker has."""
    watcher = exporter(PATTERN, "--collect.timeout=2s", CELERY_BROKER_URL=redis_url)

    beat_is(watcher, "ping", 0)


def test_two_beats_without_a_lock_are_told_by_their_answers(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        redbeat_lock_key=None,
        beat_max_loop_interval=1,
        beat_enable_remote_control=True,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    watcher = exporter(
        *FLAGS,
        PATTERN,
        "--redbeat.lock-key=none",
        "--beat.max-loop-interval=1s",
        CELERY_BROKER_URL=redis_url,
    )
    processes = [shop.beat("first"), shop.beat("second")]
    two = lambda: beat(watcher.metrics(), "ping", "instances") == 2
    wait_until(two, SECONDS, "two beats")
    beat_is(watcher, "redbeat", 1)
    assert beat(watcher.metrics(), "redbeat", "instances") is None
    processes[0].kill()
    one = lambda: beat(watcher.metrics(), "ping", "instances") == 1
    wait_until(one, SECONDS, "one beat")
    goes_on = lambda: beat(collected(watcher, "redbeat"), "redbeat", "up") == 1
    wait_until(goes_on, SECONDS, "life of the other")


def test_answers_that_are_none(redis_url: str, exporter: Exporters) -> None:
    answers = [
        "not JSON",
        json.dumps({"body": "###", "headers": {}}),
        json.dumps({"headers": {"ticket": []}}),
        json.dumps([1]),
    ]
    watcher = exporter(*FLAGS, PATTERN, CELERY_BROKER_URL=redis_url)
    with redis.Redis.from_url(redis_url) as client, client.pubsub() as listener:
        listener.subscribe("/0.celery.pidbox")

        def ping() -> dict | None:
            message = listener.get_message(timeout=1)
            return message if message and message["type"] == "message" else None

        envelope = json.loads(wait_until(ping, SECONDS, "a ping")["data"])
        assert envelope["properties"]["delivery_info"]["exchange"] == "celery.pidbox"
        keys = [key for key in client.scan_iter() if b"ping" in key]
        assert keys == [], "a ping leaves nothing behind"
        body = json.loads(base64.b64decode(envelope["body"]))
        client.lpush(body["reply_to"]["routing_key"], *answers)
    metrics = collected(watcher, "ping")
    assert beat(metrics, "ping", "up") == 0
    assert list(values(metrics, "celery_beat_exporter_source_up", source="broker")) == [1]


def test_a_ping_that_is_not_permitted(redis_url: str, exporter: Exporters) -> None:
    """It spoils what the ping tells, and not the broker's other figures."""
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command(
            "ACL", "SETUSER", "watcher", "on", ">watch", "~*", "&*", "+@read", "+@connection",
            "+time", "+select", "+info", "+object",
        )  # fmt: skip
        try:
            url = redis_url.replace("redis://", "redis://watcher:watch@")
            watcher = exporter(*FLAGS, PATTERN, CELERY_BROKER_URL=url)
            metrics = collected(watcher, "ping")
            assert beat(metrics, "ping", "up") is None
            errors = "celery_beat_exporter_collector_errors_total"
            assert value(metrics, errors, collector="ping", reason="permission") > 0
            assert value(metrics, "celery_beat_exporter_source_up", source="broker") == 1
            assert value(metrics, "celery_unacked_messages") == 0
        finally:
            client.execute_command("ACL", "DELUSER", "watcher")

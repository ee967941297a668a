"""Ticks of RedBeat that take long, hang, or come beside data that name other times."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import redis
from readers_application import collected
from redbeat_samples import (
    FLAGS,
    GRACE,
    LONG_LOCK,
    PAUSE,
    SLACK,
    SUCCEED,
    Watch,
    beat,
    beat_is,
)
from servers import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Metrics

BUSY = 600  # entries that fall due together


def is_up(metrics: Metrics) -> bool:
    return beat(metrics, "up") == 1


def test_many_entries_that_fall_due_together(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """While beat loads and sends them, what falls due meanwhile is no promise it has broken."""
    schedule = {f"entry {number}": {"task": SUCCEED, "schedule": 8} for number in range(BUSY)}
    # Due while the others are sent.
    for number in range(4):
        schedule[f"between {number}"] = {"task": SUCCEED, "schedule": 3 + number / 2}
    shop = application(broker_url=redis_url, beat_max_loop_interval=300, beat_schedule=schedule)
    shop.beat()
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    beat_is(watcher, 1, 60)

    def sent() -> float:
        return beat(watcher.metrics(), "tasks_total", task_name=SUCCEED) or 0

    def is_up_while_it_sends(metrics: Metrics) -> bool:
        # A busy machine may let it stand still for longer than the grace. Where it has just sent
        # something, nothing else may count.
        now, last = beat(metrics, "observed_timestamp_seconds"), beat(metrics, "last_task_time")
        return is_up(metrics) or (last is not None and now - last > GRACE)

    with Watch(watcher) as watch:
        wait_until(lambda: sent() >= 3 * BUSY, 120, "three rounds")
    watch.check_all(is_up_while_it_sends, "up")


def test_a_beat_that_hangs_before_its_first_run(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Its own entries it knew when it ticked, whatever an exporter knows that comes later."""
    shop = application(
        broker_url=redis_url,
        beat_schedule={"soon": {"task": SUCCEED, "schedule": 6}},
    )

    def hangs() -> bool:
        """Whether a beat was paused before its run: a busy machine may be too slow for that."""
        client.flushdb()
        first = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
        process = shop.beat()
        beat_is(first, 1, 60)
        process.pause()
        if not beat(collected(first, "redbeat"), "entry_runs_total", entry="soon"):
            return True
        process.kill()
        assert first.stop() == 0
        return False

    wait_until(hangs, 3 * PATIENCE_SECONDS, "a beat that is paused before its first run")
    late = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    metrics = collected(late, "redbeat")
    stored = shop.stored("soon").last_run_at.timestamp()
    assert abs(beat(metrics, "deadline_timestamp_seconds") - stored - 6) < SLACK
    metrics = beat_is(late, 0, 60)
    assert beat(metrics, "observed_timestamp_seconds") >= stored + 6 + GRACE


def test_last_runs_that_are_yet_to_come(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """An application has postponed an entry; beat is killed, and the deadline does not move."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    process = shop.beat()
    beat_is(watcher, 1, 60)
    process.kill()
    shop.stored("often").next(last_run_at=shop.app.now() + timedelta(days=1))
    killed = time.time()
    late = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    for exporter_ in (watcher, late):
        metrics = beat_is(exporter_, 0, 60)
        # Absent for one that came when the lock had ended.
        assert (beat(metrics, "deadline_timestamp_seconds") or 0) <= killed + PAUSE + SLACK
        last = beat(metrics, "last_task_time") or 0
        assert last <= beat(metrics, "observed_timestamp_seconds") + 1

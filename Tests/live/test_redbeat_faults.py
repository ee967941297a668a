"""Beats of RedBeat that die, hang, are replaced, and work under trouble: what the exporter says.

Some of it once more with RedBeat 2.2.0, which stores due times differently.
"""

from __future__ import annotations

import shutil
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from readers_application import OLDER_PYTHON, by_label, collected, fail, value
from redbeat.schedules import rrule
from redbeat_samples import (
    COLLECT,
    FAIL,
    FLAGS,
    GRACE,
    LONG_LOCK,
    SLACK,
    SUCCEED,
    Watch,
    beat,
    beat_is,
    clock_off,
    dies_on_time,
    is_alive,
)
from servers import PATIENCE_SECONDS, RedisServer, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Metrics

LOOP = 1.0  # seconds, the loop interval of most beats here
LOCK = "redbeat::lock"
SOON = 500  # milliseconds, for what is left of a lock that is not waited for
WATCHED = (*FLAGS, "--beat.max-loop-interval=1s")
EVERY_SECOND = {"often": {"task": SUCCEED, "schedule": 1}}
LONG_LOOP = 10  # seconds
MINUTES = 300  # five of them, in seconds
each_version = pytest.mark.parametrize(
    "python", [sys.executable, OLDER_PYTHON], ids=["2.4.2", "2.2.0"]
)


def runs(metrics: Metrics, entry: str = "often") -> float:
    return beat(metrics, "entry_runs_total", entry=entry) or 0


def is_up(metrics: Metrics) -> bool:
    return beat(metrics, "up") == 1


def overdue_below(limit: float, metrics: Metrics) -> bool:
    """Whether no entry is later than that."""
    late = by_label(metrics, "celery_beat_entry_overdue_seconds", "entry")
    return all(seconds < limit for seconds in late.values())


def pages(metrics: Metrics) -> bool:
    """Whether a beat is said to be dead with its lock in its hands."""
    return beat(metrics, "up") == 0 and beat(metrics, "lock_held") == 1


def source(metrics: Metrics, name: str) -> float | None:
    return value(metrics, "celery_beat_exporter_source_up", source=name)


@each_version
def test_ways_to_die(
    python: Path | str,
    client: redis.Redis,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    """One beat after the other, and each ends in another way."""
    shop = application(
        python=python,
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule=EVERY_SECOND,
    )
    watcher = exporter(*WATCHED, CELERY_BROKER_URL=redis_url)

    # It hangs, and goes on. It hangs for longer than its lock lasts, and that is its end.
    hung = shop.beat("hung")
    beat_is(watcher, 1)
    hung.pause()
    dies_on_time(watcher)
    hung.resume()
    assert beat(beat_is(watcher, 1), "lock_acquisitions_total") == 0
    hung.pause()
    metrics = dies_on_time(watcher)
    assert beat(metrics, "lock_held") == 1
    assert beat(metrics, "lock_timeout_seconds") == LONG_LOCK
    client.pexpire(LOCK, SOON)
    wait_until(
        lambda: beat(watcher.metrics(), "lock_held") == 0, PATIENCE_SECONDS, "the end of the lock"
    )
    with Watch(watcher) as watch:
        hung.resume()
        hung.wait(PATIENCE_SECONDS)
        collected(watcher, "redbeat")
    assert "LockNotOwnedError" in hung.log.read_text()
    watch.check_all(lambda metrics: beat(metrics, "up") == 0, "dead for good")

    flushed = shop.beat("flushed")
    assert beat(beat_is(watcher, 1), "lock_acquisitions_total") == 1
    names = ("up", "lock_held", "lock_ttl_seconds", "schedule_entries")

    def is_empty() -> bool:
        client.flushdb()  # amid a tick, beat stores an entry once more
        metrics = collected(watcher, "redbeat")
        return [beat(metrics, name) for name in names] == [0] * len(names)

    wait_until(is_empty, PATIENCE_SECONDS, "nothing to be there")
    flushed.wait(PATIENCE_SECONDS)
    assert "LockNotOwnedError" in flushed.log.read_text()

    # Killed, and restarted at once: the new one waits for the end of the dead one's lock.
    killed = shop.beat("killed")
    assert beat(beat_is(watcher, 1), "lock_acquisitions_total") == 2
    with Watch(watcher) as watch:
        killed.kill()
        restarted = shop.beat("restarted")
        wait_until(
            lambda: any(pages(look.metrics) for look in watch.looks), PATIENCE_SECONDS, "its death"
        )
        client.pexpire(LOCK, SOON)
        metrics = beat_is(watcher, 1)
    watch.check_death()
    assert beat(metrics, "lock_acquisitions_total") == 3
    assert beat(metrics, "start_time_seconds") > restarted.said("beat: Starting")[0] - 1
    wait_until(lambda: overdue_below(1, collected(watcher, "redbeat")), 3, "what was missed")

    assert restarted.stop() == 0
    metrics = collected(watcher, "redbeat")
    for name in ("up", "lock_held", "lock_ttl_seconds"):
        assert beat(metrics, name) == 0, name
    assert beat(metrics, "start_time_seconds") is None


@each_version
def test_a_successor_that_waits_for_the_lock_is_no_sign_of_life(
    python: Path | str,
    client: redis.Redis,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    """Its start writes scores anew, from which the dead beat might seem to sleep for longer."""
    # One of them gets a score that lies between the dead beat's last tick and the start.
    ages = {f"ran {age} s ago": age for age in range(10, 32, 2)}
    shop = application(
        python=python,
        broker_url=redis_url,
        beat_max_loop_interval=LONG_LOOP,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={
            # The dead beat's last tick sends the second, and is to be followed by one for the first.
            "often": {"task": SUCCEED, "schedule": 5},
            "less often": {"task": SUCCEED, "schedule": 7},
            **{name: {"task": FAIL, "schedule": 60} for name in ages},
        },
    )
    watcher = exporter(
        *FLAGS, f"--beat.max-loop-interval={LONG_LOOP}s", CELERY_BROKER_URL=redis_url
    )
    killed = shop.beat("killed")
    beat_is(watcher, 1)
    for name, age in ages.items():
        ran = datetime.now(timezone.utc) - timedelta(seconds=age)
        entry = shop.stored(name).next(last_run_at=ran)
        client.zadd(
            "redbeat::schedule", {entry.key: int(ran.timestamp()) + 60}
        )  # as when beat ran it
    wait_until(lambda: runs(watcher.metrics(), "less often") > 0, 12, "a run")
    killed.kill()
    wait_until(lambda: not is_up(watcher.metrics()), 3 * LONG_LOOP, "its death")
    with Watch(watcher) as watch:
        shop.beat("waiting")
        rewritten = time.time()
        wait_until(lambda: time.time() > rewritten + LONG_LOOP, 2 * LONG_LOOP, "a loop interval")
    watch.check_all(lambda metrics: beat(metrics, "lock_held") == 1, "locked")
    watch.check_all(lambda metrics: not is_up(metrics), "dead")


@each_version
def test_rolling_deploy(
    python: Path | str, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """The new beat is there before the old one goes. Nobody is to be woken."""
    shop = application(
        python=python,
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={**EVERY_SECOND, "hourly": {"task": FAIL, "schedule": 3600}},
    )
    # Each start of a beat writes its score: too early in 2.4.2, too late in 2.2.0.
    shop.store("hourly", 3600, task=fail)
    shop.stored("hourly").next(last_run_at=datetime.now(timezone.utc) - timedelta(minutes=50))
    watcher = exporter(*WATCHED, CELERY_BROKER_URL=redis_url)
    old = shop.beat("old")
    before = runs(beat_is(watcher, 1))
    with Watch(watcher) as both:
        new = shop.beat("new")
        wait_until(lambda: runs(watcher.metrics()) >= before + 3, 6, "runs beside the new beat")
    both.check_all(is_alive, "up")
    both.check_all(lambda metrics: overdue_below(SLACK, metrics), "on time")
    both.check_all(lambda metrics: beat(metrics, "lock_acquisitions_total") == 0, "one owner")
    both.check_all(lambda metrics: beat(metrics, "instances") == is_up(metrics), "one that works")

    with Watch(watcher) as handover:
        before = runs(watcher.metrics())
        assert old.stop() == 0
        wait_until(lambda: runs(watcher.metrics()) >= before + 3, 6, "runs of the new beat")
    handover.check_all(lambda metrics: is_alive(metrics) or not pages(metrics), "without a page")
    handover.check_all(lambda metrics: beat(metrics, "instances") == is_up(metrics), "one or none")
    handover.check_all(lambda metrics: overdue_below(LOOP + 2 * SLACK, metrics), "soon on time")
    metrics = handover.looks[-1].metrics
    assert beat(metrics, "lock_acquisitions_total") == 1
    assert beat(metrics, "start_time_seconds") > new.said("beat: Starting")[0] - 1


def test_two_beats_without_a_lock(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Beat lives while one of them does, and while there is a schedule for it."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_key=None,
        beat_schedule=EVERY_SECOND,
    )
    watcher = exporter(*WATCHED, "--redbeat.lock-key=none", CELERY_BROKER_URL=redis_url)
    first, second = shop.beat("first"), shop.beat("second")
    beat_is(watcher, 1)
    with Watch(watcher) as watch:
        first.kill()
        killed = time.time()
        wait_until(
            lambda: beat(watcher.metrics(), "scheduler_heartbeat") > killed + LOOP + 2 * GRACE,
            PATIENCE_SECONDS,
            "life that the first could not have shown",
        )
    watch.check_all(is_alive, "up")
    watch.check_all(lambda metrics: overdue_below(SLACK, metrics), "on time")
    for name in ("lock_held", "lock_acquisitions_total", "instances"):
        watch.check_all(lambda metrics, name=name: beat(metrics, name) is None, f"without {name}")

    # The second goes on without anything to do, which does not count as work.
    def is_empty() -> bool:
        client.flushdb()  # amid a tick, beat stores an entry once more
        return beat(collected(watcher, "redbeat"), "schedule_entries") == 0

    wait_until(is_empty, PATIENCE_SECONDS, "an empty schedule")
    dies_on_time(watcher)
    assert second.running

    third = shop.beat("third")
    wait_until(lambda: runs(watcher.metrics()) >= 1, 5, "a run of what the third has stored")
    third.kill()
    second.kill()
    dies_on_time(watcher)


@each_version
def test_entries_that_come_and_go(
    python: Path | str,
    client: redis.Redis,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    """Disabled, over, deleted and made anew: beat is up and nothing is late."""
    shop = application(
        python=python,
        broker_url=redis_url,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule=EVERY_SECOND,
    )
    now = datetime.now(timezone.utc)
    daily = {"freq": "DAILY", "dtstart": now - timedelta(days=9), "app": shop.app}
    shop.store("off", 60, enabled=False)
    shop.store("until yesterday", rrule(**daily, until=now - timedelta(days=1)))
    client.zadd("redbeat::schedule", {"redbeat:off": now.timestamp() - 86400})
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    shop.beat()
    beat_is(watcher, 1)

    def over(name: str) -> bool:
        return client.zscore("redbeat::schedule", f"redbeat:{name}") == -1

    def sent() -> float:
        return beat(collected(watcher, "redbeat"), "tasks_total", task_name=FAIL)

    with Watch(watcher) as watch:
        wait_until(lambda: over("until yesterday"), PATIENCE_SECONDS, "an end that is past")
        # Not before it is stored.
        soon = datetime.now(timezone.utc) + timedelta(seconds=7)
        shop.store("twice", rrule("SECONDLY", dtstart=soon, count=2, app=shop.app))
        entry = shop.store("added", 0.5, task=fail)
        wait_until(lambda: runs(watcher.metrics(), "added") >= 2, 5, "its runs")

        def is_gone() -> bool:
            entry.delete()  # amid a run of it, beat stores it once more
            return not runs(watcher.metrics(), "added")

        wait_until(is_gone, PATIENCE_SECONDS, "its end")
        before = sent()
        assert before >= 2
        shop.store("added", 0.5, task=fail)
        wait_until(lambda: sent() >= before + 2, 5, "more runs")
        wait_until(lambda: over("twice"), 5, "the end of an rrule")
        metrics = collected(watcher, "redbeat")
    watch.check_all(is_alive, "up")
    # Beat asleep learns of a new entry when it wakes for the one that it runs each second.
    watch.check_all(lambda metrics: overdue_below(1 + SLACK, metrics), "on time")
    for name in ("off", "until yesterday", "twice"):
        assert (runs(metrics, name) > 0) is (name == "twice"), name
        assert beat(metrics, "entry_overdue_seconds", entry=name) == 0, name
        if name != "off":
            assert beat(metrics, "entry_next_due_timestamp_seconds", entry=name) is None, name


@pytest.mark.parametrize("lock", [True, False], ids=["lock", "no lock"])
def test_redis_without_idle_times(
    lock: bool, folder: Path, application: Applications, exporter: Exporters
) -> None:
    """An LFU eviction policy has no idle times, the only life that others see without a lock."""
    settings = {"redbeat_lock_timeout": LONG_LOCK} if lock else {"redbeat_lock_key": None}
    flags = WATCHED if lock else (*WATCHED, "--redbeat.lock-key=none")
    with RedisServer(folder, arguments=["--maxmemory-policy", "allkeys-lfu"]) as server:
        shop = application(
            broker_url=server.url,
            beat_max_loop_interval=LOOP,
            beat_schedule=EVERY_SECOND,
            **settings,
        )
        early = exporter(*flags, CELERY_BROKER_URL=server.url)
        process = shop.beat()
        before = runs(beat_is(early, 1))
        late = exporter(*flags, CELERY_BROKER_URL=server.url)
        with (
            redis.Redis.from_url(server.url) as client,
            pytest.raises(redis.ResponseError, match="LFU"),
        ):
            client.object("idletime", "redbeat::schedule")
        with Watch(early) as first, Watch(late) as second:
            wait_until(lambda: runs(early.metrics()) >= before + 3, 6, "runs")
            for watch in (first, second):
                watch.check_all(is_alive, "up")
                watch.check_all(lambda metrics: overdue_below(SLACK, metrics), "on time")
            process.kill()
            beat_is(early, 0)
            beat_is(late, 0)
        first.check_death()
        second.check_death()


@each_version
def test_broker_fails_and_redbeat_does_not(
    python: Path | str,
    folder: Path,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    """They are two servers. A beat that cannot send ticks all the same, until it hangs with one."""
    with RedisServer(folder / "broker") as broker:
        shop = application(
            python=python,
            broker_url=broker.url,
            redbeat_redis_url=redis_url,
            redbeat_lock_timeout=LONG_LOCK,
            beat_max_loop_interval=LOOP,
            beat_schedule=EVERY_SECOND,
        )
        watcher = exporter(
            "--collect.interval=200ms",
            "--beat.max-loop-interval=1s",
            # Trying in vain to send makes a tick longer.
            "--beat.grace=5s",
            CELERY_BROKER_URL=broker.url,
            REDBEAT_REDIS_URL=redis_url,
        )
        shop.beat()
        beat_is(watcher, 1)

        def queue() -> float | None:
            return value(watcher.metrics(), "celery_queue_length", queue_name="celery")

        wait_until(lambda: (queue() or 0) >= 1, 5, "a message")
        with Watch(watcher) as watch:
            broker.kill()
            metrics = wait_until(
                lambda: source(m := watcher.metrics(), "broker") == 0 and m, 5, "the broker's end"
            )
            before = runs(metrics)
            wait_until(lambda: runs(watcher.metrics()) >= before + 2, 10, "runs without a broker")
            families = {name for name, _ in watcher.metrics()}
            assert not {name for name in families if name.startswith(("celery_queue", "celery_un"))}
            broker.start()
            wait_until(lambda: (queue() or 0) >= 1, 10, "a message on the broker that is back")
        watch.check_all(is_alive, "up")
        watch.check_all(lambda metrics: source(metrics, "redbeat") == 1, "readable")

        # A beat that hangs while it sends does not tick, whatever the reason.
        with Watch(watcher) as watch:
            broker.pause()
            metrics = beat_is(watcher, 0)
            assert beat(metrics, "lock_held") == 1
            broker.resume()
            beat_is(watcher, 1)
        watch.check_death()


@each_version
def test_redis_fails_under_beat(
    python: Path | str, folder: Path, application: Applications, exporter: Exporters
) -> None:
    """Its outage is not beat's death, until it forgets beat's lock."""
    with RedisServer(folder, arguments=["--appendonly", "yes"]) as server:
        shop = application(
            python=python,
            broker_url=server.url,
            beat_max_loop_interval=2,
            redbeat_lock_timeout=LONG_LOCK,
            beat_schedule={"often": {"task": SUCCEED, "schedule": 2}},
        )
        watcher = exporter(
            *FLAGS,
            "--collect.timeout=2s",
            "--beat.max-loop-interval=2s",
            CELERY_BROKER_URL=server.url,
        )
        process = shop.beat()
        beat_is(watcher, 1)

        def unreadable() -> bool:
            metrics = watcher.metrics()
            return source(metrics, "redbeat") == 0 and beat(metrics, "up") is None

        def is_not_dead(metrics: Metrics, *moments: float) -> bool:
            """Up or unknown, unless beat has had the grace since the latest of these moments."""
            observed = beat(metrics, "observed_timestamp_seconds") or 0
            since = max((moment for moment in moments if moment <= observed), default=observed)
            return beat(metrics, "up") in {1, None} or observed - since > GRACE

        with Watch(watcher) as restart:
            paused = time.time()
            process.pause()  # so that no tick falls into the outage
            server.kill()
            server.start()
            back = time.time()
            process.resume()
            wait_until(
                lambda: (beat(watcher.metrics(), "scheduler_heartbeat") or 0) > back,
                5,
                "the next tick",
            )
        restart.check_all(lambda metrics: is_not_dead(metrics, paused, back), "up")
        restart.check_all(lambda metrics: not beat(metrics, "lock_acquisitions_total"), "one owner")

        with Watch(watcher) as hang:
            due = beat(watcher.metrics(), "deadline_timestamp_seconds") + GRACE
            server.pause()
            wait_until(unreadable, 3, "Redis to be unreadable")
            wait_until(lambda: time.time() > due + COLLECT, 5, "beat to be late")
            assert unreadable()
            server.resume()
            resumed = time.time()
            beat_is(watcher, 1)
        hang.check_all(lambda metrics: is_not_dead(metrics, resumed), "up")
        assert process.running

        server.kill()
        shutil.rmtree(folder / "appendonlydir")
        server.start()
        metrics = beat_is(watcher, 0)
        for name in ("lock_held", "schedule_entries"):
            assert beat(metrics, name) == 0, name
        process.wait(PATIENCE_SECONDS)
        assert beat(collected(watcher, "redbeat"), "up") == 0


def test_exporters_clock_is_off(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Ages are measured by Redis's clock. Three exporters, one beat, one truth."""
    clocks = {"right": 0, "ahead": MINUTES, "behind": -MINUTES}
    watchers = {
        name: exporter(*WATCHED, CELERY_BROKER_URL=redis_url, **(clock_off(off) if off else {}))
        for name, off in clocks.items()
    }
    process = application(
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule=EVERY_SECOND,
    ).beat()
    for watcher in watchers.values():
        beat_is(watcher, 1)
    with (
        Watch(watchers["right"]) as right,
        Watch(watchers["ahead"]) as ahead,
        Watch(watchers["behind"]) as behind,
    ):
        before = runs(watchers["right"].metrics())
        wait_until(lambda: runs(watchers["right"].metrics()) >= before + 2, 5, "runs")
        for watch in (right, ahead, behind):
            watch.check_all(is_alive, "up")
            watch.check_all(lambda metrics: overdue_below(SLACK, metrics), "on time")
        process.kill()
        metrics = {name: beat_is(watcher, 0) for name, watcher in watchers.items()}
    for watch in (right, ahead, behind):
        watch.check_death()
    for name, off in clocks.items():
        success = "celery_beat_exporter_collector_last_success_timestamp_seconds"
        clock = value(metrics[name], success, collector="redbeat")
        assert abs(clock - off - time.time()) < MINUTES / 5, "its clock is not what it should be"
        for family in ("scheduler_heartbeat", "deadline_timestamp_seconds"):
            # Redis tells TIME and times to live in moments of their own, and may stand still in between.
            difference = beat(metrics[name], family) - beat(metrics["right"], family)
            assert abs(difference) < SLACK, (name, family)
        late = beat(metrics[name], "entry_overdue_seconds", entry="often")
        assert late >= GRACE - 0.01, name


@pytest.mark.parametrize("off", [MINUTES, -MINUTES], ids=["ahead", "behind"])
def test_beats_clock_is_off(
    off: int, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """What beat writes is dated wrongly, and it lives all the same."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule=EVERY_SECOND,
    )
    watcher = exporter(*WATCHED, CELERY_BROKER_URL=redis_url)
    process = shop.beat(**clock_off(off))
    beat_is(watcher, 1)
    with Watch(watcher) as ticking:
        # The first run raises the suspicion, the second confirms it.
        wait_until(lambda: beat(watcher.metrics(), "clock_skew_seconds"), 5, "the clock's skew")
        assert runs(watcher.metrics()) <= 3 + SLACK
        with Watch(watcher) as known:
            before = runs(watcher.metrics())
            wait_until(lambda: runs(watcher.metrics()) >= before + 3, 6, "runs")
    ticking.check_all(is_alive, "up")
    known.check_all(lambda metrics: overdue_below(GRACE + SLACK, metrics), "on time")
    assert abs(beat(watcher.metrics(), "last_task_time") - time.time()) < MINUTES / 5
    known.check_all(
        lambda metrics: abs(beat(metrics, "clock_skew_seconds") - off) < MINUTES / 5, "the skew"
    )

    with Watch(watcher) as watch:
        process.kill()
        beat_is(watcher, 0)
    watch.check_death()

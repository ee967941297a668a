"""What the exporter reads of RedBeat, held against real beats, its own entries, and junk."""

from __future__ import annotations

import json
import random
import subprocess
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis
from celery.schedules import crontab, schedule
from contents import LOCK_MILLISECONDS
from readers_application import Application, by_label, collected, fail, value
from redbeat.schedules import rrule
from redbeat_samples import (
    FAIL,
    FLAGS,
    GRACE,
    LONG_LOCK,
    PAUSE,
    SLACK,
    SUCCEED,
    beat,
    beat_is,
    dies_on_time,
    is_alive,
    run_counts,
    shows_no_life_after,
)
from servers import PATIENCE_SECONDS, RedisServer, wait_until
from stack import Prometheus

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Metrics

LABEL_LENGTH = 200  # characters of a name that are told


def test_running_beat(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=5,
        beat_schedule={
            "often": {"task": SUCCEED, "schedule": 1},
            "seldom": {"task": FAIL, "schedule": 3},
            "nightly": {"task": SUCCEED, "schedule": {"hour": 4, "minute": 30}},
        },
    )
    shop.store("off", 1, enabled=False)
    # Beat looks every 5 s whether somebody has switched it on, at most.
    early = exporter(*FLAGS, "--beat.max-loop-interval=5s", CELERY_BROKER_URL=redis_url)
    # What has just touched the schedule could be a beat without a lock.
    metrics = early.metrics()
    assert beat(metrics, "up") is None or client.object("idletime", "redbeat::schedule") >= 5
    metrics = beat_is(early, 0, 60)
    assert beat(metrics, "lock_held") == 0
    assert beat(metrics, "schedule_entries") == 1

    process_start = time.time()
    process = shop.beat()
    beat_is(early, 1)
    first_seen = time.time()
    # Between two ticks.
    late = exporter(*FLAGS, "--beat.max-loop-interval=5s", CELERY_BROKER_URL=redis_url)

    def ran(runs: int) -> Callable[[], bool]:
        name = "entry_runs_total"
        return lambda: beat(early.metrics(), name, entry="seldom", task_name=FAIL) >= runs

    wait_until(ran(1), 10, "two runs")
    heartbeats = set()
    patience_ends = time.monotonic() + PATIENCE_SECONDS
    while len(heartbeats) < 3:
        assert time.monotonic() < patience_ends, "the time of the last tick is not exact"

        # The time of the last tick, as Redis itself knows it, before and after a collection.
        def tick() -> float:
            pipeline = client.pipeline()  # of one moment
            (seconds, micros), left = pipeline.time().pttl("redbeat::lock").execute()
            return seconds + micros / 1e6 - (25 - left / 1000)

        before = tick()
        for metrics in (collected(early, "redbeat"), collected(late, "redbeat")):
            assert is_alive(metrics)
            assert beat(metrics, "lock_held") == 1
            assert beat(metrics, "lock_timeout_seconds") == 25
            assert 10 < beat(metrics, "lock_ttl_seconds") <= 25
            assert beat(metrics, "lock_acquisitions_total") == 0
            assert beat(metrics, "max_loop_interval_seconds") == 5
            assert beat(metrics, "grace_seconds") == GRACE
            heartbeat = beat(metrics, "scheduler_heartbeat")
            # A Redis that stands still amid the exporter's questions makes it inexact that once.
            is_exact = before - 0.05 <= heartbeat <= tick() + 0.05
            deadline = beat(metrics, "deadline_timestamp_seconds")
            # What the tick has still to send may take a while.
            assert heartbeat < deadline <= heartbeat + PAUSE + SLACK
            assert beat(metrics, "schedule_entries") == 4
            assert beat(metrics, "schedule_disabled_entries") == 1
            assert beat(metrics, "schedule_invalid_entries") == 0
            for entry, task in {"often": SUCCEED, "seldom": FAIL, "nightly": SUCCEED}.items():
                labels = {"entry": entry, "task_name": task}
                assert beat(metrics, "entry_enabled", **labels) == 1
                # Beat itself runs an entry some milliseconds after it is due.
                assert beat(metrics, "entry_overdue_seconds", **labels) < SLACK
            assert beat(metrics, "entry_enabled", entry="off", task_name=SUCCEED) == 0
            assert beat(metrics, "entry_overdue_seconds", entry="off", task_name=SUCCEED) == 0
            assert beat(metrics, "entry_runs_total", entry="off") == 0
            assert beat(metrics, "entry_last_run_timestamp_seconds", entry="off") is None
            often = beat(metrics, "entry_last_run_timestamp_seconds", entry="often")
            assert beat(metrics, "entry_next_due_timestamp_seconds", entry="often") == often + 1
            seldom = beat(metrics, "entry_last_run_timestamp_seconds", entry="seldom")
            assert beat(metrics, "last_task_time") == max(often, seldom)
            assert beat(metrics, "schedule_next_due_timestamp_seconds") == min(
                often + 1, seldom + 3
            )
        if is_exact:
            heartbeats.add(heartbeat)

    # A tick's deadline is the due time of the entry that comes next.
    def deadline_is_next_due() -> bool:
        now = collected(early, "redbeat")
        due = beat(now, "schedule_next_due_timestamp_seconds")
        return beat(now, "deadline_timestamp_seconds") == due

    wait_until(deadline_is_next_due, 3, "deadline = next due")

    start = beat(metrics, "start_time_seconds")
    assert process_start < start < first_seen
    assert start > process.said("beat: Starting")[0] - 1

    # Paused while the lock lives: overdue, then well again.
    process.pause()
    baseline = run_counts(client)
    third = exporter(*FLAGS, "--beat.max-loop-interval=5s", CELERY_BROKER_URL=redis_url)
    metrics = dies_on_time(early)
    assert beat(metrics, "lock_held") == 1
    assert beat(metrics, "lock_timeout_seconds") == 25
    assert beat(metrics, "entry_overdue_seconds", entry="often") >= GRACE - 0.01
    assert beat(metrics, "entry_overdue_seconds", entry="nightly") == 0
    process.resume()
    metrics = beat_is(early, 1)
    assert beat(metrics, "start_time_seconds") == start
    wait_until(lambda: run_counts(client)[SUCCEED] >= baseline[SUCCEED] + 2, 5, "two more runs")

    assert process.stop() == 0
    final = run_counts(client)
    metrics = collected(early, "redbeat")
    assert beat(metrics, "up") == 0
    assert beat(metrics, "lock_held") == 0
    assert beat(metrics, "lock_ttl_seconds") == 0
    assert beat(metrics, "start_time_seconds") is None
    assert by_label(metrics, "celery_beat_tasks_total", "task_name") == final
    grown = {task: final[task] - baseline[task] for task in final}
    assert by_label(collected(third, "redbeat"), "celery_beat_tasks_total", "task_name") == grown


def set_calls(client: redis.Redis) -> int:
    """How often anybody has tried to SET a key: here, to get the lock."""
    return client.info("commandstats")["cmdstat_set"]["calls"]


def test_killed_beat_and_its_standby(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        # The standby asks for the lock every second.
        beat_max_loop_interval=1,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=1s", CELERY_BROKER_URL=redis_url)
    first = shop.beat("first")
    start = beat(beat_is(watcher, 1), "start_time_seconds")
    before = time.time()
    standby = shop.beat("standby")

    # It asks in vain, which resets the lock's idle time, and has rewritten the schedule's scores.
    asked = set_calls(client)
    while set_calls(client) < asked + 3:
        metrics = collected(watcher, "redbeat")
        assert is_alive(metrics)
        assert beat(metrics, "lock_timeout_seconds") == LONG_LOCK
        assert beat(metrics, "lock_acquisitions_total") == 0
        assert beat(metrics, "start_time_seconds") == start

    first.kill()
    metrics = dies_on_time(watcher)
    assert beat(metrics, "lock_held") == 1

    client.pexpire("redbeat::lock", 500)  # which is not waited for
    metrics = beat_is(watcher, 1)
    assert beat(metrics, "lock_acquisitions_total") == 1
    assert beat(metrics, "start_time_seconds") > max(before, standby.said("beat: Starting")[0] - 1)
    assert standby.stop() == 0
    metrics = collected(watcher, "redbeat")
    assert (beat(metrics, "up"), beat(metrics, "lock_held")) == (0, 0)


def test_restarted_beat_is_healthy(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Beat's restart puts scores far into the past, and an application adds and removes entries."""
    now = datetime.now(timezone.utc)
    soon = now + timedelta(hours=1)
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={
            "nightly": {"task": SUCCEED, "schedule": {"hour": soon.hour, "minute": soon.minute}},
            "hourly": {"task": SUCCEED, "schedule": 3600},
        },
    )
    shop.store("nightly", crontab(hour=soon.hour, minute=soon.minute, app=shop.app))
    shop.store("hourly", 3600)
    shop.stored("nightly").next(last_run_at=soon - timedelta(days=1))
    shop.stored("hourly").next(last_run_at=now - timedelta(minutes=50))
    shop.store("off", 60, enabled=False)
    client.zadd("redbeat::schedule", {"redbeat:off": now.timestamp() - 86400})
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    process = shop.beat()

    score = client.zscore("redbeat::schedule", "redbeat:nightly")
    assert score < time.time() - 20 * 3600, "no trap"
    assert client.zscore("redbeat::schedule", "redbeat:hourly") < time.time() - 30 * 60, "no trap"
    beat_is(watcher, 1)
    first_tick = beat(watcher.metrics(), "scheduler_heartbeat")
    sent: list[float] = []

    def healthy() -> Metrics:
        metrics = collected(watcher, "redbeat")
        assert is_alive(metrics)
        for entry in ("nightly", "hourly", "off"):
            assert beat(metrics, "entry_overdue_seconds", entry=entry) == 0
        sent.append(beat(metrics, "tasks_total", task_name=SUCCEED))
        return metrics

    def heartbeat() -> float:
        return beat(healthy(), "scheduler_heartbeat")

    wait_until(lambda: heartbeat() > first_tick + 1.7, 5, "the second tick")

    def tick_just_now() -> float | None:
        tick = heartbeat()
        return tick if time.time() < tick + 0.4 else None

    # Due at once, which beat cannot know: it sleeps for two seconds. Later than this after a tick
    # the next would be too near to prove anything.
    second_tick = wait_until(tick_just_now, 20, "a tick that was seen at once")
    entry = shop.store("added", 0.3, task=fail)
    wait_until(lambda: heartbeat() > second_tick + 1.7, 5, "the third tick")
    runs = wait_until(lambda: beat(healthy(), "entry_runs_total", entry="added"), 3, "its run")

    # Deleted and made anew it counts its runs from nothing; the sum of all that were sent does not.
    def is_gone() -> bool:
        entry.delete()  # amid a run of it, beat stores it once more
        return beat(healthy(), "entry_runs_total", entry="added") is None

    wait_until(is_gone, PATIENCE_SECONDS, "its end")
    before = beat(healthy(), "tasks_total", task_name=FAIL)
    assert before >= runs
    shop.store("added", 0.3, task=fail)
    wait_until(
        lambda: beat(healthy(), "tasks_total", task_name=FAIL) >= before + 2, 8, "two more runs"
    )
    assert sent == [0] * len(sent)
    process.kill()
    added = json.loads(client.hget("redbeat:added", "meta"))["total_run_count"]
    assert beat(collected(watcher, "redbeat"), "tasks_total", task_name=FAIL) == before + added


def random_crontab(dice: random.Random, shop: Application) -> crontab:
    """One that comes round within some years, in one of the forms that people write."""

    def part(first: int, last: int) -> str | int | list[int]:
        low, high = dice.randint(first, last), dice.randint(first, last)
        step = dice.randint(1, (last - first) // 2)
        forms = ["*", f"*/{step}", low, str(high), f"{low}-{high}", f"{low}-{high}/{step}"]
        return dice.choice([*forms, f"{low},{high}", sorted({low, high})])

    return crontab(
        minute=part(0, 59),
        hour=part(0, 23),
        day_of_week=dice.choice(["*", "*", "mon-fri", "fri-mon", "sunday", "1,3,5", part(0, 6)]),
        day_of_month=dice.choice(["*", "*", part(1, 28)]),
        month_of_year=dice.choice(["*", "*", "jan-mar", "*/4", part(1, 12)]),
        app=shop.app,
    )


def test_due_times_of_every_schedule(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        timezone="Europe/Paris",
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    long_ago = datetime(2026, 1, 1, tzinfo=timezone.utc)
    schedules = {
        "interval": schedule(5400, app=shop.app),
        "relative interval": schedule(timedelta(hours=3), relative=True, app=shop.app),
        "crontab of texts": crontab("*/15", "8-18,22-3", "mon-fri", "1-20/3", "*/2", app=shop.app),
        "crontab of numbers": crontab(5, 3, 0, app=shop.app),
        "crontab of lists": crontab([10, 40], [1, 2, 13], day_of_month=[1, 15], app=shop.app),
        "crontab on a leap day": crontab(0, 0, day_of_month=29, month_of_year=2, app=shop.app),
        "rrule": rrule("HOURLY", dtstart=long_ago, interval=7, app=shop.app),
        "rrule that is over": rrule("DAILY", dtstart=long_ago, count=2, app=shop.app),
    }
    for name, due in schedules.items():
        shop.store(name, due)
        shop.stored(name).next()
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    process = shop.beat()
    beat_is(watcher, 1)
    metrics = wait_until(
        lambda: beat(m := watcher.metrics(), "entry_runs_total", entry="often") and m, 5, "a run"
    )
    assert beat(metrics, "schedule_invalid_entries") == 0
    for name in schedules:
        stored = shop.stored(name)
        now = time.time()
        remaining = stored.schedule.remaining_estimate(stored.last_run_at)
        due = beat(metrics, "entry_next_due_timestamp_seconds", entry=name)
        if name == "rrule that is over":
            assert remaining is due is None
        else:
            # Scores are whole seconds, rounded down.
            assert abs(due - now - remaining.total_seconds()) < 1 + SLACK, name
        # One may fall due right now.
        assert beat(metrics, "entry_overdue_seconds", entry=name) < SLACK, name

    # Many more crontabs, with no beat to run those that are due.
    process.stop()
    dice = random.Random(5)
    names = [f"crontab {number}" for number in range(150)]
    watcher.pause()  # a run that it saw arrive would tell it of a clock that is days behind
    for name in names:
        shop.store(name, random_crontab(dice, shop))
        ago = timedelta(seconds=dice.uniform(0, 20 * 86400))
        shop.stored(name).next(last_run_at=shop.app.now() - ago)
    watcher.resume()
    # Entries that the exporter has not seen it reads at once.
    metrics = collected(watcher, "redbeat")
    for name in names:
        stored = shop.stored(name)
        now = time.time()
        remaining = stored.schedule.remaining_estimate(stored.last_run_at).total_seconds()
        due = beat(metrics, "entry_next_due_timestamp_seconds", entry=name)
        assert abs(due - now - remaining) < SLACK, (stored.schedule, stored.last_run_at)
        late = max(0, beat(metrics, "observed_timestamp_seconds") - due)
        overdue = beat(metrics, "entry_overdue_seconds", entry=name)
        assert overdue == pytest.approx(late, abs=0.01), name


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        (
            {"redbeat_key_prefix": "myapp", "redbeat_lock_key": "mylock"},
            ("--redbeat.key-prefix=myapp", "--redbeat.lock-key=mylock"),
        ),
        ({"redbeat_lock_key": None}, ("--redbeat.lock-key=none",)),
    ],
    ids=["own keys", "no lock"],
)
def test_other_redis_and_keys(
    settings: dict[str, str | None],
    flags: tuple[str, ...],
    folder: Path,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    """RedBeat in a database of its own, on a Redis with a password that is not the broker."""
    with RedisServer(folder, arguments=["--requirepass", "p@ss/word"]) as own:
        url = f"redis://:p%40ss%2Fword@127.0.0.1:{own.port}/3"
        shop = application(
            broker_url=redis_url,
            redbeat_redis_url=url,
            beat_max_loop_interval=1,
            redbeat_lock_timeout=LONG_LOCK,
            beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
            **settings,
        )
        shop.store("dynamic", 3600, options={"queue": "reports"})
        start = partial(
            exporter,
            *FLAGS,
            *flags,
            "--beat.max-loop-interval=1s",
            CELERY_BROKER_URL=redis_url,
            REDBEAT_REDIS_URL=url,
        )
        watcher = start()
        process = shop.beat()
        beat_is(watcher, 1)

        def runs() -> float:
            metrics = collected(watcher, "redbeat")
            assert is_alive(metrics)
            assert beat(metrics, "schedule_entries") == 2
            return beat(metrics, "entry_runs_total", entry="often")

        first = runs()
        wait_until(lambda: runs() >= first + 2, 6, "two more runs")
        metrics = watcher.metrics()
        # Named by an entry, though nobody has declared it to the broker.
        assert value(metrics, "celery_queue_length", queue_name="reports") == 0
        process.kill()
        killed = time.time()
        dies_on_time(watcher)
        # A restart of the exporter does not bring beat to life again.
        assert watcher.stop() == 0
        shows_no_life_after(beat_is(start(), 0), killed)
        with redis.Redis.from_url(redis_url) as broker:
            assert not list(broker.scan_iter("*redbeat*")) + list(broker.scan_iter("myapp*"))
        assert "word" not in watcher.log.read_text()


GOOD = {
    "name": "good",
    "task": SUCCEED,
    "args": [],
    "kwargs": {},
    "options": {},
    "schedule": {"__type__": "interval", "every": 3600.0, "relative": False},
    "enabled": True,
}
LAST_RUN = datetime.now(timezone.utc)
SCORE = int(LAST_RUN.timestamp()) + 3600
UGLY = 'quote " backslash \\ newline \n tab \t end'
CRONTAB = {
    "__type__": "crontab",
    "minute": "*",
    "hour": "*",
    "day_of_week": "*",
    "day_of_month": "*",
    "month_of_year": "*",
}


def definition(**members: object) -> str:
    return json.dumps({**GOOD, **members})


def interval(every: float) -> dict[str, object]:
    return {**GOOD["schedule"], "every": every}


def without(member: str) -> str:
    return json.dumps({name: held for name, held in GOOD.items() if name != member})


# Definitions that no beat could run, by the name of their key.
INVALID_DEFINITIONS: dict[str, str | bytes] = {
    "not JSON": "{",
    "empty": "",
    "list": "[]",
    "text": '"name"',
    "huge": definition(kwargs={"text": "x" * (9 << 20)}),
    "deep": definition(kwargs=None).replace("null", "[" * 100_000 + "]" * 100_000, 1),
    "no name": without("name"),
    "no task": without("task"),
    "no schedule": without("schedule"),
    "number as name": definition(name=5),
    "number as task": definition(task=5),
    "raw NUL": definition().encode().replace(b"good", b"g\0od"),
    "crontab with a bad minute": definition(schedule={**CRONTAB, "minute": "61"}),
    "crontab with a bad day": definition(schedule={**CRONTAB, "day_of_week": "blursday"}),
    "crontab with a bad list": definition(schedule={**CRONTAB, "hour": [1, "two"]}),
    "crontab with a step of 0": definition(schedule={**CRONTAB, "minute": "*/0"}),
    "unknown schedule": definition(schedule={"__type__": "solar", "lat": 5}),
    "endless interval": definition(schedule=interval(1e300)),
    "infinite interval": definition(schedule=interval(float("inf"))),
    "interval that is no number": definition(schedule=interval(float("nan"))),
    "schedule without a type": definition(schedule={"every": 5}),
}
INVALID_METAS = {
    "meta not JSON": "nonsense",
    "meta is a list": "[]",
    "meta with the 30th of February": '{"last_run_at": {"year": 2026, "month": 2, "day": 30}}',
    "meta with an unknown zone": json.dumps(
        {"last_run_at": {"year": 2026, "month": 2, "day": 3, "timezone": "Mars/Olympus_Mons"}}
    ),
    "meta with a path as zone": json.dumps(
        {"last_run_at": {"year": 2026, "month": 2, "day": 3, "timezone": "../../../etc/passwd"}}
    ),
}


def put(client: redis.Redis, key: str | bytes, text: str | bytes | None, runs: int = 0) -> None:
    """An entry that has run at LAST_RUN; without a definition, only its place in the schedule."""
    name = b"redbeat:" + (key if isinstance(key, bytes) else key.encode())
    client.zadd("redbeat::schedule", {name: SCORE})
    if text is None:
        return
    client.hset(name, "definition", text)
    parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    moment = {part: getattr(LAST_RUN, part) for part in parts}
    moment |= {"__type__": "datetime", "timezone": "UTC"}
    client.hset(name, "meta", json.dumps({"last_run_at": moment, "total_run_count": runs}))


def hold_lock(client: redis.Redis) -> None:
    """As a beat does that has just started."""
    client.set("redbeat::lock", uuid.uuid1().hex, px=LOCK_MILLISECONDS)


def promtool_says(text: str) -> str:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def test_hostile_entries(
    folder: Path,
    client: redis.Redis,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
) -> None:
    shop = application(broker_url=redis_url)
    # By the pair of labels that an entry gets, its key.
    valid: dict[tuple[str, str], str | bytes] = {
        ("good", SUCCEED): "good",
        ("in a key that is not UTF-8", SUCCEED): b"\xff\xfe",
        (UGLY, UGLY): "ugly",
        ("NUL \0 in names", "task \0"): "NUL",
        ("Größe 漢字 🥕", "tâche"): "Größe 漢字 🥕",
        ("", ""): "empty names",
        ("x" * LABEL_LENGTH, "y" * LABEL_LENGTH): "long names",
    }
    for (name, task), key in valid.items():
        more = 10_000 if key == "long names" else 0
        put(client, key, definition(name=name.ljust(more, "x"), task=task.ljust(more, "y")), runs=3)
    hold_lock(client)
    shop.store("by RedBeat", 60, task=fail)
    for key, text in INVALID_DEFINITIONS.items():
        put(client, key, text)
    for key, meta in INVALID_METAS.items():
        put(client, key, definition(name=key))
        client.hset(f"redbeat:{key}", "meta", meta)
    put(client, "missing", None)
    put(client, "of another type", None)
    client.set("redbeat:of another type", "text")
    invalid = len(INVALID_DEFINITIONS) + len(INVALID_METAS) + 2

    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    with Prometheus(folder, exporter_port=watcher.port, interval="1s") as prometheus:
        metrics = collected(watcher, "redbeat")
        assert promtool_says(watcher.text()) == ""
        assert beat(metrics, "schedule_entries") == len(valid) + 1 + invalid
        unreadable = beat(metrics, "schedule_invalid_entries")
        assert unreadable == invalid, sorted(
            key
            for key in [*INVALID_DEFINITIONS, *INVALID_METAS]
            if beat(metrics, "entry_enabled", entry=key) is not None
        )
        assert beat(metrics, "schedule_disabled_entries") == 0
        for name, task in valid:
            labels = {"entry": name, "task_name": task}
            assert beat(metrics, "entry_runs_total", **labels) == 3, name
            due = beat(metrics, "entry_next_due_timestamp_seconds", **labels)
            assert abs(due - LAST_RUN.timestamp() - 3600) < 0.001, name
        due = beat(metrics, "entry_next_due_timestamp_seconds", entry="by RedBeat", task_name=FAIL)
        assert 0 <= due - client.zscore("redbeat::schedule", "redbeat:by RedBeat") < 1
        errors = {
            reason: value(
                metrics,
                "celery_beat_exporter_collector_errors_total",
                collector="redbeat",
                reason=reason,
            )
            for reason in ("malformed", "over_limit", "time_zone", "wrong_type")
        }
        zones = 2
        one_each = {"over_limit": 1, "time_zone": zones, "wrong_type": 1}
        assert errors == {"malformed": invalid - 2 - zones, **one_each}

        def scraped() -> list[str]:
            return [result["value"][1] for result in prometheus.query("up")]

        # The strictest reader of all.
        wait_until(lambda: scraped() == ["1"], PATIENCE_SECONDS, "a scrape that succeeds")


def test_two_entries_of_one_name(client: redis.Redis, redis_url: str, exporter: Exporters) -> None:
    """Two keys hold the same name, with different counts: nothing runs, so nothing is counted."""
    for key, runs in {"twin": 5, "other": 9}.items():
        put(client, key, definition(name="twin"), runs)
    hold_lock(client)
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    for _ in range(3):
        metrics = collected(watcher, "redbeat")
        assert beat(metrics, "schedule_entries") == 2
        assert beat(metrics, "schedule_invalid_entries") == 0
        assert beat(metrics, "tasks_total", task_name=SUCCEED) == 0
    assert promtool_says(watcher.text()) == ""


def test_run_counts_beyond_reason(client: redis.Redis, redis_url: str, exporter: Exporters) -> None:
    """Counts that no 64 bits can add up, in entries that come while the exporter runs."""
    put(client, "good", definition(), runs=3)
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    for key in ("first", "second"):
        put(client, key, definition(name=key), runs=2**63 - 1024)
    metrics = collected(watcher, "redbeat")
    assert beat(metrics, "entry_runs_total", entry="good") == 3
    assert beat(metrics, "tasks_total", task_name=SUCCEED) >= 0


def test_hostile_lock_and_schedule(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    application(broker_url=redis_url).store("good", 3600)
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)

    def errors(metrics: Metrics, reason: str) -> float:
        name = "celery_beat_exporter_collector_errors_total"
        return value(metrics, name, collector="redbeat", reason=reason)

    metrics = collected(watcher, "redbeat")
    assert errors(metrics, "malformed") == errors(metrics, "wrong_type") == 0

    for token in ("without an end", "", "f" * 32, b"\xff" * 32):
        client.set("redbeat::lock", token)
        metrics = collected(watcher, "redbeat")
        assert (beat(metrics, "up"), beat(metrics, "lock_held")) == (0, 1)
        assert beat(metrics, "start_time_seconds") is None
    before = errors(metrics, "malformed")
    assert before > 0

    client.delete("redbeat::lock")
    client.rpush("redbeat::lock", "a", "list")
    metrics = collected(watcher, "redbeat")
    assert (beat(metrics, "up"), beat(metrics, "lock_held")) == (0, 0)
    assert errors(metrics, "wrong_type") > 0
    assert beat(metrics, "schedule_entries") == 1

    client.rename("redbeat::schedule", "aside")
    client.set("redbeat::schedule", "text")
    before = errors(metrics, "wrong_type")
    metrics = collected(watcher, "redbeat")
    assert value(metrics, "celery_beat_exporter_source_up", source="redbeat") == 0
    assert value(metrics, "celery_beat_exporter_source_up", source="broker") == 1
    assert errors(metrics, "wrong_type") > before
    assert not [name for name, _ in metrics if name.startswith("celery_beat_schedule")]
    assert promtool_says(watcher.text()) == ""

    client.rename("aside", "redbeat::schedule")
    metrics = collected(watcher, "redbeat")
    assert value(metrics, "celery_beat_exporter_source_up", source="redbeat") == 1
    assert beat(metrics, "schedule_entries") == 1

"""Stored entries that RedBeat does not run, will never run, or ends by."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import redis
from contents import LOCK_MILLISECONDS
from readers_application import collected
from redbeat import RedBeatSchedulerEntry
from redbeat_samples import FAIL, FLAGS, LONG_LOCK, SUCCEED, beat, beat_is, is_alive
from servers import wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters

LAST_RUN = {
    "__type__": "datetime",
    "year": 2026,
    "month": 11,
    "day": 1,
    "hour": 0,
    "minute": 0,
    "second": 0,
    "microsecond": 0,
    "timezone": "UTC",
}
INTERVAL = {"__type__": "interval", "every": 3600.0, "relative": False}
# By the change to a sound entry; a key that is None in it is left out.
DEFINITIONS: dict[str, dict[str, Any]] = {
    "as RedBeat writes it": {},
    "an unknown member": {"owner": "me"},
    "a member of Celery's": {"relative": True},
    "disabled by a number": {"enabled": 0},
    "without arguments": {"args": None, "kwargs": None, "options": None},
    "an interval without relative": {"schedule": {"__type__": "interval", "every": 5}},
    "an interval without every": {"schedule": {"__type__": "interval", "relative": False}},
    "an interval in text": {"schedule": {**INTERVAL, "every": "5"}},
    "an interval that is true": {"schedule": {**INTERVAL, "every": True}},
    "a number": {"schedule": 3600},
    "a crontab with a zone": {"schedule": {"__type__": "crontab", "timezone": "UTC"}},
    "a crontab of nothing": {"schedule": {"__type__": "crontab"}},
    "a crontab out of range": {"schedule": {"__type__": "crontab", "minute": "61"}},
    "an rrule without freq": {"schedule": {"__type__": "rrule"}},
    "an rrule with more": {"schedule": {"__type__": "rrule", "freq": 5, "more": 1}},
    "solar": {"schedule": {"__type__": "solar"}},
    "no type": {"schedule": {"every": 5}},
    "text": {"schedule": "daily"},
    "no schedule": {"schedule": None},
}
METAS: dict[str, dict[str, Any]] = {
    "no last run": {"total_run_count": 3},
    "an unknown member of meta": {"last_run_at": LAST_RUN, "owner": "me"},
    "never run": {"last_run_at": None},
    "a last run in text": {"last_run_at": "2026-11-01"},
    "an unknown part of a time": {"last_run_at": {**LAST_RUN, "week": 3}},
}
ENDS, REMOVES = "beat ends as soon as it loads it", "beat takes it out of the schedule"


def fate(app: Any, key: str) -> str:
    """What RedBeat does when it loads that entry and asks whether it is due."""
    try:
        RedBeatSchedulerEntry.from_key(key, app=app).is_due()
    except KeyError:
        return REMOVES
    except Exception:  # noqa: BLE001, whatever it is ends beat
        return ENDS
    return ""


def put(client: redis.Redis, name: str, change: dict[str, Any], meta: dict[str, Any]) -> str:
    definition = {
        "name": name,
        "task": SUCCEED,
        "args": [],
        "kwargs": {},
        "options": {},
        "schedule": INTERVAL,
        "enabled": True,
        **change,
    }
    definition = {key: value for key, value in definition.items() if value is not None}
    key = f"redbeat:{name}"
    client.hset(key, mapping={"definition": json.dumps(definition), "meta": json.dumps(meta)})
    client.zadd("redbeat::schedule", {key: 4e9})
    return key


def hold_lock(client: redis.Redis) -> None:
    client.set("redbeat::lock", uuid.uuid1().hex, px=LOCK_MILLISECONDS)


def test_what_redbeat_does_with_each(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """What ends beat, and what beat removes, are told apart as the real RedBeat does."""
    shop = application(broker_url=redis_url)
    hold_lock(client)
    sound = {"last_run_at": LAST_RUN, "total_run_count": 1}
    keys = [put(client, name, change, sound) for name, change in DEFINITIONS.items()]
    keys += [put(client, name, {}, meta) for name, meta in METAS.items()]
    fates = {key: fate(shop.app, key) for key in keys}
    assert {"", ENDS, REMOVES} == set(fates.values())
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    metrics = collected(watcher, "redbeat")
    log = watcher.log.read_text()
    for key, expected in fates.items():
        said = next((line for line in log.splitlines() if f"entry {key} " in line), "")
        if not expected:
            assert not said, said
            name = key.removeprefix("redbeat:")
            assert beat(metrics, "entry_enabled", entry=name) is not None, key
        else:
            assert expected in said, f"{key}: {said}"
    assert beat(metrics, "schedule_invalid_entries") == sum(map(bool, fates.values()))


def test_an_entry_that_changes_without_its_score(
    client: redis.Redis, redis_url: str, exporter: Exporters
) -> None:
    """Its bytes tell that it has changed, even where it could not be read in between."""
    hold_lock(client)
    meta = {"last_run_at": LAST_RUN, "total_run_count": 1}
    key = put(client, "changed", {}, meta)
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    assert beat(collected(watcher, "redbeat"), "entry_enabled", entry="changed") == 1

    def becomes(name: str, value: float | None, **labels: str) -> None:
        wait_until(lambda: beat(watcher.metrics(), name, **labels) == value, 30, f"{name} {value}")

    put(client, "changed", {"enabled": False}, meta)
    becomes("entry_enabled", 0, entry="changed")
    client.hset(key, "definition", "{")
    becomes("schedule_invalid_entries", 1)
    put(client, "changed", {}, meta | {"total_run_count": 2})
    becomes("entry_enabled", 1, entry="changed")
    becomes("entry_runs_total", 2, entry="changed", task_name=SUCCEED)


def test_an_entry_of_megabytes(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Beat runs it, and so it is told like any other."""
    shop = application(broker_url=redis_url)
    hold_lock(client)
    shop.store("large", 60, args=["x" * 3_000_000])
    shop.stored("large").next()
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url)
    metrics = collected(watcher, "redbeat")
    assert beat(metrics, "schedule_invalid_entries") == 0
    assert beat(metrics, "entry_runs_total", entry="large", task_name=SUCCEED) == 1
    assert "large" not in watcher.log.read_text()


@pytest.mark.parametrize("is_static", [True, False], ids=["static", "dynamic"])
def test_an_entry_without_a_score(
    client: redis.Redis,
    redis_url: str,
    application: Applications,
    exporter: Exporters,
    is_static: bool,
) -> None:
    """Its hash is there and the schedule has lost it: it will not run, and becomes late."""
    schedule = {"often": {"task": SUCCEED, "schedule": 1}}
    if is_static:
        schedule["lost"] = {"task": FAIL, "schedule": 3}
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=1,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule=schedule,
    )
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=1s", CELERY_BROKER_URL=redis_url)
    process = shop.beat()
    beat_is(watcher, 1, 60)
    if not is_static:
        shop.store("lost", 3, shop.app.tasks[FAIL])
    wait_until(
        lambda: beat(watcher.metrics(), "entry_runs_total", entry="lost"), 60, "its first run"
    )
    client.zrem("redbeat::schedule", "redbeat:lost")

    def late() -> bool:
        return (beat(watcher.metrics(), "entry_overdue_seconds", entry="lost") or 0) > 3

    wait_until(late, 60, "that it is late")
    later = exporter(*FLAGS, "--beat.max-loop-interval=1s", CELERY_BROKER_URL=redis_url)
    wait_until(
        lambda: beat(later.metrics(), "entry_overdue_seconds", entry="lost"), 60, "to be told"
    )
    for told in (watcher, later):
        metrics = collected(told, "redbeat")
        assert is_alive(metrics)
        assert beat(metrics, "schedule_invalid_entries") == 1
        assert beat(metrics, "schedule_entries") == 1
        log = told.log.read_text()
        assert log.count("redbeat:lost has no score in redbeat::schedule") == 1
        assert ("restart beat" if is_static else "save it again") in log

    # A start of beat stores what its configuration names; anything else, whoever owns it.
    if is_static:
        assert process.stop() == 0
        shop.beat("second")
    else:
        shop.stored("lost").save()

    def well() -> bool:
        metrics = collected(watcher, "redbeat")
        overdue = beat(metrics, "entry_overdue_seconds", entry="lost")
        return overdue == 0 and beat(metrics, "schedule_invalid_entries") == 0

    wait_until(well, 60, "that it is on time again")

"""Zones that the system lacks, and the hour that occurs twice when clocks are put back."""

from __future__ import annotations

import json
import shutil
import struct
import time
import zoneinfo
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import redis
from celery.schedules import crontab
from readers_application import Application, collected, fail, value
from redbeat_samples import FLAGS, LONG_LOCK, beat, beat_is
from servers import wait_until
from stack import Exporter

Applications = Callable[..., Application]
Exporters = Callable[..., Exporter]
BACK = "Test/Back"
ERRORS = "celery_beat_exporter_collector_errors_total"


def put_back(moment: int) -> bytes:
    """A zone whose clocks go back from two hours east to one at that moment (RFC 9636)."""
    block = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 4)
    types = struct.pack(">lBB", 7200, 0, 0)
    names = b"TWO\0"
    # The first block, of version 1, is the same without its changes.
    header = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 1, 2, 8)
    change = struct.pack(">qB", moment, 1)
    both = types + struct.pack(">lBB", 3600, 0, 4)
    return block + types + names + header + change + both + b"TWO\0ONE\0" + b"\nONE-1\n"


@pytest.fixture
def zones(folder: Path) -> Iterator[Path]:
    """A folder with zones of our own, which this process knows as well."""
    before = zoneinfo.TZPATH
    zones = folder / "zones"
    zones.mkdir()
    zoneinfo.reset_tzpath([str(zones), *before])
    yield zones
    zoneinfo.reset_tzpath(before)
    zoneinfo.ZoneInfo.clear_cache()


def test_hour_that_occurs_twice(
    client: redis.Redis,
    redis_url: str,
    zones: Path,
    application: Applications,
    exporter: Exporters,
) -> None:
    """RedBeat writes a run's wall-clock time without telling which of the two it is."""
    (zones / "Test").mkdir()
    (zones / BACK).write_bytes(put_back(int(time.time()) - 900))
    shop = application(
        broker_url=redis_url,
        timezone=BACK,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
    )
    shop.store("every second", 1)
    shop.store("every minute", crontab(app=shop.app), task=fail)
    process = shop.beat(PYTHONTZPATH=f"{zones}:{':'.join(zoneinfo.TZPATH)}")
    wait_until(
        lambda: b"total_run_count" in (client.hget("redbeat:every second", "meta") or b""),
        10,
        "a run",
    )
    written = json.loads(client.hget("redbeat:every second", "meta"))["last_run_at"]
    assert written["timezone"] == BACK
    assert "fold" not in written, "no trap"
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url, TZDIR=str(zones))
    beat_is(watcher, 1, 5)
    start = value(
        metrics := watcher.metrics(), "celery_beat_entry_runs_total", entry="every second"
    )
    overdue, skews, ages = set(), set(), []
    while value(metrics, "celery_beat_entry_runs_total", entry="every second") < start + 5:
        metrics = collected(watcher, "redbeat")
        assert beat(metrics, "up") == 1
        skews.add(beat(metrics, "clock_skew_seconds"))
        ages.append(time.time() - beat(metrics, "last_task_time"))
        for entry in ("every second", "every minute"):
            overdue.add(beat(metrics, "entry_overdue_seconds", entry=entry) > 30)
    assert (skews - {None}, overdue) == ({0}, {False})
    assert max(ages) < 60
    process.kill()


def test_old_name_of_a_zone(
    redis_url: str,
    client: redis.Redis,
    zones: Path,
    application: Applications,
    exporter: Exporters,
) -> None:
    """The system has zones under the names of today alone; of one that it lacks, the log says which."""
    (zones / "America").mkdir()
    paths = files("tzdata").joinpath("zoneinfo", "America", "New_York")
    shutil.copy(str(paths), zones / "America" / "New_York")
    shop = application(broker_url=redis_url, timezone="US/Eastern")
    shop.store("nightly", crontab(minute=30, hour=4, app=shop.app))
    shop.stored("nightly").next()
    shop.store("elsewhere", 60)
    meta = json.loads(client.hget("redbeat:elsewhere", "meta"))
    meta["last_run_at"]["timezone"] = "Europe/Paris"
    client.hset("redbeat:elsewhere", "meta", json.dumps(meta))
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=redis_url, TZDIR=str(zones))
    metrics = collected(watcher, "redbeat")
    assert beat(metrics, "schedule_invalid_entries") == 1
    due = beat(metrics, "entry_next_due_timestamp_seconds", entry="nightly")
    assert due == pytest.approx(shop.stored("nightly").due_at.timestamp(), abs=1)
    assert value(metrics, ERRORS, collector="redbeat", reason="time_zone") == 1
    assert value(metrics, ERRORS, collector="redbeat", reason="malformed") == 0
    [line] = [text for text in watcher.log.read_text().splitlines() if "Europe/Paris" in text]
    assert "install or update tzdata" in line

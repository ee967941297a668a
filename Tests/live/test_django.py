"""DatabaseScheduler: the exporter beside a real django-celery-beat on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from servers import Process, wait_until
from stack import CeleryProcess, Exporter

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

FOLDER = Path(__file__).resolve().parent
SECONDS = 30.0  # longest wait
LOOP = 5.0  # DatabaseScheduler's own loop interval
GRACE = 2.0
COLLECT = 0.2
FLAGS = (f"--collect.interval={COLLECT * 1000:.0f}ms", f"--beat.grace={GRACE:.0f}s")
# Sampling, a busy machine, and one collection more.
SLACK = 1.5
# An idle session's scans may be told this much later.
REPORT_DELAY = 10.0
SCHEDULER = ("scheduler", "django")


class Site:
    """A Django site with django-celery-beat, on a database of its own."""

    def __init__(self, folder: Path, broker_url: str, database_url: str) -> None:
        self._folder = folder
        url = urlsplit(database_url)
        self.environment = {
            "CELERY_BROKER_URL": broker_url,
            "DJANGO_SETTINGS_MODULE": "django_site",
            "DJANGO_DATABASE": url.path.lstrip("/"),
            "DJANGO_USER": url.username or "",
            "DJANGO_PASSWORD": url.password or "",
            "DJANGO_PORT": str(url.port),
            "PYTHONPATH": str(FOLDER),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.processes: list[Process] = []
        subprocess.run(
            [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
            env={**os.environ, **self.environment},
            check=True,
            timeout=SECONDS,
        )

    def beat(
        self, *, connection_seconds: int = 0, loop_seconds: int | None = None
    ) -> CeleryProcess:
        """A running beat; its connection is renewed at every tick unless it is told to keep it."""
        name = f"beat-{len(self.processes)}"
        process = DjangoBeat(name, self._folder, self, connection_seconds, loop_seconds)
        self.processes.append(process)
        process.start()
        return process


class DjangoBeat(CeleryProcess):
    def __init__(
        self,
        name: str,
        folder: Path,
        site: Site,
        connection_seconds: int,
        loop_seconds: int | None,
    ) -> None:
        Process.__init__(
            self,
            name,
            folder,
            [sys.executable, "-m", "celery", "-A", "django_site", "beat", "-S", "django"]
            + ["--pidfile=", "--loglevel", "info"]
            + ([] if loop_seconds is None else ["--max-interval", str(loop_seconds)]),
            environment={**site.environment, "DJANGO_CONNECTION_SECONDS": str(connection_seconds)},
        )
        self._ready_words = "beat: Starting..."
        self._log_start = 0


@pytest.fixture
def site(folder: Path, redis_url: str, database_url: str) -> Iterator[Site]:
    site = Site(folder, redis_url, database_url)
    yield site
    for process in site.processes:
        if process.running:
            process.kill()


@pytest.fixture
def restricted_url(database_url: str, shared_postgres: object) -> Iterator[str]:
    """The same database for a role that may read tables but not look into others' sessions."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO watcher")
        url = urlsplit(database_url)
        yield f"postgresql://watcher:watch@127.0.0.1:{url.port}{url.path}"
        connection.execute("DROP OWNED BY watcher")
        connection.execute("DROP ROLE watcher")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    wanted = {SCHEDULER, *labels.items()}
    found = [v for (family, told), v in metrics.items() if family == name and wanted <= told]
    assert len(found) <= 1
    return found[0] if found else None


def up_is(exporter: Exporter, expected: float) -> None:
    wait_until(
        lambda: value(exporter.metrics(), "celery_beat_up") == expected,
        SECONDS,
        f"celery_beat_up {expected}",
    )


def test_dead_hung_and_twice(site: Site, exporter: Exporters, database_url: str) -> None:
    """Sessions can be seen: a tick is known to the moment, and so is its absence."""
    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    # The tables are there, but nobody was seen yet, and it is too early to call anybody dead.
    assert value(watcher.metrics(), "celery_beat_up") is None
    beat = site.beat()
    up_is(watcher, 1)

    # Beat's other queries may hide its first ticks from a look at its session.
    def counted() -> Metrics | None:
        metrics = watcher.metrics()
        return metrics if value(metrics, "celery_beat_instances") == 1 else None

    metrics = wait_until(counted, SECONDS, "one instance")
    heartbeat = value(metrics, "celery_beat_scheduler_heartbeat")
    assert value(metrics, "celery_beat_deadline_timestamp_seconds") == heartbeat + LOOP
    assert value(metrics, "celery_beat_max_loop_interval_seconds") == LOOP
    assert value(metrics, "celery_beat_up") == 1
    assert value(metrics, "celery_beat_lock_held") is None

    # Three ticks and more: a healthy beat is up in every sample.
    def three_ticks_later() -> bool:
        metrics = watcher.metrics()
        assert value(metrics, "celery_beat_up") == 1
        return value(metrics, "celery_beat_scheduler_heartbeat") >= heartbeat + 2.5 * LOOP

    wait_until(three_ticks_later, SECONDS, "three ticks")

    beat.pause()
    paused = value(watcher.metrics(), "celery_beat_scheduler_heartbeat")
    up_is(watcher, 0)
    assert watcher_time(watcher) <= paused + LOOP + GRACE + COLLECT + SLACK
    beat.resume()
    up_is(watcher, 1)

    second = site.beat()
    wait_until(
        lambda: value(watcher.metrics(), "celery_beat_instances") == 2, SECONDS, "two instances"
    )
    second.kill()
    wait_until(
        lambda: value(watcher.metrics(), "celery_beat_instances") == 1, SECONDS, "one instance"
    )

    beat.kill()
    killed = value(watcher.metrics(), "celery_beat_scheduler_heartbeat")
    up_is(watcher, 0)
    # The end of the session tells its last scans, which may pass for one tick more.
    assert watcher_time(watcher) <= killed + 2 * LOOP + GRACE + COLLECT + SLACK


def watcher_time(exporter: Exporter) -> float:
    """When the exporter last read the database, by its clock, which is the database's here."""
    name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
    return exporter.metrics()[(name, frozenset({("collector", "django")}))]


@pytest.mark.parametrize("connection_seconds", [0, 600], ids=["renewed", "kept"])
def test_sessions_that_cannot_be_seen(
    restricted_url: str, site: Site, exporter: Exporters, connection_seconds: int
) -> None:
    """Without pg_monitor the scans of the table tell that beat ticks, a little later."""
    loop = 2
    watcher = exporter(*FLAGS, f"--beat.max-loop-interval={loop}s", DATABASE_URL=restricted_url)
    beat = site.beat(connection_seconds=connection_seconds, loop_seconds=loop)
    up_is(watcher, 1)
    first = value(watcher.metrics(), "celery_beat_scheduler_heartbeat")
    assert value(watcher.metrics(), "celery_beat_instances") is None

    def two_ticks_later() -> bool:
        metrics = watcher.metrics()
        assert value(metrics, "celery_beat_up") == 1
        return value(metrics, "celery_beat_scheduler_heartbeat") >= first + 2.5 * loop

    wait_until(two_ticks_later, SECONDS, "more ticks")
    beat.pause()
    last = value(watcher.metrics(), "celery_beat_scheduler_heartbeat")
    up_is(watcher, 0)
    # The last scans are told late, and only then the wait for the next tick begins.
    assert watcher_time(watcher) <= last + 2 * REPORT_DELAY + loop + GRACE + COLLECT + SLACK
    beat.resume()
    up_is(watcher, 1)


def test_entries(site: Site, exporter: Exporters, database_url: str) -> None:
    now = datetime.now(timezone.utc)
    with psycopg.connect(database_url, autocommit=True) as connection:

        def add(name: str, **columns: object) -> None:
            row = {
                "name": name,
                "task": "shop.count",
                "args": "[]",
                "kwargs": "{}",
                "headers": "{}",
                "description": "",
                "enabled": True,
                "one_off": False,
                "total_run_count": 0,
                "date_changed": now,
                **columns,
            }
            names = ", ".join(row)
            marks = ", ".join(["%s"] * len(row))
            connection.execute(
                f"INSERT INTO django_celery_beat_periodictask ({names}) VALUES ({marks})",
                list(row.values()),
            )

        def identifier(table: str, **columns: object) -> int:
            names = ", ".join(columns)
            marks = ", ".join(["%s"] * len(columns))
            return connection.execute(
                f"INSERT INTO django_celery_beat_{table} ({names}) VALUES ({marks}) RETURNING id",
                list(columns.values()),
            ).fetchone()[0]

        hourly = identifier("intervalschedule", every=1, period="hours")
        ten_seconds = identifier("intervalschedule", every=10, period="seconds")
        weird = identifier("intervalschedule", every=1, period="fortnights")
        night = identifier(
            "crontabschedule",
            minute="30",
            hour="2",
            day_of_week="*",
            day_of_month="*",
            month_of_year="*",
            timezone="Asia/Kathmandu",
        )
        clocked = identifier("clockedschedule", clocked_time=now + timedelta(hours=3))
        ago = lambda **length: now - timedelta(**length)
        add("late", interval_id=hourly, last_run_at=ago(hours=2), total_run_count=4)
        # Healthy: beat writes last runs every three minutes.
        add("not yet written", interval_id=ten_seconds, last_run_at=ago(seconds=185))
        add("off", interval_id=hourly, last_run_at=ago(days=9), enabled=False)
        add("expired", interval_id=hourly, last_run_at=ago(days=9), expires=ago(days=8))
        add(
            "done",
            interval_id=hourly,
            last_run_at=ago(days=9),
            one_off=True,
            total_run_count=1,
        )
        add("starts later", interval_id=hourly, start_time=now + timedelta(days=1))
        add("in its own zone", crontab_id=night, last_run_at=ago(minutes=1), queue="night")
        add("clocked", clocked_id=clocked, one_off=True)
        add("weird", interval_id=weird)
        add("without a schedule")

    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    metrics = watcher.metrics()
    assert value(metrics, "celery_beat_schedule_entries") == 10
    assert value(metrics, "celery_beat_schedule_disabled_entries") == 1
    assert value(metrics, "celery_beat_schedule_invalid_entries") == 2
    assert value(metrics, "celery_beat_tasks_total", task_name="shop.count") == 0
    overdue = {
        dict(labels)["entry"]: seconds
        for (name, labels), seconds in metrics.items()
        if name == "celery_beat_entry_overdue_seconds"
    }
    assert {entry for entry, seconds in overdue.items() if seconds > 0} == {"late"}
    assert overdue["late"] == pytest.approx(3600, abs=SECONDS)

    def due(entry: str) -> float | None:
        return value(metrics, "celery_beat_entry_next_due_timestamp_seconds", entry=entry)

    assert due("clocked") == pytest.approx((now + timedelta(hours=3)).timestamp(), abs=0.001)
    assert due("starts later") == pytest.approx((now + timedelta(days=1)).timestamp(), abs=0.001)
    kathmandu = now.astimezone(timezone(timedelta(hours=5, minutes=45)))
    half_past_two = kathmandu.replace(hour=2, minute=30, second=0, microsecond=0)
    if half_past_two <= kathmandu - timedelta(minutes=1):
        half_past_two += timedelta(days=1)
    assert due("in its own zone") == half_past_two.timestamp()
    assert due("done") is due("expired") is due("weird") is due("without a schedule") is None
    assert due("not yet written") > now.timestamp()


def test_tasks_sent_and_orderly_end(site: Site, exporter: Exporters, database_url: str) -> None:
    """What beat has sent is known once it is written: at the latest when beat ends in order."""
    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    beat = site.beat()
    beat_log = beat.log
    wait_until(lambda: beat_log.read_text().count("Sending due task often") >= 3, SECONDS, "sends")
    beat.stop()
    sent = beat_log.read_text().count("Sending due task often")

    def told() -> bool:
        metrics = watcher.metrics()
        return value(metrics, "celery_beat_tasks_total", task_name="shop.count") == sent

    wait_until(told, SECONDS, f"{sent} tasks")
    metrics = watcher.metrics()
    assert value(metrics, "celery_beat_entry_runs_total", entry="often") == sent
    up_is(watcher, 0)

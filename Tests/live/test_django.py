"""DatabaseScheduler: the exporter beside a real django-celery-beat on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import psycopg
import pytest
from django_beats import (
    FLAGS,
    GRACE,
    KEPT,
    LOOP,
    NEWER,
    OLDER,
    RENEWED,
    SECONDS,
    DjangoBeat,
    Site,
    Watch,
    age,
    both_versions,
    dies_on_time,
    instances_are,
    sample,
    up_is,
    value,
)
from readers_application import collected
from servers import wait_until
from stack import Exporter

Exporters = Callable[..., Exporter]


@pytest.fixture
def restricted_url(database_url: str, shared_postgres: object) -> Iterator[str]:
    """The same database for a role that may read tables but not look into others' sessions."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO watcher")
    # Nobody else is connected: a session that cannot be looked into is beat's or none.
    url = urlsplit(database_url)
    yield f"postgresql://watcher:watch@127.0.0.1:{url.port}{url.path}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY watcher")
        connection.execute("DROP ROLE watcher")


@pytest.mark.parametrize(
    ("site", "loop", "first", "second"),
    # DatabaseScheduler's own loop interval is also the exporter's default.
    [(NEWER, None, RENEWED, KEPT), (OLDER, 1, KEPT, RENEWED)],
    ids=["2.9", "2.5"],
    indirect=["site"],
)
def test_dead_hung_and_twice(
    site: Site, exporter: Exporters, database_url: str, loop: int | None, first: int, second: int
) -> None:
    """Sessions can be seen: a tick is known to the moment, and so is its absence."""
    flags = [] if loop is None else [f"--beat.max-loop-interval={loop}s"]
    watcher = exporter(*FLAGS, *flags, DATABASE_URL=database_url)
    interval = LOOP if loop is None else loop
    # The tables are there, but nobody was seen yet, and it is too early to call anybody dead.
    metrics = watcher.metrics()
    assert value(metrics, "celery_beat_up") is None or age(metrics) > interval + GRACE
    beat = site.beat(connection_seconds=first, loop_seconds=loop)
    up_is(watcher, 1)

    # Beat's other queries may hide its first ticks from a look at its session.
    metrics = sample(
        watcher,
        lambda metrics: (
            value(metrics, "celery_beat_instances") == value(metrics, "celery_beat_up") == 1
        ),
        "a beat that is alive",
    )
    heartbeat = value(metrics, "celery_beat_scheduler_heartbeat")
    assert value(metrics, "celery_beat_deadline_timestamp_seconds") == heartbeat + interval
    assert value(metrics, "celery_beat_max_loop_interval_seconds") == interval
    assert value(metrics, "celery_beat_lock_held") is None

    # Three ticks and more: a healthy beat is up in every sample.
    with Watch(watcher) as watch:
        heartbeat_reaches(watcher, heartbeat + 2.5 * interval)
    watch.assert_life(beat)

    beat.pause()
    dies_on_time(watcher)
    beat.resume()
    up_is(watcher, 1)

    other = site.beat(connection_seconds=second, loop_seconds=loop)
    instances_are(watcher, 2)
    other.kill()
    instances_are(watcher, 1)

    beat.kill()
    dies_on_time(watcher)


def heartbeat_reaches(exporter: Exporter, moment: float) -> None:
    sample(
        exporter,
        lambda metrics: (value(metrics, "celery_beat_scheduler_heartbeat") or 0) >= moment,
        "more ticks",
    )


# How often a connection is renewed does not depend on the version.
@pytest.mark.parametrize(
    ("site", "connection_seconds", "fault", "remedy"),
    [
        (NEWER, RENEWED, DjangoBeat.kill, DjangoBeat.start),
        (NEWER, KEPT, DjangoBeat.pause, DjangoBeat.resume),
        (OLDER, KEPT, DjangoBeat.kill, DjangoBeat.start),
    ],
    ids=["2.9-renewed-killed", "2.9-kept-paused", "2.5-kept-killed"],
    indirect=["site"],
)
def test_sessions_that_cannot_be_seen(
    restricted_url: str,
    site: Site,
    exporter: Exporters,
    database_url: str,
    connection_seconds: int,
    fault: Callable[[DjangoBeat], None],
    remedy: Callable[[DjangoBeat], None],
) -> None:
    """Without pg_read_all_stats the scans of the table tell that beat ticks, a little later."""
    loop = 1
    watcher = exporter(*FLAGS, f"--beat.max-loop-interval={loop}s", DATABASE_URL=restricted_url)
    beat = site.beat(connection_seconds=connection_seconds, loop_seconds=loop)
    up_is(watcher, 1)
    first = value(watcher.metrics(), "celery_beat_scheduler_heartbeat")
    assert value(watcher.metrics(), "celery_beat_instances") is None
    with Watch(watcher) as watch:
        heartbeat_reaches(watcher, first + 2.5 * loop)
    watch.assert_life(beat)
    fault(beat)
    # The last scans are told late, and only then the wait for the next tick begins.
    dies_on_time(watcher, seen=False)
    # A counter that starts again is no scan.
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_reset()")
    assert value(collected(watcher, "django"), "celery_beat_up") == 0
    remedy(beat)
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
        # A beat that has died meanwhile may have sent it, and not stored that.
        add("not yet written", interval_id=ten_seconds, last_run_at=ago(seconds=60))
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
        add("in its own zone", crontab_id=night, last_run_at=now, queue="night")
        add("clocked", clocked_id=clocked, one_off=True)
        add("weird", interval_id=weird)
        add("without a schedule")

    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    # No beat is alive, so what is due is late.
    metrics = up_is(watcher, 0)
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
    assert "not yet written" not in overdue
    assert overdue["late"] == pytest.approx(3600, abs=SECONDS)

    def due(entry: str) -> float | None:
        return value(metrics, "celery_beat_entry_next_due_timestamp_seconds", entry=entry)

    assert due("clocked") == pytest.approx((now + timedelta(hours=3)).timestamp(), abs=0.001)
    assert due("starts later") == pytest.approx((now + timedelta(days=1)).timestamp(), abs=0.001)
    kathmandu = now.astimezone(timezone(timedelta(hours=5, minutes=45)))
    half_past_two = kathmandu.replace(hour=2, minute=30, second=0, microsecond=0)
    if half_past_two <= kathmandu:
        half_past_two += timedelta(days=1)
    assert due("in its own zone") == half_past_two.timestamp()
    assert due("done") is due("expired") is due("weird") is due("without a schedule") is None
    assert due("not yet written") is None


@both_versions
def test_tasks_sent_and_orderly_end(site: Site, exporter: Exporters, database_url: str) -> None:
    """What beat has sent is known once it is written: at the latest when beat ends in order."""
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=1s", DATABASE_URL=database_url)
    beat = site.beat(loop_seconds=1)
    wait_until(lambda: beat.sent("often") >= 3, SECONDS, "sends")
    assert beat.stop() == 0
    sent = beat.sent("often")
    sample(
        watcher,
        lambda metrics: value(metrics, "celery_beat_tasks_total", task_name="shop.count") == sent,
        f"{sent} tasks",
    )
    assert value(watcher.metrics(), "celery_beat_entry_runs_total", entry="often") == sent
    up_is(watcher, 0)

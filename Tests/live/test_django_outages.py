"""DatabaseScheduler: what is known of entries after an outage of beat, and of beat while others save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import psycopg
import pytest
from django_beats import (
    COLLECT,
    FLAGS,
    GRACE,
    KEPT,
    NEWER,
    OLDER,
    RENEWED,
    REPORT_DELAY,
    SECONDS,
    SLACK,
    Site,
    Watch,
    instances_are,
    sample,
    up_is,
    value,
    watcher_time,
)
from readers_application import collected
from servers import wait_until
from stack import Exporter

Exporters = Callable[..., Exporter]

LOOP = 1
LOOP_FLAGS = (*FLAGS, f"--django.max-loop-interval={LOOP}s")
ENTRIES = {"quick": 10, "minutes": 300, "hourly": 3600}
# What ran at its time until an outage began, so many seconds ago.
BEFORE_AN_OUTAGE = """
from datetime import timedelta
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

then = timezone.now() - timedelta(seconds={outage})
for name, seconds in {entries}.items():
    schedule, _ = IntervalSchedule.objects.get_or_create(every=seconds, period="seconds")
    PeriodicTask.objects.create(
        name=name,
        task=f"shop.{{name}}",
        interval=schedule,
        total_run_count=1,
        # It was due in the middle of the outage, or once again and again.
        last_run_at=then - timedelta(seconds=max(0, seconds - {outage} / 2)),
    )
"""
STORE = "from django_celery_beat.models import PeriodicTasks\nPeriodicTasks.update_changed()"


@pytest.fixture(params=[True, False], ids=["seen", "not-seen"])
def watched_url(
    database_url: str, shared_postgres: object, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The database, for a role that may look into the sessions of others, or may not."""
    if request.param:
        yield database_url
        return
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
        connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO watcher")
    url = urlsplit(database_url)
    yield f"postgresql://watcher:watch@127.0.0.1:{url.port}{url.path}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY watcher")
        connection.execute("DROP ROLE watcher")


def overdue(exporter: Exporter, name: str) -> float | None:
    return value(collected(exporter, "django"), "celery_beat_entry_overdue_seconds", entry=name)


@pytest.mark.parametrize(
    ("watched_url", "site", "outage"),
    [(True, NEWER, 180), (False, NEWER, 1800), (True, OLDER, 1800)],
    ids=["2.9-3m", "2.9-30m-not-seen", "2.5-30m"],
    indirect=["watched_url", "site"],
)
def test_after_an_outage(
    watched_url: str,
    site: Site,
    exporter: Exporters,
    outage: int,
) -> None:
    """Beat sends all that is due at once, and stores the first of it. Nothing is late."""
    site.shell(BEFORE_AN_OUTAGE.format(outage=outage, entries=ENTRIES))
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=watched_url)
    beat = site.beat(loop_seconds=LOOP)
    up_is(watcher, 1)
    with Watch(watcher) as watch:
        for name in ENTRIES:
            wait_until(lambda name=name: beat.sent(name) >= 1, SECONDS, f"a run of {name}")
        # Another exporter, which did not see how it was before.
        late = exporter(*LOOP_FLAGS, DATABASE_URL=watched_url)
        up_is(late, 1)
        with Watch(late) as other:
            time.sleep(LOOP + GRACE + SLACK)
        site.shell(STORE)
        for name in ENTRIES:
            sample(
                watcher,
                lambda metrics, name=name: (
                    value(metrics, "celery_beat_entry_runs_total", entry=name) >= 2
                ),
                f"a stored run of {name}",
            )
    for one in (watch, other):
        for name in ENTRIES:
            told = one.told("celery_beat_entry_overdue_seconds", entry=name)
            assert set(told) <= {None, 0}, name
    for name in ENTRIES:
        assert overdue(watcher, name) == 0
        next_due = value(
            watcher.metrics(), "celery_beat_entry_next_due_timestamp_seconds", entry=name
        )
        assert next_due > time.time() - LOOP - 2 * SLACK


def test_due_while_beat_is_dead(site: Site, exporter: Exporters, database_url: str) -> None:
    """Late at once, and no more when the next beat has sent it."""
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    beat = site.beat(loop_seconds=LOOP)
    up_is(watcher, 1)
    site.shell(
        "from datetime import timedelta\n"
        "from django.utils import timezone\n"
        "from django_celery_beat.models import *\n"
        "now = timezone.now()\n"
        "hour = IntervalSchedule.objects.create(every=1, period='hours')\n"
        "soon = ClockedSchedule.objects.create(clocked_time=now + timedelta(seconds=12))\n"
        "PeriodicTask.objects.create(name='clocked', task='shop.c', clocked=soon, one_off=True)\n"
        "PeriodicTask.objects.create(name='hourly', task='shop.h', interval=hour,\n"
        "    total_run_count=1, last_run_at=now - timedelta(seconds=3588))"
    )
    beat.kill()
    names = ("clocked", "hourly")
    up_is(watcher, 0)
    for name in names:
        metrics = sample(
            watcher,
            lambda metrics, name=name: (
                (value(metrics, "celery_beat_entry_overdue_seconds", entry=name) or 0) > 1
            ),
            f"{name} overdue",
        )
        late = value(metrics, "celery_beat_entry_overdue_seconds", entry=name)
        due = value(metrics, "celery_beat_entry_next_due_timestamp_seconds", entry=name)
        assert due + late == pytest.approx(watcher_time(watcher), abs=SLACK)
    beat.start()
    up_is(watcher, 1)
    with Watch(watcher) as watch:
        for name in names:
            wait_until(lambda name=name: beat.sent(name) >= 1, SECONDS, f"a run of {name}")
        site.shell(STORE)
        sample(
            watcher,
            lambda metrics: value(metrics, "celery_beat_entry_runs_total", entry="hourly") == 2,
            "a stored run",
        )
    for name in names:
        told = watch.told("celery_beat_entry_overdue_seconds", entry=name)
        assert set(told) <= {None, 0}, name
    assert overdue(watcher, "hourly") == 0


@pytest.mark.parametrize(
    ("watched_url", "site", "connection_seconds"),
    [(True, NEWER, RENEWED), (False, NEWER, KEPT), (True, OLDER, KEPT), (False, OLDER, RENEWED)],
    ids=["2.9-seen", "2.9-not-seen", "2.5-seen", "2.5-not-seen"],
    indirect=["watched_url", "site"],
)
def test_killed_while_the_application_saves(
    watched_url: str,
    site: Site,
    exporter: Exporters,
    connection_seconds: int,
) -> None:
    """Each save reads and writes the table that beat reads, and none is a sign of life."""
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=watched_url)
    site.environment["DJANGO_CONNECTION_SECONDS"] = str(connection_seconds)
    web = site.process(
        "web",
        "import time\n"
        "from datetime import timedelta\n"
        "from django.db import close_old_connections\n"
        "from django.utils import timezone\n"
        "from django_celery_beat.models import *\n"
        "hour = IntervalSchedule.objects.create(every=1, period='hours')\n"
        "task = PeriodicTask.objects.create(name='saved', task='shop.saved', interval=hour)\n"
        "while True:\n"
        "    close_old_connections()\n"
        # As an application that puts its next run off, which moves no deadline.
        "    task.last_run_at = timezone.now() + timedelta(days=1)\n"
        "    task.save()\n"
        "    print('has saved', flush=True)\n"
        "    time.sleep(0.5)",
    )
    wait_until(lambda: "has saved" in web.log_tail(), SECONDS, "a save")
    beat = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
    heartbeat = value(up_is(watcher, 1), "celery_beat_scheduler_heartbeat")
    with Watch(watcher) as watch:
        # Ticks are seen among the saves. Until 2.7 none sends anything: whatever is saved starts anew.
        sample(
            watcher,
            lambda metrics: (
                (value(metrics, "celery_beat_scheduler_heartbeat") or 0) > heartbeat + 2.5 * LOOP
            ),
            "more ticks",
        )
    watch.assert_life(beat)
    beat.kill()
    killed = watcher_time(watcher)
    up_is(watcher, 0)
    # Scans may be told late, and only then the wait for the next tick begins.
    assert watcher_time(watcher) <= killed + 2 * REPORT_DELAY + 2 * LOOP + GRACE + COLLECT + SLACK
    with Watch(watcher) as watch:
        time.sleep(LOOP + GRACE + SLACK)
    assert set(watch.told("celery_beat_up")) == {0}
    assert web.running


@pytest.mark.parametrize("uses_zones", [True, False], ids=["use-tz", "naive"])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/Los_Angeles"])
def test_runs_of_another_zone(
    site: Site, exporter: Exporters, database_url: str, zone: str, uses_zones: bool
) -> None:
    """DJANGO_CELERY_BEAT_TZ_AWARE=False: `last_run_at` is hours off, and nothing else is."""
    settings = {
        "DJANGO_CELERY_BEAT_TZ_AWARE": False,
        "TIME_ZONE": zone,
        "USE_TZ": uses_zones,
    }
    site.configure(django=settings, beat_sync_every=1, timezone=zone)
    # What never ran counts from its last change, which is hours off as well.
    site.shell(
        "from datetime import datetime\n"
        "from django_celery_beat.models import *\n"
        "second = IntervalSchedule.objects.create(every=1, period='seconds')\n"
        "PeriodicTask.objects.create(name='often', task='shop.count', interval=second,\n"
        "    total_run_count=1, last_run_at=datetime(2020, 1, 1))"
    )
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    beat = site.beat(loop_seconds=LOOP)
    up_is(watcher, 1)
    with Watch(watcher) as watch:
        wait_until(lambda: beat.sent("often") >= 4, SECONDS, "runs")
    last_tasks = watch.told("celery_beat_last_task_time")
    assert max(filter(None, last_tasks), default=0) <= time.time()
    metrics = collected(watcher, "django")
    now = watcher_time(watcher)
    last_run = value(metrics, "celery_beat_entry_last_run_timestamp_seconds", entry="often")
    assert last_run == pytest.approx(now, abs=3 * LOOP + SLACK)
    next_due = value(metrics, "celery_beat_entry_next_due_timestamp_seconds", entry="often")
    assert next_due == pytest.approx(now, abs=3 * LOOP + SLACK)
    assert value(metrics, "celery_beat_last_task_time") == pytest.approx(now, abs=3 * LOOP + SLACK)
    assert set(watch.told("celery_beat_entry_overdue_seconds", entry="often")) <= {None, 0}


def test_each_scheduler_has_its_own_interval(
    site: Site, exporter: Exporters, database_url: str, redis_url: str
) -> None:
    """`--beat.max-loop-interval` is RedBeat's where there is one."""
    flag = "--beat.max-loop-interval=5m"
    both = exporter(*FLAGS, flag, DATABASE_URL=database_url, CELERY_BROKER_URL=redis_url)
    site.beat(connection_seconds=KEPT)
    # Without a RedBeat it is the only beat's.
    metrics = instances_are(both, 1)
    assert value(metrics, "celery_beat_max_loop_interval_seconds") == 300
    both = exporter(
        *FLAGS,
        flag,
        "--beat.scheduler=redbeat,django",
        DATABASE_URL=database_url,
        CELERY_BROKER_URL=redis_url,
    )
    metrics = instances_are(both, 1)
    assert value(metrics, "celery_beat_max_loop_interval_seconds") == 5
    heartbeat = value(metrics, "celery_beat_scheduler_heartbeat")
    assert value(metrics, "celery_beat_deadline_timestamp_seconds") == heartbeat + 5

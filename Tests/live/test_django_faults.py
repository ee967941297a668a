"""DatabaseScheduler: what real beats do with their entries, deploys, and faults of the database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from django_beats import (
    COLLECT,
    FLAGS,
    GRACE,
    KEPT,
    OLDER,
    SECONDS,
    SLACK,
    Site,
    Watch,
    age,
    both_versions,
    dies_on_time,
    instances_are,
    sample,
    up_is,
    value,
    watcher_time,
)
from readers_application import collected
from servers import PostgresServer, wait_until
from stack import Exporter

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

LOOP = 1
LOOP_FLAGS = (*FLAGS, f"--beat.max-loop-interval={LOOP}s")
DAY = 86_400
ENTRIES = """
import json
from datetime import timedelta
from zoneinfo import ZoneInfo
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask
)

now = timezone.now()
local = now.astimezone(ZoneInfo("Asia/Kathmandu"))
second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
this_minute = CrontabSchedule.objects.create(
    minute=local.minute, hour=local.hour, timezone="Asia/Kathmandu"
)
# A beat that stands still for a while learns of both in time.
soon = ClockedSchedule.objects.create(clocked_time=now + timedelta(seconds=8))
end = now + timedelta(seconds=8)
for name, fields in {
    "off": {"interval": second, "enabled": False},
    "once": {"interval": second, "one_off": True},
    "ends": {"interval": second, "expires": end},
    "clocked": {"clocked": soon, "one_off": True},
    # As if it had run the day before.
    "zoned": {"crontab": this_minute, "last_run_at": now - timedelta(days=1)},
}.items():
    PeriodicTask.objects.create(name=name, task=f"shop.{name}", **fields)
print(json.dumps({
    "clocked": soon.clocked_time.timestamp(),
    "ends": end.timestamp(),
    "zoned": local.replace(second=0, microsecond=0).timestamp(),
}))
"""


def entry(metrics: Metrics, family: str, name: str) -> float | None:
    return value(metrics, f"celery_beat_entry_{family}", entry=name)


def sent(metrics: Metrics, task: str) -> float | None:
    return value(metrics, "celery_beat_tasks_total", task_name=f"shop.{task}")


def changes(values: list[float | None]) -> list[float | None]:
    """The values without those that repeat the one before."""
    return [value for value, _ in groupby(values)]


@both_versions
def test_entries_of_a_live_beat(site: Site, exporter: Exporters, database_url: str) -> None:
    """Made through the models while beat runs, and run or switched off by beat alone."""
    # 2.5 goes on to send what has expired, and workers throw it away.
    ends_itself = site.python != OLDER
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    beat = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
    up_is(watcher, 1)
    with Watch(watcher) as watch:
        due = json.loads(site.shell(ENTRIES))
        for name in ("once", "zoned", "clocked"):
            wait_until(lambda name=name: beat.sent(name) >= 1, SECONDS, f"a run of {name}")
        sample(watcher, lambda metrics: entry(metrics, "enabled", "once") == 0, "no more runs")
        if ends_itself:
            sample(watcher, lambda metrics: entry(metrics, "enabled", "ends") == 0, "its end")
        else:
            wait_until(lambda: time.time() > due["ends"], SECONDS, "its end")
        metrics = collected(watcher, "django")
        assert beat.stop() == 0
    assert beat.sent("off") == 0
    assert value(metrics, "celery_beat_schedule_entries") == 6
    assert value(metrics, "celery_beat_schedule_disabled_entries") == 2 + ends_itself
    if not ends_itself:
        assert entry(metrics, "next_due_timestamp_seconds", "ends") is None
    next_due = value(metrics, "celery_beat_schedule_next_due_timestamp_seconds")
    assert next_due <= watcher_time(watcher) + LOOP

    # Beat is well and late with nothing, whatever has not been written yet.
    watch.assert_life(beat)
    overdue = [
        seconds
        for metrics in watch.samples
        for (family, _), seconds in metrics.items()
        if family == "celery_beat_entry_overdue_seconds"
    ]
    assert set(overdue) == {0}
    # Not in UTC, where this minute comes hours later.
    zoned = watch.told("celery_beat_entry_next_due_timestamp_seconds", entry="zoned")
    assert set(zoned) - {None} == {due["zoned"] + DAY}
    clocked = watch.told("celery_beat_entry_next_due_timestamp_seconds", entry="clocked")
    assert changes(clocked)[:2] == [None, pytest.approx(due["clocked"], abs=0.001)]

    # What has run is written when beat ends, and told as it is written.
    metrics = collected(watcher, "django")
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT name, total_run_count FROM django_celery_beat_periodictask"
        ).fetchall()
    assert rows and {name: entry(metrics, "runs_total", name) for name, _ in rows} == dict(rows)
    for name, task in {"often": "count", "zoned": "zoned", "clocked": "clocked"}.items():
        # 2.5 may lose a run, in its own row too, when it loads the schedule anew.
        runs = beat.sent(name) if ends_itself else dict(rows)[name]
        assert sent(metrics, task) == runs
    assert sent(metrics, "off") == 0
    assert 0 < sent(metrics, "ends") <= beat.sent("ends")
    assert entry(metrics, "next_due_timestamp_seconds", "clocked") is None

    # The next beat switches off what ran once, and its count, which starts again, is no news.
    beat = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
    metrics = sample(
        watcher, lambda metrics: entry(metrics, "enabled", "clocked") == 0, "no more runs"
    )
    assert entry(metrics, "runs_total", "clocked") == 0
    assert sent(metrics, "clocked") == 1
    assert beat.sent("clocked") == 0


def test_an_entry_that_beat_does_not_send(
    site: Site, exporter: Exporters, database_url: str
) -> None:
    """It is late as soon as beat has twice stored other runs, but not this one."""
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    site.shell(
        "from django_celery_beat.models import *\n"
        "second, _ = IntervalSchedule.objects.get_or_create(every=1, period='seconds')\n"
        "PeriodicTask.objects.create(name='forgotten', task='shop.forgotten', interval=second)"
    )
    beat = site.beat(loop_seconds=LOOP)
    wait_until(lambda: min(map(beat.sent, ("often", "forgotten"))) >= 2, SECONDS, "runs")
    assert beat.stop() == 0
    # Beat does not hear of updates of a query set: it lives and knows nothing of the entry.
    forget = (
        "from django_celery_beat.models import *\n"
        "PeriodicTask.objects.filter(name='forgotten').update(enabled={})"
    )
    site.shell(forget.format(False))
    # It stores after every other run, and not after three minutes.
    site.configure(beat_sync_every=2)
    beat = site.beat(loop_seconds=LOOP)
    wait_until(lambda: beat.sent("often") >= 3, SECONDS, "runs")
    with Watch(watcher) as watch:
        site.shell(forget.format(True))
        metrics = sample(
            watcher,
            lambda metrics: (entry(metrics, "overdue_seconds", "forgotten") or 0) > 0,
            "overdue",
        )
    assert value(metrics, "celery_beat_up") == 1
    overdue = entry(metrics, "overdue_seconds", "forgotten")
    last_run = entry(metrics, "last_run_timestamp_seconds", "forgotten")
    assert last_run + 1 + overdue == pytest.approx(watcher_time(watcher), abs=SLACK)
    assert beat.sent("forgotten") == 0
    assert set(watch.told("celery_beat_entry_overdue_seconds", entry="often")) == {0}

    # Beat hears of it, runs it, and stores both.
    site.shell(
        "from django_celery_beat.models import PeriodicTasks\nPeriodicTasks.update_changed()"
    )
    metrics = sample(
        watcher,
        lambda metrics: entry(metrics, "overdue_seconds", "forgotten") == 0,
        "a stored run",
    )
    assert entry(metrics, "overdue_seconds", "often") == 0
    assert entry(metrics, "last_run_timestamp_seconds", "forgotten") > last_run


def test_deploys(site: Site, exporter: Exporters, database_url: str) -> None:
    """A beat that is replaced is up in every sample: the new one first, or soon after the old."""
    watcher = exporter(
        f"--collect.interval={COLLECT * 1000:.0f}ms",
        # A restart takes longer than a tick, on a busy machine much longer.
        "--beat.grace=60s",
        f"--beat.max-loop-interval={LOOP}s",
        DATABASE_URL=database_url,
    )
    old = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
    instances_are(watcher, 1)
    with Watch(watcher) as watch:
        new = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
        instances_are(watcher, 2)
        assert old.stop() == 0
        instances_are(watcher, 1)
        ticks_go_on(watcher)
    assert set(watch.told("celery_beat_up")) == {1}
    assert changes(watch.told("celery_beat_instances")) == [1, 2, 1]

    with Watch(watcher) as watch:
        assert new.stop() == 0
        new.start()
        ticks_go_on(watcher)
        instances_are(watcher, 1)
    assert set(watch.told("celery_beat_up")) == {1}
    assert 2 not in watch.told("celery_beat_instances")


def ticks_go_on(exporter: Exporter) -> None:
    """Returns when beat has ticked twice since."""
    moment = watcher_time(exporter) + LOOP
    sample(
        exporter,
        lambda metrics: (value(metrics, "celery_beat_scheduler_heartbeat") or 0) > moment,
        "more ticks",
    )


def test_database_restarted(
    folder: Path, redis_url: str, own_postgres: PostgresServer, exporter: Exporters
) -> None:
    """Beat outlives an outage of its database, and an outage is not a dead beat."""
    with Site(folder, redis_url, own_postgres.url) as site:
        watcher = exporter(*LOOP_FLAGS, DATABASE_URL=own_postgres.url)
        beat = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
        instances_are(watcher, 1)
        # One that cannot read its schedule at the start has none.
        wait_until(lambda: beat.sent("often") >= 1, SECONDS, "a run")
        heartbeat = value(watcher.metrics(), "celery_beat_scheduler_heartbeat")
        own_postgres.stop()
        up_is(watcher, None)
        with Watch(watcher) as watch:
            # Long enough for beat to be late, if the outage were taken for its fault.
            wait_until(lambda: time.time() > heartbeat + LOOP + GRACE + 1, SECONDS, "a long outage")
        assert set(watch.told("celery_beat_up")) == {None}
        assert set(watch.told("celery_beat_schedule_entries")) == {None}
        source = ("celery_beat_exporter_source_up", frozenset({("source", "database")}))
        assert {metrics[source] for metrics in watch.samples} == {0}

        with Watch(watcher) as watch:
            own_postgres.start()
            back = time.time()
            up_is(watcher, 1)
            instances_are(watcher, 1)
            ticks_go_on(watcher)
        assert watch.told("celery_beat_up")[0] is None
        for metrics in watch.samples:
            # Once the database is back, beat has as long as ever.
            observed = value(metrics, "celery_beat_observed_timestamp_seconds") or back
            assert value(metrics, "celery_beat_up") != 0 or observed - back > LOOP + GRACE

        # It has sent all the time, and counted that.
        assert beat.stop() == 0
        assert sent(dies_on_time(watcher), "count") == beat.sent("often")


def test_others_that_read_the_table(site: Site, exporter: Exporters, database_url: str) -> None:
    """Who once reads what beat reads at every tick is not a beat for that."""
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    beat = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
    instances_are(watcher, 1)
    web = site.process(
        "web",
        "import time\n"
        "from django.contrib.auth.models import User\n"
        "from django_celery_beat.models import PeriodicTasks\n"
        "PeriodicTasks.last_change()\n"
        "print('has read', flush=True)\n"
        # Long enough to be seen.
        f"time.sleep({5 * COLLECT})\n"
        "while not User.objects.exists(): time.sleep(0.1)",
    )
    wait_until(lambda: "has read" in web.log_tail(), SECONDS, "the reading")
    with Watch(watcher) as watch:
        ticks_go_on(watcher)
        instances_are(watcher, 1)
    watch.assert_life(beat)

    beat.kill()
    dies_on_time(watcher)
    assert web.running


@pytest.fixture
def ordinary_url(database_url: str) -> Iterator[str]:
    """The same database for the role of an application, which sees no sessions but its own."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE shop LOGIN PASSWORD 'shop'")
        connection.execute("GRANT CREATE ON SCHEMA public TO shop")
    url = urlsplit(database_url)
    yield f"postgresql://shop:shop@127.0.0.1:{url.port}{url.path}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY shop")
        connection.execute("DROP ROLE shop")


def test_sessions_of_other_roles(
    folder: Path, redis_url: str, database_url: str, ordinary_url: str, exporter: Exporters
) -> None:
    """Beat's sessions can be seen, those of an administrator cannot, and need not."""
    with (
        Site(folder, redis_url, ordinary_url) as site,
        psycopg.connect(database_url, autocommit=True) as administrator,
    ):
        administrator.execute("SELECT 1")
        watcher = exporter(*LOOP_FLAGS, DATABASE_URL=ordinary_url)
        beat = site.beat(loop_seconds=LOOP, connection_seconds=KEPT)
        metrics = instances_are(watcher, 1)
        heartbeat = value(metrics, "celery_beat_scheduler_heartbeat")
        assert value(metrics, "celery_beat_deadline_timestamp_seconds") == heartbeat + LOOP
        beat.kill()
        dies_on_time(watcher)
        with Watch(watcher) as watch, psycopg.connect(database_url) as another:
            another.execute("SELECT 1")
            collected(watcher, "django")
        assert set(watch.told("celery_beat_up")) == {0}


def test_dead_stays_dead(site: Site, exporter: Exporters, database_url: str) -> None:
    """Where sessions can be seen, neither an administrator nor a reset is a sign of life."""
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    beat = site.beat(loop_seconds=LOOP)
    instances_are(watcher, 1)
    with psycopg.connect(database_url, autocommit=True) as connection, Watch(watcher) as watch:
        connection.execute("SELECT pg_stat_reset()")
        ticks_go_on(watcher)
    watch.assert_life(beat)
    beat.kill()
    up_is(watcher, 0)
    with Watch(watcher) as watch:
        # The end of a session tells what it has read.
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT * FROM django_celery_beat_periodictasks")
        collected(watcher, "django")
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_stat_reset()")
        collected(watcher, "django")
    assert set(watch.told("celery_beat_up")) == {0}


def test_tables_come_and_go(site: Site, exporter: Exporters, database_url: str) -> None:
    watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
    # Nobody has ever run a beat: for as long as one may sleep no one can tell.
    with Watch(watcher) as watch:
        up_is(watcher, 0)
    told = changes(watch.told("celery_beat_up"))
    assert told == [None, 0] or (told == [0] and age(watch.samples[0]) > LOOP + GRACE)
    assert set(watch.told("celery_beat_scheduler_heartbeat")) == {None}

    beat = site.beat(loop_seconds=LOOP)
    wait_until(lambda: beat.sent("often") >= 1, SECONDS, "a run")
    # Which writes what it has sent.
    assert beat.stop() == 0
    beat.start()
    with Watch(watcher) as watch:
        instances_are(watcher, 1)
        site.manage("migrate", "django_celery_beat", "zero")
        up_is(watcher, None)
    before = max(sent(metrics, "count") or 0 for metrics in watch.samples)
    assert before >= 1
    with Watch(watcher) as watch:
        site.manage("migrate")
        instances_are(watcher, 1)
        ticks_go_on(watcher)
    # Beat goes on with what it remembers, and the count of what it has sent goes on, too.
    told = changes(watch.told("celery_beat_up"))
    assert told[0] is None and told[-1] == 1
    assert told.count(1) == 1 or beat.stood_still(watch.began)
    metrics = watch.samples[-1]
    assert value(metrics, "celery_beat_schedule_entries") == 0
    assert sent(metrics, "count") == before


def test_beat_that_starts_long_after_its_entries(
    folder: Path, redis_url: str, database_url: str, exporter: Exporters
) -> None:
    """Until 2.7 an entry that never ran counts from the start of beat, not from its own."""
    with Site(folder, redis_url, database_url, OLDER) as site:
        site.shell(
            "from datetime import timedelta\n"
            "from django.utils import timezone\n"
            "from django_celery_beat.models import *\n"
            "half = IntervalSchedule.objects.create(every=30, period='minutes')\n"
            "PeriodicTask.objects.create(name='new', task='shop.new', interval=half)\n"
            "PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(hours=1))"
        )
        watcher = exporter(*LOOP_FLAGS, DATABASE_URL=database_url)
        beat = site.beat(loop_seconds=LOOP)
        up_is(watcher, 1)
        with Watch(watcher) as watch:
            ticks_go_on(watcher)
        assert beat.sent("new") == 0
        assert set(watch.told("celery_beat_entry_overdue_seconds", entry="new")) == {0}

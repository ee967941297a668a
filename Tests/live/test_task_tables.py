"""Task tables of every kind, several at once, and what goes wrong with one of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
import tables_application
from celery import Celery
from kombu import pools
from postgres_replica import Replica
from readers_application import OLDER_PYTHON, collected, value
from servers import PostgresServer, Process, free_port, wait_until
from stack import PROJECT, Exporter
from tables_application import (
    COLLECT,
    PREFIX,
    SECONDS,
    configuration,
    errors,
    family,
    insert,
    log_lines,
    problems,
    read,
    results,
    worker,
)

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

# Old enough that tables which have such a task in common are known to, and before the exporter.
LONG_AGO = "now() - interval '90 seconds'"
LAG = 1.0  # seconds that the replica is behind its primary
RUNS = """
    CREATE TABLE runs (
        id text PRIMARY KEY, name text, state text, began timestamptz, ended timestamptz
    );
    CREATE INDEX ON runs (ended);
"""
OWN = {
    "table": "runs",
    "id": "id",
    "task": "name",
    "status": "state",
    "started": "began",
    "completed": "ended",
}


@pytest.fixture
def two(database: psycopg.Connection, folder: Path) -> str:
    """Two tables with different tasks, one of which the exporter is told of by this flag."""
    database.execute(celery_signals.SCHEMA + RUNS)
    # Only what has ended since the other table began tells whether that has it, too.
    insert(database, "runs", ended=LONG_AGO)
    insert(database, "task_info", ended=LONG_AGO)
    return configuration(folder, tables=[OWN])


# ------------------------------------------------------------------------ the real software

# Tasks, their arguments, and how many of them.
SENT: list[tuple[str, list[object], int]] = [
    ("succeed", [], 4),
    ("fail", [], 2),
    ("fail", ["two\nlines: of it"], 1),
    ("fail_in_turn", [], 3),
    ("succeed_after", [2], 1),
]
RESULTS = {
    (f"{PREFIX}succeed", "SUCCESS"): 4,
    (f"{PREFIX}fail", "FAILURE"): 3,
    (f"{PREFIX}fail_in_turn", "FAILURE"): 3,
    (f"{PREFIX}succeed_after", "SUCCESS"): 1,
}
ERRORS = {(f"{PREFIX}fail", "ValueError"): 3, (f"{PREFIX}fail_in_turn", "OutOfStock"): 3}
RATIOS = {
    (task, window): float(status == "SUCCESS")
    for task, status in RESULTS
    for window in ("5m", "1h")
}
ENDED = sum(RESULTS.values())


def send(broker_url: str) -> None:
    """Everything of SENT, and one task that goes on for longer than the test."""
    with contextlib.closing(Celery(broker=broker_url, set_as_current=False)) as app:
        for name, arguments, count in SENT:
            for _ in range(count):
                app.send_task(PREFIX + name, arguments)
        app.send_task(f"{PREFIX}nap", [600])
    pools.reset()


def all_ended(exporter: Exporter, *, are_starts_known: bool = True) -> Metrics:
    """The metrics one collection after there were as many results as there must be."""

    def are_there() -> bool:
        metrics = read(exporter)
        naps = value(metrics, "celery_task_in_progress", task_name=f"{PREFIX}nap", status="STARTED")
        return sum(results(metrics).values()) >= ENDED and naps == (1 if are_starts_known else None)

    wait_until(are_there, SECONDS, "the results")
    return read(exporter)


def assert_all(metrics: Metrics, *, retries: bool, durations: bool) -> None:
    """All families say what was sent."""
    assert results(metrics) == RESULTS
    assert errors(metrics) == ERRORS
    assert family(metrics, "celery_task_success_ratio", "task_name", "window", zero=True) == RATIOS
    assert family(metrics, "celery_task_in_progress", "task_name", "status") == {
        (f"{PREFIX}nap", "STARTED"): 1
    }
    expected = {f"{PREFIX}succeed_after": 2} if retries else {}
    assert family(metrics, "celery_task_retries_total", "task_name") == expected
    counts = {task: count for (task, _), count in RESULTS.items()} if durations else {}
    assert family(metrics, "celery_task_duration_seconds_count", "task_name") == counts
    if not durations:
        assert not [name for name, _ in metrics if name.startswith("celery_task_duration_")]
    assert problems(metrics, "tasks").keys() <= {"malformed"}  # before there was a table


def test_celery_taskmeta(
    database: psycopg.Connection,
    database_url: str,
    redis_url: str,
    folder: Path,
    exporter: Exporters,
) -> None:
    """Celery's own table, whose times are those of the database's zone without saying so."""
    database.execute("ALTER DATABASE test SET timezone = 'America/New_York'")
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    backend = f"db+postgresql+psycopg://{database_url.partition('://')[2]}"
    settings = {"result_backend": backend, "task_track_started": True, "result_extended": True}
    with worker(folder, redis_url, **settings):
        metrics = all_ended(watcher)
    assert_all(metrics, retries=True, durations=False)
    ages = database.execute(
        "SELECT extract(epoch FROM (now() AT TIME ZONE 'UTC') - max(date_done)) FROM celery_taskmeta"
    ).fetchone()
    assert ages[0] > 4 * 3600, "no trap"
    assert family(metrics, "celery_beat_exporter_index_missing", "table", zero=True) == {
        "celery_taskmeta": 0
    }


def test_celery_taskmeta_without_names(
    database_url: str, redis_url: str, folder: Path, exporter: Exporters
) -> None:
    """Without result_extended there are neither names nor retries, and nobody starts."""
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    backend = f"db+postgresql+psycopg://{database_url.partition('://')[2]}"
    with worker(folder, redis_url, result_backend=backend):
        metrics = all_ended(watcher, are_starts_known=False)
    assert results(metrics) == {("unknown", "SUCCESS"): 5, ("unknown", "FAILURE"): 6}
    assert errors(metrics) == {("unknown", "ValueError"): 3, ("unknown", "OutOfStock"): 3}
    assert family(metrics, "celery_task_success_ratio", "task_name", "window") == {
        ("unknown", "5m"): pytest.approx(5 / 11),
        ("unknown", "1h"): pytest.approx(5 / 11),
    }
    assert family(metrics, "celery_task_in_progress", "task_name", "status") == {}
    assert family(metrics, "celery_task_retries_total", "task_name") == {}
    assert not [name for name, _ in metrics if name.startswith("celery_task_duration_")]


def test_celery_taskmeta_of_celery_5_2(
    database: psycopg.Connection,
    database_url: str,
    redis_url: str,
    folder: Path,
    exporter: Exporters,
) -> None:
    """Its times are UTC whatever the database's zone is, which the exporter must be told."""
    database.execute("ALTER DATABASE test SET timezone = 'America/New_York'")
    flag = configuration(folder, tables=[{"table": "celery_taskmeta", "zone": "UTC"}])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    deceived = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    backend = f"db+postgresql+psycopg2://{database_url.partition('://')[2]}"
    settings = {"result_backend": backend, "task_track_started": True, "result_extended": True}
    with worker(folder, redis_url, python=OLDER_PYTHON, **settings):
        metrics = all_ended(watcher)
    assert_all(metrics, retries=True, durations=False)
    assert results(read(deceived)) == {}, "no trap"
    missing = family(metrics, "celery_beat_exporter_index_missing", "table")
    assert missing == {"celery_taskmeta": 1}
    [line] = log_lines(watcher, "CREATE INDEX")
    database.execute(line.partition("run: ")[2].removesuffix('"'))


def test_django_celery_results(
    database_url: str, redis_url: str, folder: Path, exporter: Exporters
) -> None:
    environment = {
        "DJANGO_SETTINGS_MODULE": "tables_application",
        "TABLES_DATABASE_URL": database_url,
    }
    folders = [Path(__file__).parent, PROJECT / "demo", PROJECT / "recorder"]
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        check=True,
        timeout=60,
    )
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    settings = {"result_backend": "django-db", "task_track_started": True, "result_extended": True}
    with worker(folder, redis_url, environment=environment, **settings):
        metrics = all_ended(watcher)
    assert_all(metrics, retries=False, durations=True)


def test_second_layout_of_the_recorder(
    database_url: str, redis_url: str, folder: Path, exporter: Exporters
) -> None:
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    environment = {"CELERY_SIGNALS_TABLES": "task_logs"}
    with worker(folder, redis_url, database_url=database_url, environment=environment):
        metrics = all_ended(watcher)
        known = wait_until(
            lambda: (now := collected(watcher, "workers")) and workers(now)["status"] and now,
            SECONDS,
            "the worker's own row",
        )
    assert_all(metrics, retries=True, durations=True)
    [(name, status)] = workers(known)["status"].items()
    assert (name.startswith("worker@"), status) == (True, 1)
    assert abs(workers(known)["heartbeat"][name] - time.time()) < SECONDS


def test_three_records_of_the_same_tasks(
    database: psycopg.Connection,
    database_url: str,
    redis_url: str,
    folder: Path,
    exporter: Exporters,
) -> None:
    """Both layouts of the recorder and Celery's result backend: each task counts once."""
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    backend = f"db+postgresql+psycopg://{database_url.partition('://')[2]}"
    settings = {"result_backend": backend, "task_track_started": True, "result_extended": True}
    environment = {"CELERY_SIGNALS_TABLES": "both"}
    with worker(folder, redis_url, database_url=database_url, environment=environment, **settings):
        metrics = all_ended(watcher)
        for table in ("task_info", "task_logs", "celery_taskmeta"):
            wait_until(
                lambda table=table: (
                    (ENDED,)
                    == database.execute(
                        f"SELECT count(*) FROM {table} WHERE status IN ('SUCCESS', 'FAILURE')"
                    ).fetchone()
                ),
                SECONDS,
                f"all in {table}",
            )
        metrics = read(watcher)
    assert (results(metrics), errors(metrics)) == (RESULTS, ERRORS)
    # A minute later they can be told apart.
    database.execute("""
        UPDATE task_info SET completed_time = completed_time - interval '70 seconds';
        UPDATE task_logs SET completed_at = completed_at - interval '70 seconds';
        UPDATE celery_taskmeta SET date_done = date_done - interval '70 seconds';
    """)
    second = exporter(COLLECT, DATABASE_URL=database_url)
    metrics = read(second)
    assert results(metrics) == {}
    assert family(metrics, "celery_task_success_ratio", "task_name", "window", zero=True) == RATIOS
    assert family(metrics, "celery_beat_exporter_index_missing", "table", zero=True) == {
        "task_info": 0
    }
    for table in ("task_logs", "celery_taskmeta"):
        assert log_lines(second, f"{table} records the same tasks as task_info")


# ------------------------------------------------------------------------- several at once


def test_same_tasks_in_two_tables(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    database.execute(celery_signals.SCHEMA + celery_signals.TASK_LOGS_SCHEMA)
    for table, other in (("task_info", "task_logs"), ("task_logs", "task_info")):
        task_ids = insert(database, table, ended=LONG_AGO)
        insert(database, other, ended=LONG_AGO, task_ids=task_ids)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    with database.transaction():
        for status, count in (("SUCCESS", 3), ("FAILURE", 2), ("STARTED", 1)):
            ended = None if status == "STARTED" else "now()"
            task_ids = insert(database, "task_info", status=status, count=count, ended=ended)
            insert(database, "task_logs", status=status, ended=ended, task_ids=task_ids)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 3, ("a", "FAILURE"): 2}
    assert family(metrics, "celery_task_in_progress", "task_name", "status") == {
        ("a", "STARTED"): 1
    }
    [line] = log_lines(watcher, "records the same tasks")
    assert "task_logs records the same tasks as task_info" in line
    assert problems(metrics, "tasks") == {}


def test_different_tasks_in_two_tables(
    database: psycopg.Connection, database_url: str, exporter: Exporters, two: str
) -> None:
    """What they say of tasks of one name is added up."""
    watcher = exporter(COLLECT, two, DATABASE_URL=database_url)
    insert(database, "task_info", count=2)
    insert(database, "runs", count=3)
    insert(database, "runs", status="FAILURE")
    insert(database, "runs", "b")
    insert(database, "task_info", status="STARTED", ended=None, count=2)
    insert(database, "runs", status="STARTED", ended=None)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 5, ("a", "FAILURE"): 1, ("b", "SUCCESS"): 1}
    ratios = family(metrics, "celery_task_success_ratio", "task_name", "window")
    in_all = (2 + 3 + 2) / (2 + 3 + 1 + 2)  # with those of long ago
    assert ratios == {
        ("a", "5m"): in_all,
        ("a", "1h"): in_all,
        ("b", "5m"): 1,
        ("b", "1h"): 1,
    }
    assert family(metrics, "celery_task_in_progress", "task_name", "status") == {
        ("a", "STARTED"): 3
    }
    counts = family(metrics, "celery_task_duration_seconds_count", "task_name")
    assert counts == {"a": 6, "b": 1}
    assert family(metrics, "celery_beat_exporter_index_missing", "table", zero=True) == {
        "runs": 0,
        "task_info": 0,
    }


def test_table_whose_tasks_are_younger_than_a_minute(
    database: psycopg.Connection, database_url: str, exporter: Exporters, two: str
) -> None:
    """Whether it has others than the first is known a minute after them; none is counted for it
    that ended before the exporter started, and each that ended since is."""
    database.execute("TRUNCATE task_info")
    insert(database, "runs", count=5, ended="now() - interval '58 seconds'")
    insert(database, "task_info", count=5, ended="now() - interval '58 seconds'")
    watcher = exporter(COLLECT, two, DATABASE_URL=database_url)
    insert(database, "runs", count=2)
    insert(database, "task_info", count=2)
    wait_until(
        lambda: (
            family(read(watcher), "celery_beat_exporter_index_missing", "table", zero=True).keys()
            == {"runs", "task_info"}
        ),
        SECONDS,
        "the decision",
    )
    assert results(read(watcher)) == {("a", "SUCCESS"): 4}


def test_preferred_table_comes_later(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """The recorder's second layout is there, then the first is, too. Nothing counts twice: what is
    read goes on being read, and the next exporter takes what it prefers."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    insert(database, "task_logs", ended=LONG_AGO)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    insert(database, "task_logs", count=3)
    assert results(read(watcher)) == {("a", "SUCCESS"): 3}
    database.execute(celery_signals.SCHEMA)

    def insert_both(age: int) -> None:
        with database.transaction():
            ended = f"now() - interval '{age} seconds'"
            task_ids = insert(database, "task_logs", ended=ended)
            insert(database, "task_info", ended=ended, task_ids=task_ids)

    for expected, age in ((4, 90), (5, 80), (6, 0), (7, 0)):
        insert_both(age)
        assert results(read(watcher)) == {("a", "SUCCESS"): expected}
    wait_until(lambda: log_lines(watcher, "records the same tasks"), SECONDS, "the decision")
    insert_both(0)
    assert results(read(watcher)) == {("a", "SUCCESS"): 8}
    assert log_lines(watcher, "task_info records the same tasks as task_logs")
    second = exporter(COLLECT, DATABASE_URL=database_url)
    insert_both(0)
    assert results(read(second)) == {("a", "SUCCESS"): 1}
    assert log_lines(second, "task_logs records the same tasks as task_info")


def test_preferred_table_goes(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """The other, with the same tasks, takes its place."""
    database.execute(celery_signals.SCHEMA + celery_signals.TASK_LOGS_SCHEMA)
    task_ids = insert(database, "task_info", ended=LONG_AGO)
    insert(database, "task_logs", ended=LONG_AGO, task_ids=task_ids)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    task_ids = insert(database, "task_info", count=3)
    insert(database, "task_logs", task_ids=task_ids)
    assert results(read(watcher)) == {("a", "SUCCESS"): 3}
    database.execute("DROP TABLE task_info")
    seen = 3.0
    for _ in range(3):
        total = results(read(watcher)).get(("a", "SUCCESS"), seen)
        assert total == seen
    insert(database, "task_logs", count=2)
    wait_until(
        lambda: results(read(watcher)) == {("a", "SUCCESS"): 5}, SECONDS, "the other's tasks"
    )


def test_what_differs_in_a_known_table_does_not_prefer_it(
    database: psycopg.Connection, database_url: str, exporter: Exporters, folder: Path
) -> None:
    """Its zone is told, and it still tells less than the other, which has the same tasks."""
    database.execute(celery_signals.SCHEMA)
    database.execute("""
        CREATE TABLE celery_taskmeta (
            task_id varchar(155) UNIQUE, status varchar(50), date_done timestamp, name varchar(155)
        )
    """)
    copy = (
        "INSERT INTO celery_taskmeta SELECT task_id, status, completed_time AT TIME ZONE 'UTC',"
        " task_name FROM task_info ON CONFLICT DO NOTHING"
    )
    insert(database, "task_info", ended=LONG_AGO)
    database.execute(copy)
    flag = configuration(folder, tables=[{"table": "celery_taskmeta", "zone": "UTC"}])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    insert(database, "task_info")
    database.execute(copy)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 1}
    assert family(metrics, "celery_task_duration_seconds_count", "task_name") == {"a": 1}
    assert log_lines(watcher, "celery_taskmeta records the same tasks as task_info")


def test_known_table_by_another_name(
    database: psycopg.Connection, database_url: str, exporter: Exporters, folder: Path
) -> None:
    """With its schema it is the same table."""
    database.execute(celery_signals.SCHEMA)
    columns = {"task": "task_name", "status": "status", "completed": "completed_time"}
    mapping = {"table": "public.task_info", "id": "task_id", **columns}
    watcher = exporter(COLLECT, configuration(folder, tables=[mapping]), DATABASE_URL=database_url)
    insert(database, "task_info", ended=LONG_AGO)
    insert(database, "task_info", count=2)
    for _ in range(3):
        assert results(read(watcher)) == {("a", "SUCCESS"): 3}
    missing = family(read(watcher), "celery_beat_exporter_index_missing", "table", zero=True)
    assert missing == {"public.task_info": 0}


@pytest.mark.parametrize(
    ("spoil", "mend", "reason", "words"),
    [
        ("ALTER TABLE runs RENAME TO away", "ALTER TABLE away RENAME TO runs", None, None),
        (
            "REVOKE SELECT ON runs FROM reader",
            "GRANT SELECT ON runs TO reader",
            "permission",
            "GRANT SELECT ON runs TO reader",
        ),
        (
            "ALTER TABLE runs RENAME state TO status",
            "ALTER TABLE runs RENAME status TO state",
            "malformed",
            "table runs has no column state",
        ),
        (
            "ALTER TABLE runs ALTER ended TYPE text USING extract(epoch FROM ended)::text",
            "ALTER TABLE runs ALTER ended TYPE timestamptz USING to_timestamp(ended::float8)",
            "wrong_type",
            "column ended of table runs is text",
        ),
    ],
    ids=["renamed", "revoked", "column missing", "column of another type"],
)
def test_one_of_two_is_spoilt(
    database: psycopg.Connection,
    reader_url: str,
    exporter: Exporters,
    two: str,
    spoil: str,
    mend: str,
    reason: str | None,
    words: str | None,
) -> None:
    """The other goes on, no counter goes down, and afterwards all is right again."""
    database.execute("GRANT SELECT ON task_info, runs TO reader")
    watcher = exporter(COLLECT, two, DATABASE_URL=reader_url)
    insert(database, "task_info", count=2)
    insert(database, "runs", count=3)
    for table in ("task_info", "runs"):
        insert(database, table, status="STARTED", ended=None)

    def in_progress(metrics: Metrics) -> float | None:
        return value(metrics, "celery_task_in_progress", status="STARTED")

    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 5}
    assert in_progress(metrics) == 2
    database.execute(spoil)
    for number in range(1, 4):
        insert(database, "task_info")
        metrics = read(watcher)
        assert results(metrics) == {("a", "SUCCESS"): 5 + number}
        assert in_progress(metrics) == 1  # what is known no more is not told
        assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1
    tables = family(metrics, "celery_beat_exporter_index_missing", "table", zero=True)
    assert tables == {"task_info": 0}
    if reason is not None:
        assert problems(metrics, "tasks").get(reason, 0) > 0
        assert log_lines(watcher, words)
    database.execute(mend)
    insert(database, "runs", count=4)
    wait_until(
        lambda: results(read(watcher)) == {("a", "SUCCESS"): 12}, SECONDS, "the mended table"
    )
    assert in_progress(read(watcher)) == 2


def test_one_of_two_is_dropped_and_created(
    database: psycopg.Connection, database_url: str, exporter: Exporters, two: str
) -> None:
    """The new one's tasks are others, also where they ended in the same moment."""
    watcher = exporter(COLLECT, two, DATABASE_URL=database_url)
    moment = database.execute("SELECT now()").fetchone()[0]
    ended = f"'{moment.isoformat()}'::timestamptz"
    insert(database, "task_info", count=2)
    insert(database, "runs", count=3, ended=ended)
    assert results(read(watcher)) == {("a", "SUCCESS"): 5}
    database.execute("DROP TABLE runs")
    for _ in range(3):
        assert results(read(watcher)) == {("a", "SUCCESS"): 5}
    database.execute(RUNS)
    insert(database, "runs", count=2, ended=ended)
    insert(database, "runs", ended=LONG_AGO)
    wait_until(lambda: results(read(watcher)) == {("a", "SUCCESS"): 8}, SECONDS, "the new table")


def test_one_of_two_is_locked(
    database: psycopg.Connection, database_url: str, exporter: Exporters, two: str
) -> None:
    """Waiting for it ends at a deadline, at a start as well as later; the other goes on."""
    flags = (COLLECT, "--collect.timeout=400ms", two)
    watcher = exporter(*flags, DATABASE_URL=database_url)
    insert(database, "runs", count=3)
    insert(database, "task_info", count=2)
    assert results(read(watcher)) == {("a", "SUCCESS"): 5}
    with psycopg.connect(database_url) as locker:
        locker.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        for number in range(1, 5):
            insert(database, "task_info")
            metrics = read(watcher)
            assert results(metrics) == {("a", "SUCCESS"): 5 + number}
            assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1
        assert problems(metrics, "tasks").keys() == {"timeout"}
        assert log_lines(watcher, "table runs: ")
        late = exporter(*flags, DATABASE_URL=database_url)
        insert(database, "task_info")
        assert results(read(late)) == {("a", "SUCCESS"): 1}
    insert(database, "runs")
    expected = {("a", "SUCCESS"): 11}
    wait_until(lambda: results(read(watcher)) == expected, SECONDS, "the unlocked table")
    waiting = database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    ).fetchone()[0]
    assert waiting == 0


# ------------------------------------------------------------------------- a table of one's own

EPOCHS = {
    "double precision": "extract(epoch FROM now())",
    "numeric": "extract(epoch FROM now())",
    "bigint": "extract(epoch FROM now())::bigint",
    "integer": "extract(epoch FROM now())::integer",
    "timestamp": "(now() AT TIME ZONE 'Asia/Kolkata')",
    "timestamptz": "now()",
}


def test_own_table(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """In a schema, with capitals, quotes and blanks in its names, own words for states."""
    database.execute("""
        CREATE SCHEMA "Jobs";
        CREATE TYPE "Jobs".state AS ENUM ('geplant', 'läuft', 'fertig', 'kaputt', 'RETRY');
        CREATE TABLE "Jobs"."Task ""Runs"" now" (
            "Id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Task Name" text,
            "It's" "Jobs".state, "Began" numeric, "Ended At" double precision, "Tries" smallint,
            "Fehler" text
        );
    """)
    name = '"Jobs"."Task ""Runs"" now"'
    mapping = {
        "table": name,
        "id": "Id",
        "task": "Task Name",
        "status": "It's",
        "started": "Began",
        "completed": "Ended At",
        "retries": "Tries",
        "error": "Fehler",
        "states": {
            "geplant": "PENDING",
            "läuft": "STARTED",
            "fertig": "SUCCESS",
            "kaputt": "FAILURE",
        },
    }
    flag = configuration(folder, tables=[mapping])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    missing = family(watcher.metrics(), "celery_beat_exporter_index_missing", "table", zero=True)
    assert missing == {name: 1}
    # The statement in the log can be run as it stands.
    [line] = log_lines(watcher, "CREATE INDEX")
    statement = line.partition("run: ")[2].removesuffix('"').replace('\\"', '"')
    database.execute(statement)
    database.execute(
        f"""
        INSERT INTO {name} ("Task Name", "It's", "Began", "Ended At", "Tries", "Fehler")
        SELECT task, state::"Jobs".state, at - 4, CASE WHEN has_ended THEN at END, tries, error
        FROM extract(epoch FROM now()) AS at, (VALUES
            ('Größe', 'fertig', true, 2, NULL), ('Größe', 'fertig', true, NULL, NULL),
            ('Größe', 'kaputt', true, 1, 'MengeError: zu groß'), ('Größe', 'läuft', false, 0, NULL),
            ('Größe', 'geplant', false, 0, NULL), ('Größe', 'RETRY', false, 1, 'MengeError: x')
        ) AS rows (task, state, has_ended, tries, error)
        """
    )
    metrics = read(watcher)
    assert results(metrics) == {("Größe", "SUCCESS"): 2, ("Größe", "FAILURE"): 1}
    assert errors(metrics) == {("Größe", "MengeError"): 1}
    assert family(metrics, "celery_task_retries_total", "task_name") == {"Größe": 3}
    assert family(metrics, "celery_task_in_progress", "status") == {
        "PENDING": 1,
        "STARTED": 1,
        "RETRY": 1,
    }
    assert value(metrics, "celery_task_duration_seconds_sum") == pytest.approx(12)
    assert value(metrics, "celery_task_success_ratio", window="5m") == pytest.approx(2 / 3)
    again = exporter(COLLECT, flag, DATABASE_URL=database_url)
    assert value(again.metrics(), "celery_beat_exporter_index_missing", table=name) == 0


def test_partitioned_table(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """No index can be made concurrently on it: the statement in the log does without."""
    database.execute("""
        CREATE TABLE runs (id text, name text, state text, began timestamptz, ended timestamptz)
            PARTITION BY HASH (id);
        CREATE TABLE runs_0 PARTITION OF runs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE runs_1 PARTITION OF runs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    """)
    watcher = exporter(COLLECT, configuration(folder, tables=[OWN]), DATABASE_URL=database_url)
    insert(database, "runs", count=10)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 10}
    assert value(metrics, "celery_beat_exporter_index_missing", table="runs") == 1
    [line] = log_lines(watcher, "CREATE INDEX")
    database.execute(line.partition("run: ")[2].removesuffix('"'))
    again = exporter(COLLECT, configuration(folder, tables=[OWN]), DATABASE_URL=database_url)
    assert value(again.metrics(), "celery_beat_exporter_index_missing", table="runs") == 0


def test_view(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """It is read as a table is, but for what is in progress, since its size is not known; indexes
    are the affair of what is below it."""
    database.execute(
        RUNS + "CREATE VIEW seen AS SELECT id, upper(name) AS name, state, began, ended FROM runs"
    )
    flag = configuration(folder, tables=[{**OWN, "table": "seen"}])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    insert(database, "runs", count=2)
    insert(database, "runs", status="STARTED", ended=None)
    metrics = read(watcher)
    assert results(metrics) == {("A", "SUCCESS"): 2}
    assert family(metrics, "celery_task_in_progress", "task_name", zero=True) == {}
    assert not log_lines(watcher, "CREATE INDEX")


def test_database_without_an_encoding(shared_postgres: PostgresServer, exporter: Exporters) -> None:
    """SQL_ASCII takes any bytes; /metrics is UTF-8 all the same."""
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS raw WITH (FORCE)")
        connection.execute("CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0")
    url = f"{shared_postgres.url.rpartition('/')[0]}/raw"
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(celery_signals.SCHEMA)
        watcher = exporter(COLLECT, DATABASE_URL=url)
        database.execute(
            rb"""
            INSERT INTO task_info
                (task_id, task_name, status, task_time, completed_time, error_message)
            VALUES
                ('1', E'caf\xe9', 'FAILURE', now(), now(), E'Error\xff: x'),
                ('2', E'caf\xe8', 'FAILURE', now(), now(), E'\xff\xff'),
                ('3', 'ok', E'\xfe', now(), now(), NULL)
            """
        )
        metrics = read(watcher)
    assert results(metrics) == {("caf\ufffd", "FAILURE"): 2, ("ok", "OTHER"): 1}
    assert errors(metrics) == {("caf\ufffd", "unknown"): 2}


def own_tables(types: Iterable[str], zone: str) -> list[dict[str, str]]:
    """A table for each type of times, `runs_0` and so on, whose tasks have no ids."""
    columns = {name: column for name, column in OWN.items() if name != "id"}
    return [{**columns, "table": f"runs_{n}", "zone": zone} for n, _ in enumerate(types)]


def test_types_of_times(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Each is counted right, and the history behind an index is left alone."""
    for number, (type_of_time, now) in enumerate(EPOCHS.items()):
        day = "interval '1 day'" if type_of_time.startswith("timestamp") else "86400"
        database.execute(f"""
            CREATE TABLE runs_{number} (
                name text, state text, began {type_of_time}, ended {type_of_time}
            );
            INSERT INTO runs_{number}
            SELECT 'old', 'SUCCESS', {now} - {day} * n, {now} - {day} * n
            FROM generate_series(1, 20000) AS n;
            CREATE INDEX ON runs_{number} (ended);
            CREATE INDEX ON runs_{number} (state);
            ANALYZE runs_{number};
        """)

    def scans() -> list[tuple[str, int, int]]:
        """Index scans of each table, and rows that scans of the whole have read."""
        return database.execute("""
            SELECT relname, idx_scan, seq_tup_read FROM pg_stat_user_tables ORDER BY 1
        """).fetchall()

    database.execute("SELECT pg_stat_force_next_flush()")
    before = scans()
    flag = configuration(folder, tables=own_tables(EPOCHS, "Asia/Kolkata"))
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    for number, (type_of_time, now) in enumerate(EPOCHS.items()):
        database.execute(
            f"INSERT INTO runs_{number} VALUES ('{type_of_time}', 'SUCCESS', {now}, {now})"
        )
    metrics = read(watcher)
    assert results(metrics) == {(type_of_time, "SUCCESS"): 1 for type_of_time in EPOCHS}
    counts = family(metrics, "celery_task_duration_seconds_count", "task_name")
    assert counts == dict.fromkeys(EPOCHS, 1)
    watcher.stop()  # the sessions tell of their scans when they end
    wait_until(
        lambda: all(now[1] > then[1] for now, then in zip(scans(), before, strict=True)),
        SECONDS,
        "statistics",
    )
    assert [(table, rows) for table, _, rows in scans()] == [
        (table, rows) for table, _, rows in before
    ]


BEYOND_REASON = {
    "double precision": ["'infinity'", "'-infinity'", "'nan'", "1e300", "-1e300", "1e15"],
    "numeric": ["'nan'", "1e100", "-1e100", "9e12"],
    "bigint": ["9223372036854775807", "-9223372036854775808", "1795275000000"],
    "timestamp": ["'infinity'", "'294276-12-31 23:59:59'", "'4713-01-01 00:00:00 BC'"],
}


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_times_beyond_reason(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters, zone: str
) -> None:
    """A row spoils no more than its own duration, or itself."""
    flag = configuration(folder, tables=own_tables(BEYOND_REASON, zone))
    for number, type_of_time in enumerate(BEYOND_REASON):
        database.execute(f"""
            CREATE TABLE runs_{number} (
                name text, state text, began {type_of_time}, ended {type_of_time}
            );
            CREATE INDEX ON runs_{number} (ended);
        """)
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    for number, (type_of_time, moments) in enumerate(BEYOND_REASON.items()):
        now = EPOCHS[type_of_time].replace("Asia/Kolkata", zone)
        rows = [("right", now, now)]
        for moment in moments:
            rows += [("right", moment, now), ("wrong", now, moment), ("wrong", moment, moment)]
        for name, began, ended in rows:
            database.execute(
                f"INSERT INTO runs_{number} VALUES"
                f" ('{name} {type_of_time}', 'SUCCESS', {began}, {ended})"
            )
    metrics = read(watcher)
    assert results(metrics) == {
        (f"right {type_of_time}", "SUCCESS"): len(moments) + 1
        for type_of_time, moments in BEYOND_REASON.items()
    }
    assert problems(metrics, "tasks") == {}
    assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1


def test_optional_columns_of_other_types(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Only what they would tell is missing, and the log says so."""
    odd = {"retries": "text", "started": "date", "chain_total": "boolean"}
    columns = ", ".join(f"ADD odd_{name} {kind}" for name, kind in odd.items())
    database.execute(
        RUNS + f"ALTER TABLE runs {columns}, ADD root text; CREATE INDEX ON runs (root)"
    )
    mapping = {**OWN, "root": "root", **{name: f"odd_{name}" for name in odd}}
    flag = configuration(folder, tables=[mapping])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    task_ids = insert(database, "runs", count=2)
    database.execute("UPDATE runs SET root = %s", (task_ids[0],))
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 2}
    names = {name for name, _ in metrics}
    assert names.isdisjoint({"celery_task_retries_total", "celery_task_duration_seconds_count"})
    assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1
    for name, kind in odd.items():
        assert log_lines(watcher, f"column odd_{name} of table runs is {kind}")
    pipelines = collected(watcher, "pipelines")
    assert value(pipelines, "celery_pipelines_in_progress", root_task_name="a") == 1


@pytest.mark.parametrize("table", ["two words", "a.b.c.d", 'half"quoted', "."])
def test_names_of_no_table(folder: Path, database_url: str, table: str) -> None:
    """Refused at the start, by file and line."""
    flag = configuration(folder, tables=[{**OWN, "table": table}])
    refused = Exporter(folder, flag, environment={"DATABASE_URL": database_url})
    with pytest.raises(TimeoutError, match="it ended with status 2"):
        refused.start()
    assert f'exporter.yml:3: "{table}" is no name of a table' in refused.log.read_text()


def test_own_tables_that_are_not_there(
    folder: Path, database: psycopg.Connection, reader_url: str, exporter: Exporters
) -> None:
    """Tables that do not exist, or whose schema is closed, are missed and leave the others."""
    database.execute(celery_signals.SCHEMA)
    database.execute("CREATE SCHEMA hidden; CREATE TABLE hidden.runs (state text)")
    database.execute("GRANT SELECT ON task_info TO reader")
    missing = ["hidden.runs", "hidden.nothing", "nowhere.runs", "nothing"]
    flag = configuration(folder, tables=[{**OWN, "table": table} for table in missing])
    watcher = exporter(COLLECT, flag, DATABASE_URL=reader_url)
    insert(database)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 1}
    for table in missing:
        assert log_lines(watcher, f"{table} ")
    assert log_lines(watcher, "GRANT USAGE ON SCHEMA hidden TO reader")
    assert problems(metrics, "tasks").keys() == {"permission", "malformed"}


# ------------------------------------------------------------------------------ exceptions


def raised(error: BaseException, cause: BaseException | None = None) -> str:
    """The traceback of an error that was really raised, perhaps while another was handled."""
    try:
        if cause is None:
            raise error
        try:
            raise cause
        except BaseException:  # noqa: BLE001 - whatever a case asks for
            raise error
    except BaseException:  # noqa: BLE001
        return traceback.format_exc()


def raised_deep() -> str:
    stack = "".join(f'  File "shop.py", line {n}, in f\n    f({n})\n' for n in range(1000))
    return f"Traceback (most recent call last):\n{stack}shop.DeepError: deep\n"


TRACEBACKS = {
    "plain": (raised(ValueError("as told")), "ValueError"),
    "without a message": (raised(ValueError()), "ValueError"),
    "of a module": (raised(tables_application.OutOfStock("none")), "OutOfStock"),
    "caused by another": (raised(ValueError("x"), cause=KeyError("y")), "ValueError"),
    "message of lines": (raised(ValueError("first\nsecond line\nthird")), "ValueError"),
    "message with a colon": (raised(ValueError("first\nKeyError: no")), "ValueError"),
    "message of blank lines": (raised(ValueError("first\n\n  in\n \nout")), "ValueError"),
    "syntax": (raised(SyntaxError("bad", ("shop.py", 1, 2, "a b", 1, 3))), "SyntaxError"),
    "deep": (raised_deep(), "DeepError"),
    "long message": (raised(ValueError("x" * 5_000)), "ValueError"),
    "no traceback": ("garbage here", "unknown"),
    "blank": (" \n\n \t\n", "unknown"),
    "empty": ("", "unknown"),
    "only its head": ("Traceback (most recent call last):\n", "unknown"),
}
MESSAGES = {
    "plain": ("ValueError: as told", "ValueError"),
    "without a message": ("ValueError", "ValueError"),
    "as repr says it": ("ValueError('as told')", "ValueError"),
    "of a module": ("shop.errors.OutOfStock: none", "OutOfStock"),
    "of lines": ("ValueError: first\nKeyError: second", "ValueError"),
    "only a text": ("no luck today", "unknown"),
    "a number": ("42 is wrong", "unknown"),
    "blank": (" ", "unknown"),
    "empty": ("", "unknown"),
}


@pytest.mark.parametrize(
    ("column", "cases"),
    [("traceback", TRACEBACKS), ("error", MESSAGES)],
    ids=["tracebacks", "messages"],
)
def test_exceptions(
    folder: Path,
    database: psycopg.Connection,
    database_url: str,
    exporter: Exporters,
    column: str,
    cases: dict[str, tuple[str, str]],
) -> None:
    """Failures by class, as each text tells it; other states have none, whatever the text."""
    database.execute(RUNS + "ALTER TABLE runs ADD text text")
    flag = configuration(folder, tables=[{**OWN, column: "text"}])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO runs VALUES (%s, %s, %s, now(), now(), %s)",
            [
                (f"{state} {case}", case, state, text)
                for case, (text, _) in cases.items()
                for state in ("FAILURE", "SUCCESS", "REVOKED")
            ],
        )
    expected = {(case, exception): 1 for case, (_, exception) in cases.items()}
    assert errors(read(watcher)) == expected


def test_exceptions_of_every_column(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """What one column does not tell another may. None tells: unknown."""
    database.execute(RUNS + "ALTER TABLE runs ADD a text, ADD b text, ADD c text")
    mapping = {**OWN, "result": "a", "error": "b", "traceback": "c"}
    flag = configuration(folder, tables=[mapping])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    result = '{"exc_type": "KeyError", "exc_message": ["\\"exc_type\\": \\"No\\""]}'
    rows = [
        ("all", result, "ValueError: b", raised(OSError("c"))),
        ("two", "null", "ValueError: b", raised(OSError("c"))),
        ("one", "[1, 2", "only a text", raised(OSError("c"))),
        ("none", None, None, None),
    ]
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO runs VALUES (%s, %s, 'FAILURE', now(), now(), %s, %s, %s)",
            [(case, case, *texts) for case, *texts in rows],
        )
    assert errors(read(watcher)) == {
        ("all", "KeyError"): 1,
        ("two", "ValueError"): 1,
        ("one", "OSError"): 1,
        ("none", "unknown"): 1,
    }


# ------------------------------------------------------------------------------ a bounded mass


def test_more_exceptions_than_are_kept(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    database.execute(celery_signals.SCHEMA)
    watcher = exporter(COLLECT, "--tasks.max-exceptions=3", DATABASE_URL=database_url)
    for number in range(6):
        with database.transaction():
            task_ids = insert(database, status="FAILURE", count=2)
            database.execute(
                "UPDATE task_info SET error_message = %s WHERE task_id = ANY(%s)",
                (f"Error{number}: x", task_ids),
            )
        read(watcher)
    metrics = read(watcher)
    kept = {("a", f"Error{number}"): 2 for number in range(3)}
    assert errors(metrics) == {**kept, ("a", "other"): 6}
    assert value(metrics, "celery_beat_exporter_folded_task_names_total") > 0


def test_ten_thousand_hostile_names(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Task names and exceptions made by a fool: counted all, shown few, without bloat."""
    database.execute(celery_signals.SCHEMA)
    flags = ("--tasks.max-names=50", "--tasks.max-exceptions=20", "--tasks.duration-buckets=1")
    watcher = exporter(COLLECT, *flags, DATABASE_URL=database_url)
    insert(database, "task_info", "honest")
    read(watcher)
    before = value(watcher.metrics(), "process_resident_memory_bytes")
    database.execute(
        """
        INSERT INTO task_info (task_id, task_name, status, task_time, completed_time, error_message)
        SELECT
            'hostile ' || n,
            CASE n % 5
                WHEN 0 THEN chr(1 + n % 31) || 'control' || n
                WHEN 1 THEN E'quote " backslash \\\\ line\\n{}=,' || n
                WHEN 2 THEN n || repeat('long', 1000)
                WHEN 3 THEN n || U&'\\202E\\FEFF\\+01F955'
                ELSE '# HELP x ' || n
            END,
            CASE n % 2 WHEN 0 THEN 'FAILURE' ELSE 'SUCCESS' END,
            now() - interval '1 second', now(), 'Error' || n || ': x'
        FROM generate_series(1, 10000) AS n
        """
    )
    metrics = read(watcher)
    shown = results(metrics)
    assert sum(shown.values()) == 10_001
    assert shown[("honest", "SUCCESS")] == 1
    assert len({task for task, _ in shown}) <= 51
    found = errors(metrics)
    assert sum(found.values()) == 5_000
    assert len({exception for _, exception in found}) <= 21
    assert value(metrics, "celery_beat_exporter_folded_task_names_total") > 0
    for _ in range(2):
        metrics = read(watcher)
    assert sum(results(metrics).values()) == 10_001
    assert value(metrics, "process_resident_memory_bytes") - before < 30e6
    insert(database, "task_info", "honest")
    assert results(read(watcher))[("honest", "SUCCESS")] == 2


def test_bounds_hold_over_all_tables(
    database: psycopg.Connection, database_url: str, exporter: Exporters, two: str
) -> None:
    watcher = exporter(COLLECT, two, "--tasks.max-names=3", DATABASE_URL=database_url)
    for number in range(4):
        insert(database, "task_info", f"info {number}")
        insert(database, "runs", f"runs {number}")
    metrics = read(watcher)
    assert sum(results(metrics).values()) == 8
    families = {
        dict(labels)["task_name"]
        for (name, labels) in metrics
        if name == "celery_task_results_total"
    }
    assert len(families - {"other"}) == 3


def test_wanted_and_unwanted_names(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    database.execute(celery_signals.SCHEMA)
    flags = ("--tasks.include=shop.*,mail.send", "--tasks.exclude=shop.[ab]*,*secret*")
    watcher = exporter(COLLECT, *flags, DATABASE_URL=database_url)
    for task in ("shop.count", "shop.add", "shop.secret.x", "mail.send", "mail.receive", "shop"):
        insert(database, "task_info", task)
        insert(database, "task_info", task, "STARTED", ended=None)
    metrics = read(watcher)
    assert results(metrics) == {("shop.count", "SUCCESS"): 1, ("mail.send", "SUCCESS"): 1}
    assert family(metrics, "celery_task_in_progress", "task_name") == {
        "shop.count": 1,
        "mail.send": 1,
    }


def test_windows_and_duration_buckets(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    database.execute(celery_signals.SCHEMA)
    insert(database, status="FAILURE", ended="now() - interval '90 seconds'")
    insert(database, status="FAILURE", ended="now() - interval '90 minutes'")
    insert(database, ended="now() - interval '90 minutes'")
    insert(database, "task_info", "b", ended="now() - interval '3 hours'")
    flags = ("--tasks.windows=1m,2h", "--tasks.duration-buckets=0.5,1,60")
    watcher = exporter(COLLECT, *flags, DATABASE_URL=database_url)
    insert(database)
    insert(database, "task_info", "c", ended="now() + interval '1 second'")
    metrics = read(watcher)
    ratios = family(metrics, "celery_task_success_ratio", "task_name", "window")
    assert ratios == {("a", "1m"): 1, ("a", "2h"): 0.5, ("c", "1m"): 1, ("c", "2h"): 1}
    buckets = family(metrics, "celery_task_duration_seconds_bucket", "le", task_name="a", zero=True)
    assert buckets == {"0.5": 0, "1": 1, "60": 1, "+Inf": 1}


# ------------------------------------------------------------ tables beside the task table


@pytest.mark.parametrize("table", ["task_results", "task_metadata"])
def test_table_beside_may_not_be_read(
    database: psycopg.Connection,
    reader_url: str,
    exporter: Exporters,
    table: str,
) -> None:
    """Only what it would tell is missing, and the log says which GRANT mends it."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    database.execute(f"REVOKE SELECT ON {table} FROM reader")
    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    [task_id] = insert(database, "task_logs", status="FAILURE")
    database.execute(
        "INSERT INTO task_results VALUES (%s, 'FAILURE', NULL, 'KeyError: x', NULL, now())",
        (task_id,),
    )
    metrics = read(watcher)
    assert results(metrics) == {("a", "FAILURE"): 1}
    # Where nothing tells of exceptions there is nothing to tell.
    assert errors(metrics) == ({} if table == "task_results" else {("a", "KeyError"): 1})
    assert problems(metrics, "tasks").keys() == {"permission"}
    assert log_lines(watcher, f"GRANT SELECT ON {table} TO reader")
    database.execute(f"GRANT SELECT ON {table} TO reader")

    def is_quiet() -> bool:
        return problems(read(watcher), "tasks") == problems(read(watcher), "tasks")

    wait_until(is_quiet, SECONDS, "an end of the complaints")


WORKERS = {
    "status": "celery_worker_table_status",
    "heartbeat": "celery_worker_table_heartbeat_timestamp_seconds",
    "active": "celery_worker_table_active_tasks",
    "processed": "celery_worker_table_processed_tasks",
    "failed": "celery_worker_table_failed_tasks",
}


def workers(metrics: Metrics) -> dict[str, dict[str, float]]:
    return {
        name: family(metrics, sample, "worker_name", zero=True) for name, sample in WORKERS.items()
    }


def queues(metrics: Metrics) -> tuple[dict[str, float], dict[str, float]]:
    return (
        family(metrics, "celery_queue_table_length", "queue_name", zero=True),
        family(metrics, "celery_queue_table_recorded_timestamp_seconds", "queue_name"),
    )


def test_workers_and_queues(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    watcher = exporter(COLLECT, "--tasks.max-workers=3", DATABASE_URL=database_url)
    assert workers(watcher.metrics()) == {name: {} for name in WORKERS}
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    moment = 1795000000.25
    database.execute(
        f"""
        INSERT INTO worker_status VALUES
            ('lives@a', 'ONLINE', 2, 30, 4, to_timestamp({moment})),
            ('gone@a', 'OFFLINE', 0, 5, 1, to_timestamp({moment} - 60));
        INSERT INTO queue_stats (queue_name, depth, recorded_at) VALUES
            ('mail', 7, now() - interval '2 minutes'), ('mail', 3, now() - interval '1 minute'),
            ('empty', 0, now()), ('silent for a day', 9, now() - interval '1 day')
        """
    )
    metrics = wait_until(
        lambda: (now := collected(watcher, "workers")) and workers(now)["status"] and now,
        SECONDS,
        "the tables",
    )
    assert workers(metrics) == {
        "status": {"lives@a": 1, "gone@a": 0},
        "heartbeat": {"lives@a": moment, "gone@a": moment - 60},
        "active": {"lives@a": 2, "gone@a": 0},
        "processed": {"lives@a": 30, "gone@a": 5},
        "failed": {"lives@a": 4, "gone@a": 1},
    }
    lengths, times = queues(metrics)
    assert lengths == {"mail": 3, "empty": 0}
    recorded = database.execute(
        "SELECT queue_name, extract(epoch FROM max(recorded_at))::float8 FROM queue_stats"
        " WHERE queue_name <> 'silent for a day' GROUP BY 1"
    ).fetchall()
    assert times == pytest.approx(dict(recorded), abs=0.001)

    # More than are told: those heard of last.
    database.execute(
        """
        INSERT INTO worker_status
        SELECT 'worker ' || n, 'ONLINE', 0, 0, 0, now() + n * interval '1 second'
        FROM generate_series(1, 100) AS n
        """
    )
    metrics = collected(watcher, "workers")
    assert workers(metrics)["status"] == {"worker 98": 1, "worker 99": 1, "worker 100": 1}
    assert problems(metrics, "workers").keys() == {"over_limit"}

    # One that is gone leaves the other.
    database.execute("DROP TABLE worker_status")
    wait_until(
        lambda: workers(collected(watcher, "workers"))["status"] == {}, SECONDS, "no workers"
    )
    wait_until(
        lambda: queues(collected(watcher, "workers"))[0] == {"mail": 3, "empty": 0},
        SECONDS,
        "the queues",
    )


def test_workers_and_queues_of_anybody(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Tables that others made: fewer columns, other types, nonsense in them."""
    long_name = "n" * 300
    database.execute(
        f"""
        CREATE TYPE state AS ENUM ('online', 'OFFLINE');
        CREATE TABLE worker_status (
            worker_name varchar, status state, active_tasks bigint, last_heartbeat timestamp
        );
        INSERT INTO worker_status VALUES
            ('a', 'online', 3000000000, '2026-11-20 12:00:00.5'), ('b', NULL, NULL, NULL),
            (NULL, 'online', 1, now()), ('c', 'OFFLINE', -1, 'infinity'),
            ('{long_name}1', 'online', 1, NULL), ('{long_name}2', 'online', 1, NULL),
            ('quote " \\ line\n', 'online', 1, NULL), ('a', 'OFFLINE', 0, '2026-11-19 12:00:00');
        CREATE TABLE queue_stats (queue_name text, depth numeric, recorded_at timestamp);
        INSERT INTO queue_stats VALUES
            ('whole', 12, now() AT TIME ZONE 'UTC'), ('', 1, now() AT TIME ZONE 'UTC'),
            (NULL, 1, now() AT TIME ZONE 'UTC'), ('none', NULL, now() AT TIME ZONE 'UTC'),
            ('never', 1, NULL), ('{long_name}1', 1, now() AT TIME ZONE 'UTC'),
            ('{long_name}2', 2, now() AT TIME ZONE 'UTC')
        """
    )
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    metrics = watcher.metrics()  # which fails where two samples have the same labels
    found = workers(metrics)
    shortened = long_name[:200]
    strange = 'quote " \\ line\n'
    assert found["status"] == {"a": 1, "b": 0, "c": 0, shortened: 1, strange: 1}
    assert found["heartbeat"] == {"a": 1795176000.5}
    assert found["active"] == {"a": 3e9, "c": -1, shortened: 1, strange: 1}
    assert (found["processed"], found["failed"]) == ({}, {})
    lengths, times = queues(metrics)
    assert lengths.keys() == times.keys() == {"whole", "", shortened}
    assert lengths["whole"] == 12
    assert value(metrics, "celery_beat_exporter_dropped_label_values_total") > 0


@pytest.mark.parametrize(
    ("table", "spoil", "reason", "words"),
    [
        (table, spoil.format(table), reason, words.format(table))
        for table, needed, time in (
            ("worker_status", "status", "last_heartbeat"),
            ("queue_stats", "depth", "recorded_at"),
        )
        for spoil, reason, words in (
            ("REVOKE SELECT ON {} FROM reader", "permission", "GRANT SELECT ON {} TO reader"),
            (f"ALTER TABLE {{}} DROP {needed}", "malformed", "table {} has not all the columns"),
            (
                f"ALTER TABLE {{}} ALTER {time} TYPE text",
                "wrong_type",
                f"column {time} of table {{}}",
            ),
            ("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", "timeout", "table {}"),
        )
    ],
)
def test_one_of_workers_and_queues_is_spoilt(
    database: psycopg.Connection,
    database_url: str,
    reader_url: str,
    exporter: Exporters,
    table: str,
    spoil: str,
    reason: str,
    words: str,
) -> None:
    """The other goes on."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    database.execute("INSERT INTO worker_status VALUES ('a', 'ONLINE', 0, 0, 0, now())")
    database.execute(
        "INSERT INTO queue_stats (queue_name, depth, recorded_at) VALUES ('a', 1, now())"
    )
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with psycopg.connect(database_url) as spoiler:
        spoiler.execute(spoil)
        if reason != "timeout":
            spoiler.commit()
        watcher = exporter(COLLECT, "--collect.timeout=400ms", DATABASE_URL=reader_url)
        metrics = collected(watcher, "workers")
        lengths, statuses = queues(metrics)[0], workers(metrics)["status"]
        if table == "worker_status":
            assert lengths == {"a": 1}
            # Without heartbeats the states are known all the same.
            assert statuses == ({"a": 1} if reason == "wrong_type" else {})
            assert workers(metrics)["heartbeat"] == {}
        else:
            assert (lengths, statuses) == ({}, {"a": 1})
        assert reason in problems(metrics, "workers")
        assert problems(metrics, "workers").keys() <= {reason, "malformed"}
        assert log_lines(watcher, words)


def test_long_history_of_depths(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """The cost of reading the latest depths does not follow the history's size."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    database.execute(
        """
        INSERT INTO queue_stats (queue_name, depth, recorded_at)
        SELECT 'queue ' || n % 5, n % 7, now() - n * interval '12 seconds'
        FROM generate_series(0, 199999) AS n
        """
    )
    database.execute("VACUUM ANALYZE queue_stats")

    def blocks() -> int:
        return database.execute(
            """
            SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
            FROM pg_statio_user_tables WHERE relname = 'queue_stats'
            """
        ).fetchone()[0]

    database.execute("SELECT pg_stat_force_next_flush()")
    before = blocks()
    watcher = exporter("--collect.interval=1h", DATABASE_URL=database_url)
    assert queues(watcher.metrics())[0] == {f"queue {n}": n for n in range(5)}
    watcher.stop()  # its session tells of its reads when it ends
    wait_until(lambda: blocks() > before, SECONDS, "statistics")
    assert blocks() - before < 200


# ------------------------------------------------------------------ what stands in between


class PgBouncer(Process):
    """A pooler in transaction mode with a single session of the server for all its clients."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.port = free_port()
        self._server = urlsplit(server.url)
        self._configuration = folder / "pgbouncer.ini"
        # As the server's own, for the same reason: it refuses to run as root.
        super().__init__("pgbouncer", folder, ["pgbouncer", self._configuration], user=server.user)

    @property
    def url(self) -> str:
        return self._server._replace(
            netloc=f"{self._server.username}:{self._server.password}@127.0.0.1:{self.port}"
        ).geturl()

    def start(self) -> None:
        accounts = self.folder / "accounts"
        accounts.write_text(f'"{self._server.username}" "{self._server.password}"\n')
        self._configuration.write_text(f"""
            [databases]
            * = host=127.0.0.1 port={self._server.port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = {accounts}
            pool_mode = transaction
            default_pool_size = 1
            server_login_retry = 1
        """)
        super().start()

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def pooler(folder: Path, own_postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(folder, own_postgres) as pooler:
        yield pooler


def test_behind_pgbouncer(
    own_postgres: PostgresServer, pooler: PgBouncer, exporter: Exporters
) -> None:
    """All collectors share one session, in which others leave settings; none of ours stays."""
    with psycopg.connect(own_postgres.url, autocommit=True) as database:
        database.execute(celery_signals.SCHEMA + celery_signals.TASK_LOGS_SCHEMA)
        database.execute("INSERT INTO worker_status VALUES ('a', 'ONLINE', 0, 0, 0, now())")
        watcher = exporter(COLLECT, "--collect.timeout=1s", DATABASE_URL=pooler.url)
        with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as other:
            sessions = set()
            for number in range(1, 6):
                other.execute("SET lock_timeout = '77ms'")
                other.execute("SET default_transaction_isolation = 'serializable'")
                other.execute("SET timezone = 'Asia/Kolkata'")
                other.execute("SET datestyle = 'German'")
                insert(database, "task_info")
                assert results(read(watcher)) == {("a", "SUCCESS"): number}
                sessions.add(other.execute("SELECT pg_backend_pid()").fetchone()[0])
                assert other.execute("SHOW lock_timeout").fetchone()[0] == "77ms"
                assert other.execute("SHOW statement_timeout").fetchone()[0] == "0"
                assert other.execute("SHOW transaction_read_only").fetchone()[0] == "off"
            assert len(sessions) == 1, "nothing shared"
        metrics = collected(watcher, "workers")
        assert workers(metrics)["status"] == {"a": 1}
        for collector in ("tasks", "pipelines", "workers", "django"):
            assert problems(metrics, collector) == {}

    # The server and the pooler are killed and come again; each task counts once.
    expected = 5
    for victim in (own_postgres, pooler):
        victim.kill()
        metrics = wait_until(
            lambda: (
                (now := read(watcher))
                and value(now, "celery_beat_exporter_source_up", source="database") == 0
                and now
            ),
            SECONDS,
            "the outage",
        )
        assert results(metrics) == {}
        victim.start()
        with psycopg.connect(own_postgres.url, autocommit=True) as database:
            insert(database, "task_info", count=3)
        expected += 3
        wait_until(lambda: results(read(watcher)), SECONDS, "the database")
        assert results(read(watcher)) == {("a", "SUCCESS"): expected}


def test_replica_that_lags(own_postgres: PostgresServer, folder: Path, exporter: Exporters) -> None:
    """Rows come after their time, and each counts once, also over a restart of it."""
    with psycopg.connect(own_postgres.url, autocommit=True) as database:
        database.execute(celery_signals.SCHEMA)
        insert(database, "task_info", ended=LONG_AGO)
        delay = {"recovery_min_apply_delay": f"{LAG:.0f}s"}
        with Replica(folder / "replica", own_postgres, settings=delay) as replica:
            watcher = exporter(COLLECT, "--collect.timeout=1s", DATABASE_URL=replica.url)
            totals, sent = [0.0], 0

            def has_all() -> bool:
                totals.append(results(read(watcher)).get(("a", "SUCCESS"), 0))
                assert totals[-2] <= totals[-1] <= sent
                return totals[-1] == sent

            has_lagged = False
            end = time.monotonic() + LAG
            while time.monotonic() < end:
                insert(database, "task_info", count=2)
                sent += 2
                has_lagged |= not has_all()
            assert has_lagged
            wait_until(has_all, SECONDS, "all")
            insert(database, "task_info")
            replica.kill()
            replica.start()
            wait_until(
                lambda: results(read(watcher)) == {("a", "SUCCESS"): sent + 1}, SECONDS, "the last"
            )
            assert results(read(watcher)) == {("a", "SUCCESS"): sent + 1}

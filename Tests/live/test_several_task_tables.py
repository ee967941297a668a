"""Several task tables at once: what counts once and what is added up, and what goes wrong with one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from readers_application import value
from servers import wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
    LONG_AGO,
    OWN,
    RUNS,
    SECONDS,
    configuration,
    family,
    insert,
    log_lines,
    problems,
    read,
    results,
)

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]


@pytest.fixture
def two(database: psycopg.Connection, folder: Path) -> str:
    """Two tables with different tasks, one of which the exporter is told of by this flag."""
    database.execute(celery_signals.SCHEMA + RUNS)
    # Only what has ended since the other table began tells whether that has it, too.
    insert(database, "runs", ended=LONG_AGO)
    insert(database, "task_info", ended=LONG_AGO)
    return configuration(folder, tables=[OWN])


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
    flags = (COLLECT, "--collect.timeout=3s", two)
    watcher = exporter(*flags, DATABASE_URL=database_url)
    insert(database, "runs", count=3)
    insert(database, "task_info", count=2)

    # A busy machine may let a collection take too long, of which then nothing is told.
    def counts(exporter: Exporter, count: int) -> None:
        expected = {("a", "SUCCESS"): count}
        wait_until(lambda: results(read(exporter)) == expected, SECONDS, f"{count} results")

    counts(watcher, 5)
    with psycopg.connect(database_url) as locker:
        locker.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        for number in range(1, 3):
            insert(database, "task_info")
            counts(watcher, 5 + number)
        wait_until(
            lambda: value(read(watcher), "celery_beat_exporter_source_up", source="database") == 1,
            SECONDS,
            "the other table to be read",
        )
        assert problems(watcher.metrics(), "tasks").keys() == {"timeout"}
        assert log_lines(watcher, "table runs: ")
        late = exporter(*flags, DATABASE_URL=database_url)
        insert(database, "task_info")
        counts(late, 1)
    insert(database, "runs")
    counts(watcher, 9)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    wait_until(lambda: database.execute(waiting).fetchone() == (0,), SECONDS, "no one to wait")


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

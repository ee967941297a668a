"""What the exporter reads of `task_info`, filled by real workers and by hand, also by a bad one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import celery_signals
import psycopg
import pytest
from readers_application import (
    Application,
    by_label,
    collected,
    fail,
    nap,
    succeed,
    succeed_after,
    value,
    values,
)
from servers import wait_until
from stack import Exporter

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

FLAGS = ("--collect.interval=100ms",)
SECONDS = 60.0  # longest wait for something that normally takes one
ERRORS = "celery_beat_exporter_collector_errors_total"
INDEX_MISSING = "celery_beat_exporter_index_missing"
ids = itertools.count(1)


@pytest.fixture
def table(database: psycopg.Connection) -> psycopg.Connection:
    """The same with the recorder's table, empty."""
    database.execute(celery_signals.SCHEMA)
    return database


@pytest.fixture
def watcher(table: psycopg.Connection, database_url: str, exporter: Exporters) -> Exporter:
    """An exporter that has read the empty table: from here on every row counts."""
    return exporter(*FLAGS, DATABASE_URL=database_url)


def insert(
    connection: psycopg.Connection,
    task: str | None = "a",
    status: str | None = "SUCCESS",
    *,
    count: int = 1,
    ended: str | None = "now()",
    lasted: str = "1 second",
    retries: int | None = 0,
) -> list[str]:
    """Rows as the recorder leaves them, ended at that SQL expression; their task ids."""
    task_ids = [str(next(ids)) for _ in range(count)]
    connection.execute(
        f"""
        INSERT INTO task_info (task_id, task_name, status, retry_count, task_time, completed_time)
        SELECT id, %s, %s, %s, {ended or "now()"} - %s::interval, {ended or "NULL"}
        FROM unnest(%s::text[]) AS id
        """,
        (task, status, retries, lasted, task_ids),
    )
    return task_ids


def read(exporter: Exporter) -> Metrics:
    return collected(exporter, "tasks")


def result(metrics: Metrics, task: str = "a", status: str = "SUCCESS") -> float | None:
    return value(metrics, "celery_task_results_total", task_name=task, status=status)


def results(exporter: Exporter) -> dict[tuple[str, str], float]:
    """Ended tasks by name and state, where there are any."""
    return {
        (dict(labels)["task_name"], dict(labels)["status"]): number
        for (name, labels), number in read(exporter).items()
        if name == "celery_task_results_total" and number > 0
    }


def ratio(metrics: Metrics, window: str, task: str = "a") -> float | None:
    return value(metrics, "celery_task_success_ratio", task_name=task, window=window)


def error(metrics: Metrics, reason: str) -> float:
    return value(metrics, ERRORS, collector="tasks", reason=reason)


def source_up(metrics: Metrics) -> float | None:
    return value(metrics, "celery_beat_exporter_source_up", source="database")


def assert_durations(metrics: Metrics, connection: psycopg.Connection, task: str) -> None:
    """The histogram holds what the rows of ended tasks say."""
    rows = connection.execute(
        """
        SELECT extract(epoch FROM completed_time - task_time)::float8 FROM task_info
        WHERE task_name = %s AND completed_time IS NOT NULL
        """,
        (task,),
    ).fetchall()
    lasted = [seconds for (seconds,) in rows]
    name = "celery_task_duration_seconds"
    assert value(metrics, f"{name}_count", task_name=task) == len(lasted)
    assert value(metrics, f"{name}_sum", task_name=task) == pytest.approx(sum(lasted))
    bounds = by_label(metrics, f"{name}_bucket", "le")
    assert len(bounds) > 5
    for bound in bounds:
        within = value(metrics, f"{name}_bucket", task_name=task, le=bound)
        assert within == sum(seconds <= float(bound) for seconds in lasted), bound


def test_real_tasks(
    folder: Path,
    database: psycopg.Connection,
    database_url: str,
    redis_url: str,
    application: Callable[..., Application],
    exporter: Exporters,
) -> None:
    """From before there is a table to a worker's last task."""
    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    metrics = watcher.metrics()
    assert source_up(metrics) == 1
    assert error(metrics, "malformed") > 0
    shop = application(broker_url=redis_url)
    shop.worker("celery", database_url=database_url)
    wait_until(
        lambda: value(watcher.metrics(), INDEX_MISSING, table="task_info") == 0,
        SECONDS,
        "the recorder's table",
    )

    for _ in range(6):
        shop.send(succeed)
    for _ in range(2):
        shop.send(fail)
    shop.send(succeed_after, 2)
    shop.send(succeed_after, 0)
    shop.send(nap, 0.3)

    def ended() -> list[Any]:
        return database.execute(
            """
            SELECT task_name, status, count(*) FROM task_info
            WHERE completed_time IS NOT NULL GROUP BY 1, 2
            """
        ).fetchall()

    wait_until(lambda: sum(count for *_, count in ended()) == 11, SECONDS, "11 ended tasks")
    prefix = "readers_application."
    expected = {
        (prefix + "succeed", "SUCCESS"): 6,
        (prefix + "fail", "FAILURE"): 2,
        (prefix + "succeed_after", "SUCCESS"): 2,
        (prefix + "nap", "SUCCESS"): 1,
    }
    assert {(name, status): count for name, status, count in ended()} == expected
    wait_until(lambda: sum(results(watcher).values()) == 11, SECONDS, "11 results")
    assert results(watcher) == expected
    metrics = read(watcher)
    for window in ("5m", "1h"):
        assert ratio(metrics, window, prefix + "succeed") == 1
        assert ratio(metrics, window, prefix + "fail") == 0
    assert by_label(metrics, "celery_task_retries_total", "task_name") == {
        prefix + "succeed": 0,
        prefix + "fail": 0,
        prefix + "succeed_after": 2,
        prefix + "nap": 0,
    }
    for task in ("succeed", "fail", "succeed_after", "nap"):
        assert_durations(metrics, database, prefix + task)

    # Longer than the test: the worker is killed at its end.
    shop.send(nap, 600)
    labels = {"task_name": prefix + "nap", "status": "STARTED"}
    wait_until(
        lambda: value(read(watcher), "celery_task_in_progress", **labels) == 1, SECONDS, "a nap"
    )
    assert results(watcher) == expected


def test_durations_and_retries(table: psycopg.Connection, watcher: Exporter) -> None:
    for lasted in ("0", "5 milliseconds", "30 milliseconds", "1 second", "2 hours"):
        insert(table, lasted=lasted, retries=3)
    metrics = read(watcher)
    assert_durations(metrics, table, "a")
    assert value(metrics, "celery_task_retries_total", task_name="a") == 15
    # Nobody ends before he starts: a clock was set back.
    insert(table, "b", lasted="-5 seconds", retries=-2)
    metrics = read(watcher)
    assert value(metrics, "celery_task_duration_seconds_sum", task_name="b") == 0
    assert value(metrics, "celery_task_duration_seconds_count", task_name="b") == 1
    assert value(metrics, "celery_task_retries_total", task_name="b") == 0


def test_late_commit(table: psycopg.Connection, database_url: str, watcher: Exporter) -> None:
    with psycopg.connect(database_url) as slow:
        insert(slow, count=2, ended="now() - interval '45 seconds'")
        insert(slow, ended="now()")
        for expected in (1, 2, 3):
            insert(table)
            assert result(read(watcher)) == expected
        slow.commit()
    assert result(read(watcher)) == 6
    assert result(read(watcher)) == 6


def test_task_runs_again(table: psycopg.Connection, watcher: Exporter) -> None:
    """One row for both runs: the second takes the place of the first."""
    [task_id] = insert(table, status="FAILURE", ended="now() - interval '30 seconds'")
    [other] = insert(table, ended="now() - interval '30 seconds'")
    assert result(read(watcher), status="FAILURE") == 1
    for runs in (1, 2):
        table.execute(
            "UPDATE task_info SET status = 'STARTED', completed_time = NULL WHERE task_id = %s",
            (task_id,),
        )
        metrics = read(watcher)
        assert result(metrics, status="FAILURE") == 1
        assert value(metrics, "celery_task_in_progress", status="STARTED") == 1
        table.execute(
            "UPDATE task_info SET status = 'SUCCESS', completed_time = now() - %s::interval"
            " WHERE task_id = %s",
            (f"{20 - 10 * runs} seconds", task_id),
        )
        metrics = read(watcher)
        assert result(metrics, status="FAILURE") == 1
        assert result(metrics) == 1 + runs
        assert value(metrics, "celery_task_in_progress", status="STARTED") == 0
    # Where a row has moved away from, another that comes counts too.
    insert(table, status="FAILURE", ended="now() - interval '30 seconds'")
    assert result(read(watcher), status="FAILURE") == 2
    table.execute("DELETE FROM task_info WHERE task_id = %s", (other,))
    assert result(read(watcher)) == 3


@pytest.mark.parametrize(
    "empty",
    [
        "DELETE FROM task_info WHERE completed_time <= now()",
        "TRUNCATE task_info",
        f"DROP TABLE task_info; {celery_signals.SCHEMA}",
    ],
    ids=["clean-up", "truncate", "drop and create"],
)
def test_rows_vanish(table: psycopg.Connection, watcher: Exporter, empty: str) -> None:
    """Counters stay, and go on with what comes then, also in the same moment."""
    moment = table.execute("SELECT now()").fetchone()[0]
    ended = f"'{moment.isoformat()}'::timestamptz"
    insert(table, count=5, ended=ended)
    insert(table, status="FAILURE", count=5, ended=ended)
    assert result(read(watcher)) == 5
    with table.transaction():
        table.execute(empty)
    metrics = read(watcher)
    assert (result(metrics), result(metrics, status="FAILURE")) == (5, 5)
    insert(table, count=3, ended=ended)
    metrics = read(watcher)
    assert (result(metrics), result(metrics, status="FAILURE")) == (8, 5)
    assert value(metrics, "celery_task_duration_seconds_count", task_name="a") == 13


def test_table_goes_and_comes(table: psycopg.Connection, watcher: Exporter) -> None:
    insert(table, count=5)
    assert result(read(watcher)) == 5
    table.execute("DROP TABLE task_info")
    # At most one collection fails before the table is looked for again.
    wait_until(lambda: source_up(read(watcher)) == 1, SECONDS, "a look for the table")
    metrics = read(watcher)
    assert list(values(metrics, "celery_task_results_total")) == []
    assert error(metrics, "malformed") > 0
    table.execute(celery_signals.SCHEMA)
    assert result(read(watcher)) == 5
    insert(table, count=2, ended="now() + interval '10 seconds'")
    assert result(read(watcher)) == 7


def test_missing_columns(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    database.execute(
        "CREATE TABLE task_info (task_id text, task_name text, completed_time timestamptz)"
    )
    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    metrics = read(watcher)
    assert error(metrics, "malformed") > 0
    assert not [name for name, _ in metrics if name.startswith("celery_task_")]
    assert "has no column status" in watcher.log.read_text()

    # Without the columns that are no more than useful the rest is right. Nor is there an index.
    database.execute("ALTER TABLE task_info ADD status text")
    wait_until(
        lambda: value(read(watcher), INDEX_MISSING, table="task_info") == 1, SECONDS, "the column"
    )
    database.execute(
        """
        INSERT INTO task_info (task_name, status, completed_time)
        VALUES ('a', 'SUCCESS', now()), ('a', 'FAILURE', now()), ('a', 'STARTED', NULL)
        """
    )
    metrics = read(watcher)
    assert (result(metrics), result(metrics, status="FAILURE")) == (1, 1)
    assert ratio(metrics, "5m") == 0.5
    assert value(metrics, "celery_task_in_progress", task_name="a", status="STARTED") == 1
    assert value(metrics, "celery_task_duration_seconds_count", task_name="a") in (None, 0)
    assert value(metrics, "celery_task_retries_total", task_name="a") in (None, 0)
    for _ in range(3):
        read(watcher)
    advice = [line for line in watcher.log.read_text().splitlines() if "CREATE INDEX" in line]
    assert len(advice) == 1
    statement = "CREATE INDEX CONCURRENTLY task_info_completed_time ON task_info (completed_time)"
    assert statement in advice[0]
    # It may be run as it stands.
    database.execute(statement)
    again = exporter(*FLAGS, DATABASE_URL=database_url)
    assert value(read(again), INDEX_MISSING, table="task_info") == 0


def test_rows_with_anything(table: psycopg.Connection, watcher: Exporter) -> None:
    table.execute("ALTER TABLE task_info ALTER task_id DROP NOT NULL, ALTER status DROP NOT NULL")
    table.execute("INSERT INTO task_info (task_id) VALUES (NULL), (NULL)")
    insert(table, None, "SUCCESS", retries=None)
    insert(table, None, "STARTED", ended=None, retries=None)
    insert(table, "a", None)
    insert(table, "a", "SUCCESS", ended=None)
    insert(table, "a", "LUNCH")
    insert(table, "a", "x" * 10_000)
    insert(table, "a", "LUNCH", ended=None)
    insert(table, "a", "PROGRESS", ended=None)
    insert(table, "a", "RETRY", count=3)  # it has ended before and runs again
    long_name = "n" * 10_000
    ugly = 'quote " backslash \\ newline \n tab \t Größe 漢字 🥕'
    for name in (long_name + "1", long_name + "2", ugly, "", "other"):
        insert(table, name)
    for moment in (
        "'infinity'",
        "'-infinity'",
        "'1970-01-01'",
        "'4713-01-01 BC'",
        "'294276-01-01'",
        "now() + interval '1 day'",
        "now() - interval '1 day'",
    ):
        table.execute(
            f"INSERT INTO task_info (task_id, task_name, status, completed_time)"
            f" VALUES (%s, 'another day', 'SUCCESS', ({moment})::timestamptz)",
            (str(next(ids)),),
        )
    insert(table, "fast clock", ended="now() + interval '5 seconds'")
    assert results(watcher) == {
        ("unknown", "SUCCESS"): 1,
        ("a", "OTHER"): 2,
        (long_name[:200], "SUCCESS"): 2,
        (ugly, "SUCCESS"): 1,
        ("", "SUCCESS"): 1,
        ("other", "SUCCESS"): 1,
        ("fast clock", "SUCCESS"): 1,
    }
    in_progress = {
        (dict(labels)["task_name"], dict(labels)["status"]): number
        for (name, labels), number in read(watcher).items()
        if name == "celery_task_in_progress"
    }
    expected = {
        ("unknown", "STARTED"): 1,
        ("a", "LUNCH"): 1,
        ("a", "PROGRESS"): 1,
        ("a", "RETRY"): 3,
    }
    assert in_progress == expected


@pytest.mark.parametrize("start", ["-infinity", "infinity", "4713-01-01 BC", "294276-01-01"])
def test_start_times_beyond_reason(
    table: psycopg.Connection, watcher: Exporter, start: str
) -> None:
    """One row spoils no more than its own duration."""
    insert(table)
    with table.transaction():  # in between the row might be read
        [task_id] = insert(table, "b")
        table.execute(
            "UPDATE task_info SET task_time = %s::timestamptz WHERE task_id = %s", (start, task_id)
        )
    metrics = read(watcher)
    assert source_up(metrics) == 1
    assert (result(metrics), result(metrics, "b")) == (1, 1)
    assert value(metrics, "celery_task_duration_seconds_sum", task_name="a") == pytest.approx(1)


def test_more_names_than_are_kept(table: psycopg.Connection, watcher: Exporter) -> None:
    insert(table, "other", status="FAILURE")
    read(watcher)
    table.execute(
        """
        INSERT INTO task_info (task_id, task_name, status, completed_time)
        SELECT 'many ' || n, 'task ' || n, 'SUCCESS', now() FROM generate_series(1, 2000) AS n
        """
    )
    sums = []
    for _ in range(3):
        shown = results(watcher)
        sums.append(sum(shown.values()))
        assert len(shown) <= 502
    assert sums == [2001] * 3
    insert(table, "task 2000", count=10)
    insert(table, "task 1", status="STARTED", ended=None)
    assert sum(results(watcher).values()) == 2011
    metrics = read(watcher)
    assert value(metrics, "celery_beat_exporter_folded_task_names_total") > 0
    assert sum(values(metrics, "celery_task_in_progress", status="STARTED")) == 1


def test_permission_denied(table: psycopg.Connection, reader_url: str, exporter: Exporters) -> None:
    watcher = exporter(*FLAGS, DATABASE_URL=reader_url)
    metrics = read(watcher)
    assert source_up(metrics) == 0
    assert error(metrics, "permission") > 0
    assert not [name for name, _ in metrics if name.startswith("celery_task_")]
    table.execute("GRANT SELECT ON task_info TO reader")
    assert source_up(read(watcher)) == 1
    insert(table, count=4)
    assert result(read(watcher)) == 4
    table.execute("REVOKE SELECT ON task_info FROM reader")
    assert source_up(read(watcher)) == 0
    insert(table, count=2)
    table.execute("GRANT SELECT ON task_info TO reader")
    assert result(read(watcher)) == 6


def test_exporter_restart(
    table: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    insert(table, count=3, ended="now() - interval '100 seconds'")
    insert(table, status="FAILURE", ended="now() - interval '100 seconds'")
    insert(table, count=4, ended="now() - interval '50 minutes'")
    insert(table, status="FAILURE", count=12, ended="now() - interval '50 minutes'")
    insert(table, status="REVOKED", count=5)
    insert(table, status="FAILURE", count=50, ended="now() - interval '2 hours'")
    first = exporter(*FLAGS, DATABASE_URL=database_url)
    assert first.stop() == 0
    insert(table)
    watcher = exporter(*FLAGS, DATABASE_URL=database_url)
    metrics = watcher.metrics()
    assert ratio(metrics, "5m") == pytest.approx(4 / 5)
    assert ratio(metrics, "1h") == pytest.approx(8 / 21)
    assert results(watcher) == {}
    # Known names start at 0, so that their first increase shows.
    for status in ("SUCCESS", "FAILURE", "REVOKED"):
        assert result(metrics, status=status) == 0
    assert value(metrics, "celery_task_duration_seconds_count", task_name="a") == 0
    assert value(metrics, "celery_task_retries_total", task_name="a") == 0
    insert(table)
    metrics = read(watcher)
    assert result(metrics) == 1
    assert ratio(metrics, "5m") == pytest.approx(5 / 6)

"""Tables with long histories: what a collection reads of them does not follow their size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
from servers import wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
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

Exporters = Callable[..., Exporter]


def blocks(connection: psycopg.Connection, table: str) -> int:
    """Blocks of a table and its indexes that were read so far, by sessions that have ended."""
    return connection.execute(
        """
        SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
        FROM pg_statio_user_tables WHERE relname = %s
        """,
        (table,),
    ).fetchone()[0]


def blocks_of_one_start(
    connection: psycopg.Connection, table: str, watcher: Exporter, check: Callable[[], None]
) -> int:
    """How many blocks an exporter read that has looked once, and stops here."""
    check()
    before = blocks(connection, table)
    watcher.stop()  # its sessions tell of their reads when they end
    wait_until(lambda: blocks(connection, table) > before, SECONDS, "statistics")
    return blocks(connection, table) - before


def test_states_of_an_enumeration_and_ids_of_type_uuid(
    database: psycopg.Connection, database_url: str, exporter: Exporters, folder: Path
) -> None:
    """Indexes serve these types, too: for what is in progress, and for the tasks of two tables."""
    database.execute(
        """
        CREATE TYPE "run State" AS ENUM ('STARTED', 'done', 'FAILURE');
        CREATE TABLE runs (id uuid PRIMARY KEY, name text, state "run State", ended timestamptz);
        INSERT INTO runs
        SELECT gen_random_uuid(), 'old', 'done', now() - interval '1 day' - n * interval '1 second'
        FROM generate_series(1, 300000) AS n;
        INSERT INTO runs SELECT gen_random_uuid(), 'a', 'STARTED', NULL FROM generate_series(1, 3);
        INSERT INTO runs SELECT gen_random_uuid(), 'a', 'done', now() - interval '90 seconds'
        FROM generate_series(1, 5);
        CREATE INDEX ON runs (ended);
        CREATE INDEX ON runs (state);
        """
    )
    database.execute(celery_signals.SCHEMA)
    # Others beside one that the first table has, too.
    insert(database, ended="now() - interval '2 hours'")
    insert(database, ended="now() - interval '90 seconds'", task_ids=["no uuid"])
    database.execute(
        """
        INSERT INTO task_info (task_id, task_name, status, task_time, completed_time)
        SELECT id::text, name, 'SUCCESS', ended, ended FROM runs WHERE name = 'a' AND ended IS NOT NULL
        """
    )
    database.execute("VACUUM ANALYZE runs")
    database.execute("SELECT pg_stat_force_next_flush()")
    mapping = {"table": "runs", "id": "id", "task": "name", "status": "state", "completed": "ended"}
    watcher = exporter(
        "--collect.interval=1h",
        configuration(folder, tables=[mapping | {"states": {"done": "SUCCESS"}}]),
        DATABASE_URL=database_url,
    )

    def check() -> None:
        metrics = watcher.metrics()
        assert family(metrics, "celery_task_in_progress", "status") == {"STARTED": 3}
        assert len(log_lines(watcher, "task_info records the same tasks as runs")) == 1
        assert problems(metrics, "tasks") == {}

    assert blocks_of_one_start(database, "runs", watcher, check) < 300


def test_more_groups_than_one_result_may_hold(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """The hour before the start is read in parts then, and all of it counts."""
    database.execute(celery_signals.SCHEMA)
    database.execute(
        """
        INSERT INTO task_info (task_id, task_name, status, task_time, completed_time)
        SELECT 'n ' || n, 'task ' || n / 300, CASE n % 2 WHEN 0 THEN 'SUCCESS' ELSE 'FAILURE' END, ended, ended
        FROM generate_series(0, 149999) AS n, LATERAL (SELECT now() - n % 300 * interval '10 s' AS ended) AS moments
        """
    )
    watcher = exporter(COLLECT, "--collect.timeout=30s", DATABASE_URL=database_url)
    metrics = read(watcher)
    ratios = {
        task: ratio
        for (task, window), ratio in family(
            metrics, "celery_task_success_ratio", "task_name", "window"
        ).items()
        if window == "1h"
    }
    assert ratios == {f"task {n}": 0.5 for n in range(500)}
    insert(database, task="task 7")
    metrics = read(watcher)
    assert results(metrics) == {("task 7", "SUCCESS"): 1}
    assert problems(metrics, "tasks") == {}


def test_long_history_of_depths_without_an_index(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """It is not read, and the log has the statement that changes it."""
    database.execute(
        celery_signals.TASK_LOGS_SCHEMA
        + """
        DROP INDEX queue_stats_queue_name_recorded_at;
        INSERT INTO queue_stats (queue_name, depth, recorded_at)
        SELECT 'queue', 5, now() - n * interval '1 second' FROM generate_series(0, 299999) AS n;
        """
    )
    database.execute("VACUUM ANALYZE queue_stats")
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    assert family(read(watcher), "celery_queue_table_length", "queue_name") == {}
    [line] = log_lines(watcher, "CREATE INDEX")
    database.execute(line.partition("run: ")[2].removesuffix('"'))
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    assert family(read(watcher), "celery_queue_table_length", "queue_name") == {"queue": 5}

"""The flags --tasks.*: which names are shown, how many of them and of exceptions, windows, buckets."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
from readers_application import value
from stack import Exporter
from tables_application import COLLECT, errors, family, insert, read, results

import celery_signals  # isort: skip - tables_application knows where it is

Exporters = Callable[..., Exporter]


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

"""Tables that are known by name, as Celery, django-celery-results and the recorder fill them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from celery import Celery
from documented_commands import commands, urls
from kombu import pools
from readers_application import OLDER_PYTHON, collected, value
from servers import wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
    PREFIX,
    SECONDS,
    configuration,
    errors,
    family,
    insert,
    log_lines,
    migrated_django_results,
    problems,
    read,
    results,
    worker,
    workers,
)

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

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


def told_errors(test: str, database_url: str, task: str) -> list[str]:
    """What each command prints with which a runbook asks for the errors of a task, one a line."""
    return [
        subprocess.run(
            ["bash", "-c", f"{urls()}\n{command.replace('TASK', task)}"],
            env={**os.environ, "DATABASE_URL": database_url},
            capture_output=True,
            text=True,
            check=True,
            timeout=SECONDS,
        ).stdout
        for command in sorted(commands(f"live/test_known_tables.py::{test}"))
    ]


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
    # docs/tables.md has the same, and it is what was missing.
    (statement,) = commands("live/test_known_tables.py::test_celery_taskmeta_of_celery_5_2")
    assert line.partition("run: ")[2].removesuffix('"') == statement
    database.execute(statement)
    late = exporter(COLLECT, flag, DATABASE_URL=database_url)
    missing = family(read(late), "celery_beat_exporter_index_missing", "table", zero=True)
    assert missing == {"celery_taskmeta": 0}


def test_django_celery_results(
    database_url: str, redis_url: str, folder: Path, exporter: Exporters
) -> None:
    environment = migrated_django_results(database_url)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    send(redis_url)
    settings = {"result_backend": "django-db", "task_track_started": True, "result_extended": True}
    with worker(folder, redis_url, environment=environment, **settings):
        metrics = all_ended(watcher)
    assert_all(metrics, retries=False, durations=True)
    (told,) = told_errors("test_django_celery_results", database_url, f"{PREFIX}fail")
    assert "two" in told and " 2 |" in told, told


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
    test = "test_three_records_of_the_same_tasks"
    for told in (several := told_errors(test, database_url, f"{PREFIX}fail")):
        assert "ValueError: " in told and " 2 | 20" in told, told
    assert len(several) == 3
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


@pytest.mark.parametrize("table", ["task_results", "task_metadata"])
def test_table_beside_may_not_be_read(
    database: psycopg.Connection,
    reader_url: str,
    exporter: Exporters,
    table: str,
) -> None:
    """Only what it would tell is missing, and the log says which GRANT gives it."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    database.execute(f"REVOKE SELECT ON {table} FROM reader")
    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    # At once: an exception that comes after its task's end counts the task again.
    with database.transaction():
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

"""States of an application's own, which Celery knows nothing of: their tasks are in progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from celery import Celery
from kombu import pools
from servers import wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
    OWN,
    PREFIX,
    RUNS,
    SECONDS,
    configuration,
    family,
    insert,
    migrated_django_results,
    read,
    results,
    worker,
)

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]
TASK = f"{PREFIX}transcode"


def in_progress(metrics: Metrics) -> dict[tuple[str, str], float]:
    return family(metrics, "celery_task_in_progress", "task_name", "status")


@pytest.mark.parametrize("table", ["celery_taskmeta", "django_celery_results_taskresult"])
def test_task_that_tells_how_far_it_is(
    table: str,
    database: psycopg.Connection,
    database_url: str,
    redis_url: str,
    folder: Path,
    exporter: Exporters,
) -> None:
    """Twenty updates of one task are one task, in progress until it ends."""
    settings: dict[str, object] = {"task_track_started": True, "result_extended": True}
    environment: dict[str, str] = {}
    if table == "celery_taskmeta":
        backend = f"db+postgresql+psycopg://{database_url.partition('://')[2]}"
        settings["result_backend"] = backend
    else:
        environment = migrated_django_results(database_url)
        settings["result_backend"] = "django-db"
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    gate = folder / "gate"
    with contextlib.closing(Celery(broker=redis_url, set_as_current=False)) as app:
        app.send_task(TASK, [str(gate)])
    pools.reset()
    with worker(folder, redis_url, environment=environment, **settings):
        transcoding = {(TASK, "TRANSCODING"): 1.0}
        wait_until(
            lambda: in_progress(read(watcher)) == transcoding, SECONDS, "the state of its own"
        )
        # Both write a completion time while the task goes on, django-celery-results at each update,
        # Celery's SQLAlchemy backend at every other.
        metrics = read(watcher)
        assert (in_progress(metrics), results(metrics)) == (transcoding, {})
        gate.touch()
        wait_until(lambda: results(read(watcher)), SECONDS, "the result")
    metrics = read(watcher)
    assert (in_progress(metrics), results(metrics)) == ({}, {(TASK, "SUCCESS"): 1})


@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("table", ["task_info", "runs", "words"])
def test_states_in_all_kinds_of_tables(
    table: str,
    index: bool,
    folder: Path,
    database: psycopg.Connection,
    database_url: str,
    exporter: Exporters,
) -> None:
    """The recorder's, one of its own, and one with words of its own. A completion time tells of an
    end whatever the state is called only where there is none before it."""
    database.execute(celery_signals.SCHEMA if table == "task_info" else RUNS)
    flags = []
    if table != "task_info":
        words = {"states": {"fertig": "SUCCESS"}} if table == "words" else {}
        flags = [configuration(folder, tables=[{**OWN, **words}])]
        if index:
            database.execute("CREATE INDEX ON runs (state)")
    elif not index:
        database.execute("DROP INDEX task_info_status_task_time")
    watcher = exporter(COLLECT, *flags, DATABASE_URL=database_url)
    read(watcher)
    name = "task_info" if table == "task_info" else "runs"
    insert(database, name, "ended", "fertig" if table == "words" else "SUCCESS", count=3)
    insert(database, name, "runs", "OWN", ended=None)
    insert(database, name, "runs again", "STARTED", count=2)
    insert(database, name, "dated", "OWN")
    metrics = read(watcher)
    running = {("runs", "OWN"): 1.0, ("runs again", "STARTED"): 2.0}
    ended = {("ended", "SUCCESS"): 3.0}
    if table == "runs":
        assert (in_progress(metrics), results(metrics)) == ({**running, ("dated", "OWN"): 1}, ended)
    else:
        assert (in_progress(metrics), results(metrics)) == (
            running,
            {**ended, ("dated", "OTHER"): 1},
        )


def test_a_state_for_each_percent(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """States are as many as an application likes, series are not."""
    database.execute(celery_signals.SCHEMA)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    read(watcher)
    for percent in range(90):
        insert(database, "task_info", "a", f"{percent:02} %", ended=None)
    found = in_progress(read(watcher))
    assert (len(found), sum(found.values())) == (21, 90)
    assert found["a", "OTHER"] == 70

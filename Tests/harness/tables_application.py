"""Tasks for the tests of what the exporter reads from task tables, and what these tests share.

Workers run them in `readers_application.py`, whose setting `imports` names this module. It is the
settings of a Django site, too, for django-celery-results.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from celery import Task, chain, shared_task
from readers_application import CeleryCommand, collected
from stack import PROJECT, Exporter, write_json

if TYPE_CHECKING:
    import psycopg
    from stack import Metrics


PREFIX = "tables_application."
COLLECT = "--collect.interval=100ms"
SECONDS = 60.0  # longest wait for something that normally takes one
ids = itertools.count(1)
# Old enough that tables which have such a task in common are known to, and before the exporter.
LONG_AGO = "now() - interval '90 seconds'"

# ------------------------------------------------------------------------ settings of Django

SECRET_KEY = "of a test"
USE_TZ = True
TIME_ZONE = "UTC"
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results"]
_url = urlsplit(os.environ.get("TABLES_DATABASE_URL", ""))
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": _url.hostname,
        "PORT": _url.port,
        "NAME": _url.path.lstrip("/"),
        "USER": _url.username,
        "PASSWORD": _url.password,
    }
}


# ------------------------------------------------------------------------------------ tasks


class OutOfStock(Exception):
    """An exception of the application's own."""


@shared_task
def succeed(*_: object) -> int:
    return 1


@shared_task
def fail(message: str = "as told") -> None:
    raise ValueError(message)


@shared_task
def fail_in_turn(message: str = "none left") -> None:
    """A chain of exceptions, of which the last one counts."""
    try:
        raise KeyError("first")
    except KeyError as error:
        raise OutOfStock(message) from error


@shared_task(bind=True, max_retries=5)
def succeed_after(self: Task, retries: int) -> int:
    if self.request.retries < retries:
        raise self.retry(countdown=0)
    return self.request.retries


@shared_task
def nap(seconds: float, *_: object) -> None:
    time.sleep(seconds)


@shared_task(bind=True)
def transcode(self: Task, gate: str) -> None:
    """Tells how far it is in a state of its own, and ends when that file is there."""
    for percent in range(0, 100, 5):
        self.update_state(state="TRANSCODING", meta={"percent": percent})
    while not Path(gate).exists():
        time.sleep(0.05)


@shared_task
def step(_: object = None, seconds: float = 0.0) -> int:
    time.sleep(seconds)
    return 1


def begin(_: object = None) -> int:
    return 1


# One for each kind of pipeline, which is known by the task with which it begins.
for _case in ("chain", "failing", "waiting", "retrying", "grouped", "failing late"):
    shared_task(name=f"begin {_case}")(begin)


@shared_task(name="launch chain")
def launch_chain() -> None:
    chain(step.s(), step.s(), step.s()).delay()


@shared_task
def stumble(_: object = None) -> None:
    raise OutOfStock("at this step")


# ----------------------------------------------------------------------- what tests share


@contextlib.contextmanager
def worker(
    folder: Path,
    broker_url: str,
    *,
    name: str = "worker",
    python: Path | str = sys.executable,
    database_url: str | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Iterator[CeleryCommand]:
    """A worker with these settings of Celery, killed at the end."""
    process = CeleryCommand(
        name,
        folder,
        ["worker", "-n", f"{name}@%h", "--loglevel", "info", "--concurrency", "2"],
        " ready.",
        settings={"broker_url": broker_url, "imports": ["tables_application"], **settings},
        database_url=database_url,
        python=python,
        environment=environment or {},
    )
    process.start()
    try:
        yield process
    finally:
        print(process.log_tail())  # shown when the test has failed
        process.kill()


def migrated_django_results(database_url: str) -> dict[str, str]:
    """Makes the tables of django-celery-results; the environment of a worker that uses them."""
    environment = {
        "DJANGO_SETTINGS_MODULE": "tables_application",
        "TABLES_DATABASE_URL": database_url,
    }
    folders = [Path(__file__).resolve().parent, PROJECT / "recorder"]
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(map(str, folders))},
        check=True,
        timeout=5 * SECONDS,
    )
    return environment


def configuration(folder: Path, **settings: Any) -> str:
    """The flag for a configuration file with these settings."""
    path = folder / "exporter.yml"
    write_json(path, settings)
    return f"--config.file={path}"


def read(exporter: Exporter) -> Metrics:
    return collected(exporter, "tasks")


def family(
    metrics: Metrics, name: str, *names_of_labels: str, zero: bool = False, **wanted: str
) -> dict[Any, float]:
    """A family's samples by these labels (one alone, or a tuple), those with 0 only if asked for."""
    found = {}
    for (sample, labels), number in metrics.items():
        own = dict(labels)
        if sample == name and wanted.items() <= own.items() and (number or zero):
            key = tuple(own[label] for label in names_of_labels)
            found[key[0] if len(key) == 1 else key] = number
    return found


def results(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Ended tasks by name and state, where there are any."""
    return family(metrics, "celery_task_results_total", "task_name", "status")


def errors(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Failures by task and exception, where there are any."""
    return family(metrics, "celery_task_errors_total", "task_name", "exception")


def problems(metrics: Metrics, collector: str) -> dict[str, float]:
    """Errors of a collector by reason, where there are any."""
    name = "celery_beat_exporter_collector_errors_total"
    return family(metrics, name, "reason", collector=collector)


# Families, by what they tell of a worker.
WORKERS = {
    "status": "celery_worker_table_status",
    "heartbeat": "celery_worker_table_heartbeat_timestamp_seconds",
    "active": "celery_worker_table_active_tasks",
    "processed": "celery_worker_table_processed_tasks",
    "failed": "celery_worker_table_failed_tasks",
}


def workers(metrics: Metrics) -> dict[str, dict[str, float]]:
    """What worker_status tells of workers, by the names of WORKERS and by worker."""
    return {
        name: family(metrics, sample, "worker_name", zero=True) for name, sample in WORKERS.items()
    }


def queues(metrics: Metrics) -> tuple[dict[str, float], dict[str, float]]:
    """What queue_stats tells by queue: lengths, and when they were recorded."""
    return (
        family(metrics, "celery_queue_table_length", "queue_name", zero=True),
        family(metrics, "celery_queue_table_recorded_timestamp_seconds", "queue_name"),
    )


def log_lines(exporter: Exporter, words: str) -> list[str]:
    return [line for line in exporter.log.read_text().splitlines() if words in line]


# A table of one's own, as SQL and as the configuration file maps it.
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

# What the tests write by hand is written as in these columns.
COLUMNS = {
    "task_info": ("task_id", "task_name", "status", "task_time", "completed_time"),
    "task_logs": ("task_id", "task_name", "status", "started_at", "completed_at"),
    "runs": ("id", "name", "state", "began", "ended"),
}


def insert(
    connection: psycopg.Connection,
    table: str = "task_info",
    task: str = "a",
    status: str = "SUCCESS",
    *,
    count: int = 1,
    ended: str | None = "now()",
    task_ids: list[str] | None = None,
) -> list[str]:
    """Tasks that took a second and ended at that SQL expression; their ids."""
    task_ids = task_ids or [f"by hand {next(ids)}" for _ in range(count)]
    columns = [*COLUMNS[table], *(["created_at"] if table == "task_logs" else [])]
    started = f"{ended or 'now()'} - interval '1 second'"
    values = ["id", "%s", "%s", started, ended or "NULL", started]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)})"
        f" SELECT {', '.join(values[: len(columns)])} FROM unnest(%s::text[]) AS id",
        (task, status, task_ids),
    )
    return task_ids

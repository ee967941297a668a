"""A role of PostgreSQL with the rights that docs/security.md gives it, and no others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import celery_signals
import psycopg
import pytest
from contents import fill_database
from django_beats import FLAGS, KEPT, Site, instances_are, up_is
from documented_commands import commands
from readers_application import collected, value
from stack import PROJECT, Exporter

if TYPE_CHECKING:
    from stack import Metrics

PAGE = (PROJECT / "docs" / "security.md").read_text()
(SQL,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TABLES = dict(re.findall(r"^\| ([^|]+) \| (`\w[^|]*`) \|$", PAGE, re.MULTILINE))

STORE = """
import os

import django
from celery import Celery
from celery.app.task import Context

django.setup()
if os.environ["BACKEND"] == "django-db":
    django.core.management.call_command("migrate", verbosity=0)
app = Celery("shop", backend=os.environ["BACKEND"])
app.conf.result_extended = True
app.backend.store_result("1", None, "SUCCESS", request=Context(task="shop.count", args=(), kwargs={}))
"""


@pytest.fixture
def role_url(database: psycopg.Connection, database_url: str) -> str:
    """The same database for the page's role, which may read nothing yet."""
    create, *_ = SQL.split(";")
    database.execute(create)
    yield f"postgresql://exporter:password@{database_url.rpartition('@')[2]}"
    database.execute("DROP OWNED BY exporter; DROP ROLE exporter")


def test_rights_on_the_recorders_tables(
    database: psycopg.Connection,
    database_url: str,
    role_url: str,
    exporter: Callable[..., Exporter],
) -> None:
    fill_database(database_url)
    database.execute(SQL.partition(";")[2])
    one = exporter("--collect.interval=200ms", DATABASE_URL=role_url)
    assert refused(collected(one, "tasks"), "tasks") == 0

    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    for tables in re.findall("`([^`]+)`", TABLES["the recorder"])[1:]:
        database.execute(f"GRANT SELECT ON {tables} TO exporter")
    two = exporter("--collect.interval=200ms", DATABASE_URL=role_url)
    for collector in ("tasks", "pipelines", "workers"):
        assert refused(collected(two, collector), collector) == 0


@pytest.mark.parametrize(
    ("row", "backend"),
    [("Celery's result backend", "database"), ("django-celery-results", "django-db")],
)
def test_rights_on_a_table_of_results(
    database: psycopg.Connection,
    database_url: str,
    role_url: str,
    exporter: Callable[..., Exporter],
    folder: Path,
    row: str,
    backend: str,
) -> None:
    """The table is made by the package itself, as is the row in it."""
    (folder / "store.py").write_text(STORE)
    environment = {
        "DJANGO_SETTINGS_MODULE": "tables_application",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TABLES_DATABASE_URL": database_url,
        "BACKEND": f"db+postgresql+psycopg://{database_url.partition('://')[2]}"
        if backend == "database"
        else backend,
    }
    subprocess.run(
        [sys.executable, folder / "store.py"],
        env={**os.environ, **environment},
        check=True,
        timeout=300,
    )
    one = exporter("--collect.interval=200ms", DATABASE_URL=role_url)
    errors = "celery_beat_exporter_collector_errors_total"
    assert value(collected(one, "tasks"), errors, collector="tasks", reason="permission") > 0

    database.execute(f"GRANT SELECT ON {TABLES[row].strip('`')} TO exporter")
    two = exporter("--collect.interval=200ms", DATABASE_URL=role_url)
    metrics = collected(two, "tasks")
    assert refused(metrics, "tasks") == 0
    assert value(metrics, "celery_task_success_ratio", task_name="shop.count", window="5m") == 1


def test_rights_on_django_celery_beats_tables(
    database: psycopg.Connection, site: Site, role_url: str, exporter: Callable[..., Exporter]
) -> None:
    database.execute(f"GRANT SELECT ON {TABLES['django-celery-beat'].strip('`')} TO exporter")
    one = exporter("--collect.interval=200ms", "--beat.scheduler=django", DATABASE_URL=role_url)
    metrics = collected(one, "django")

    assert refused(metrics, "django") == 0
    assert value(metrics, "celery_beat_schedule_entries", scheduler="django") == 0


def test_right_to_see_sessions(
    database: psycopg.Connection, site: Site, role_url: str, exporter: Callable[..., Exporter]
) -> None:
    """Without it beats are not counted."""
    (statement,) = commands("live/test_security_documentation.py::test_right_to_see_sessions")
    tables = TABLES["django-celery-beat"].strip("`")
    database.execute(f"GRANT SELECT ON {tables} TO exporter")
    site.beat(connection_seconds=KEPT)
    one = exporter(*FLAGS, DATABASE_URL=role_url)
    assert value(up_is(one, 1), "celery_beat_instances", scheduler="django") is None

    database.execute(statement)
    instances_are(one, 1)


def refused(metrics: Metrics, collector: str) -> float:
    """How often a right was missing; the collector works."""
    success = "celery_beat_exporter_collector_success"
    assert value(metrics, success, collector=collector) == 1
    errors = "celery_beat_exporter_collector_errors_total"
    return value(metrics, errors, collector=collector, reason="permission")

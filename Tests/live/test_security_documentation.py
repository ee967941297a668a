"""A role of PostgreSQL with the rights that docs/security.md gives it, and no others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import celery_signals
import psycopg
import pytest
from contents import fill_database
from django_beats import Site
from readers_application import collected, value
from stack import PROJECT, Exporter

if TYPE_CHECKING:
    from stack import Metrics

PAGE = (PROJECT / "docs" / "security.md").read_text()
(SQL,) = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
TABLES = dict(re.findall(r"^\| ([^|]+) \| (`\w[^|]*`) \|$", PAGE, re.MULTILINE))


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


def test_rights_on_django_celery_beats_tables(
    database: psycopg.Connection, site: Site, role_url: str, exporter: Callable[..., Exporter]
) -> None:
    database.execute(f"GRANT SELECT ON {TABLES['django-celery-beat'].strip('`')} TO exporter")
    one = exporter("--collect.interval=200ms", "--beat.scheduler=django", DATABASE_URL=role_url)
    metrics = collected(one, "django")

    assert refused(metrics, "django") == 0
    assert value(metrics, "celery_beat_schedule_entries", scheduler="django") == 0


def refused(metrics: Metrics, collector: str) -> float:
    """How often a right was missing; the collector works."""
    success = "celery_beat_exporter_collector_success"
    assert value(metrics, success, collector=collector) == 1
    errors = "celery_beat_exporter_collector_errors_total"
    return value(metrics, errors, collector=collector, reason="permission")

"""What writers put into tables and Redis has any size; the exporter's memory and answers do not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis
from contents import fill_redis
from readers_application import collected
from servers import PostgresServer
from stack import Exporter
from tables_application import configuration, problems

import celery_signals  # isort: skip - tables_application knows where it is

Exporters = Callable[..., Exporter]

FEW = "--collect.interval=200ms"
PATIENT = "--collect.timeout=50s"
LARGEST_GROWTH = 64 << 20  # bytes above what an idle exporter has, at the most
LARGEST_ANSWER = 32 << 20
LABEL_BYTES = 800
MARKS = "e" + "\u0301" * 250_000  # one character

DJANGO = """
    CREATE TABLE django_celery_beat_periodictasks (ident integer, last_update timestamptz);
    CREATE TABLE django_celery_beat_intervalschedule (id integer, every integer, period text);
    CREATE TABLE django_celery_beat_crontabschedule (
        id integer, minute text, hour text, day_of_week text, day_of_month text,
        month_of_year text, timezone text
    );
    CREATE TABLE django_celery_beat_clockedschedule (id integer, clocked_time timestamptz);
    CREATE TABLE django_celery_beat_periodictask (
        name text, task text, enabled boolean, queue text, last_run_at timestamptz,
        total_run_count integer, date_changed timestamptz, start_time timestamptz,
        expires timestamptz, one_off boolean, interval_id integer, crontab_id integer,
        clocked_id integer, solar_id integer
    );
"""
TASKS = (
    "INSERT INTO task_info (task_id, task_name, status, task_time, completed_time, {}) SELECT {}"
)

# Each with the collector that reads it, and the reasons it may give.
SIZES = {
    "a million bytes of a worker's status": (
        "workers",
        set(),
        celery_signals.TASK_LOGS_SCHEMA
        + """
        ALTER TABLE worker_status ALTER status TYPE text, ALTER worker_name TYPE text;
        INSERT INTO worker_status (worker_name, status, active_tasks, processed_tasks,
            failed_tasks, last_heartbeat)
        SELECT repeat('n', 2000) || n, repeat('s', 1000000), 0, 0, 0, now() FROM generate_series(1, 1000) AS n
        """,
    ),
    "depths and names of queues": (
        "workers",
        set(),
        """
        CREATE TABLE queue_stats (queue_name text, depth numeric, recorded_at timestamptz);
        INSERT INTO queue_stats
        SELECT n || repeat('😀', 100000), 10::numeric ^ 100000, now() FROM generate_series(1, 50) AS n
        """,
    ),
    "periodic tasks of 300 kB": (
        "django",
        {"malformed"},
        DJANGO
        + """
        INSERT INTO django_celery_beat_periodictask (name, task, enabled, queue, one_off)
        SELECT n || repeat('n', 300000), repeat('t', 300000), true, repeat('q', 300000), false
        FROM generate_series(1, 1000) AS n
        """,
    ),
    "periodic tasks with large schedules": (
        "django",
        {"malformed", "time_zone", "over_limit"},
        DJANGO
        + """
        INSERT INTO django_celery_beat_crontabschedule SELECT 1, m, m, m, m, m, m
        FROM repeat('*,', 5000) AS m;
        INSERT INTO django_celery_beat_periodictask (name, task, enabled, queue, one_off, crontab_id)
        SELECT n || repeat('😀', 250), repeat('😀', 250), true, repeat('😀', 250), false, 1
        FROM generate_series(1, 6000) AS n
        """,
    ),
    "ended tasks of as many names": (
        "tasks",
        set(),
        celery_signals.SCHEMA
        + TASKS.format(
            "error_message",
            """
            n, n || repeat('😀', 250), 'FAILURE', now() - n * interval '10 ms', now(),
                'E' || n || repeat('e', 100000)
            FROM generate_series(1, 30000) AS n
            """,
        ),
    ),
    "ended tasks of as many exceptions": (
        "tasks",
        set(),
        celery_signals.SCHEMA
        + TASKS.format(
            "error_message",
            """
            n, 'a', 'FAILURE', now(), now() - n % 20 * interval '1 s', 'E' || n || ': x'
            FROM generate_series(1, 300000) AS n
            """,
        ),
    ),
    "tasks in progress": (
        "tasks",
        {"over_limit"},
        celery_signals.SCHEMA
        + "DROP INDEX task_info_status_task_time;"
        + "ALTER TABLE task_info ALTER status TYPE text;"
        + TASKS.format(
            "error_message",
            "n, n || repeat('😀', 250), n || repeat('s', 2000), now(), NULL, NULL"
            " FROM generate_series(1, 120000) AS n",
        ),
    ),
    "pipelines": (
        "pipelines",
        {"over_limit"},
        celery_signals.SCHEMA
        + TASKS.format(
            "root_task_id, chain_total",
            """
            n || repeat('i', 150), n || repeat('😀', 250), 'SUCCESS', now(), now(),
                n % 30000 || repeat('r', 200), 100
            FROM generate_series(1, 60000) AS n
            """,
        ),
    ),
    "numbers of digits without end": (
        "tasks",
        set(),
        celery_signals.SCHEMA
        + "ALTER TABLE task_info ALTER retry_count TYPE numeric, ALTER chain_total TYPE numeric;"
        + TASKS.format(
            "retry_count, root_task_id, chain_total",
            """
            n, 'a' || n, 'SUCCESS', now(), now(), 1 + 10::numeric ^ -16000, n, 10::numeric ^ 100000
            FROM generate_series(1, 5000) AS n
            """,
        ),
    ),
}


def resident(exporter: Exporter, kind: str) -> int:
    """Bytes of memory: now (VmRSS) or at the most so far (VmHWM)."""
    text = Path(f"/proc/{exporter.pid}/status").read_text()
    return int(re.search(rf"{kind}:\s+(\d+)", text)[1]) * 1024


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory, shared_postgres: PostgresServer) -> int:
    """Bytes of an exporter that has looked at an empty database."""
    folder = tmp_path_factory.mktemp("idle")
    environment = {"DATABASE_URL": shared_postgres.url}
    with Exporter(folder, "--collect.interval=100ms", environment=environment) as one:
        for collector in ("tasks", "workers", "django"):
            collected(one, collector)
        return resident(one, "VmRSS")


@pytest.mark.parametrize("size", SIZES)
def test_memory_and_answers_are_bounded(
    database: psycopg.Connection, database_url: str, exporter: Exporters, idle: int, size: str
) -> None:
    collector, reasons, make = SIZES[size]
    for statement in filter(str.strip, make.split(";\n")):
        database.execute(statement)
    one = exporter(FEW, PATIENT, DATABASE_URL=database_url)
    for _ in range(2):
        metrics = collected(one, collector)
    growth = resident(one, "VmHWM") - idle
    print(f"{size}: {growth >> 20} MB above {idle >> 20} MB")
    assert growth < LARGEST_GROWTH
    assert problems(metrics, collector).keys() <= reasons
    assert len(one.text().encode()) < LARGEST_ANSWER
    longest = max(len(value.encode()) for _, labels in metrics for _, value in labels)
    assert longest <= LABEL_BYTES


def test_a_view_that_shows_others_each_time(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters, idle: int
) -> None:
    """Times, names and exceptions: nothing of what was not asked for is kept."""
    database.execute("""
        CREATE VIEW runs AS SELECT
            random()::text AS name, 'FAILURE' AS state, 'E' || (random() * 1e9)::integer AS error,
            to_timestamp(extract(epoch FROM now()) + (random() - 0.5) * 1e6) AS ended
        FROM generate_series(1, 20000)
    """)
    runs = {
        "table": "runs",
        "task": "name",
        "status": "state",
        "error": "error",
        "completed": "ended",
    }
    flag = configuration(folder, tables=[runs])
    one = exporter("--collect.interval=100ms", PATIENT, flag, DATABASE_URL=database_url)
    sizes = []
    for _ in range(30):
        assert problems(collected(one, "tasks"), "tasks") == {}
        sizes.append(resident(one, "VmRSS"))
    print(f"{[(size - idle) >> 20 for size in sizes]} MB above {idle >> 20} MB")
    assert max(sizes) - idle < LARGEST_GROWTH
    assert max(sizes[20:]) - max(sizes[10:20]) < 4 << 20


def test_one_character_of_half_a_megabyte(
    client: redis.Redis,
    redis_url: str,
    database: psycopg.Connection,
    database_url: str,
    exporter: Exporters,
    idle: int,
) -> None:
    """Wherever a name comes from, its label is cut by bytes."""
    fill_redis(redis_url, [MARKS])
    database.execute(celery_signals.SCHEMA + celery_signals.TASK_LOGS_SCHEMA + DJANGO)
    database.execute("ALTER TABLE task_info ALTER task_name TYPE text")
    database.execute(
        "ALTER TABLE worker_status DROP CONSTRAINT worker_status_pkey, ALTER worker_name TYPE text"
    )
    database.execute("INSERT INTO worker_status VALUES (%s, 'ONLINE', 0, 0, 0, now())", [MARKS])
    database.execute(
        "INSERT INTO task_info (task_id, task_name, status, task_time, completed_time)"
        " VALUES ('1', %s, 'SUCCESS', now(), now())",
        [MARKS],
    )
    one = exporter(FEW, CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)
    metrics = collected(one, "redbeat")
    values = {value for _, labels in metrics for _, value in labels}
    marked = {value for value in values if value.startswith("e\u0301")}
    assert marked
    assert {len(value.encode()) for value in marked} <= {399, 401, 799}
    assert len(one.text().encode()) < 1 << 20

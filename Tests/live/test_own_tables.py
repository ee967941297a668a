"""Tables of one's own, which the configuration file maps: their names, columns, types and faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import psycopg
import pytest
from readers_application import collected, value
from servers import PostgresServer, wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
    OWN,
    RUNS,
    SECONDS,
    configuration,
    errors,
    family,
    insert,
    log_lines,
    problems,
    read,
    results,
)

import celery_signals  # isort: skip - tables_application knows where it is

Exporters = Callable[..., Exporter]

EPOCHS = {
    "double precision": "extract(epoch FROM now())",
    "numeric": "extract(epoch FROM now())",
    "bigint": "extract(epoch FROM now())::bigint",
    "integer": "extract(epoch FROM now())::integer",
    "timestamp": "(now() AT TIME ZONE 'Asia/Kolkata')",
    "timestamptz": "now()",
}


def test_own_table(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """In a schema, with capitals, quotes and blanks in its names, own words for states."""
    database.execute("""
        CREATE SCHEMA "Jobs";
        CREATE TYPE "Jobs".state AS ENUM ('geplant', 'läuft', 'fertig', 'kaputt', 'RETRY');
        CREATE TABLE "Jobs"."Task ""Runs"" now" (
            "Id" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Task Name" text,
            "It's" "Jobs".state, "Began" numeric, "Ended At" double precision, "Tries" smallint,
            "Fehler" text
        );
    """)
    name = '"Jobs"."Task ""Runs"" now"'
    mapping = {
        "table": name,
        "id": "Id",
        "task": "Task Name",
        "status": "It's",
        "started": "Began",
        "completed": "Ended At",
        "retries": "Tries",
        "error": "Fehler",
        "states": {
            "geplant": "PENDING",
            "läuft": "STARTED",
            "fertig": "SUCCESS",
            "kaputt": "FAILURE",
        },
    }
    flag = configuration(folder, tables=[mapping])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    missing = family(watcher.metrics(), "celery_beat_exporter_index_missing", "table", zero=True)
    assert missing == {name: 1}
    # The statement in the log can be run as it stands.
    [line] = log_lines(watcher, "CREATE INDEX")
    statement = line.partition("run: ")[2].removesuffix('"').replace('\\"', '"')
    database.execute(statement)
    database.execute(
        f"""
        INSERT INTO {name} ("Task Name", "It's", "Began", "Ended At", "Tries", "Fehler")
        SELECT task, state::"Jobs".state, at - 4, CASE WHEN has_ended THEN at END, tries, error
        FROM extract(epoch FROM now()) AS at, (VALUES
            ('Größe', 'fertig', true, 2, NULL), ('Größe', 'fertig', true, NULL, NULL),
            ('Größe', 'kaputt', true, 1, 'MengeError: zu groß'), ('Größe', 'läuft', false, 0, NULL),
            ('Größe', 'geplant', false, 0, NULL), ('Größe', 'RETRY', false, 1, 'MengeError: x')
        ) AS rows (task, state, has_ended, tries, error)
        """
    )
    metrics = read(watcher)
    assert results(metrics) == {("Größe", "SUCCESS"): 2, ("Größe", "FAILURE"): 1}
    assert errors(metrics) == {("Größe", "MengeError"): 1}
    assert family(metrics, "celery_task_retries_total", "task_name") == {"Größe": 3}
    assert family(metrics, "celery_task_in_progress", "status") == {
        "PENDING": 1,
        "STARTED": 1,
        "RETRY": 1,
    }
    assert value(metrics, "celery_task_duration_seconds_sum") == pytest.approx(12)
    assert value(metrics, "celery_task_success_ratio", window="5m") == pytest.approx(2 / 3)
    again = exporter(COLLECT, flag, DATABASE_URL=database_url)
    assert value(again.metrics(), "celery_beat_exporter_index_missing", table=name) == 0


def test_partitioned_table(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """No index can be made concurrently on it: the statement in the log does without."""
    database.execute("""
        CREATE TABLE runs (id text, name text, state text, began timestamptz, ended timestamptz)
            PARTITION BY HASH (id);
        CREATE TABLE runs_0 PARTITION OF runs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE runs_1 PARTITION OF runs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    """)
    watcher = exporter(COLLECT, configuration(folder, tables=[OWN]), DATABASE_URL=database_url)
    insert(database, "runs", count=10)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 10}
    assert value(metrics, "celery_beat_exporter_index_missing", table="runs") == 1
    [line] = log_lines(watcher, "CREATE INDEX")
    database.execute(line.partition("run: ")[2].removesuffix('"'))
    again = exporter(COLLECT, configuration(folder, tables=[OWN]), DATABASE_URL=database_url)
    assert value(again.metrics(), "celery_beat_exporter_index_missing", table="runs") == 0


def test_view(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """It is read as a table is, but for what is in progress, since its size is not known; indexes
    are the affair of what is below it."""
    database.execute(
        RUNS + "CREATE VIEW seen AS SELECT id, upper(name) AS name, state, began, ended FROM runs"
    )
    flag = configuration(folder, tables=[{**OWN, "table": "seen"}])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    insert(database, "runs", count=2)
    insert(database, "runs", status="STARTED", ended=None)
    metrics = read(watcher)
    assert results(metrics) == {("A", "SUCCESS"): 2}
    assert family(metrics, "celery_task_in_progress", "task_name", zero=True) == {}
    assert not log_lines(watcher, "CREATE INDEX")


def test_database_without_an_encoding(shared_postgres: PostgresServer, exporter: Exporters) -> None:
    """SQL_ASCII takes any bytes; /metrics is UTF-8 all the same."""
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS raw WITH (FORCE)")
        connection.execute("CREATE DATABASE raw ENCODING 'SQL_ASCII' TEMPLATE template0")
    url = f"{shared_postgres.url.rpartition('/')[0]}/raw"
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(celery_signals.SCHEMA)
        watcher = exporter(COLLECT, DATABASE_URL=url)
        database.execute(
            rb"""
            INSERT INTO task_info
                (task_id, task_name, status, task_time, completed_time, error_message)
            VALUES
                ('1', E'caf\xe9', 'FAILURE', now(), now(), E'Error\xff: x'),
                ('2', E'caf\xe8', 'FAILURE', now(), now(), E'\xff\xff'),
                ('3', 'ok', E'\xfe', now(), now(), NULL)
            """
        )
        metrics = read(watcher)
    assert results(metrics) == {("caf\ufffd", "FAILURE"): 2, ("ok", "OTHER"): 1}
    assert errors(metrics) == {("caf\ufffd", "unknown"): 2}


def own_tables(types: Iterable[str], zone: str) -> list[dict[str, str]]:
    """A table for each type of times, `runs_0` and so on, whose tasks have no ids."""
    columns = {name: column for name, column in OWN.items() if name != "id"}
    return [{**columns, "table": f"runs_{n}", "zone": zone} for n, _ in enumerate(types)]


def test_types_of_times(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Each is counted right, and the history behind an index is left alone."""
    for number, (type_of_time, now) in enumerate(EPOCHS.items()):
        day = "interval '1 day'" if type_of_time.startswith("timestamp") else "86400"
        database.execute(f"""
            CREATE TABLE runs_{number} (
                name text, state text, began {type_of_time}, ended {type_of_time}
            );
            INSERT INTO runs_{number}
            SELECT 'old', 'SUCCESS', {now} - {day} * n, {now} - {day} * n
            FROM generate_series(1, 20000) AS n;
            CREATE INDEX ON runs_{number} (ended);
            CREATE INDEX ON runs_{number} (state);
            ANALYZE runs_{number};
        """)

    def scans() -> list[tuple[str, int, int]]:
        """Index scans of each table, and rows that scans of the whole have read."""
        return database.execute("""
            SELECT relname, idx_scan, seq_tup_read FROM pg_stat_user_tables ORDER BY 1
        """).fetchall()

    database.execute("SELECT pg_stat_force_next_flush()")
    before = scans()
    flag = configuration(folder, tables=own_tables(EPOCHS, "Asia/Kolkata"))
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    for number, (type_of_time, now) in enumerate(EPOCHS.items()):
        database.execute(
            f"INSERT INTO runs_{number} VALUES ('{type_of_time}', 'SUCCESS', {now}, {now})"
        )
    metrics = read(watcher)
    assert results(metrics) == {(type_of_time, "SUCCESS"): 1 for type_of_time in EPOCHS}
    counts = family(metrics, "celery_task_duration_seconds_count", "task_name")
    assert counts == dict.fromkeys(EPOCHS, 1)
    watcher.stop()  # the sessions tell of their scans when they end
    wait_until(
        lambda: all(now[1] > then[1] for now, then in zip(scans(), before, strict=True)),
        SECONDS,
        "statistics",
    )
    assert [(table, rows) for table, _, rows in scans()] == [
        (table, rows) for table, _, rows in before
    ]


BEYOND_REASON = {
    "double precision": ["'infinity'", "'-infinity'", "'nan'", "1e300", "-1e300", "1e15"],
    "numeric": ["'nan'", "1e100", "-1e100", "9e12"],
    "bigint": ["9223372036854775807", "-9223372036854775808", "1795275000000"],
    "timestamp": ["'infinity'", "'294276-12-31 23:59:59'", "'4713-01-01 00:00:00 BC'"],
}


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/New_York"])
def test_times_beyond_reason(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters, zone: str
) -> None:
    """A row spoils no more than its own duration, or itself."""
    flag = configuration(folder, tables=own_tables(BEYOND_REASON, zone))
    for number, type_of_time in enumerate(BEYOND_REASON):
        database.execute(f"""
            CREATE TABLE runs_{number} (
                name text, state text, began {type_of_time}, ended {type_of_time}
            );
            CREATE INDEX ON runs_{number} (ended);
        """)
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    for number, (type_of_time, moments) in enumerate(BEYOND_REASON.items()):
        now = EPOCHS[type_of_time].replace("Asia/Kolkata", zone)
        rows = [("right", now, now)]
        for moment in moments:
            rows += [("right", moment, now), ("wrong", now, moment), ("wrong", moment, moment)]
        for name, began, ended in rows:
            database.execute(
                f"INSERT INTO runs_{number} VALUES"
                f" ('{name} {type_of_time}', 'SUCCESS', {began}, {ended})"
            )
    metrics = read(watcher)
    assert results(metrics) == {
        (f"right {type_of_time}", "SUCCESS"): len(moments) + 1
        for type_of_time, moments in BEYOND_REASON.items()
    }
    assert problems(metrics, "tasks") == {}
    assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1


def test_optional_columns_of_other_types(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Only what they would tell is missing, and the log says so."""
    odd = {"retries": "text", "started": "date", "chain_total": "boolean"}
    columns = ", ".join(f"ADD odd_{name} {kind}" for name, kind in odd.items())
    database.execute(
        RUNS + f"ALTER TABLE runs {columns}, ADD root text; CREATE INDEX ON runs (root)"
    )
    mapping = {**OWN, "root": "root", **{name: f"odd_{name}" for name in odd}}
    flag = configuration(folder, tables=[mapping])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    task_ids = insert(database, "runs", count=2)
    database.execute("UPDATE runs SET root = %s", (task_ids[0],))
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 2}
    names = {name for name, _ in metrics}
    assert names.isdisjoint({"celery_task_retries_total", "celery_task_duration_seconds_count"})
    assert value(metrics, "celery_beat_exporter_source_up", source="database") == 1
    for name, kind in odd.items():
        assert log_lines(watcher, f"column odd_{name} of table runs is {kind}")
    pipelines = collected(watcher, "pipelines")
    assert value(pipelines, "celery_pipelines_in_progress", root_task_name="a") == 1


@pytest.mark.parametrize("table", ["two words", "a.b.c.d", 'half"quoted', "."])
def test_names_of_no_table(folder: Path, database_url: str, table: str) -> None:
    """Refused at the start, by file and line."""
    flag = configuration(folder, tables=[{**OWN, "table": table}])
    refused = Exporter(folder, flag, environment={"DATABASE_URL": database_url})
    with pytest.raises(TimeoutError, match="it ended with status 2"):
        refused.start()
    assert f'exporter.yml:3: "{table}" is no name of a table' in refused.log.read_text()


def test_own_tables_that_are_not_there(
    folder: Path, database: psycopg.Connection, reader_url: str, exporter: Exporters
) -> None:
    """Tables that do not exist, or whose schema is closed, are missed and leave the others."""
    database.execute(celery_signals.SCHEMA)
    database.execute("CREATE SCHEMA hidden; CREATE TABLE hidden.runs (state text)")
    database.execute("GRANT SELECT ON task_info TO reader")
    missing = ["hidden.runs", "hidden.nothing", "nowhere.runs", "nothing"]
    flag = configuration(folder, tables=[{**OWN, "table": table} for table in missing])
    watcher = exporter(COLLECT, flag, DATABASE_URL=reader_url)
    insert(database)
    metrics = read(watcher)
    assert results(metrics) == {("a", "SUCCESS"): 1}
    for table in missing:
        assert log_lines(watcher, f"{table} ")
    assert log_lines(watcher, "GRANT USAGE ON SCHEMA hidden TO reader")
    assert problems(metrics, "tasks").keys() == {"permission", "malformed"}

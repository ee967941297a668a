"""A role that may make relations and no more tries to run its code with the exporter's rights.

Every attempt calls `spy()`, which returns what only the exporter may read, as a name that a metric
would show, and leaves a line in the server's log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from checks import check
from contents import fill_database
from readers_application import collected
from servers import PostgresServer, wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
    SECONDS,
    configuration,
    log_lines,
    problems,
    read,
    results,
)

Exporters = Callable[..., Exporter]

SECRET = "s3cr3tMARK"
# What others may do by default or are granted often: everything here but a right to the secret.
SPY = """
    CREATE FUNCTION public.spy() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        IF session_user <> 'reader' THEN RETURN 'SUCCESS'; END IF;
        RAISE WARNING 'spied by %', session_user;
        RETURN (SELECT value FROM public.secret);
    END $$;
"""
COLUMNS = """
    task_id text, task_name text, status text, completed_time timestamptz, task_time timestamptz,
    retry_count integer, error_message text, traceback text, root_task_id text, chain_total integer
"""
ROW = "'1', 'a', 'SUCCESS', now(), now(), 0, '', '', '1', 1"
TABLE = f"CREATE TABLE public.task_info ({COLUMNS}); INSERT INTO public.task_info VALUES ({ROW});"
VIEW = """
    SELECT '1' AS task_id, public.spy() AS task_name, 'SUCCESS' AS status, now() AS completed_time,
        now() AS task_time, 0 AS retry_count
"""
STATE = """
    CREATE TYPE public.state AS ENUM ('SUCCESS', 'STARTED');
    CREATE FUNCTION public.spy_state(public.state) RETURNS text LANGUAGE sql AS 'SELECT public.spy()';
    CREATE CAST (public.state AS text) WITH FUNCTION public.spy_state AS IMPLICIT;
"""
MOMENT = """
    CREATE TYPE public.moment AS (at text);
    CREATE FUNCTION public.spy_moment(public.moment) RETURNS timestamptz LANGUAGE sql
        AS 'SELECT now() WHERE public.spy() IS NOT NULL';
    CREATE CAST (public.moment AS timestamptz) WITH FUNCTION public.spy_moment AS IMPLICIT;
"""
SHADOWS = """
    CREATE FUNCTION public.left(varchar, integer) RETURNS text LANGUAGE sql AS 'SELECT public.spy()';
    CREATE FUNCTION public.floor(numeric) RETURNS numeric LANGUAGE sql
        AS 'SELECT 1.0 WHERE public.spy() IS NOT NULL';
    CREATE FUNCTION public.spy_equal(varchar, varchar) RETURNS boolean LANGUAGE sql
        AS 'SELECT public.spy() IS NOT NULL';
    CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = public.spy_equal);
    CREATE FUNCTION public.spy_text(text, text) RETURNS boolean LANGUAGE sql
        AS 'SELECT public.spy() IS NOT NULL';
    CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.spy_text);
"""
PARTED = TABLE.replace(
    ");", ", part integer DEFAULT 0) PARTITION BY RANGE ((part + length(public.spy())));", 1
).replace("INSERT", "CREATE TABLE public.rest PARTITION OF public.task_info DEFAULT; INSERT")

# The kinds of attempts, and what is said of each; None where the table is read all the same.
ATTEMPTS = {
    "a view": (f"CREATE VIEW public.task_info AS {VIEW}", "is a view"),
    "a materialized view": (
        f"CREATE MATERIALIZED VIEW public.task_info AS {VIEW.replace('public.spy()', repr('a'))}",
        "is a materialized view",
    ),
    "a policy": (
        (
            f"{TABLE} ALTER TABLE public.task_info ENABLE ROW LEVEL SECURITY;"
            " CREATE POLICY p ON public.task_info USING (public.spy() IS NOT NULL)"
        ),
        "has a row-security policy",
    ),
    "an index": (f"{TABLE} CREATE INDEX ON public.task_info (public.spy())", "has an index"),
    "an index of some": (
        f"{TABLE} CREATE INDEX ON public.task_info (status) WHERE public.spy() <> ''",
        "has an index",
    ),
    "statistics": (
        f"{TABLE} CREATE STATISTICS public.s ON (public.spy()), task_id FROM public.task_info",
        "has an index",
    ),
    "a child": (
        f"{TABLE} CREATE TABLE public.child (CHECK (public.spy() <> '')) INHERITS (public.task_info)",
        "has an index",
    ),
    "a partition key": (PARTED, "has an index"),
    "a state": (
        (
            f"{STATE} {TABLE} ALTER TABLE public.task_info ALTER status DROP DEFAULT,"
            " ALTER status TYPE public.state USING 'SUCCESS'"
        ),
        None,
    ),
    "a state with an index": (
        (
            f"{STATE} {TABLE} ALTER TABLE public.task_info ALTER status TYPE public.state USING 'STARTED';"
            " CREATE INDEX ON public.task_info (status)"
        ),
        "operator is not unique",
    ),
    "a time": (
        (
            f"{MOMENT} {TABLE} ALTER TABLE public.task_info ALTER completed_time TYPE public.moment"
            " USING row('')::public.moment"
        ),
        "column completed_time of table task_info is public.moment",
    ),
    "a text of its own": (
        (
            f"{STATE} {TABLE} ALTER TABLE public.task_info ALTER task_name TYPE public.state"
            " USING 'SUCCESS', ALTER task_id TYPE public.state USING 'SUCCESS', ALTER root_task_id"
            " TYPE public.state USING 'SUCCESS', ALTER error_message TYPE public.state USING 'SUCCESS'"
        ),
        None,
    ),
    "functions and operators": (
        SHADOWS + TABLE.replace("task_name text, status text", "task_name varchar, status varchar"),
        None,
    ),
}


# What runs `spy()` as soon as somebody reads the table.
REFUSED = [attempt for attempt, (_, said) in ATTEMPTS.items() if said and "has a" in said] + [
    "a view"
]


class Spy:
    """Knows by the server's log when `spy()` has run as the exporter, also where that was undone."""

    def __init__(self, server: PostgresServer) -> None:
        self._log = server.log
        self._known = len(self._lines())

    def _lines(self) -> list[str]:
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if "spied by reader" in line]

    def has_run(self) -> bool:
        """Whether it has since this was last asked."""
        known, self._known = self._known, len(self._lines())
        return self._known > known


@pytest.fixture
def spy(shared_postgres: PostgresServer) -> Spy:
    return Spy(shared_postgres)


@pytest.fixture
def mallory(
    database: psycopg.Connection, database_url: str, reader_url: str
) -> Iterator[psycopg.Connection]:
    """May make schemas and relations, and has made `spy()`; only `reader` may read the secret."""
    database.execute(f"""
        CREATE ROLE mallory LOGIN PASSWORD 'mallory';
        GRANT CREATE ON DATABASE test TO mallory;
        GRANT CREATE ON SCHEMA public TO mallory;
        CREATE TABLE public.secret (value text);
        INSERT INTO public.secret VALUES ('{SECRET}');
        GRANT SELECT ON public.secret TO reader;
    """)
    url = f"postgresql://mallory:mallory@{database_url.rpartition('@')[2]}"
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SPY)
            connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
            yield connection
    finally:
        database.execute("DROP OWNED BY mallory CASCADE; DROP ROLE mallory")


def shown(exporter: Exporter) -> str:
    """All that is served and logged."""
    return exporter.text() + exporter.log.read_text()


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_relation_of_others_runs_nothing(
    mallory: psycopg.Connection, spy: Spy, reader_url: str, exporter: Exporters, attempt: str
) -> None:
    make, said = ATTEMPTS[attempt]
    mallory.execute(f"SET search_path = ''; {make}")
    with psycopg.connect(reader_url) as reader:
        assert reader.execute("SELECT public.spy()").fetchone() == (SECRET,)
        assert spy.has_run()
        if attempt in REFUSED:
            with contextlib.suppress(psycopg.Error):
                reader.execute("SELECT * FROM public.task_info WHERE status = 'SUCCESS'")
            assert spy.has_run(), "no trap"

    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    if said is None:
        assert problems(read(watcher), "tasks") == {}
    else:
        wait_until(lambda: log_lines(watcher, said), SECONDS, "the refusal")
    for collector in ("pipelines", "workers"):
        collected(watcher, collector)
    assert SECRET not in shown(watcher)
    assert not spy.has_run()


def test_a_table_that_becomes_a_view(
    mallory: psycopg.Connection, spy: Spy, reader_url: str, exporter: Exporters
) -> None:
    """Between two looks at what there is."""
    mallory.execute(TABLE)
    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    assert problems(read(watcher), "tasks") == {}
    for change in (
        f"DROP TABLE public.task_info; CREATE VIEW public.task_info AS {VIEW}",
        f"DROP VIEW public.task_info; {TABLE}",
        "CREATE INDEX ON public.task_info (public.spy())",
    ):
        mallory.execute(change)
        spy.has_run()
        for _ in range(3):
            read(watcher)
    assert not spy.has_run()
    assert SECRET not in shown(watcher)
    assert log_lines(watcher, "is a view")
    assert log_lines(watcher, "has an index")


@pytest.mark.parametrize("schema", ["reader", "public"])
def test_tables_of_workers_and_of_django(
    mallory: psycopg.Connection, spy: Spy, reader_url: str, exporter: Exporters, schema: str
) -> None:
    if schema != "public":
        mallory.execute(f"CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO reader")
    mallory.execute(f"""
        {MOMENT}
        SET search_path = {schema};
        CREATE VIEW worker_status AS
            SELECT public.spy() AS worker_name, public.spy() AS status, now() AS last_heartbeat;
        CREATE VIEW queue_stats AS
            SELECT public.spy() AS queue_name, 1 AS depth, now() AS recorded_at;
        CREATE TABLE django_celery_beat_periodictasks (ident integer, last_update timestamptz);
        CREATE TABLE django_celery_beat_periodictask (
            name text, task text, enabled boolean, queue text, last_run_at public.moment,
            total_run_count integer, date_changed timestamptz, start_time timestamptz,
            expires timestamptz, one_off boolean, interval_id integer, crontab_id integer,
            clocked_id integer, solar_id integer
        );
        INSERT INTO django_celery_beat_periodictask (name, task, last_run_at)
            VALUES ('a', 'a', row('')::public.moment);
        CREATE VIEW django_celery_beat_intervalschedule AS
            SELECT 1 AS id, length(public.spy()) AS every, 'days' AS period;
        CREATE TABLE django_celery_beat_crontabschedule (
            id integer, minute text, hour text, day_of_week text, day_of_month text,
            month_of_year text, timezone text
        );
        CREATE TABLE django_celery_beat_clockedschedule (id integer, clocked_time timestamptz);
    """)
    spy.has_run()
    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    for collector in ("workers", "django"):
        collected(watcher, collector)
    assert SECRET not in shown(watcher)
    assert not spy.has_run()
    for words in ("worker_status", "queue_stats", "intervalschedule"):
        assert log_lines(watcher, words)
    assert log_lines(watcher, "last_run_at")


def test_of_several_the_owners_is_read(
    database: psycopg.Connection,
    database_url: str,
    mallory: psycopg.Connection,
    reader_url: str,
    exporter: Exporters,
) -> None:
    """A schema by the name of the exporter's role stands first in its search path."""
    fill_database(database_url)
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    mallory.execute(f"""
        CREATE SCHEMA reader; GRANT USAGE ON SCHEMA reader TO PUBLIC;
        CREATE TABLE reader.task_info ({COLUMNS});
        CREATE VIEW reader.task_logs AS {VIEW};
    """)
    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    read(watcher)
    mallory.execute(
        f"INSERT INTO reader.task_info VALUES ({ROW.replace(repr('a'), repr('forged'))})"
    )
    database.execute(
        "INSERT INTO public.task_info (task_id, task_name, status, task_time, completed_time)"
        " VALUES ('own', 'own', 'SUCCESS', now(), now())"
    )
    wait_until(lambda: ("own", "SUCCESS") in results(read(watcher)), SECONDS, "its own")
    assert not [name for name, _ in results(read(watcher)) if name == "forged"]
    said = "there are several task_info: public.task_info of celery is read, reader.task_info of mallory is not"
    assert len(log_lines(watcher, said)) == 1
    assert check(DATABASE_URL=reader_url).said("warn", "tasks", "there are several task_info")


def test_a_view_is_read_where_it_is_named(
    folder: Path,
    database: psycopg.Connection,
    mallory: psycopg.Connection,
    reader_url: str,
    exporter: Exporters,
) -> None:
    """Whoever names it trusts those who made it; a policy then applies as well."""
    mallory.execute(f"CREATE VIEW public.task_info AS {VIEW.replace('public.spy()', repr('a'))}")
    mallory.execute(
        f"CREATE TABLE public.runs ({COLUMNS}); INSERT INTO public.runs VALUES ({ROW}), ({ROW});"
        " UPDATE public.runs SET task_name = 'hidden' WHERE ctid = '(0,2)';"
        " ALTER TABLE public.runs ENABLE ROW LEVEL SECURITY;"
        " CREATE POLICY p ON public.runs USING (task_name <> 'hidden')"
    )
    runs = {"table": "runs", "task": "task_name", "status": "status", "completed": "completed_time"}
    flag = configuration(folder, tables=[{"table": "task_info"}, runs])
    watcher = exporter(COLLECT, flag, DATABASE_URL=reader_url)
    metrics = read(watcher)
    assert problems(metrics, "tasks") == {}
    tables = {dict(labels)["table"] for name, labels in metrics if name.endswith("index_missing")}
    assert tables == {"task_info", "runs"}
    names = {dict(labels).get("task_name") for _, labels in metrics} - {None}
    assert names == {"a"}


@pytest.mark.parametrize("role", ["celery", "reader", "writer"])
def test_a_role_that_could_take_over_the_server_is_warned_about(
    database: psycopg.Connection,
    database_url: str,
    reader_url: str,
    exporter: Exporters,
    role: str,
) -> None:
    url = database_url if role == "celery" else reader_url
    if role == "writer":
        database.execute("GRANT pg_execute_server_program TO reader")
    said = {
        "celery": "role celery is a superuser",
        "writer": "role reader is a member of pg_execute_server_program",
        "reader": None,
    }[role]
    watcher = exporter(COLLECT, DATABASE_URL=url)
    for _ in range(3):
        read(watcher)
    assert len(log_lines(watcher, "take over the server")) == (0 if said is None else 1)
    answer = check(DATABASE_URL=url)
    assert answer.said("warn", "tasks", said or "take over the server") == (said is not None)

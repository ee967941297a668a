"""Pipelines: chains and whatever else one task sets off, run by a real worker and by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from celery import Celery, chain, group
from celery.canvas import Signature
from kombu import pools
from readers_application import collected, value
from servers import wait_until
from stack import Exporter
from tables_application import (
    COLLECT,
    PREFIX,
    SECONDS,
    family,
    log_lines,
    problems,
    worker,
)

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

# What became of pipelines by the task with which they begin: SUCCESS, FAILURE, in progress.
OUTCOMES = {
    "begin chain": (2, 0, 0),
    "begin failing": (0, 1, 0),
    "begin waiting": (0, 0, 1),
    "begin retrying": (1, 0, 0),
    "begin grouped": (1, 0, 0),
    "begin failing late": (0, 1, 0),
    f"{PREFIX}step": (1, 0, 0),
    f"{PREFIX}stumble": (0, 1, 0),
    "launch chain": (1, 0, 0),
}


def read(exporter: Exporter) -> Metrics:
    return collected(exporter, "pipelines")


def results(metrics: Metrics) -> dict[tuple[str, str], float]:
    """Pipelines that ended, by first task and state, where there are any."""
    return family(metrics, "celery_pipeline_results_total", "root_task_name", "status")


def outcomes(metrics: Metrics) -> dict[str, tuple[float, ...]]:
    """SUCCESS, FAILURE and in progress by first task, as in OUTCOMES."""
    ended = results(metrics)
    waiting = family(metrics, "celery_pipelines_in_progress", "root_task_name", zero=True)
    return {
        root: (ended.get((root, "SUCCESS"), 0), ended.get((root, "FAILURE"), 0), waiting[root])
        for root in waiting
    }


def ratios(metrics: Metrics) -> dict[str, float]:
    """Completion ratios within five minutes by first task."""
    name = "celery_pipeline_completion_ratio"
    five = family(metrics, name, "root_task_name", window="5m", zero=True)
    assert five == family(metrics, name, "root_task_name", window="1h", zero=True)
    return five


def run_pipelines(broker_url: str) -> None:
    """Everything in OUTCOMES, and tasks that are none."""
    with contextlib.closing(Celery(broker=broker_url, set_as_current=False)) as app:
        app.conf.result_backend = broker_url

        def task(name: str, *arguments: object, prefix: str = PREFIX) -> Signature:
            return app.signature(prefix + name, arguments)

        def begin(case: str) -> Signature:
            return task(f"begin {case}", prefix="")

        step, steps = task("step"), group(task("step") for _ in range(3))
        task("succeed").delay()
        task("stumble").delay()
        task("launch chain", prefix="").delay()
        for tasks in (
            [begin("chain"), step, step],
            [begin("chain"), step],
            [begin("failing"), task("stumble"), step],
            [begin("retrying"), app.signature(f"{PREFIX}succeed_after", (2,), immutable=True)],
            [begin("grouped"), steps, step, step],
            [begin("failing late"), steps, task("stumble")],
            [step, step, step, step],
            [task("stumble"), step],
            [begin("waiting"), app.signature(f"{PREFIX}nap", (600,), immutable=True)],
        ):
            chain(tasks, app=app).apply_async()
    pools.reset()


@pytest.mark.parametrize("layout", ["task_info", "task_logs"])
def test_real_pipelines(
    database: psycopg.Connection,
    database_url: str,
    redis_url: str,
    folder: Path,
    exporter: Exporters,
    layout: str,
) -> None:
    """Each counts once, for good and as what it is, whatever exporter looks."""
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    run_pipelines(redis_url)
    with worker(
        folder,
        redis_url,
        database_url=database_url,
        environment={"CELERY_SIGNALS_TABLES": layout},
        result_backend=redis_url,
    ):

        def have_ended() -> Metrics | None:
            metrics = read(watcher)
            found = outcomes(metrics)
            for root, (successes, failures, _) in found.items():
                assert root in OUTCOMES
                assert successes <= OUTCOMES[root][0], root
                assert failures <= OUTCOMES[root][1], root
            return metrics if found == OUTCOMES else None

        metrics = wait_until(have_ended, SECONDS, "the pipelines")
        assert outcomes(read(watcher)) == OUTCOMES
    expected_ratios = {
        root: successes / (successes + failures)
        for root, (successes, failures, _) in OUTCOMES.items()
        if successes + failures
    }
    assert ratios(metrics) == expected_ratios
    assert_durations(metrics, database, layout)
    assert problems(metrics, "pipelines") == {}

    # Another exporter knows how it was, and counts what ends from now on.
    assert watcher.stop() == 0
    metrics = read(exporter(COLLECT, DATABASE_URL=database_url))
    assert outcomes(metrics) == {
        root: (0, 0, waiting) for root, (_, _, waiting) in OUTCOMES.items()
    }
    assert ratios(metrics) == expected_ratios


def assert_durations(metrics: Metrics, database: psycopg.Connection, layout: str) -> None:
    """Whole pipelines that succeeded, from the first start to the last end."""
    table, start, end = {
        "task_info": ("task_info", "task_time", "completed_time"),
        "task_logs": ("task_logs JOIN task_metadata USING (task_id)", "started_at", "completed_at"),
    }[layout]
    lasted = dict(
        database.execute(
            f"""
            SELECT name, sum(seconds)::float8 FROM (
                SELECT max(task_name) FILTER (WHERE task_id = root_task_id) AS name,
                    extract(epoch FROM max({end}) - min({start})) AS seconds
                FROM {table} GROUP BY root_task_id
                HAVING bool_and(status = 'SUCCESS') AND count(*) > 1
            ) AS pipelines GROUP BY name
            """
        ).fetchall()
    )
    assert len(lasted) == 5
    name = "celery_pipeline_duration_seconds"
    assert family(metrics, f"{name}_sum", "root_task_name") == pytest.approx(lasted, abs=0.001)
    counts = {root: successes for root, (successes, _, _) in OUTCOMES.items() if successes}
    assert family(metrics, f"{name}_count", "root_task_name") == counts
    for root, seconds in lasted.items():
        if counts[root] == 1:
            buckets = family(metrics, f"{name}_bucket", "le", root_task_name=root, zero=True)
            assert buckets == {bound: float(seconds <= float(bound)) for bound in buckets}


# --------------------------------------------------------------------------------- by hand


def insert(connection: psycopg.Connection, root: str, *members: str, total: int | None = 3) -> None:
    """Members of the pipeline `root`, the first of which is named `root`, with these states."""
    for number, status in enumerate(members):
        connection.execute(
            """
            INSERT INTO task_info (
                task_id, root_task_id, task_name, status, chain_total, task_time, completed_time)
            SELECT %(id)s, %(root)s, %(name)s, %(status)s::text, %(total)s, now() - interval '1 second',
                CASE WHEN %(status)s::text IN ('SUCCESS', 'FAILURE', 'REVOKED') THEN now() END
            ON CONFLICT (task_id) DO UPDATE SET
                status = EXCLUDED.status, completed_time = EXCLUDED.completed_time
            """,
            {
                "id": f"{root}/{number}" if number else root,
                "root": root,
                "name": "later" if number else root.partition(" ")[0],
                "status": status,
                "total": None if number else total,
            },
        )


def test_pipelines_by_hand(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """The states that members go through, one collection at a time."""
    database.execute(celery_signals.SCHEMA)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    success, failure, waiting = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    for members, expected in (
        (["PENDING"], waiting),
        (["STARTED"], waiting),
        (["SUCCESS"], waiting),  # the second is not recorded yet
        (["SUCCESS", "PENDING"], waiting),
        (["SUCCESS", "RETRY"], waiting),
        (["SUCCESS", "SUCCESS"], waiting),
        (["SUCCESS", "SUCCESS", "STARTED"], waiting),
        (["SUCCESS", "SUCCESS", "SUCCESS"], success),
        (["SUCCESS", "SUCCESS", "SUCCESS", "STARTED"], success),  # set off by the last one
        (["SUCCESS", "SUCCESS", "SUCCESS", "FAILURE"], success),
    ):
        insert(database, "a", *members)
        assert outcomes(read(watcher)) == {"a": expected}, members
    for members, expected in (
        (["SUCCESS"], waiting),
        (["SUCCESS", "{}"], failure),
        (["SUCCESS", "{}", "PENDING"], failure),
        (["SUCCESS", "STARTED", "PENDING"], failure),  # runs again
        (["SUCCESS", "SUCCESS", "SUCCESS"], failure),
    ):
        for state in ("FAILURE", "REVOKED"):
            insert(database, state.lower(), *(member.format(state) for member in members))
        found = outcomes(read(watcher))
        assert (found["failure"], found["revoked"]) == (expected, expected), members
    # Those of a name are added up; one that goes on does not spoil the ratio.
    insert(database, "a 2", "SUCCESS", "FAILURE")
    insert(database, "a 3", "SUCCESS", "SUCCESS", "SUCCESS")
    insert(database, "a 4", "SUCCESS")
    # No pipelines: tasks alone.
    insert(database, "alone", "SUCCESS", total=None)
    insert(database, "alone too", "FAILURE", total=1)
    metrics = read(watcher)
    assert outcomes(metrics) == {"a": (2, 1, 1), "failure": failure, "revoked": failure}
    assert ratios(metrics) == {"a": pytest.approx(2 / 3), "failure": 0, "revoked": 0}


def test_pipelines_of_unknown_length(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """They are over when nothing has come for ten seconds, and count from an exporter's start."""
    database.execute(celery_signals.SCHEMA)
    insert(database, "settled", "SUCCESS", "SUCCESS", "SUCCESS", total=None)
    insert(database, "open", "SUCCESS", "SUCCESS", total=None)
    insert(database, "works", "SUCCESS", "STARTED", total=None)
    insert(database, "failed", "SUCCESS", "FAILURE", total=None)
    database.execute(
        "UPDATE task_info SET completed_time = now() - interval '11 seconds'"
        " WHERE root_task_id IN ('settled', 'works') AND completed_time IS NOT NULL"
    )
    database.execute("UPDATE task_info SET completed_time = now() WHERE root_task_id = 'open'")
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    metrics = read(watcher)
    assert outcomes(metrics) == {
        "settled": (0, 0, 0),
        "open": (0, 0, 1),
        "works": (0, 0, 1),
        "failed": (0, 0, 0),
    }
    assert ratios(metrics) == {"settled": 1, "failed": 0}
    ended = database.execute(
        "SELECT extract(epoch FROM max(completed_time))::float8 FROM task_info WHERE task_id = 'open/1'"
    ).fetchone()[0]
    metrics = wait_until(
        lambda: (now := read(watcher)) and ratios(now).get("open") and now, SECONDS, "the end"
    )
    assert time.time() - ended >= 10
    # It ended before this exporter started.
    assert results(metrics) == {}
    assert outcomes(metrics)["open"] == (0, 0, 0)


def test_table_of_pipelines_comes_later(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """What ended before the table was there, and since the exporter started, counts."""
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    moment = database.execute("SELECT now()").fetchone()[0]
    read(watcher)
    with database.transaction():
        database.execute(celery_signals.SCHEMA)
        insert(database, "a", "SUCCESS", "SUCCESS", "SUCCESS")
        insert(database, "b", "FAILURE")
        database.execute("UPDATE task_info SET completed_time = %s", (moment,))
    wait_until(lambda: outcomes(read(watcher)), SECONDS, "pipelines")
    assert outcomes(read(watcher)) == {"a": (1, 0, 0), "b": (0, 1, 0)}


def test_rows_of_pipelines_vanish(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """What was counted stays, and is not counted again; what went on is no more."""
    database.execute(celery_signals.SCHEMA)
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    insert(database, "a", "SUCCESS", "SUCCESS", "SUCCESS")
    insert(database, "a 2", "SUCCESS", "STARTED")
    assert outcomes(read(watcher)) == {"a": (1, 0, 1)}
    database.execute("DELETE FROM task_info WHERE root_task_id = 'a 2'")
    assert outcomes(read(watcher)) == {"a": (1, 0, 0)}
    rows = database.execute("DELETE FROM task_info RETURNING task_id").fetchall()
    assert len(rows) == 3
    assert outcomes(read(watcher)) == {"a": (1, 0, 0)}
    insert(database, "a", "SUCCESS", "SUCCESS", "SUCCESS")
    insert(database, "a 3", "SUCCESS", "SUCCESS", "SUCCESS")
    assert outcomes(read(watcher)) == {"a": (2, 0, 0)}
    assert ratios(read(watcher)) == {"a": 1}


def test_names_of_pipelines(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Bounds, includes and excludes hold for the tasks with which pipelines begin."""
    database.execute(celery_signals.SCHEMA)
    flags = ("--tasks.max-names=2", "--tasks.exclude=secret*")
    watcher = exporter(COLLECT, *flags, DATABASE_URL=database_url)
    insert(database, "secret", "SUCCESS", "SUCCESS", "SUCCESS")
    for root in ("a", "b", "c", "d", 'hostile"\n\\'):
        insert(database, root, "SUCCESS", "SUCCESS", "SUCCESS")
    metrics = read(watcher)
    shown = results(metrics)
    assert sum(shown.values()) == 5
    names = {root for root, _ in shown}
    assert len(names) == 3
    assert "other" in names


def test_pipelines_without_an_index(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """They are not counted, and the log has the statement that changes it."""
    database.execute(celery_signals.SCHEMA + "DROP INDEX task_info_root_task_id")
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    insert(database, "a", "SUCCESS", "SUCCESS", "SUCCESS")
    for _ in range(3):
        assert outcomes(read(watcher)) == {}
    [line] = log_lines(watcher, "CREATE INDEX")
    database.execute(line.partition("run: ")[2].removesuffix('"'))
    insert(database, "a 2", "SUCCESS", "STARTED")
    wait_until(lambda: value(read(watcher), "celery_pipelines_in_progress") == 1, SECONDS, "one")


@pytest.mark.parametrize(
    ("spoil", "mend", "reason", "words"),
    [
        (
            "REVOKE SELECT ON task_info FROM reader",
            "GRANT SELECT ON task_info TO reader",
            "permission",
            "GRANT SELECT ON task_info TO ",
        ),
        ("DROP TABLE task_info", celery_signals.SCHEMA, None, None),
        ("ALTER TABLE task_info RENAME root_task_id TO x", None, None, None),
    ],
    ids=["revoked", "dropped", "column missing"],
)
def test_table_of_pipelines_is_spoilt(
    database: psycopg.Connection,
    reader_url: str,
    exporter: Exporters,
    spoil: str,
    mend: str | None,
    reason: str | None,
    words: str | None,
) -> None:
    """No family is told of meanwhile, and afterwards all is right again."""
    database.execute(celery_signals.SCHEMA)
    database.execute(
        "GRANT SELECT ON task_info TO reader;"
        " ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO reader"
    )
    watcher = exporter(COLLECT, DATABASE_URL=reader_url)
    insert(database, "a", "SUCCESS", "SUCCESS", "SUCCESS")
    assert outcomes(read(watcher)) == {"a": (1, 0, 0)}
    database.execute(spoil)
    wait_until(lambda: outcomes(read(watcher)) == {}, SECONDS, "no pipelines")
    if reason is not None:
        metrics = read(watcher)
        assert problems(metrics, "pipelines").get(reason, 0) > 0
        assert log_lines(watcher, words)
    if mend is not None:
        database.execute(mend)
        insert(database, "a 2", "SUCCESS", "SUCCESS", "SUCCESS")
        wait_until(lambda: outcomes(read(watcher)) == {"a": (2, 0, 0)}, SECONDS, "the second")

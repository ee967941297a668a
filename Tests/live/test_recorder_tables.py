"""The recorder's tables around task_logs, its statistics and its clean-up, in real Celery workers."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import celery_signals
import pytest
import recorded_application as application
from celery import chain
from celery.result import AsyncResult
from servers import Process, RedisServer, wait_until
from stack import PROJECT
from test_recorder import (
    ARRIVALS,
    SECONDS,
    Stage,
    T,
    completed,
    connected,
    interleavings,
    new_database,
    settings_for,
    started,
)

TASK_TABLES = ("task_logs", "task_metadata", "task_execution_history", "task_results")
SIX_TABLES = (*TASK_TABLES, "worker_status", "queue_stats")
EVERYTHING = {
    "CELERY_SIGNALS_TABLES": "both",
    "CELERY_SIGNALS_ARGUMENTS": "full",
    "CELERY_SIGNALS_RESULTS": "full",
}


@pytest.fixture(scope="module")
def stage(shared_redis: RedisServer) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), shared_redis)
        application.app.conf.update(broker_url=stage.redis.url, result_backend=stage.redis.url)
        with stage.postgres:
            yield stage
        application.app.close()


@pytest.fixture(scope="module")
def worker(stage: Stage) -> Iterator[Process]:
    """Records in both layouts; the test's own process sends without a recorder."""
    with stage.worker("celery", **EVERYTHING) as worker:

        def tables() -> bool:
            return stage.select("SELECT to_regclass('queue_stats') IS NOT NULL") == [(True,)]

        wait_until(tables, SECONDS, "the worker to create the tables")
        yield worker


@pytest.fixture
def database(stage: Stage) -> Iterator[celery_signals.Database]:
    """A connection that writes both layouts."""
    with writer(stage.postgres.url) as database:
        yield database


@contextlib.contextmanager
def writer(url: str, **settings: str) -> Iterator[celery_signals.Database]:
    settings = {"CELERY_SIGNALS_TABLES": "both", **settings}
    database = celery_signals.Database(settings_for(url, **settings))
    database.connect()
    yield database
    database.close()


def run_recorder(url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """`python celery_signals.py`, which has ended."""
    return subprocess.run(
        [sys.executable, str(PROJECT / "recorder" / "celery_signals.py"), *arguments],
        check=False,
        env={**os.environ, "CELERY_SIGNALS_DATABASE_URL": url, **settings},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


def rows(stage: Stage, table: str, task_id: object) -> list[dict[str, Any]]:
    order = "attempt_number" if table == "task_execution_history" else "task_id"
    query = f"SELECT to_jsonb(t) - 'id' FROM {table} t WHERE task_id = %s ORDER BY {order}"
    return [row for [row] in stage.select(query, str(task_id))]


def written(stage: Stage, result: AsyncResult | str, status: str) -> dict[str, list[Any]]:
    """What the four tables hold of a task once it has this status: rows without their task_id, and
    `True` for every time, which have been found to follow each other."""

    def reached() -> bool:
        return [row["status"] for row in rows(stage, "task_logs", result)] == [status]

    wait_until(reached, SECONDS, f"task {result} to be {status}")
    found: dict[str, list[Any]] = {}
    for table in TASK_TABLES:
        found[table] = []
        for row in rows(stage, table, result):
            assert row.pop("task_id") == str(result)
            times = [name for name in ("created_at", "started_at", "completed_at") if row.get(name)]
            values = [datetime.fromisoformat(row[name]) for name in times]
            assert values == sorted(values)
            assert all(abs(datetime.now(timezone.utc) - value).seconds < 600 for value in values)
            found[table].append({**row, **dict.fromkeys(times, True)})
    return found


def logged(name: str, status: str, retries: int = 0, **more: Any) -> dict[str, Any]:
    times = {"created_at": True, "started_at": True, "completed_at": True}
    task_name = f"recorded_application.{name}"
    return {"task_name": task_name, "status": status, "retries": retries, **times, **more}


def metadata(worker: Process | None, result: object, **more: Any) -> dict[str, Any]:
    columns = ("args", "kwargs", "parent_task_id", "chain_total", "eta", "expires")
    return {
        **dict.fromkeys(columns),
        "worker_name": worker and f"{worker.name}@test",
        "queue_name": "celery",
        "root_task_id": str(result),
        **more,
    }


def attempt(number: int, status: str, **more: Any) -> dict[str, Any]:
    times = {"started_at": True, "completed_at": True}
    return {"attempt_number": number, "status": status, "error_message": None, **times, **more}


def outcome(status: str, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("result", "error_message", "traceback"))
    return {"status": status, **empty, "completed_at": True, **more}


# ------------------------------------------------------------------------------ rows of a task


def test_success(stage: Stage, worker: Process) -> None:
    result = application.add.delay(1, 2)
    assert written(stage, result, "SUCCESS") == {
        "task_logs": [logged("add", "SUCCESS")],
        "task_metadata": [metadata(worker, result, args="(1, 2)", kwargs="{}")],
        "task_execution_history": [attempt(1, "SUCCESS")],
        "task_results": [outcome("SUCCESS", result="3")],
    }


def test_failure(stage: Stage, worker: Process) -> None:
    result = application.fail.delay("out of stock")
    found = written(stage, result, "FAILURE")
    traceback = found["task_results"][0].pop("traceback")
    assert traceback.rstrip().endswith("ValueError: out of stock")
    error = {"error_message": "ValueError: out of stock"}
    expected = outcome("FAILURE", **error)
    del expected["traceback"]
    assert found == {
        "task_logs": [logged("fail", "FAILURE")],
        "task_metadata": [metadata(worker, result, args="('out of stock',)", kwargs="{}")],
        "task_execution_history": [attempt(1, "FAILURE", **error)],
        "task_results": [expected],
    }


def test_retries_are_attempts(stage: Stage, worker: Process) -> None:
    result = application.succeed_at_third.delay()
    error = {"error_message": "KeyError: 'not yet'"}

    def complete() -> bool:  # each child of the pool writes what it ran
        history = rows(stage, "task_execution_history", result)
        return [row["status"] for row in history if row["completed_at"]].count("RETRY") == 2

    wait_until(complete, SECONDS, "both retries")
    found = written(stage, result, "SUCCESS")
    assert found["task_logs"] == [logged("succeed_at_third", "SUCCESS", retries=2)]
    assert found["task_execution_history"] == [
        attempt(1, "RETRY", **error),
        attempt(2, "RETRY", **error),
        attempt(3, "SUCCESS"),
    ]
    assert found["task_results"] == [outcome("SUCCESS", result="2")]
    starts = [row["started_at"] for row in rows(stage, "task_execution_history", result)]
    assert starts == sorted(starts) and len(set(starts)) == 3


def test_waiting_for_a_retry(stage: Stage, worker: Process) -> None:
    result = application.retry_in_an_hour.delay()
    found = written(stage, result, "RETRY")
    assert found["task_logs"] == [logged("retry_in_an_hour", "RETRY", retries=1, completed_at=None)]
    assert found["task_execution_history"] == [
        attempt(1, "RETRY", error_message="KeyError: 'not yet'")
    ]
    assert found["task_results"] == []
    [row] = rows(stage, "task_metadata", result)
    wait = datetime.fromisoformat(row["eta"]) - datetime.now(timezone.utc)
    assert timedelta(minutes=59) < wait < timedelta(minutes=61)


def test_expired_task_has_not_run(stage: Stage, worker: Process) -> None:
    past = datetime.now(timezone.utc) - timedelta(seconds=5)
    result = application.add.apply_async((1, 2), expires=past)
    found = written(stage, result, "REVOKED")
    assert found["task_logs"] == [logged("add", "REVOKED", started_at=None)]
    assert found["task_metadata"] == [metadata(worker, result, queue_name=None)]
    assert found["task_execution_history"] == []
    assert found["task_results"] == [outcome("REVOKED", error_message="expired")]


def test_revoked_while_it_runs(stage: Stage, worker: Process) -> None:
    result = application.nap.delay(60)
    found = written(stage, result, "STARTED")
    assert found["task_execution_history"] == [attempt(1, "STARTED", completed_at=None)]
    assert found["task_results"] == []
    result.revoke(terminate=True)
    error = {"error_message": "terminated"}
    found = written(stage, result, "REVOKED")
    assert found["task_logs"] == [logged("nap", "REVOKED")]
    assert found["task_execution_history"] == [attempt(1, "REVOKED", **error)]
    assert found["task_results"] == [outcome("REVOKED", **error)]


def test_reject_and_ignore(stage: Stage, worker: Process) -> None:
    """Celery 5.7 ends what is rejected for good as a failure."""
    ignored, rejected = application.ignore.delay(), application.reject.delay()
    found = written(stage, ignored, "IGNORED")
    assert found["task_execution_history"] == [attempt(1, "IGNORED")]
    assert found["task_results"] == [outcome("IGNORED")]
    found = written(stage, rejected, "FAILURE")
    [history], [result] = found["task_execution_history"], found["task_results"]
    assert (history["attempt_number"], history["status"]) == (1, "FAILURE")
    assert history["error_message"] == result["error_message"]
    assert "not for us" in result["error_message"]


def test_chain(stage: Stage, worker: Process) -> None:
    add = application.add
    last = chain(add.s(1, 2), add.s(3), add.s(4)).apply_async()
    ids = [last.parent.parent.id, last.parent.id, last.id]
    assert written(stage, ids[2], "SUCCESS")["task_results"] == [outcome("SUCCESS", result="10")]
    found = [written(stage, task_id, "SUCCESS")["task_metadata"][0] for task_id in ids]
    assert found == [
        metadata(worker, ids[0], args="(1, 2)", kwargs="{}", chain_total=3),
        metadata(worker, ids[0], args="(3, 3)", kwargs="{}", parent_task_id=ids[0]),
        metadata(worker, ids[0], args="(6, 4)", kwargs="{}", parent_task_id=ids[1]),
    ]


def test_recorded_by_its_sender_too(stage: Stage, worker: Process) -> None:
    task_id = stage.sent("add.apply_async((1, 2), countdown=1).id", **EVERYTHING)
    found = written(stage, task_id, "SUCCESS")
    eta = found["task_metadata"][0].pop("eta")
    expected = metadata(worker, task_id, args="(1, 2)", kwargs="{}")
    del expected["eta"]
    assert found["task_metadata"] == [expected]
    [row] = rows(stage, "task_logs", task_id)
    sent, started = map(datetime.fromisoformat, (row["created_at"], row["started_at"]))
    assert sent < datetime.fromisoformat(eta) <= started


def test_task_that_waits(stage: Stage, worker: Process) -> None:
    """What its sender records; nobody consumes that queue."""
    expression = "add.apply_async((1, 2), queue='later', countdown=30, expires=600).id"
    task_id = stage.sent(expression)
    assert stage.row(task_id) is not None and rows(stage, "task_logs", task_id) == []
    task_id = stage.sent(expression, **EVERYTHING)
    found = written(stage, task_id, "PENDING")
    [row] = found["task_metadata"]
    due, end = (datetime.fromisoformat(row.pop(name)) for name in ("eta", "expires"))
    assert end - due == pytest.approx(timedelta(seconds=570), abs=timedelta(seconds=60))
    expected = metadata(None, task_id, queue_name="later", args="(1, 2)", kwargs="{}")
    del expected["eta"], expected["expires"]
    times = {"started_at": None, "completed_at": None}
    assert (row, found["task_logs"]) == (expected, [logged("add", "PENDING", **times)])
    assert found["task_execution_history"] == found["task_results"] == []


def test_both_layouts_tell_the_same(stage: Stage, worker: Process) -> None:
    """Of whatever the worker has recorded so far; one transaction writes both."""
    application.fail.delay("once more")
    written(stage, application.add.delay(1, 2), "SUCCESS")
    assert stage.select(
        "SELECT count(*) >= 2, count(*) FILTER (WHERE"
        " (i.status, i.task_name, i.retry_count, i.task_time, i.completed_time)"
        " IS DISTINCT FROM (l.status, l.task_name, l.retries, l.started_at, l.completed_at)"
        " OR (i.args, i.kwargs, i.root_task_id, i.parent_task_id, i.chain_total)"
        " IS DISTINCT FROM (m.args, m.kwargs, m.root_task_id, m.parent_task_id, m.chain_total)"
        " OR i.completed_time IS NOT NULL AND (i.result, i.error_message, i.traceback)"
        " IS DISTINCT FROM (r.result, r.error_message, r.traceback))"
        " FROM task_logs l LEFT JOIN task_info i USING (task_id)"
        " LEFT JOIN task_metadata m USING (task_id) LEFT JOIN task_results r USING (task_id)"
    ) == [(True, 0)]


# ----------------------------------------------------------------------- order of the records

# What task_execution_history must hold in the end for each of ARRIVALS: attempt, status, start
# and end. None where that depends on the order: an end of an unknown attempt that comes first.
HISTORIES: list[list[tuple[Any, ...]] | None] = [
    [(1, "SUCCESS", 1, 2)],
    [(1, "RETRY", 1, 1.5)],
    [(1, "RETRY", 1, 1.5), (2, "SUCCESS", 3, 4)],
    [(1, "RETRY", 1, 1.5), (2, "STARTED", 0.5, None)],
    None,
    [(1, "REVOKED", 1, 2)],
    [(1, "SUCCESS", None, 9), (2, "FAILURE", None, 5)],
    [(1, "SUCCESS", 2, 4)],
]


def with_attempt(record: celery_signals.Record) -> celery_signals.Record:
    """The record with what its signal's handler adds of the attempt."""
    retries = record["retry_count"]
    if record["status"] == "PENDING" or (record["status"] == "RETRY" and len(record) == 2):
        return record  # a publication
    if record["status"] == "RETRY":
        ended = T + timedelta(seconds=1.5)
        return {**record, "attempt": retries - 1, "attempt_completed": ended}
    return {**record, "attempt": retries}


@pytest.mark.parametrize(
    ("processes", "expected", "history"),
    [(*arrival, history) for arrival, history in zip(ARRIVALS, HISTORIES, strict=True)],
)
def test_order_of_arrival_does_not_matter(
    stage: Stage,
    database: celery_signals.Database,
    processes: list[list[celery_signals.Record]],
    expected: tuple[Any, ...],
    history: list[tuple[Any, ...]] | None,
) -> None:
    with connected(stage.postgres.url) as connection:
        for order in interleavings([[*map(with_attempt, process)] for process in processes]):
            task_id = uuid.uuid4().hex
            records = [{**record, "task_id": task_id} for record in order]
            for record in records:
                made, unusable = celery_signals.rows_of([record])
                assert unusable == 0 and database.write(made) == 0

            def found(table: str, columns: str, times: str) -> list[tuple[Any, ...]]:
                return of_columns(connection, table, columns, times, task_id)  # noqa: B023

            times = "started_at, completed_at"
            assert found("task_logs", "status, retries", times) == [expected], order
            attempts = found("task_execution_history", "attempt_number, status", times)
            assert history is None or attempts == history, order
            ends = [] if expected[3] is None else [(expected[0], expected[3])]
            assert found("task_results", "status", "completed_at") == ends, order


def of_columns(
    connection: Any, table: str, columns: str, times: str, task_id: str
) -> list[tuple[Any, ...]]:
    """Rows, with times in seconds since T."""
    names = times.split(", ")
    since = ", ".join(f"extract(epoch FROM {name} - %s)::float8" for name in names)
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT {columns}, {since} FROM {table} WHERE task_id = %s ORDER BY 1",
        [T] * len(names) + [task_id],
    )
    return cursor.fetchall()


def test_attempts_within_one_batch(stage: Stage, database: celery_signals.Database) -> None:
    """Several of one task; the latest end, of the main process, does not know its attempt."""
    task_id = uuid.uuid4().hex
    first = {"status": "RETRY", "retry_count": 1, "error_message": "E", "completed_time": None}
    records = [started(0, 1), first, started(1, 3), completed("FAILURE", None, 5)]
    made, _ = celery_signals.rows_of(
        {**with_attempt(record), "task_id": task_id} for record in records
    )
    assert len(made) == 1 and database.write(made) == 0
    columns = "attempt_number, status, error_message"
    with connected(stage.postgres.url) as connection:
        assert of_columns(
            connection, "task_execution_history", columns, "started_at, completed_at", task_id
        ) == [(1, "RETRY", "E", 1, 1.5), (2, "FAILURE", "E", 3, 5)]


def test_unreadable_times_of_a_message_are_left_out(
    stage: Stage, database: celery_signals.Database
) -> None:
    task_id = uuid.uuid4().hex
    headers = {"eta": "soon", "expires": "2026-01-01T00:00:00Z", "queue_name": "a\0b\udc80" * 200}
    record = {"task_id": task_id, "status": "PENDING", **headers}
    assert database.write(celery_signals.rows_of([record])[0]) == 0
    [row] = rows(stage, "task_metadata", task_id)
    assert (row["eta"], row["expires"]) == (None, T.isoformat())
    assert row["queue_name"].startswith("ab?ab?") and len(row["queue_name"]) == 255


def test_batch_is_written_whole_or_not_at_all(
    stage: Stage, database: celery_signals.Database
) -> None:
    ids = sorted(uuid.uuid4().hex for _ in range(3))
    made = [{"task_id": one, "status": "PENDING", "attempts": []} for one in ids]
    made[1]["attempts"] = [{"attempt_number": 1, "status": None}]  # which the history refuses
    assert database.write(made) == 1
    found = [[len(rows(stage, table, one)) for one in ids] for table in ("task_info", *TASK_TABLES)]
    assert found == [[1, 0, 1], [1, 0, 1], [1, 0, 1], [0, 0, 0], [0, 0, 0]]


# ------------------------------------------------------------------------ workers and queues


def status_of(stage: Stage, worker: Process) -> dict[str, Any]:
    query = "SELECT to_jsonb(t) FROM worker_status t WHERE worker_name = %s"
    found = stage.select(query, f"{worker.name}@test")
    return found[0][0] if found else {}


def counts_of(stage: Stage, worker: Process) -> tuple[Any, ...]:
    row = status_of(stage, worker)
    columns = ("status", "active_tasks", "processed_tasks", "failed_tasks")
    return tuple(row.get(column) for column in columns)


def test_worker_killed_restarted_and_stopped(stage: Stage, database: object) -> None:
    with stage.worker("counted", CELERY_SIGNALS_TABLES="task_logs") as worker:
        wait_until(lambda: status_of(stage, worker), SECONDS, "the worker's row")
        at_start = status_of(stage, worker)["last_heartbeat"]
        for _ in range(3):
            application.add.apply_async((1, 2), queue="counted")
        application.fail.apply_async(("no",), queue="counted")
        application.nap.apply_async((60,), queue="counted", time_limit=1)
        application.nap.apply_async((600,), queue="counted")
        # The next heartbeat that is written, with one task still at work.
        expected = ("ONLINE", 1, 6, 2)
        wait_until(lambda: counts_of(stage, worker) == expected, SECONDS, f"{expected}")
        assert status_of(stage, worker)["last_heartbeat"] > at_start
        worker.kill()
        assert counts_of(stage, worker) == expected  # nobody is left to tell

        worker.start()
        fresh = ("ONLINE", 0, 0, 0)
        wait_until(lambda: counts_of(stage, worker) == fresh, SECONDS, f"{fresh}")
        written(stage, application.add.apply_async((1, 2), queue="counted"), "SUCCESS")
        worker.stop()
        assert counts_of(stage, worker) == ("OFFLINE", 0, 1, 0)
        assert "celery_signals:" not in worker.log.read_text()


def depths(stage: Stage) -> list[tuple[Any, ...]]:
    return stage.select("SELECT queue_name, depth FROM queue_stats ORDER BY id")


def test_worker_writes_depths(stage: Stage, worker: Process) -> None:
    wait_until(lambda: dict(depths(stage)).get("celery") == 0, SECONDS, "a depth")


@pytest.fixture
def queues(stage: Stage, database: celery_signals.Database) -> Iterator[Callable[..., float]]:
    """Writes the depths of two queues, as a worker's thread does; `queue_stats` is empty before."""
    application.app.amqp.queues.select(["shallow", "deep"])  # of this process, which has no worker
    with connected(stage.postgres.url) as connection:
        connection.cursor().execute("DELETE FROM queue_stats")

    def record() -> float:
        with writer(stage.postgres.url) as own:
            return celery_signals.QueueDepths(own._settings)._record(own, application.app)

    yield record
    for name in ("shallow", "deep"):
        with application.app.connection_for_write() as connection:
            connection.default_channel.queue_purge(name)
    application.app.amqp.queues.select(["celery"])


def test_depths_count_every_priority(stage: Stage, queues: Callable[..., float]) -> None:
    for priority in (None, 0, 1, 3, 6, 9, 9):
        application.add.apply_async((1, 2), queue="deep", priority=priority)
    assert queues() == 60
    assert sorted(depths(stage)) == [("deep", 7), ("shallow", 0)]


def test_depths_are_written_by_one_at_a_time_and_once_a_minute(
    stage: Stage, queues: Callable[..., float]
) -> None:
    with ThreadPoolExecutor(6) as threads:
        pauses = list(threads.map(lambda _: queues(), range(6)))
    assert len(depths(stage)) == 2
    assert all(0 < pause <= 60 for pause in pauses)
    with connected(stage.postgres.url) as connection:
        cursor = connection.cursor()
        # One queue is due again, the other one will be.
        late = "UPDATE queue_stats SET recorded_at = now() - interval '%s seconds'"
        cursor.execute(f"{late % 61} WHERE queue_name = 'deep'")
        cursor.execute(f"{late % 40} WHERE queue_name = 'shallow'")
        assert 0 < queues() <= 20
        assert [name for name, _ in depths(stage)[2:]] == ["deep"]
        # A time in the future, left by a clock that was wrong, silences nobody.
        cursor.execute("UPDATE queue_stats SET recorded_at = now() + interval '1 day'")
        assert queues() == 60 and len(depths(stage)) == 5
        # Another worker is at it.
        cursor.execute("DELETE FROM queue_stats")
        cursor.execute("SELECT pg_advisory_lock(%s)", (celery_signals.DEPTHS_LOCK,))
        assert queues() == 60 and depths(stage) == []


def test_depths_do_not_hold_up_records(stage: Stage, worker: Process) -> None:
    """Nor the end of the worker: another session has locked the table."""
    with connected(stage.postgres.url) as connection:
        connection.autocommit = False
        connection.cursor().execute("LOCK TABLE queue_stats")
        with stage.worker("locked", CELERY_SIGNALS_TABLES="task_logs"):
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait_until(lambda: stage.select(waits) == [(1,)], SECONDS, "the thread to wait")
            written(stage, application.add.apply_async((1, 2), queue="locked"), "SUCCESS")
        connection.rollback()
    assert "locked" not in dict(depths(stage))


def test_broker_that_hangs_is_left(
    stage: Stage, own_redis: RedisServer, database: celery_signals.Database
) -> None:
    """Within the transaction's own time, and without its URL in the log."""
    code = """
import os, sys, threading
import celery_signals
from celery import Celery
app = Celery(broker=sys.argv[1])
app.amqp.queues.select_add("of a broker that hangs")
settings = celery_signals.Settings.from_environment(os.environ)
depths = celery_signals.QueueDepths(settings)
threading.Timer(1, depths.stop).start()
depths._run(app)
"""
    own_redis.pause()
    done = subprocess.run(
        [sys.executable, "-c", code, own_redis.url.replace("://", "://:secret@")],
        check=False,
        env={**os.environ, **stage.environment(CELERY_SIGNALS_TABLES="task_logs")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0
    # A worker of the stage may still record the depths of its own.
    assert "of a broker that hangs" not in dict(depths(stage))
    assert "no queue depths" in done.stderr and "secret" not in done.stderr


# --------------------------------------------------------------------- statistics and clean-up


def run_of(name: str, retries: int, status: str, begin: float, seconds: float | None) -> list[Any]:
    """Records of one task that began so many seconds ago and took so long."""
    start = datetime.now(timezone.utc) - timedelta(seconds=begin)
    one = {"task_id": uuid.uuid4().hex, "task_name": name, "retry_count": retries}
    records = [{**one, "status": "PENDING"}]
    if status != "PENDING":
        begun = {"status": "STARTED", "task_time": start, "created_at": start, "attempt": retries}
        records.append({**one, **begun, "completed_time": None})
    if seconds is not None:
        end = start + timedelta(seconds=seconds)
        records.append({**one, "status": status, "completed_time": end, "attempt": retries})
    return records


def write_all(url: str, records: list[Any], **settings: str) -> None:
    made, unusable = celery_signals.rows_of(records)
    assert unusable == 0
    with writer(url, **settings) as database:
        for first in range(0, len(made), celery_signals.BATCH_LIMIT):
            assert database.write(made[first : first + celery_signals.BATCH_LIMIT]) == 0


@pytest.mark.parametrize("tables", ["task_info", "task_logs", "both"])
def test_statistics(stage: Stage, monkeypatch: pytest.MonkeyPatch, tables: str) -> None:
    url = new_database(stage, f"statistics_{tables}")
    hour, day = 3_600.0, 86_400.0
    records = [
        *(run_of("shop.pay", 0, "SUCCESS", hour, second) for second in range(1, 19)),
        run_of("shop.pay", 2, "FAILURE", hour, 19),
        run_of("shop.pay", 1, "FAILURE", hour, 20),
        run_of("shop.pay", 0, "REVOKED", hour, 21),
        run_of("shop.pay", 0, "SUCCESS", 2 * day, 1_000),  # too long ago
        run_of("shop.report", 0, "STARTED", 2 * day, None),
        run_of("shop.report", 0, "PENDING", 0, None),
        run_of("shop.mail", 0, "IGNORED", hour, 5),
    ]
    write_all(url, [one for task in records for one in task], CELERY_SIGNALS_TABLES=tables)
    none = {"succeeded": 0, "failed": 0, "retried": 0, "success_ratio": None}
    pay = {"succeeded": 18, "failed": 2, "retried": 2, "success_ratio": 0.9}
    expected = [
        {
            "task_name": "shop.mail",
            "total": 1,
            **none,
            "average_seconds": 5.0,
            "p95_seconds": 5.0,
        },
        {
            "task_name": "shop.pay",
            "total": 21,
            **pay,
            "average_seconds": 11.0,
            "p95_seconds": 20.0,
        },
        {
            "task_name": "shop.report",
            "total": 2,
            **none,
            "average_seconds": None,
            "p95_seconds": None,
        },
    ]
    monkeypatch.setenv("CELERY_SIGNALS_DATABASE_URL", url)
    monkeypatch.setenv("CELERY_SIGNALS_TABLES", tables)
    assert celery_signals.get_task_statistics() == expected
    # Whatever the setting says, from the tables that are there.
    printed = run_recorder(url, "--statistics", "24", CELERY_SIGNALS_TABLES="task_info")
    assert [json.loads(line) for line in printed.stdout.splitlines()] == expected
    [_, pay_of_days, _] = celery_signals.get_task_statistics(hours=72)
    assert (pay_of_days["total"], pay_of_days["succeeded"]) == (22, 19)


def test_statistics_without_tables_or_settings(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = run_recorder(new_database(stage, "nothing"), "--statistics")
    assert empty.returncode == 2 and "neither task_info nor task_logs" in empty.stderr
    monkeypatch.delenv("CELERY_SIGNALS_DATABASE_URL", raising=False)
    with pytest.raises(RuntimeError, match="CELERY_SIGNALS_DATABASE_URL is not set"):
        celery_signals.get_task_statistics()
    with pytest.raises(ValueError, match="batch"):
        celery_signals.cleanup_old_records(batch=0)


def test_cleanup_while_a_worker_writes(
    stage: Stage, worker: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what ended before goes, from every table; what the worker writes meanwhile stays."""
    monkeypatch.setenv("CELERY_SIGNALS_DATABASE_URL", stage.postgres.url)
    monkeypatch.setenv("CELERY_SIGNALS_TABLES", "both")
    celery_signals.cleanup_old_records()  # what other tests left
    written(stage, application.add.delay(1, 2), "SUCCESS")
    day = 86_400.0
    tables = ("task_info", *SIX_TABLES)
    before = {table: stage.select(f"SELECT count(*) FROM {table}")[0][0] for table in tables}
    old = [run_of("old", 0, "SUCCESS", 40 * day, 1) for _ in range(5_000)]
    kept = [run_of("kept", 0, "SUCCESS", 20 * day, 1) for _ in range(50)]
    kept += [run_of("kept", 0, status, 40 * day, None) for status in ("STARTED", "PENDING")]
    write_all(stage.postgres.url, [one for task in old + kept for one in task])
    with connected(stage.postgres.url) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "INSERT INTO queue_stats (queue_name, depth, recorded_at)"
            " SELECT 'old', 1, now() - interval '1 day' * (n + 0.5) FROM generate_series(28, 1530) n"
        )
        cursor.execute(
            "INSERT INTO worker_status SELECT * FROM (VALUES"
            " ('gone@test', 'OFFLINE', 0, 0, 0, now() - interval '31 days'),"
            " ('killed@test', 'ONLINE', 0, 0, 0, now() - interval '31 days'),"
            " ('stopped@test', 'OFFLINE', 0, 0, 0, now() - interval '29 days')) AS t"
        )
        # A row that somebody holds is not waited for.
        connection.autocommit = False
        cursor.execute("SELECT task_id FROM task_info WHERE task_name = 'old' LIMIT 1 FOR UPDATE")
        sent: list[AsyncResult] = []
        ended = threading.Event()

        def send() -> None:
            while not ended.is_set():
                sent.append(application.add.delay(1, 2))
                ended.wait(0.005)

        with ThreadPoolExecutor(1) as threads:
            sender = threads.submit(send)
            try:
                wait_until(lambda: len(sent) > 50, SECONDS, "the worker to be busy")
                deleted = celery_signals.cleanup_old_records(30, batch=200)
            finally:
                ended.set()
            sender.result()
        connection.rollback()
    expected = {**dict.fromkeys(("task_info", *TASK_TABLES), 5_000), "task_info": 4_999}
    assert deleted == {**expected, "worker_status": 2, "queue_stats": 1_501}
    again = run_recorder(stage.postgres.url, "--cleanup", "30", CELERY_SIGNALS_TABLES="both")
    assert json.loads(again.stdout) == {**dict.fromkeys(deleted, 0), "task_info": 1}
    ids = [result.id for result in sent]
    done = "SELECT count(*) FROM task_logs WHERE status = 'SUCCESS' AND task_id = ANY(%s)"
    wait_until(lambda: stage.select(done, ids) == [(len(ids),)], SECONDS, "the worker's tasks")
    now = {table: stage.select(f"SELECT count(*) FROM {table}")[0][0] for table in tables}
    more = {table: now[table] - before[table] for table in tables}
    count = len(sent)
    assert (more["task_info"], more["task_logs"], more["task_metadata"]) == (count + 52,) * 3
    assert (more["task_execution_history"], more["task_results"]) == (count + 51, count + 50)
    assert "celery_signals:" not in worker.log.read_text()


# ---------------------------------------------------------------------------- schema and roles


def shape(url: str) -> list[tuple[Any, ...]]:
    """Columns, constraints, indexes and comments."""
    columns = (
        "SELECT table_name, column_name, data_type, is_nullable, column_default,"
        " col_description(format('%I', table_name)::regclass, ordinal_position)"
        " FROM information_schema.columns WHERE table_schema = 'public'"
    )
    constraints = (
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
    )
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    found = []
    with connected(url) as connection:
        for query in (columns, constraints, indexes):
            cursor = connection.cursor()
            cursor.execute(query)
            found += cursor.fetchall()
    return sorted(found, key=repr)


@pytest.mark.parametrize("tables", ["task_info", "task_logs", "both"])
def test_printed_schema_is_the_one_that_is_made(stage: Stage, tables: str) -> None:
    printed_url = new_database(stage, f"printed_{tables}")
    made_url = new_database(stage, f"made_{tables}")
    printed = run_recorder("", "--schema", CELERY_SIGNALS_TABLES=tables).stdout
    with connected(printed_url) as connection:
        for _ in range(2):
            connection.cursor().execute(printed)
    with writer(made_url, CELERY_SIGNALS_TABLES=tables):
        made = shape(made_url)
    assert shape(printed_url) == made
    expected = {"task_info": {"task_info"}, "task_logs": {*SIX_TABLES}}
    expected["both"] = {"task_info", *SIX_TABLES}
    assert {row[0] for row in made if len(row) == 6} == expected[tables]


def test_role_with_few_rights(stage: Stage) -> None:
    owner = new_database(stage, "few_rights")
    with writer(owner):
        pass
    tables = ", ".join(("task_info", *SIX_TABLES))
    with connected(owner) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        cursor.execute(f"GRANT SELECT, INSERT, UPDATE ON {tables} TO clerk")
        cursor.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO clerk")
        address = owner.rpartition("@")[2]
        url = f"postgresql://clerk:clerk@{address}"
        records = run_of("old", 0, "SUCCESS", 40 * 86_400.0, 1)
        made, _ = celery_signals.rows_of(records)
        state = celery_signals.WorkerState("w", "ONLINE", 1, 2, starts=True)
        with writer(url) as database:  # which finds that there is nothing to create
            assert database.write(made, state) == 0
            # One right too few, and nothing at all is written.
            cursor.execute("REVOKE INSERT, UPDATE ON task_results FROM clerk")
            others, _ = celery_signals.rows_of(run_of("other", 0, "SUCCESS", 10, 1))
            with pytest.raises(celery_signals.driver.Error, match="task_results"):
                database.write(others)
            database.close()
        cursor.execute("SELECT count(*) FROM task_info NATURAL JOIN task_logs")
        assert cursor.fetchall() == [(1,)]
        cursor.execute("GRANT INSERT, UPDATE ON task_results TO clerk")

        both = {"CELERY_SIGNALS_TABLES": "both"}
        assert run_recorder(url, "--statistics", "2000", **both).stdout.count("\n") == 1
        refused = run_recorder(url, "--cleanup", "30", **both)
        assert refused.returncode == 1 and refused.stderr.count("\n") == 1
        assert "permission denied for table task_info" in refused.stderr
        cursor.execute(f"GRANT DELETE ON {tables} TO clerk")
        cleaned = run_recorder(url, "--cleanup", "30", **both)
        one = dict.fromkeys(("task_info", *TASK_TABLES), 1)
        assert json.loads(cleaned.stdout) == {**one, "worker_status": 0, "queue_stats": 0}

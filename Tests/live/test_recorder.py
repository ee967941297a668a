"""The recorder (recorder/celery_signals.py) in real Celery workers on a real Redis and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import celery_signals
import pytest
import recorded_application as application
from celery import chain
from celery.result import AsyncResult
from servers import PostgresServer, Process, RedisServer, wait_until
from stack import PROJECT

SECONDS = 60.0  # longest wait for something that normally takes one
ENDED = ("SUCCESS", "FAILURE", "REVOKED", "IGNORED", "REJECTED")


class Stage:
    """A broker, a database and the workers between them."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder = folder
        self.redis = redis
        self.postgres = PostgresServer(folder / "postgres")
        self._workers = 0

    def environment(self, **settings: str) -> dict[str, str]:
        url = self.postgres.url.replace("postgresql://", "db+postgresql+psycopg2://")
        return {
            "PYTHONPATH": os.pathsep.join(
                [str(PROJECT / "recorder"), str(PROJECT / "Tests" / "harness")]
            ),
            "BROKER_URL": self.redis.url,
            "CELERY_SIGNALS_DATABASE_URL": url,
            **settings,
        }

    @contextlib.contextmanager
    def worker(self, queue: str, pool: str = "prefork", **settings: str) -> Iterator[Process]:
        """A worker that has announced itself; it gets a warm shutdown at the end."""
        self._workers += 1
        name = f"worker{self._workers}"
        command = [sys.executable, "-m", "celery", "-A", "recorded_application", "worker"]
        command += ["-P", pool, "-c", "2", "-Q", queue, "-n", f"{name}@test", "-l", "info"]
        command += ["--without-gossip", "--without-mingle"]
        worker = Process(
            name, self.folder / name, command, environment=self.environment(**settings)
        )
        with worker:
            wait_until(lambda: "ready." in worker.log.read_text(), SECONDS, f"{name} to be ready")
            yield worker

    def run(self, code: str, **settings: str) -> str:
        """What a Python process that records prints; it has ended."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            env={**os.environ, **self.environment(**settings)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=5 * SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def sent(self, expression: str, **settings: str) -> str:
        """What an expression about the application gives in a process of its own."""
        lines = ["from celery import chain", "from recorded_application import *"]
        return self.run("\n".join([*lines, f"print({expression})"]), **settings)

    def select(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with connected(self.postgres.url) as connection:
            cursor = connection.cursor()
            cursor.execute(query, parameters)
            return cursor.fetchall()

    def row(self, task_id: str) -> dict[str, Any] | None:
        found = self.select("SELECT to_jsonb(t) FROM task_info t WHERE task_id = %s", task_id)
        return found[0][0] if found else None

    def ended(self, result: AsyncResult | str) -> dict[str, Any]:
        """The row of a task, once it has ended."""

        def row() -> dict[str, Any] | None:
            found = self.row(str(result))
            return found if found and found["status"] in ENDED else None

        return wait_until(row, SECONDS, f"the end of task {result}")


@contextlib.contextmanager
def connected(url: str) -> Iterator[Any]:
    with contextlib.closing(celery_signals.driver.connect(url)) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture(scope="module")
def stage(shared_redis: RedisServer) -> Iterator[Stage]:
    """The test's own process sends without a recorder: what it sends is recorded by workers alone."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), shared_redis)
        application.app.conf.update(broker_url=stage.redis.url, result_backend=stage.redis.url)
        with stage.postgres:
            yield stage
        application.app.close()


@pytest.fixture(scope="module")
def worker(stage: Stage) -> Iterator[Process]:
    """One for most tests, which also find the table that it has created at its start."""
    with stage.worker("celery") as worker:

        def table() -> bool:
            return stage.select("SELECT to_regclass('task_info') IS NOT NULL") == [(True,)]

        wait_until(table, SECONDS, "the worker to create the table")
        yield worker


@pytest.fixture
def database(stage: Stage) -> Iterator[celery_signals.Database]:
    database = celery_signals.Database(settings_for(stage.postgres.url))
    database.connect()
    yield database
    database.close()


def settings_for(url: str, **settings: str) -> celery_signals.Settings:
    settings = {"CELERY_SIGNALS_DATABASE_URL": url, **settings}
    made = celery_signals.Settings.from_environment(settings)
    assert made is not None
    return made


# ---------------------------------------------------------------------------- what is recorded


def test_success(stage: Stage, worker: Process) -> None:
    row = stage.ended(application.add.delay(1, 2))
    assert row["status"] == "SUCCESS" and row["task_name"] == "recorded_application.add"
    assert row["retry_count"] == 0 and row["root_task_id"] == row["task_id"]
    assert row["parent_task_id"] is None and row["chain_total"] is None
    assert row["error_message"] is None and row["traceback"] is None
    assert (row["args"], row["kwargs"], row["result"]) == (None, None, None)
    started, ended = map(datetime.fromisoformat, (row["task_time"], row["completed_time"]))
    assert started <= ended and abs(datetime.now(timezone.utc) - ended) < timedelta(minutes=1)


def test_failure(stage: Stage, worker: Process) -> None:
    row = stage.ended(application.fail.delay("out of stock"))
    assert row["status"] == "FAILURE" and row["error_message"] == "ValueError: out of stock"
    assert row["traceback"].rstrip().endswith("ValueError: out of stock")


def test_retries_then_success(stage: Stage, worker: Process) -> None:
    row = stage.ended(application.succeed_at_third.delay())
    assert row["status"] == "SUCCESS" and row["retry_count"] == 2
    assert row["error_message"] is None and row["traceback"] is None


def test_waiting_for_a_retry(stage: Stage, worker: Process) -> None:
    result = application.retry_in_an_hour.delay()

    def waiting() -> dict[str, Any] | None:
        row = stage.row(result.id)
        return row if row and row["status"] == "RETRY" and row["traceback"] else None

    row = wait_until(waiting, SECONDS, "the retry")
    assert row["retry_count"] == 1 and row["error_message"] == "KeyError: 'not yet'"
    assert row["task_time"] is not None and row["completed_time"] is None


def test_ignored_results_and_ignored_tasks(stage: Stage, worker: Process) -> None:
    assert stage.ended(application.forget.delay())["status"] == "SUCCESS"
    ignored = stage.ended(application.ignore.delay())
    assert ignored["status"] == "IGNORED" and ignored["completed_time"] is not None


def test_expired_task(stage: Stage, worker: Process) -> None:
    past = datetime.now(timezone.utc) - timedelta(seconds=5)
    row = stage.ended(application.add.apply_async((1, 2), expires=past))
    assert row["status"] == "REVOKED" and row["error_message"] == "expired"
    assert row["task_time"] is None and row["completed_time"] is not None


def test_tasks_that_are_killed(stage: Stage, worker: Process) -> None:
    """The child is gone: the worker's main process tells the end."""
    # Time for the child to record its start.
    row = stage.ended(application.nap.apply_async((60,), time_limit=6))
    assert row["status"] == "FAILURE" and row["error_message"].startswith("TimeLimitExceeded")
    assert row["task_time"] < row["completed_time"]

    def started() -> bool:
        row = stage.row(result.id)
        return row is not None and row["status"] == "STARTED"

    result = application.nap.delay(60)
    wait_until(started, SECONDS, "the task to start")
    result.revoke(terminate=True)
    row = stage.ended(result)
    assert row["status"] == "REVOKED" and row["error_message"] == "terminated"
    assert row["task_time"] < row["completed_time"]


def test_replaced_task_ends_as_its_replacement(stage: Stage, worker: Process) -> None:
    result = application.replace.delay(20, 22)
    assert result.get(timeout=SECONDS) == 42

    def succeeded() -> bool:
        row = stage.row(result.id)
        return row is not None and row["status"] == "SUCCESS"

    wait_until(succeeded, SECONDS, "the replacement's end")


def test_waits_as_pending_until_a_worker_comes(stage: Stage, database: object) -> None:
    task_id = stage.sent("add.apply_async((1, 2), queue='later').id")
    row = stage.row(task_id)  # the sender has ended, and wrote what it had before that
    assert row is not None and row["status"] == "PENDING"
    assert row["task_time"] is None and row["completed_time"] is None
    with stage.worker("later", "solo"):
        assert stage.ended(task_id)["status"] == "SUCCESS"


@pytest.mark.parametrize("sender_records", [True, False])
def test_chain(stage: Stage, worker: Process, sender_records: bool) -> None:
    if sender_records:
        last = stage.sent("chain(add.s(1, 2), add.s(3), add.s(4)).apply_async().id")
    else:
        add = application.add
        last = chain(add.s(1, 2), add.s(3), add.s(4)).apply_async().id
    third = stage.ended(last)
    second = stage.ended(third["parent_task_id"])
    first = stage.ended(second["parent_task_id"])
    assert first["parent_task_id"] is None
    assert {row["root_task_id"] for row in (first, second, third)} == {first["task_id"]}
    assert [row["chain_total"] for row in (first, second, third)] == [3, None, None]


# --------------------------------------------------------------------------------- what is not


def test_no_value_is_stored_by_default(stage: Stage, worker: Process) -> None:
    secret = f"secret-{uuid.uuid4().hex}"
    assert stage.ended(application.echo.delay(secret, password=secret))["status"] == "SUCCESS"
    stage.sent(f"echo.apply_async(('{secret}',), queue='later')")
    assert stage.select(
        "SELECT count(*), count(*) FILTER (WHERE t::text LIKE %s) FROM task_info t"
        " WHERE task_name LIKE '%%.echo'",
        f"%{secret}%",
    ) == [(2, 0)]


def test_arguments_and_results_on_request(stage: Stage) -> None:
    settings = {"CELERY_SIGNALS_ARGUMENTS": "full", "CELERY_SIGNALS_RESULTS": "full"}
    with stage.worker("full", "threads", **settings, CELERY_SIGNALS_ERRORS="class"):
        echo = application.echo.apply_async(("text",), {"password": "word"}, queue="full")
        hidden = application.echo.apply_async(("text",), queue="full", argsrepr="hidden")
        failing = application.fail.apply_async(("secret",), queue="full")
        # No text, so a name in its place; the task is none the worse for it.
        silent = application.return_unspeakable.apply_async(queue="full")
        row = stage.ended(echo)
        assert (row["args"], row["kwargs"]) == ("('text',)", "{'password': 'word'}")
        assert row["result"] == "'textword'"
        assert stage.ended(hidden)["args"] == "hidden"
        row = stage.ended(failing)
        assert (row["error_message"], row["traceback"]) == ("ValueError", None)
        row = stage.ended(silent)
        assert row["status"] == "SUCCESS" and "Unspeakable" in row["result"]


def test_masked_arguments_hold_no_value() -> None:
    many = ["secret"] * 50
    row = celery_signals.arguments_in_words(
        celery_signals.Detail.MASKED,
        ("secret", 7, application.Unspeakable(), *many),
        {"password": "secret", "items": {"secret": "secret"}},
        "('secret',)",
        "{'password': 'secret'}",
    )
    assert row["args"].startswith("str[6], int, Unspeakable, str[6]")
    assert row["args"].endswith(", 33 more")
    assert row["kwargs"] == "password=str[6], items=dict[1]"


# ------------------------------------------------------------------------------ hostile values


def test_hostile_errors(stage: Stage, worker: Process) -> None:
    row = stage.ended(application.raise_unstorable.delay(100_000))
    assert row["status"] == "FAILURE"
    assert row["error_message"].startswith("ValueError: nul  surrogate ? long long")
    assert 900 < len(row["error_message"]) <= celery_signals.TEXT_LIMIT
    assert len(row["traceback"]) <= celery_signals.TRACEBACK_LIMIT
    row = stage.ended(application.raise_unspeakable.delay())
    assert row["status"] == "FAILURE" and row["error_message"].startswith("UnspeakableError")


def test_unusable_records_are_left_out() -> None:
    good = {"task_id": "good", "status": "PENDING", "task_name": "a\0b\udc80"}
    rows, unusable = celery_signals.rows_of(
        [
            {"task_id": application.Unspeakable(), "status": "PENDING"},
            {"task_id": "", "status": "PENDING"},
            {"task_id": "x" * 256, "status": "PENDING"},
            {"task_id": "number", "status": "PENDING", "retry_count": "many"},
            good,
        ]
    )
    assert unusable == 4
    assert rows == [{"task_id": "good", "status": "PENDING", "task_name": "ab?"}]


def test_row_that_postgresql_refuses_is_left_out_alone(
    stage: Stage, database: celery_signals.Database
) -> None:
    ids = [uuid.uuid4().hex for _ in range(5)]
    rows: list[celery_signals.Record] = [{"task_id": id, "status": "PENDING"} for id in ids]
    rows[2]["retry_count"] = 2**40
    rows[4]["status"] = None
    assert database.write(rows) == 2
    assert [stage.row(id) is not None for id in ids] == [True, True, False, True, False]


# -------------------------------------------------------------------------- order of the states

T = datetime(2026, 1, 1, tzinfo=timezone.utc)


def record(status: str, retries: int | None, **more: Any) -> celery_signals.Record:
    return {"status": status, "retry_count": retries, **more}


def started(retries: int, second: float) -> celery_signals.Record:
    return record("STARTED", retries, task_time=T + timedelta(seconds=second), completed_time=None)


def completed(status: str, retries: int | None, second: float) -> celery_signals.Record:
    error = None if status == "SUCCESS" else "E"
    ended = T + timedelta(seconds=second)
    return record(status, retries, completed_time=ended, error_message=error)


def interleavings(sequences: list[list[Any]]) -> Iterator[list[Any]]:
    """All orders in which records arrive from processes that each keep their own order."""
    if not any(sequences):
        yield []
    for index, sequence in enumerate(sequences):
        if sequence:
            rest = [*sequences[:index], sequence[1:], *sequences[index + 1 :]]
            for order in interleavings(rest):
                yield [sequence[0], *order]


SENDER = [record("PENDING", 0, task_name="t", chain_total=3)]
FIRST_ATTEMPT = [started(0, 1), record("RETRY", 1), record("RETRY", 1, error_message="E")]


# What several processes write about one task, and the state in which it must end.
ARRIVALS: list[tuple[Any, tuple[Any, ...]]] = [
    ([SENDER, [started(0, 1), completed("SUCCESS", 0, 2)]], ("SUCCESS", 0, 1, 2)),
    ([SENDER, FIRST_ATTEMPT], ("RETRY", 1, 1, None)),
    (
        [SENDER, FIRST_ATTEMPT, [started(1, 3), completed("SUCCESS", 1, 4)]],
        ("SUCCESS", 1, 3, 4),
    ),
    # The second attempt ran where the clock is behind.
    ([SENDER, FIRST_ATTEMPT, [started(1, 0.5)]], ("STARTED", 1, 0.5, None)),
    # Killed by the time limit: the main process does not know the attempt.
    ([SENDER, [started(1, 3)], [completed("FAILURE", None, 5)]], ("FAILURE", 1, 3, 5)),
    ([SENDER, [started(0, 1)], [completed("REVOKED", 0, 2)]], ("REVOKED", 0, 1, 2)),
    # Delivered twice, and the earlier attempt ended last.
    ([[completed("SUCCESS", 0, 9)], [completed("FAILURE", 1, 5)]], ("FAILURE", 1, None, 5)),
    # Replaced: its own end comes late, the replacement has run meanwhile.
    (
        [
            [started(0, 1), completed("IGNORED", 0, 5)],
            [started(0, 2), completed("SUCCESS", 0, 4)],
        ],
        ("SUCCESS", 0, 2, 4),
    ),
]


@pytest.mark.parametrize(("processes", "expected"), ARRIVALS)
@pytest.mark.parametrize("batched", [False, True])
def test_state_never_goes_backwards(
    stage: Stage,
    database: celery_signals.Database,
    processes: list[list[celery_signals.Record]],
    expected: tuple[str, int, float, float | None],
    batched: bool,
) -> None:
    """Whatever the order of arrival, the row ends the same."""
    if batched:  # each process writes all it has as one row
        named = [[{"task_id": "t", **record} for record in process] for process in processes]
        processes = [celery_signals.rows_of(process)[0] for process in named]
    for order in interleavings(processes):
        task_id = uuid.uuid4().hex
        for part in order:
            rows, unusable = celery_signals.rows_of([{**part, "task_id": task_id}])
            assert unusable == 0 and database.write(rows) == 0
        [row] = stage.select(
            "SELECT status, retry_count, task_time, completed_time, error_message"
            " FROM task_info WHERE task_id = %s",
            task_id,
        )
        seconds = [None if time is None else (time - T).total_seconds() for time in row[2:4]]
        assert (*row[:2], *seconds) == expected, order
        if row[0] != "STARTED":  # which may or may not tell why the attempt before it failed
            assert row[4] == (None if row[0] == "SUCCESS" else "E"), order


def test_a_new_run_of_an_ended_task_starts_again(
    stage: Stage, database: celery_signals.Database
) -> None:
    def state_after(record: celery_signals.Record) -> tuple[Any, ...]:
        database.write(celery_signals.rows_of([{**record, "task_id": task_id}])[0])
        row = stage.row(task_id)
        assert row is not None
        return row["status"], row["retry_count"], row["completed_time"] is not None

    task_id = uuid.uuid4().hex
    state_after(started(1, 1))
    assert state_after(completed("SUCCESS", 1, 2)) == ("SUCCESS", 1, True)
    # Delivered again, or sent again under its id: it counts its retries from the beginning.
    assert state_after(record("PENDING", 0)) == ("SUCCESS", 1, True)
    assert state_after(started(0, 3)) == ("STARTED", 0, False)
    assert state_after(completed("FAILURE", 0, 4)) == ("FAILURE", 0, True)
    # The same record again, after a lost connection.
    assert state_after(completed("FAILURE", 0, 4)) == ("FAILURE", 0, True)
    assert state_after(started(0, 3)) == ("FAILURE", 0, True)


# ----------------------------------------------------------------------- schema and settings


def test_printed_schema_is_valid_twice(stage: Stage) -> None:
    printed = subprocess.run(
        [sys.executable, str(PROJECT / "recorder" / "celery_signals.py"), "--schema"],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    ).stdout
    with connected(new_database(stage, "printed")) as connection:
        for _ in range(2):
            connection.cursor().execute(printed)


def test_processes_that_start_together_create_the_table_once(stage: Stage) -> None:
    settings = settings_for(new_database(stage, "together"))
    databases = [celery_signals.Database(settings) for _ in range(8)]
    with ThreadPoolExecutor(len(databases)) as threads:
        list(threads.map(celery_signals.Database.connect, databases))
    assert databases[0].write([{"task_id": "one", "status": "PENDING"}]) == 0
    for database in databases:
        database.close()


def test_table_is_not_created_when_switched_off(stage: Stage) -> None:
    url = new_database(stage, "switched_off")
    database = celery_signals.Database(settings_for(url, CELERY_SIGNALS_CREATE_TABLES="no"))
    with pytest.raises(celery_signals.driver.ProgrammingError):
        database.write([{"task_id": "one", "status": "PENDING"}])
    database.close()


def new_database(stage: Stage, name: str) -> str:
    with connected(stage.postgres.url) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name}")
    return stage.postgres.url.rpartition("/")[0] + f"/{name}"


@pytest.mark.parametrize(
    ("url", "conninfo", "credentials"),
    [
        ("postgresql://h/d", "postgresql://h/d", {}),
        ("postgres://u@h:5/d", "postgresql://h:5/d", {"user": "u"}),
        ("postgresql+psycopg2://u:p@h/d", "postgresql://h/d", {"user": "u", "password": "p"}),
        (
            "db+postgresql://u:p%40@@h,i/d?sslmode=require",
            "postgresql://h,i/d?sslmode=require",
            {"user": "u", "password": "p@@"},
        ),
        ("postgresql:///d?host=/run/p", "postgresql:///d?host=/run/p", {}),
    ],
)
def test_urls(url: str, conninfo: str, credentials: dict[str, str]) -> None:
    assert celery_signals.parse_url(url) == (conninfo, credentials)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/d",
        "postgresql://u:sec/ret@h/d",
        "postgresql://u:secret@h/d?ssl=secret",
        "secret",
    ],
)
def test_wrong_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        settings_for(url)
    assert "CELERY_SIGNALS_DATABASE_URL" in str(refused.value)
    assert "secret" not in str(refused.value) and "ret@" not in str(refused.value)


def test_wrong_setting_names_the_right_ones() -> None:
    with pytest.raises(ValueError, match="CELERY_SIGNALS_ARGUMENTS must be one of none, masked"):
        settings_for("postgresql://h/d", CELERY_SIGNALS_ARGUMENTS="all")


# -------------------------------------------------------------------------- faults and endings


def test_full_queue_drops_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    recorder = celery_signals.Recorder(settings_for("postgresql://127.0.0.1:1/none"))
    for number in range(3 * celery_signals.QUEUE_LIMIT):
        recorder.put({"task_id": str(number), "status": "PENDING"})
    recorder.stop()
    # One batch is with the writer; the rest is bounded, and the newest records are in it.
    waiting = [recorder._queue.get_nowait() for _ in range(recorder._queue.qsize())]
    assert len(waiting) <= celery_signals.QUEUE_LIMIT + 1
    assert {"task_id": str(number), "status": "PENDING"} in waiting
    assert len(caplog.records) == 1


def complaints(seconds: float) -> int:
    """The most that a worker's processes say in so many seconds: once a minute each, and they are three."""
    return 3 * (1 + int(seconds / celery_signals.COMPLAIN_SECONDS))


def run_tasks(stage: Stage, queue: str) -> list[str]:
    """Ids of tasks that have succeeded by Celery's own account."""
    results = [application.add.apply_async((number, 1), queue=queue) for number in range(20)]
    assert [result.get(timeout=SECONDS) for result in results] == list(range(1, 21))
    return [result.id for result in results]


def test_warm_shutdown_loses_nothing(stage: Stage) -> None:
    """What still waits in the pool's children, which end without atexit, is written at their end."""
    with stage.worker("busy") as worker:
        finished = run_tasks(stage, "busy")
        worker.stop()
    recorded = stage.select(
        "SELECT count(*) FROM task_info WHERE status = 'SUCCESS' AND task_time IS NOT NULL"
        " AND task_id = ANY(%s)",
        finished,
    )
    assert recorded == [(len(finished),)]


def test_tasks_called_in_place(stage: Stage, worker: Process) -> None:
    """Task.apply() has a request without most of what a message brings."""
    task_id = stage.sent("add.apply((1, 2)).id")
    row = stage.row(task_id)
    assert row is not None and (row["status"], row["retry_count"]) == ("SUCCESS", 0)


def test_forked_child_records_for_itself(stage: Stage, database: object) -> None:
    """A child of a process that records already has another queue, thread and connection."""
    code = """
import os
from celery import signals
from recorded_application import add

print(add.apply((1, 2)).id, flush=True)
child = os.fork()
if not child:
    print(add.apply((3, 4)).id, flush=True)
    signals.worker_process_shutdown.send(sender=None, pid=os.getpid(), exitcode=0)
    os._exit(0)
os.waitpid(child, 0)
print(add.apply((5, 6)).id)
"""
    task_ids = stage.run(code).split()
    assert len(task_ids) == 3
    for task_id in task_ids:
        row = stage.row(task_id)
        assert row is not None and row["status"] == "SUCCESS"


def test_each_process_has_its_own_connection(stage: Stage) -> None:
    # Others' connections may end meanwhile.
    [(start,)] = stage.select("SELECT now()")

    def connections() -> int:
        return stage.select(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'celery_signals' AND backend_start > %s",
            start,
        )[0][0]

    with stage.worker("own") as worker:
        assert worker.running
        wait_until(lambda: connections() == 1, SECONDS, "the main process's connection")
        # None of its children can run two at once.
        for result in [application.nap.apply_async((1,), queue="own") for _ in range(4)]:
            stage.ended(result)
        wait_until(lambda: connections() == 3, SECONDS, "a connection per child")


def test_hung_database(stage: Stage) -> None:
    start = time.monotonic()
    with stage.worker("hung") as worker:
        before = run_tasks(stage, "hung")
        for task_id in before:
            stage.ended(task_id)
        stage.postgres.pause()
        try:
            meanwhile = run_tasks(stage, "hung")
            complaint = "cannot write to PostgreSQL"
            wait_until(lambda: complaint in worker.log.read_text(), SECONDS, "a log line")
            meanwhile += run_tasks(stage, "hung")
        finally:
            stage.postgres.resume()
        for task_id in meanwhile:
            assert stage.ended(task_id)["status"] == "SUCCESS"
        assert worker.log.read_text().count(complaint) <= complaints(time.monotonic() - start)


def test_database_down_at_start(stage: Stage) -> None:
    start = time.monotonic()
    stage.postgres.stop()
    try:
        with stage.worker("down") as worker:
            run_tasks(stage, "down")
            stage.postgres.start()
            for task_id in run_tasks(stage, "down"):
                assert stage.ended(task_id)["status"] == "SUCCESS"
            log = worker.log.read_text()
            most = complaints(time.monotonic() - start)
            assert log.count("cannot write to PostgreSQL") <= most
            assert stage.postgres.url.split(":")[2].split("@")[0] not in log
    finally:
        if not stage.postgres.running:
            stage.postgres.start()

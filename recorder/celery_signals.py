"""Records the tasks of a Celery application in the PostgreSQL table `task_info`.

Import this file where the Celery application is defined and set CELERY_SIGNALS_DATABASE_URL.
Signal handlers put a small record on a bounded queue in memory; one daemon thread per process
writes the queue to the database with its own connection. A database that is down, hung or full
costs one log line a minute, never a task. README.md beside this file lists the settings.

    signal handler -> record -> queue | writer thread: records -> rows -> one statement -> task_info

`python celery_signals.py --schema` prints the DDL.
"""

# Whatever goes wrong here must not reach the application: the handlers catch everything.
# ruff: noqa: BLE001

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import enum
import functools
import json
import logging
import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import unquote

from celery import current_task, signals
from celery.utils.saferepr import saferepr

driver: Any = None
driver_options: dict[str, Any] = {}
try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict as split_conninfo

    driver = psycopg
    # Server-side prepared statements do not survive a pooler such as PgBouncer.
    driver_options["prepare_threshold"] = None
except ImportError:
    with contextlib.suppress(ImportError):
        import psycopg2
        from psycopg2.extensions import parse_dsn as split_conninfo  # type: ignore[no-redef]

        driver = psycopg2

logger = logging.getLogger(__name__)

QUEUE_LIMIT = 5_000  # records that wait in one process; beyond it the oldest are dropped
BATCH_LIMIT = 500  # records written by one statement
GATHER_SECONDS = 0.5  # wait before a batch, so that a short task's start and end become one write
CONNECT_SECONDS = 5  # libpq takes whole seconds
STATEMENT_SECONDS = 5.0
BACKOFF_SECONDS = (1.0, 30.0)  # first and longest pause between attempts to reach the database
IDLE_SECONDS = 60.0  # a connection unused for this long is closed
FLUSH_SECONDS = 2.0  # longest delay at the end of a process
COMPLAIN_SECONDS = 60.0  # shortest time between two log lines about trouble

IDENTIFIER_LIMIT = 255  # characters, as in Celery's own result tables
NAME_LIMIT = 255
TEXT_LIMIT = 1_000  # args, kwargs, result and error_message, each
TRACEBACK_LIMIT = 4_000  # the end is kept: it names the line that failed
LARGEST_INTEGER = 2**31 - 1
ITEM_LIMIT = 20  # arguments that a masked description lists

SCHEMA = """\
CREATE TABLE IF NOT EXISTS task_info (
    id             bigserial PRIMARY KEY,
    task_id        varchar NOT NULL UNIQUE,
    status         varchar NOT NULL,
    task_name      varchar,
    args           text,
    kwargs         text,
    result         text,
    error_message  text,
    traceback      text,
    retry_count    integer,
    root_task_id   varchar,
    parent_task_id varchar,
    chain_total    integer,
    task_time      timestamptz,
    completed_time timestamptz
);
COMMENT ON COLUMN task_info.task_time IS 'start of the latest run; NULL until it has started';
COMMENT ON COLUMN task_info.completed_time IS 'end of the latest run; NULL while it is in progress';
COMMENT ON COLUMN task_info.chain_total IS 'on the first task of a chain: number of its steps';
CREATE INDEX IF NOT EXISTS task_info_root_task_id ON task_info (root_task_id);
CREATE INDEX IF NOT EXISTS task_info_parent_task_id ON task_info (parent_task_id);
CREATE INDEX IF NOT EXISTS task_info_task_time ON task_info (task_time);
CREATE INDEX IF NOT EXISTS task_info_status_task_time ON task_info (status, task_time);
CREATE INDEX IF NOT EXISTS task_info_completed_time ON task_info (completed_time);
"""
SCHEMA_LOCK = 0x63656C6572790001  # "celery" and a number: an advisory lock of our own


def _rank(status: str) -> str:
    """SQL: how far within one attempt a state is. RETRY waits for its next attempt, as PENDING."""
    return (
        f"CASE {status} WHEN 'PENDING' THEN 0 WHEN 'RETRY' THEN 1 WHEN 'STARTED' THEN 2"
        " WHEN 'IGNORED' THEN 3 WHEN 'REJECTED' THEN 3 ELSE 4 END"
    )


# Sender and worker write at their own pace, so records of one task arrive in any order. A record
# replaces the state if it is not older: compared by attempt, then by the start of the run (a
# message that is delivered again runs twice with the same retry count), then by rank, then by end.
# A start is newer than an end exactly if its time is, whatever the retry counts: the same task id
# was sent again, or the process that wrote the end did not know the attempt.
# A record that is older still fills in what the row lacks.
# Times compare well on one host's clock, and between two runs on two hosts.
UPSERT = f"""\
INSERT INTO task_info AS stored (
    task_id, status, task_name, args, kwargs, result, error_message, traceback, retry_count,
    root_task_id, parent_task_id, chain_total, task_time, completed_time)
SELECT
    task_id, status, task_name, args, kwargs, result, error_message, traceback, retry_count,
    root_task_id, parent_task_id, chain_total, task_time, completed_time
FROM json_to_recordset(%s::json) AS record (
    task_id varchar, status varchar, task_name varchar, args text, kwargs text, result text,
    error_message text, traceback text, retry_count integer, root_task_id varchar,
    parent_task_id varchar, chain_total integer, task_time timestamptz, completed_time timestamptz)
ON CONFLICT (task_id) DO UPDATE SET
    (status, retry_count, task_time, completed_time, result, error_message, traceback) = (
        SELECT
            CASE WHEN newer THEN EXCLUDED.status ELSE stored.status END,
            CASE WHEN newer THEN COALESCE(EXCLUDED.retry_count, stored.retry_count)
                ELSE GREATEST(stored.retry_count, EXCLUDED.retry_count) END,
            CASE WHEN newer THEN COALESCE(EXCLUDED.task_time, stored.task_time)
                ELSE COALESCE(stored.task_time, EXCLUDED.task_time) END,
            CASE WHEN newer THEN EXCLUDED.completed_time ELSE stored.completed_time END,
            CASE WHEN newer THEN EXCLUDED.result ELSE stored.result END,
            CASE WHEN NOT newer THEN stored.error_message
                WHEN EXCLUDED.status <> 'SUCCESS'
                THEN COALESCE(EXCLUDED.error_message, stored.error_message) END,
            CASE WHEN NOT newer THEN stored.traceback
                WHEN EXCLUDED.status <> 'SUCCESS'
                THEN COALESCE(EXCLUDED.traceback, stored.traceback) END
        FROM (
            SELECT COALESCE(
                CASE WHEN EXCLUDED.status = 'STARTED' AND stored_rank = 4
                    THEN start > stored.completed_time END,
                start > stored.completed_time OR (
                    COALESCE(EXCLUDED.retry_count, stored.retry_count, 0),
                    COALESCE(start, stored_start, '-infinity'),
                    rank,
                    COALESCE(EXCLUDED.completed_time, '-infinity')
                ) >= (
                    COALESCE(stored.retry_count, EXCLUDED.retry_count, 0),
                    COALESCE(stored_start, start, '-infinity'),
                    stored_rank,
                    COALESCE(stored.completed_time, '-infinity')
                ),
                false
            ) AS newer
            FROM (
                -- Between two attempts the start belongs to the earlier one.
                SELECT
                    {_rank("EXCLUDED.status")} AS rank,
                    {_rank("stored.status")} AS stored_rank,
                    CASE WHEN EXCLUDED.status NOT IN ('PENDING', 'RETRY')
                        THEN EXCLUDED.task_time END AS start,
                    CASE WHEN stored.status NOT IN ('PENDING', 'RETRY')
                        THEN stored.task_time END AS stored_start
            ) AS run
        ) AS decision
    ),
    task_name = COALESCE(stored.task_name, EXCLUDED.task_name),
    args = COALESCE(stored.args, EXCLUDED.args),
    kwargs = COALESCE(stored.kwargs, EXCLUDED.kwargs),
    root_task_id = COALESCE(stored.root_task_id, EXCLUDED.root_task_id),
    parent_task_id = COALESCE(stored.parent_task_id, EXCLUDED.parent_task_id),
    chain_total = COALESCE(stored.chain_total, EXCLUDED.chain_total)
"""

Record = dict[str, Any]  # columns of task_info; a column left out keeps what the row has


# ------------------------------------------------------------------------------------- settings


class Detail(enum.Enum):
    """How much of arguments or results is stored."""

    NONE = "none"
    MASKED = "masked"  # types and lengths, no values
    FULL = "full"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings, read once at import."""

    conninfo: str
    credentials: Mapping[str, str]
    create_tables: bool = True
    arguments: Detail = Detail.NONE
    results: Detail = Detail.NONE
    error_text: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings | None:
        """The settings, or None if there is no database URL.

        Raises ValueError, in words that hold no part of the URL, if one cannot be read.
        """
        url = environment.get("CELERY_SIGNALS_DATABASE_URL", "").strip()
        if not url:
            return None

        def choice(name: str, meanings: Mapping[str, Any]) -> Any:
            text = environment.get(name, "").strip().lower() or next(iter(meanings))
            if text not in meanings:
                raise ValueError(f"{name} must be one of {', '.join(meanings)}")
            return meanings[text]

        details = {detail.value: detail for detail in Detail}
        conninfo, credentials = parse_url(url)
        return cls(
            conninfo,
            credentials,
            choice("CELERY_SIGNALS_CREATE_TABLES", {"yes": True, "no": False}),
            choice("CELERY_SIGNALS_ARGUMENTS", details),
            choice("CELERY_SIGNALS_RESULTS", details),
            choice("CELERY_SIGNALS_ERRORS", {"full": True, "class": False}),
        )


def parse_url(url: str) -> tuple[str, dict[str, str]]:
    """A PostgreSQL URL, also as SQLAlchemy and Celery write it, as libpq's URL and credentials.

    The credentials are apart from the URL, as libpq quotes parts of a malformed URL in its errors.
    Raises ValueError in words that hold no part of the URL.
    """
    match = re.fullmatch(
        r"(?:db\+)?postgres(?:ql)?(?:\+\w+)?://"
        r"(?:(?P<user>[^:@/?]*)(?::(?P<password>[^/?]*))?@)?(?P<rest>[^@?]*(?:\?.*)?)",
        url,
    )
    if not match:
        raise ValueError(
            "CELERY_SIGNALS_DATABASE_URL must look like postgresql://user:password@host:5432/name"
        )
    conninfo = "postgresql://" + match["rest"]
    try:
        split_conninfo(conninfo)
    except Exception:
        raise ValueError(
            "CELERY_SIGNALS_DATABASE_URL has a host or an option that libpq does not understand"
        ) from None
    found = {name: unquote(match[name]) for name in ("user", "password") if match[name]}
    return conninfo, found


# --------------------------------------------------------------------- what is put into words


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def in_words(value: object, limit: int = TEXT_LIMIT) -> str:
    """str(value), at most `limit` characters; the type's name if the object refuses."""
    try:
        return shortened(str(value), limit)
    except Exception:
        return f"<{type(value).__name__} without text>"


def masked(value: object) -> str:
    """The type of a value and, of built-in ones that have it, the length: `str[12]`."""
    name = shortened(type(value).__name__, NAME_LIMIT)
    if type(value) in (str, bytes, list, tuple, dict, set, frozenset):
        return f"{name}[{len(value)}]"  # type: ignore[arg-type]
    return name


def masked_items(items: Iterable[str], count: int) -> str:
    listed = [item for item, _ in zip(items, range(ITEM_LIMIT))]
    if count > ITEM_LIMIT:
        listed.append(f"{count - ITEM_LIMIT} more")
    return shortened(", ".join(listed), TEXT_LIMIT)


def arguments_in_words(
    detail: Detail, args: Any, kwargs: Any, args_text: object, kwargs_text: object
) -> Record:
    """Columns args and kwargs. The texts are Celery's `argsrepr`, which a caller can set to hide
    secrets; where the message has none they are made here."""
    if detail is Detail.NONE:
        return {}
    args, kwargs = tuple(args or ()), dict(kwargs or {})
    if detail is Detail.MASKED:
        names = (f"{in_words(name, 100)}={masked(value)}" for name, value in kwargs.items())
        return {
            "args": masked_items(map(masked, args), len(args)),
            "kwargs": masked_items(names, len(kwargs)),
        }
    return {
        "args": in_words(args_text or saferepr(args, TEXT_LIMIT)),
        "kwargs": in_words(kwargs_text or saferepr(kwargs, TEXT_LIMIT)),
    }


def result_in_words(detail: Detail, result: object) -> str | None:
    if detail is Detail.NONE:
        return None
    if detail is Detail.MASKED:
        return masked(result)
    return shortened(saferepr(result, TEXT_LIMIT), TEXT_LIMIT)


def error_in_words(settings: Settings, error: object, traceback: object) -> Record:
    """Columns error_message, `ClassName: message`, and traceback."""
    # An exception that cannot be pickled comes wrapped (celery.utils.serialization).
    name = in_words(getattr(error, "exc_cls_name", None) or type(error).__name__, NAME_LIMIT)
    if not settings.error_text:
        return {"error_message": name, "traceback": None}
    message = in_words(error)
    return {
        "error_message": shortened(f"{name}: {message}" if message else name, TEXT_LIMIT),
        "traceback": traceback[-TRACEBACK_LIMIT:] if isinstance(traceback, str) else None,
    }


# ------------------------------------------------------------- signals -> records of task_info


def now() -> datetime:
    return datetime.now(timezone.utc)


def steps_of_chain(task_id: object, chain: Any) -> int | None:
    """Number of steps in the chain whose first task is being published; None for later ones.

    A message carries what remains of its chain, so only the first one tells the whole; a task
    published while its predecessor runs (celery.app.trace) or in its place is a later one.
    """
    if not chain:
        return None
    request = getattr(current_task, "request", None) if current_task else None
    if request is not None and request.id:
        following = request.chain[-1].get("options", {}).get("task_id") if request.chain else None
        if task_id in (request.id, following):
            return None
    return len(chain) + 1


def published(settings: Settings, body: Any, headers: Any, **_: Any) -> Record | None:
    """before_task_publish, in the sender. The older message protocol 1 is not recorded here."""
    task_id = headers.get("id") if headers else None
    if not task_id or not isinstance(body, (list, tuple)) or len(body) != 3:
        return None
    args, kwargs, embedded = body
    retries = headers.get("retries") or 0
    return {
        "task_id": task_id,
        # task_time stays empty: it is the start, which a waiting task does not have.
        "status": "RETRY" if retries else "PENDING",
        "task_name": headers.get("task"),
        "retry_count": retries,
        "root_task_id": headers.get("root_id") or task_id,
        "parent_task_id": headers.get("parent_id"),
        "chain_total": steps_of_chain(task_id, (embedded or {}).get("chain")),
        **arguments_in_words(
            settings.arguments, args, kwargs, headers.get("argsrepr"), headers.get("kwargsrepr")
        ),
    }


def of_request(task: Any, task_id: object, request: Any) -> Record:
    """The columns that the request of a task holds, if it is the request of this task.

    Signals of a worker's main process (time limits, rejects) come without one: the attempt is
    then unknown, and the row keeps its own.
    """
    record: Record = {"task_id": task_id, "task_name": getattr(task, "name", None)}
    if request is not None and request.id == task_id:
        record["retry_count"] = request.retries or 0
        record["root_task_id"] = request.root_id or task_id
        record["parent_task_id"] = request.parent_id
    return record


def started(
    settings: Settings, task_id: str, task: Any, args: Any, kwargs: Any, **_: Any
) -> Record:
    """task_prerun."""
    request = task.request
    record = {
        **of_request(task, task_id, request),
        "status": "STARTED",
        "task_time": now(),
        "completed_time": None,
        "result": None,
        **arguments_in_words(
            settings.arguments, args, kwargs, request.get("argsrepr"), request.get("kwargsrepr")
        ),
    }
    if request.chain and not request.parent_id:  # the sender may not have a recorder
        record["chain_total"] = len(request.chain) + 1
    return record


def succeeded(settings: Settings, sender: Any, result: Any, **_: Any) -> Record:
    """task_success."""
    return {
        **of_request(sender, sender.request.id, sender.request),
        "status": "SUCCESS",
        "completed_time": now(),
        "result": result_in_words(settings.results, result),
        "error_message": None,
        "traceback": None,
    }


def failed(
    settings: Settings, sender: Any, task_id: str, exception: Any, einfo: Any = None, **_: Any
) -> Record:
    """task_failure: also lost workers, hard time limits and rejects."""
    return {
        **of_request(sender, task_id, sender.request),
        "status": "FAILURE",
        "completed_time": now(),
        **error_in_words(settings, exception, getattr(einfo, "traceback", None)),
    }


def retried(
    settings: Settings, sender: Any, request: Any, reason: Any = None, einfo: Any = None, **_: Any
) -> Record | None:
    """task_retry: the next attempt waits. Without a reason the message itself comes back
    (Celery's cancelled tasks) and nothing was published."""
    if reason is None:
        return None
    error = getattr(reason, "exc", None) or reason
    record = of_request(sender, request.id, request)
    return {
        **record,
        "status": "RETRY",
        "retry_count": record["retry_count"] + 1,
        "completed_time": None,
        **error_in_words(settings, error, getattr(einfo, "traceback", None)),
    }


def revoked(
    settings: Settings, sender: Any, request: Any, terminated: Any, expired: Any, **_: Any
) -> Record:
    """task_revoked, in the worker's main process."""
    return {
        **of_request(sender, request.id, request),
        "status": "REVOKED",
        "completed_time": now(),
        "error_message": "expired" if expired else "terminated" if terminated else "revoked",
    }


def left_without_result(
    settings: Settings, task_id: str, task: Any, state: Any, **_: Any
) -> Record | None:
    """task_postrun: the ends that have no signal of their own."""
    if state not in ("IGNORED", "REJECTED"):
        return None
    return {**of_request(task, task_id, task.request), "status": state, "completed_time": now()}


RECORD_OF_SIGNAL: list[tuple[Any, Callable[..., Record | None]]] = [
    (signals.before_task_publish, published),
    (signals.task_prerun, started),
    (signals.task_success, succeeded),
    (signals.task_failure, failed),
    (signals.task_retry, retried),
    (signals.task_revoked, revoked),
    (signals.task_postrun, left_without_result),
]


# --------------------------------------------------------------------------- records -> rows

COLUMN_LIMITS = {
    "status": NAME_LIMIT,
    "task_name": NAME_LIMIT,
    "args": TEXT_LIMIT,
    "kwargs": TEXT_LIMIT,
    "result": TEXT_LIMIT,
    "error_message": TEXT_LIMIT,
    "traceback": TRACEBACK_LIMIT,
}


def column(name: str, value: object) -> object:
    """A value as JSON for PostgreSQL. Raises ValueError if it cannot stand in that column."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if name in ("retry_count", "chain_total"):
        return max(0, min(int(value), LARGEST_INTEGER))  # type: ignore[call-overload]
    # PostgreSQL refuses NUL and lone surrogates in text.
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if name in COLUMN_LIMITS:
        return shortened(text, COLUMN_LIMITS[name])
    if len(text) > IDENTIFIER_LIMIT:  # shortened, two tasks could become one
        raise ValueError(f"{name} is longer than {IDENTIFIER_LIMIT} characters")
    return text


def rows_of(records: Iterable[Record]) -> tuple[list[Record], int]:
    """One row per task from records in the order in which this process made them, and the number
    of records that cannot be stored. Sorted, so that two writers never wait for each other."""
    rows: dict[str, Record] = {}
    unusable = 0
    for record in records:
        try:
            row = {name: column(name, value) for name, value in record.items()}
            task_id = row["task_id"]
            if not isinstance(task_id, str) or not task_id:
                raise ValueError("a task without an id")
        except Exception:
            unusable += 1
        else:
            earlier = rows.get(task_id, {})
            # What was published again under its id, as Task.replace does, has not started again.
            waits = row.get("status") == "PENDING"
            rows[task_id] = {**row, **earlier} if waits else {**earlier, **row}
    return [rows[task_id] for task_id in sorted(rows)], unusable


# --------------------------------------------------------------------------- rows -> PostgreSQL


class Database:
    """One connection, opened at need. Every call is bounded; errors are the driver's own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: Any = None
        self._socket: socket.socket | None = None
        self._has_tables = not settings.create_tables

    def connect(self) -> None:
        """Connects unless connected, and creates the tables if they are missing."""
        if self._connection is None:
            self._connection = driver.connect(
                self._settings.conninfo,
                **self._settings.credentials,
                connect_timeout=CONNECT_SECONDS,
                fallback_application_name="celery_signals",
                client_encoding="UTF8",
                **driver_options,
            )
            # A descriptor of our own: the driver may close its one while the deadline passes.
            self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))
        if not self._has_tables:
            with self._transaction() as cursor:
                # Processes that start together would create it twice and fail.
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                cursor.execute("SELECT to_regclass('task_info') IS NULL")
                if cursor.fetchone()[0]:
                    cursor.execute(SCHEMA)
            self._has_tables = True

    def write(self, rows: list[Record]) -> int:
        """Writes the rows; returns how many of them PostgreSQL refuses for their content."""
        self.connect()
        try:
            with self._transaction() as cursor:
                cursor.execute(UPSERT, (json.dumps(rows),))
            return 0
        except (driver.DataError, driver.IntegrityError):
            if len(rows) == 1:
                return 1
        middle = len(rows) // 2
        return self.write(rows[:middle]) + self.write(rows[middle:])

    def close(self) -> None:
        connection, self._connection = self._connection, None
        duplicate, self._socket = self._socket, None
        with contextlib.suppress(Exception):
            if duplicate is not None:
                duplicate.close()
        with contextlib.suppress(Exception):
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A transaction that ends by itself: PostgreSQL cancels a slow statement, and if it does
        not answer at all the socket is shut down under the driver, which then raises."""
        assert self._socket is not None
        deadline = threading.Timer(STATEMENT_SECONDS + 1, shut_down, args=(self._socket,))
        deadline.daemon = True
        with contextlib.suppress(RuntimeError):  # an ending interpreter starts no thread
            deadline.start()
        try:
            with contextlib.closing(self._connection.cursor()) as cursor:
                # Local to the transaction: a pooler hands the session to others. The last
                # half second of records is not worth a wait for the disk.
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true),"
                    " set_config('synchronous_commit', 'off', true)",
                    (str(int(STATEMENT_SECONDS * 1000)),),
                )
                yield cursor
            self._connection.commit()
        except BaseException:
            with contextlib.suppress(Exception):
                self._connection.rollback()
            raise
        finally:
            deadline.cancel()


def shut_down(connected: socket.socket) -> None:
    """Ends the connection for whoever waits on it."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class Recorder:
    """The queue of one process and the thread that writes it. A forked child begins anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._enabled = True
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # SimpleQueue, as its put may be interrupted by itself (a finalizer that publishes).
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._dropped = 0  # threads may count at once: near enough for a log line
        self._complained = float("-inf")

    def put(self, record: Record) -> None:
        """Takes a record; never waits. The oldest one makes room if the queue is full."""
        if not self._enabled:
            return
        if self._queue.qsize() >= QUEUE_LIMIT:
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()
                self._dropped += 1
        self._queue.put(record)
        if self._thread is None:
            self.start()

    def start(self) -> None:
        """Starts the writer unless it runs; it connects at once."""
        with self._starting:
            if self._thread is not None or not self._enabled:
                return
            if threads_are_green():
                # libpq would stop every greenlet of the process while it waits.
                self._enabled = False
                logger.warning("celery_signals: not recording: gevent and eventlet are not served")
                return
            thread = threading.Thread(target=self._run, name="celery_signals", daemon=True)
            thread.start()
            self._thread = thread

    def stop(self) -> None:
        """Writes what waits, for at most FLUSH_SECONDS. A later record starts a new writer."""
        with self._starting:
            thread, self._thread = self._thread, None
            stopping, self._stopping = self._stopping, threading.Event()
        if thread is not None:
            stopping.set()
            self._queue.put(None)
            thread.join(FLUSH_SECONDS)

    def complain(self, text: str) -> bool:
        """Logs at most once in COMPLAIN_SECONDS; whether it did now."""
        due = time.monotonic() - self._complained >= COMPLAIN_SECONDS
        if due:
            self._complained = time.monotonic()
            logger.warning("celery_signals: %s", text)
        return due

    def _run(self) -> None:
        waiting, stopping = self._queue, self._stopping
        database = Database(self._settings)
        try:
            try:
                database.connect()
            except Exception as error:
                database.close()
                self._complain_of(error, 0)
            while True:
                try:
                    batch = [waiting.get(timeout=IDLE_SECONDS)]
                except queue.Empty:
                    database.close()
                    continue
                if waiting.qsize() < BATCH_LIMIT:
                    stopping.wait(GATHER_SECONDS)
                with contextlib.suppress(queue.Empty):
                    while len(batch) < BATCH_LIMIT:
                        batch.append(waiting.get_nowait())
                rows, unusable = rows_of(record for record in batch if record is not None)
                self._dropped += unusable
                if not self._write(database, rows, stopping):
                    return
                if stopping.is_set() and waiting.empty():
                    return
        finally:
            database.close()
            if self._thread is threading.current_thread():
                self._thread = None  # it failed; the next record starts another

    def _write(self, database: Database, rows: list[Record], stopping: threading.Event) -> bool:
        """Writes the rows, however often it takes; False if the process ends before it works."""
        pause, longest = BACKOFF_SECONDS
        complained = False
        while rows:
            try:
                self._dropped += database.write(rows)
                break
            except Exception as error:
                database.close()
                complained = self._complain_of(error, len(rows)) or complained
            if stopping.is_set():
                return False
            stopping.wait(pause)
            pause = min(pause * 2, longest)
        if complained:
            logger.warning("celery_signals: recording again; dropped %d records", self._dropped)
            self._dropped = 0
        elif self._dropped:
            self.complain(f"dropped {self._dropped} records")
        return True

    def _complain_of(self, error: Exception, rows: int) -> bool:
        first_line = shortened(str(error).strip().partition("\n")[0], 300)
        return self.complain(
            f"cannot write to PostgreSQL: {type(error).__name__}: {first_line};"
            f" {rows + self._queue.qsize()} records wait, {self._dropped} dropped"
        )


def threads_are_green() -> bool:
    """Whether gevent or eventlet has replaced threads in this process."""
    gevent, eventlet = sys.modules.get("gevent.monkey"), sys.modules.get("eventlet.patcher")
    return bool(
        (gevent is not None and gevent.is_module_patched("threading"))
        or (eventlet is not None and eventlet.is_monkey_patched("thread"))
    )


# ----------------------------------------------------------------------------------- connection


def connect_signals(recorder: Recorder, settings: Settings) -> None:
    """Connects the handlers. Importing this file under two names connects them once."""

    def connect(signal: Any, handler: Callable[..., None]) -> None:
        signal.connect(handler, weak=False, dispatch_uid=f"celery_signals.{signal.name}")

    def record(make: Callable[..., Record | None], **arguments: Any) -> None:
        try:
            made = make(settings, **arguments)
            if made is not None:
                recorder.put(made)
        except Exception as error:
            recorder.complain(f"a task was not recorded: {type(error).__name__}")

    for signal, make in RECORD_OF_SIGNAL:
        connect(signal, functools.partial(record, make))
    connect(signals.worker_ready, lambda **_: recorder.start())
    connect(signals.worker_shutdown, lambda **_: recorder.stop())
    # A child of the prefork pool ends without atexit.
    connect(signals.worker_process_shutdown, lambda **_: recorder.stop())
    atexit.register(recorder.stop)


def main() -> None:
    parser = argparse.ArgumentParser(description="Records Celery tasks in PostgreSQL.")
    parser.add_argument("--schema", action="store_true", required=True, help="print the DDL")
    parser.parse_args()
    print(SCHEMA, end="")


def install() -> None:
    """Starts recording if the environment asks for it; says why in one line if it cannot."""
    try:
        if not os.environ.get("CELERY_SIGNALS_DATABASE_URL"):
            logger.info("celery_signals: not recording: CELERY_SIGNALS_DATABASE_URL is not set")
        elif driver is None:
            logger.error("celery_signals: not recording: install psycopg or psycopg2")
        else:
            settings = Settings.from_environment(os.environ)
            if settings is not None:
                connect_signals(Recorder(settings), settings)
    except ValueError as error:
        logger.error("celery_signals: not recording: %s", error)


if __name__ == "__main__":
    main()
else:
    install()

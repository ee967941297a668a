"""Records the tasks of a Celery application in PostgreSQL: in the table `task_info`, in `task_logs`
and the tables around it, or in both.

Import this file where the Celery application is defined and set CELERY_SIGNALS_DATABASE_URL.
Signal handlers put a small record on a bounded queue in memory; one daemon thread per process
writes the queue to the database with its own connection. A database that is down, hung or full
costs one log line a minute, never a task. README.md beside this file lists the settings.

    signal handler -> record -> queue | writer thread: records -> rows -> one transaction -> tables

`get_task_statistics` and `cleanup_old_records` read and trim what has been recorded, also as
`python celery_signals.py --statistics` and `--cleanup 30`; `--schema` prints the DDL.
"""

# Whatever goes wrong here must not reach the application: the handlers catch everything.
# ruff: noqa: BLE001

from __future__ import annotations

import argparse
import atexit
import collections
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
HEARTBEAT_SECONDS = 10.0  # shortest time between two writes of a worker's state
DEPTHS_SECONDS = 60.0  # time between two depths of one queue, whoever writes them
BROKER_SECONDS = 1.0  # for each answer of the broker about depths
REPORT_SECONDS = 60.0  # for statistics, and for one batch of a clean-up

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
TASK_LOGS_SCHEMA = """\
CREATE TABLE IF NOT EXISTS task_logs (
    id             bigserial PRIMARY KEY,
    task_id        varchar NOT NULL UNIQUE,
    task_name      varchar,
    status         varchar NOT NULL,
    created_at     timestamptz NOT NULL,
    started_at     timestamptz,
    completed_at   timestamptz,
    retries        integer
);
COMMENT ON COLUMN task_logs.created_at IS 'when it was sent, or first seen';
COMMENT ON COLUMN task_logs.started_at IS 'start of the latest run; NULL until it has started';
COMMENT ON COLUMN task_logs.completed_at IS 'end of the latest run; NULL while it is in progress';
CREATE INDEX IF NOT EXISTS task_logs_completed_at ON task_logs (completed_at);
CREATE INDEX IF NOT EXISTS task_logs_started_at ON task_logs (started_at);
CREATE INDEX IF NOT EXISTS task_logs_status_created_at ON task_logs (status, created_at);
CREATE INDEX IF NOT EXISTS task_logs_created_at ON task_logs (created_at);
CREATE TABLE IF NOT EXISTS task_metadata (
    task_id        varchar PRIMARY KEY,
    args           text,
    kwargs         text,
    root_task_id   varchar,
    parent_task_id varchar,
    chain_total    integer,
    worker_name    varchar,
    queue_name     varchar,
    eta            timestamptz,
    expires        timestamptz
);
COMMENT ON COLUMN task_metadata.chain_total IS 'on the first task of a chain: number of its steps';
COMMENT ON COLUMN task_metadata.worker_name IS 'worker of the latest run';
CREATE INDEX IF NOT EXISTS task_metadata_root_task_id ON task_metadata (root_task_id);
CREATE TABLE IF NOT EXISTS task_execution_history (
    id             bigserial PRIMARY KEY,
    task_id        varchar NOT NULL,
    attempt_number integer NOT NULL,
    status         varchar NOT NULL,
    started_at     timestamptz,
    completed_at   timestamptz,
    error_message  text,
    UNIQUE (task_id, attempt_number)
);
COMMENT ON COLUMN task_execution_history.attempt_number IS 'from 1: retries before it, plus one';
CREATE INDEX IF NOT EXISTS task_execution_history_completed_at
    ON task_execution_history (completed_at);
CREATE TABLE IF NOT EXISTS task_results (
    task_id        varchar PRIMARY KEY,
    status         varchar NOT NULL,
    result         text,
    error_message  text,
    traceback      text,
    completed_at   timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS task_results_completed_at ON task_results (completed_at);
CREATE TABLE IF NOT EXISTS worker_status (
    worker_name     varchar PRIMARY KEY,
    status          varchar NOT NULL,
    active_tasks    integer NOT NULL,
    processed_tasks integer NOT NULL,
    failed_tasks    integer NOT NULL,
    last_heartbeat  timestamptz NOT NULL
);
COMMENT ON COLUMN worker_status.status IS 'ONLINE or OFFLINE; a killed worker stays ONLINE';
COMMENT ON COLUMN worker_status.processed_tasks IS 'taken up since the worker started';
COMMENT ON COLUMN worker_status.failed_tasks IS 'ended as FAILURE since the worker started';
COMMENT ON COLUMN worker_status.last_heartbeat IS 'by the clock of the database';
CREATE TABLE IF NOT EXISTS queue_stats (
    id             bigserial PRIMARY KEY,
    queue_name     varchar NOT NULL,
    depth          integer NOT NULL,
    recorded_at    timestamptz NOT NULL
);
COMMENT ON COLUMN queue_stats.depth IS 'messages waiting, all priorities together';
COMMENT ON COLUMN queue_stats.recorded_at IS 'by the clock of the database';
CREATE INDEX IF NOT EXISTS queue_stats_queue_name_recorded_at
    ON queue_stats (queue_name, recorded_at);
"""
# Advisory locks of our own: "celery" and a number.
SCHEMA_LOCK = 0x63656C6572790001
DEPTHS_LOCK = 0x63656C6572790002


class Layout(enum.Enum):
    """A set of tables that holds every task, named by the one with its state."""

    TASK_INFO = "task_info"
    TASK_LOGS = "task_logs"

    @property
    def schema(self) -> str:
        return SCHEMA if self is Layout.TASK_INFO else TASK_LOGS_SCHEMA

    @property
    def tables(self) -> list[str]:
        return re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", self.schema)


def _rank(status: str, retry: int) -> str:
    """SQL: how far within one attempt a state is; 4 is an end."""
    return (
        f"CASE {status} WHEN 'PENDING' THEN 0 WHEN 'RETRY' THEN {retry} WHEN 'STARTED' THEN 2"
        " WHEN 'IGNORED' THEN 3 WHEN 'REJECTED' THEN 3 ELSE 4 END"
    )


# Sender and worker write at their own pace, so records of one task arrive in any order. A record
# replaces the state if it is not older: compared by attempt, then by the start of the run (a
# message that is delivered again runs twice with the same retry count), then by rank, then by end.
# A start is newer than an end exactly if its time is, whatever the retry counts: the same task id
# was sent again, or the process that wrote the end did not know the attempt.
# A record that is older still fills in what the row lacks.
# Times compare well on one host's clock, and between two runs on two hosts.
def _newer(attempt: str, start: str, end: str, *, one_attempt: bool = False) -> str:
    """SQL: a row with one column, whether EXCLUDED replaces the state of `stored`. The names are
    columns of both. RETRY waits for its next attempt, as PENDING does, but is the end of the
    earlier one where a row is one attempt."""
    retry = 4 if one_attempt else 1
    # Between two attempts the start belongs to the earlier one.
    waiting = "('PENDING')" if one_attempt else "('PENDING', 'RETRY')"
    return f"""(
            SELECT COALESCE(
                CASE WHEN EXCLUDED.status = 'STARTED' AND stored_rank = 4
                    THEN start > stored.{end} END,
                start > stored.{end} OR (
                    COALESCE(EXCLUDED.{attempt}, stored.{attempt}, 0),
                    COALESCE(start, stored_start, '-infinity'),
                    rank,
                    COALESCE(EXCLUDED.{end}, '-infinity')
                ) >= (
                    COALESCE(stored.{attempt}, EXCLUDED.{attempt}, 0),
                    COALESCE(stored_start, start, '-infinity'),
                    stored_rank,
                    COALESCE(stored.{end}, '-infinity')
                ),
                false
            ) AS newer
            FROM (
                SELECT
                    {_rank("EXCLUDED.status", retry)} AS rank,
                    {_rank("stored.status", retry)} AS stored_rank,
                    CASE WHEN EXCLUDED.status NOT IN {waiting} THEN EXCLUDED.{start} END AS start,
                    CASE WHEN stored.status NOT IN {waiting} THEN stored.{start} END AS stored_start
            ) AS run
        ) AS decision"""


_RECORD = """\
SELECT * FROM json_to_recordset(%s::json) AS record (
    task_id varchar, status varchar, task_name varchar, args text, kwargs text, result text,
    error_message text, traceback text, retry_count integer, root_task_id varchar,
    parent_task_id varchar, chain_total integer, task_time timestamptz, completed_time timestamptz,
    created_at timestamptz, worker_name varchar, queue_name varchar, eta timestamptz,
    expires timestamptz, attempts json)"""

UPSERT = f"""\
INSERT INTO task_info AS stored (
    task_id, status, task_name, args, kwargs, result, error_message, traceback, retry_count,
    root_task_id, parent_task_id, chain_total, task_time, completed_time)
SELECT
    task_id, status, task_name, args, kwargs, result, error_message, traceback, retry_count,
    root_task_id, parent_task_id, chain_total, task_time, completed_time
FROM ({_RECORD}) AS record
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
        FROM {_newer("retry_count", "task_time", "completed_time")}
    ),
    task_name = COALESCE(stored.task_name, EXCLUDED.task_name),
    args = COALESCE(stored.args, EXCLUDED.args),
    kwargs = COALESCE(stored.kwargs, EXCLUDED.kwargs),
    root_task_id = COALESCE(stored.root_task_id, EXCLUDED.root_task_id),
    parent_task_id = COALESCE(stored.parent_task_id, EXCLUDED.parent_task_id),
    chain_total = COALESCE(stored.chain_total, EXCLUDED.chain_total)
"""

# The row of task_logs decides for the other tables, and whoever writes it holds its lock: nobody
# else writes about that task meanwhile. A record has become the state if the row now has its
# status and its end.
TASK_LOGS_UPSERT = f"""\
WITH record AS ({_RECORD}), logged AS (
    INSERT INTO task_logs AS stored (
        task_id, task_name, status, created_at, started_at, completed_at, retries)
    SELECT
        task_id, task_name, status, COALESCE(created_at, task_time, completed_time, now()),
        task_time, completed_time, retry_count
    FROM record
    ON CONFLICT (task_id) DO UPDATE SET
        (status, started_at, completed_at, retries) = (
            SELECT
                CASE WHEN newer THEN EXCLUDED.status ELSE stored.status END,
                CASE WHEN newer THEN COALESCE(EXCLUDED.started_at, stored.started_at)
                    ELSE COALESCE(stored.started_at, EXCLUDED.started_at) END,
                CASE WHEN newer THEN EXCLUDED.completed_at ELSE stored.completed_at END,
                CASE WHEN newer THEN COALESCE(EXCLUDED.retries, stored.retries)
                    ELSE GREATEST(stored.retries, EXCLUDED.retries) END
            FROM {_newer("retries", "started_at", "completed_at")}
        ),
        task_name = COALESCE(stored.task_name, EXCLUDED.task_name),
        created_at = LEAST(stored.created_at, EXCLUDED.created_at)
    RETURNING task_id, status, started_at, completed_at, retries
), described AS (
    INSERT INTO task_metadata AS stored (
        task_id, args, kwargs, root_task_id, parent_task_id, chain_total, worker_name, queue_name,
        eta, expires)
    SELECT
        task_id, args, kwargs, root_task_id, parent_task_id, chain_total,
        CASE WHEN task_time = started_at
            OR record.status = logged.status AND completed_time = completed_at
            THEN worker_name END,
        queue_name, eta, expires
    FROM record JOIN logged USING (task_id)
    ON CONFLICT (task_id) DO UPDATE SET
        args = COALESCE(stored.args, EXCLUDED.args),
        kwargs = COALESCE(stored.kwargs, EXCLUDED.kwargs),
        root_task_id = COALESCE(stored.root_task_id, EXCLUDED.root_task_id),
        parent_task_id = COALESCE(stored.parent_task_id, EXCLUDED.parent_task_id),
        chain_total = COALESCE(stored.chain_total, EXCLUDED.chain_total),
        worker_name = COALESCE(EXCLUDED.worker_name, stored.worker_name),
        queue_name = COALESCE(stored.queue_name, EXCLUDED.queue_name),
        eta = COALESCE(EXCLUDED.eta, stored.eta),
        expires = COALESCE(EXCLUDED.expires, stored.expires)
), ended AS (
    INSERT INTO task_results AS stored (
        task_id, status, result, error_message, traceback, completed_at)
    SELECT task_id, record.status, result, error_message, traceback, completed_at
    FROM record JOIN logged USING (task_id)
    WHERE record.status = logged.status AND completed_time = completed_at
    ON CONFLICT (task_id) DO UPDATE SET
        status = EXCLUDED.status,
        result = EXCLUDED.result,
        error_message = EXCLUDED.error_message,
        traceback = EXCLUDED.traceback,
        completed_at = EXCLUDED.completed_at
)
INSERT INTO task_execution_history AS stored (
    task_id, attempt_number, status, started_at, completed_at, error_message)
SELECT
    task_id, COALESCE(attempt.attempt_number, logged.retries + 1, 1), attempt.status,
    attempt.started_at, attempt.completed_at, attempt.error_message
FROM record JOIN logged USING (task_id), json_to_recordset(attempts) AS attempt (
    attempt_number integer, status varchar, started_at timestamptz, completed_at timestamptz,
    error_message text)
ON CONFLICT (task_id, attempt_number) DO UPDATE SET
    (status, started_at, completed_at, error_message) = (
        SELECT
            CASE WHEN newer THEN EXCLUDED.status ELSE stored.status END,
            CASE WHEN newer THEN COALESCE(EXCLUDED.started_at, stored.started_at)
                ELSE COALESCE(stored.started_at, EXCLUDED.started_at) END,
            CASE WHEN newer THEN EXCLUDED.completed_at ELSE stored.completed_at END,
            CASE WHEN newer THEN EXCLUDED.error_message ELSE stored.error_message END
        FROM {_newer("attempt_number", "started_at", "completed_at", one_attempt=True)}
    )
"""

WORKER_UPSERT = """\
INSERT INTO worker_status AS stored (
    worker_name, status, active_tasks, processed_tasks, failed_tasks, last_heartbeat)
VALUES (%s, %s, %s, %s, 0, now())
ON CONFLICT (worker_name) DO UPDATE SET
    status = EXCLUDED.status,
    active_tasks = EXCLUDED.active_tasks,
    processed_tasks = EXCLUDED.processed_tasks,
    failed_tasks = CASE WHEN %s THEN 0 ELSE stored.failed_tasks END,
    last_heartbeat = EXCLUDED.last_heartbeat
"""
# Each process of a worker adds the failures that it has seen.
WORKER_FAILURES = """\
UPDATE worker_status SET failed_tasks = failed_tasks + %s WHERE worker_name = %s
"""

# What was recorded in the future was recorded by a clock that has been put right. What the last
# one to hold the lock wrote may be younger than this transaction.
DEPTHS_AGE = """\
SELECT name, COALESCE(extract(epoch FROM statement_timestamp() - (
    SELECT max(recorded_at) FROM queue_stats
    WHERE queue_name = name AND recorded_at <= statement_timestamp()
))::float8, 'infinity')
FROM unnest(%s::text[]) AS name
"""
DEPTHS_INSERT = """\
INSERT INTO queue_stats (queue_name, depth, recorded_at)
SELECT name, depth, statement_timestamp() FROM unnest(%s::text[], %s::integer[]) AS t (name, depth)
"""

# Placeholders, as the two layouts have other names for the same columns.
STATISTICS = """\
SELECT
    task_name,
    count(*) AS total,
    count(*) FILTER (WHERE status = 'SUCCESS') AS succeeded,
    count(*) FILTER (WHERE status = 'FAILURE') AS failed,
    count(*) FILTER (WHERE {retries} > 0) AS retried,
    avg(seconds) AS average_seconds,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95_seconds
FROM {table}, LATERAL (SELECT extract(epoch FROM {end} - {start})::float8 AS seconds) AS run
WHERE {end} >= now() - make_interval(secs => %s) OR {end} IS NULL
GROUP BY task_name
ORDER BY task_name
"""
STATISTICS_NAMES = {
    Layout.TASK_INFO: {
        "table": "task_info",
        "retries": "retry_count",
        "start": "task_time",
        "end": "completed_time",
    },
    Layout.TASK_LOGS: {
        "table": "task_logs",
        "retries": "retries",
        "start": "started_at",
        "end": "completed_at",
    },
}

# Each deletes one batch and returns how many rows of which tables. Rows that a worker writes at
# this moment are left to the next clean-up, so that neither waits for the other for long.
_OLDEST = "ORDER BY {0} LIMIT %s FOR UPDATE SKIP LOCKED"
_BEFORE = "now() - make_interval(secs => %s)"
CLEANUPS: dict[Layout, list[tuple[list[str], str]]] = {
    Layout.TASK_INFO: [
        (
            ["task_info"],
            f"""\
WITH old AS (
    SELECT id FROM task_info WHERE completed_time < {_BEFORE} {_OLDEST.format("completed_time")}
), gone AS (DELETE FROM task_info USING old WHERE task_info.id = old.id RETURNING 1)
SELECT count(*) FROM gone
""",
        )
    ],
    Layout.TASK_LOGS: [
        (
            ["task_logs", "task_metadata", "task_execution_history", "task_results"],
            f"""\
WITH old AS (
    SELECT task_id FROM task_logs WHERE completed_at < {_BEFORE} {_OLDEST.format("completed_at")}
), logs AS (
    DELETE FROM task_logs t USING old WHERE t.task_id = old.task_id RETURNING 1
), metadata AS (
    DELETE FROM task_metadata t USING old WHERE t.task_id = old.task_id RETURNING 1
), history AS (
    DELETE FROM task_execution_history t USING old WHERE t.task_id = old.task_id RETURNING 1
), results AS (
    DELETE FROM task_results t USING old WHERE t.task_id = old.task_id RETURNING 1
)
SELECT
    (SELECT count(*) FROM logs), (SELECT count(*) FROM metadata),
    (SELECT count(*) FROM history), (SELECT count(*) FROM results)
""",
        ),
        (
            ["worker_status"],
            f"""\
WITH old AS (
    SELECT worker_name FROM worker_status
    WHERE last_heartbeat < {_BEFORE} {_OLDEST.format("last_heartbeat")}
), gone AS (
    DELETE FROM worker_status t USING old WHERE t.worker_name = old.worker_name RETURNING 1
)
SELECT count(*) FROM gone
""",
        ),
        (
            ["queue_stats"],
            f"""\
WITH old AS (
    SELECT id FROM queue_stats WHERE recorded_at < {_BEFORE} {_OLDEST.format("id")}
), gone AS (DELETE FROM queue_stats USING old WHERE queue_stats.id = old.id RETURNING 1)
SELECT count(*) FROM gone
""",
        ),
    ],
}

# Columns of task_info, and for the other layout some more; one left out keeps what the row has.
Record = dict[str, Any]


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
    layouts: tuple[Layout, ...] = (Layout.TASK_INFO,)

    @property
    def has_logs(self) -> bool:
        return Layout.TASK_LOGS in self.layouts

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings | None:
        """The settings, or None if there is no database URL.

        Raises ValueError, in words that hold no part of the URL, if one cannot be read.
        """
        url = environment.get("CELERY_SIGNALS_DATABASE_URL", "").strip()
        if not url:
            return None
        details = {detail.value: detail for detail in Detail}
        conninfo, credentials = parse_url(url)
        return cls(
            conninfo,
            credentials,
            choice(environment, "CELERY_SIGNALS_CREATE_TABLES", {"yes": True, "no": False}),
            choice(environment, "CELERY_SIGNALS_ARGUMENTS", details),
            choice(environment, "CELERY_SIGNALS_RESULTS", details),
            choice(environment, "CELERY_SIGNALS_ERRORS", {"full": True, "class": False}),
            chosen_layouts(environment),
        )


def choice(environment: Mapping[str, str], name: str, meanings: Mapping[str, Any]) -> Any:
    """What the variable's value means; the first meaning if it is not set."""
    text = environment.get(name, "").strip().lower() or next(iter(meanings))
    if text not in meanings:
        raise ValueError(f"{name} must be one of {', '.join(meanings)}")
    return meanings[text]


def chosen_layouts(environment: Mapping[str, str]) -> tuple[Layout, ...]:
    meanings = {layout.value: (layout,) for layout in Layout}
    return choice(environment, "CELERY_SIGNALS_TABLES", {**meanings, "both": tuple(Layout)})


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


def first_line_of(error: Exception) -> str:
    return shortened(str(error).strip().partition("\n")[0], 300)


# -------------------------------------------------------------------------- signals -> records


def now() -> datetime:
    return datetime.now(timezone.utc)


def id_of_next(chain: Any) -> object:
    """The task id of what a chain runs next; its steps stand in reverse."""
    return chain[-1].get("options", {}).get("task_id") if chain else None


def steps_of_chain(task_id: object, chain: Any) -> int | None:
    """Number of steps in the chain whose first task is being published; None for later ones.

    A message carries what remains of its chain, so only the first one tells the whole; a task
    published while its predecessor runs (celery.app.trace) or in its place is a later one.
    """
    if not chain:
        return None
    request = getattr(current_task, "request", None) if current_task else None
    if request is not None and request.id:
        following = id_of_next(request.chain)
        # Before Celery 5.7 the one that follows has been taken off the request's chain by now.
        if task_id in (request.id, following) or (following and id_of_next(chain) == following):
            return None
    return len(chain) + 1


def queue_that_gets(exchange: Any, routing_key: Any, queues: Iterable[Any]) -> str | None:
    """The queue of a message; `queues` are those that are known to get such messages."""
    exchange = getattr(exchange, "name", exchange)
    if not exchange:  # the default exchange: the key is the queue
        return routing_key
    for one in queues:
        if one.routing_key == routing_key and getattr(one.exchange, "name", None) == exchange:
            return one.name
    return None


def published(
    settings: Settings,
    body: Any,
    headers: Any,
    exchange: Any = None,
    routing_key: Any = None,
    declare: Any = None,
    **_: Any,
) -> Record | None:
    """before_task_publish, in the sender. The older message protocol 1 is not recorded here."""
    task_id = headers.get("id") if headers else None
    if not task_id or not isinstance(body, (list, tuple)) or len(body) != 3:
        return None
    args, kwargs, embedded = body
    retries = headers.get("retries") or 0
    record = {
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
    if settings.has_logs:
        if not retries:
            record["created_at"] = now()
        record["queue_name"] = queue_that_gets(exchange, routing_key, declare or ())
        record["eta"], record["expires"] = headers.get("eta"), headers.get("expires")
    return record


def of_request(settings: Settings, task: Any, task_id: object, request: Any) -> Record:
    """The columns that the request of a task holds, if it is the request of this task.

    Signals of a worker's main process (time limits, rejects) come without one: the attempt is
    then unknown, and the row keeps its own.

    `attempt` is no column: the record tells of the attempt with so many retries before it.
    """
    record: Record = {"task_id": task_id, "task_name": getattr(task, "name", None)}
    if settings.has_logs:
        record["attempt"] = None
    if request is not None and request.id == task_id:
        record["retry_count"] = request.retries or 0
        record["root_task_id"] = request.root_id or task_id
        record["parent_task_id"] = request.parent_id
        if settings.has_logs:
            record["attempt"] = record["retry_count"]
    return record


def started(
    settings: Settings, task_id: str, task: Any, args: Any, kwargs: Any, **_: Any
) -> Record:
    """task_prerun."""
    request = task.request
    record = {
        **of_request(settings, task, task_id, request),
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
    if settings.has_logs:
        record["created_at"] = record["task_time"]
        delivery = request.delivery_info or {}
        record["queue_name"] = queue_that_gets(
            delivery.get("exchange"),
            delivery.get("routing_key"),
            list(task.app.amqp.queues.consume_from.values()) if delivery.get("exchange") else (),
        )
    return record


def succeeded(settings: Settings, sender: Any, result: Any, **_: Any) -> Record:
    """task_success."""
    return {
        **of_request(settings, sender, sender.request.id, sender.request),
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
        **of_request(settings, sender, task_id, sender.request),
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
    record = {
        **of_request(settings, sender, request.id, request),
        "status": "RETRY",
        "completed_time": None,
        **error_in_words(settings, error, getattr(einfo, "traceback", None)),
    }
    record["retry_count"] += 1
    if settings.has_logs:
        record["attempt_completed"] = now()
    return record


def revoked(
    settings: Settings, sender: Any, request: Any, terminated: Any, expired: Any, **_: Any
) -> Record:
    """task_revoked, in the worker's main process."""
    record = {
        **of_request(settings, sender, request.id, request),
        "status": "REVOKED",
        "completed_time": now(),
        "error_message": "expired" if expired else "terminated" if terminated else "revoked",
    }
    if not terminated:
        record.pop("attempt", None)  # it has not run
    return record


def left_without_result(
    settings: Settings, task_id: str, task: Any, state: Any, **_: Any
) -> Record | None:
    """task_postrun: the ends that have no signal of their own."""
    if state not in ("IGNORED", "REJECTED"):
        return None
    return {
        **of_request(settings, task, task_id, task.request),
        "status": state,
        "completed_time": now(),
    }


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
    "worker_name": NAME_LIMIT,
    "queue_name": NAME_LIMIT,
}


INTEGER_COLUMNS = ("retry_count", "chain_total", "attempt")


def moment(text: str) -> str | None:
    """A time of a message's header as PostgreSQL reads it; None if it is none."""
    try:
        time = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).isoformat()


def column(name: str, value: object) -> object:
    """A value as JSON for PostgreSQL. Raises ValueError if it cannot stand in that column."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    if name in ("eta", "expires"):
        return moment(str(value))
    if name in INTEGER_COLUMNS:
        return max(0, min(int(value), LARGEST_INTEGER))  # type: ignore[call-overload]
    # PostgreSQL refuses NUL and lone surrogates in text.
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    if name in COLUMN_LIMITS:
        return shortened(text, COLUMN_LIMITS[name])
    if len(text) > IDENTIFIER_LIMIT:  # shortened, two tasks could become one
        raise ValueError(f"{name} is longer than {IDENTIFIER_LIMIT} characters")
    return text


def attempt_of(row: Record) -> Record | None:
    """A row of task_execution_history out of what a record tells of one attempt, if it does."""
    completed_at = row.pop("attempt_completed", row.get("completed_time"))
    if "attempt" not in row:
        return None
    retries = row.pop("attempt")
    attempt = {
        "attempt_number": None if retries is None else min(retries + 1, LARGEST_INTEGER),
        "status": row["status"],
        "completed_at": completed_at,
        "error_message": row.get("error_message"),
    }
    if "task_time" in row:
        attempt["started_at"] = row["task_time"]
    return attempt


def add_attempt(attempts: dict[int | None, Record], attempt: Record) -> None:
    """Adds to the attempts of one task, by number, what a later record tells. Which attempt None
    is only the database knows, unless the task has others here: then it is the latest."""
    number = attempt["attempt_number"]
    if number is None:
        number = next(reversed(attempts), None)
    earlier = attempts.pop(None, None) or attempts.get(number, {})
    attempts[number] = {**earlier, **attempt, "attempt_number": number}


def rows_of(records: Iterable[Record]) -> tuple[list[Record], int]:
    """One row per task from records in the order in which this process made them, and the number
    of records that cannot be stored. Sorted, so that two writers never wait for each other."""
    rows: dict[str, Record] = {}
    attempts: dict[str, dict[int | None, Record]] = collections.defaultdict(dict)
    unusable = 0
    for record in records:
        try:
            row = {name: column(name, value) for name, value in record.items()}
            task_id = row["task_id"]
            if not isinstance(task_id, str) or not task_id:
                raise ValueError("a task without an id")
            attempt = attempt_of(row)
        except Exception:
            unusable += 1
        else:
            if attempt is not None:
                add_attempt(attempts[task_id], attempt)
            earlier = rows.get(task_id, {})
            if "created_at" in earlier:
                row["created_at"] = earlier["created_at"]
            # What was published again under its id, as Task.replace does, has not started again.
            waits = row.get("status") == "PENDING"
            rows[task_id] = {**row, **earlier} if waits else {**earlier, **row}
    for task_id, found in attempts.items():
        rows[task_id]["attempts"] = list(found.values())
    return [rows[task_id] for task_id in sorted(rows)], unusable


@dataclasses.dataclass(frozen=True)
class WorkerState:
    """What a worker tells of itself for worker_status."""

    name: str
    status: str
    active: int
    processed: int
    starts: bool = False  # its counts begin anew

    @classmethod
    def latest_of(cls, states: Iterable[WorkerState]) -> WorkerState | None:
        """The last one, which starts if any of them does."""
        latest = None
        for state in states:
            starts = state.starts or (latest is not None and latest.starts)
            latest = dataclasses.replace(state, starts=starts)
        return latest


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
            with self.transaction() as cursor:
                # Processes that start together would create them twice and fail.
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", (SCHEMA_LOCK,))
                for layout in self._settings.layouts:
                    # A role that may not create tables is not refused if there are all.
                    if not has_tables(cursor, layout):
                        cursor.execute(layout.schema)
            self._has_tables = True

    def write(self, rows: list[Record], worker: WorkerState | None = None) -> int:
        """Writes the rows and the worker's state; returns how many rows PostgreSQL refuses for
        their content."""
        self.connect()
        try:
            with self.transaction() as cursor:
                self._execute(cursor, rows, worker)
            return 0
        except (driver.DataError, driver.IntegrityError):
            if len(rows) <= 1 and worker is None:
                return len(rows)
        if worker is not None:
            return self.write([], worker) + self.write(rows)
        middle = len(rows) // 2
        return self.write(rows[:middle]) + self.write(rows[middle:])

    def _execute(self, cursor: Any, rows: list[Record], worker: WorkerState | None) -> None:
        if rows:
            text = json.dumps(rows)
            if Layout.TASK_INFO in self._settings.layouts:
                cursor.execute(UPSERT, (text,))
            if Layout.TASK_LOGS in self._settings.layouts:
                cursor.execute(TASK_LOGS_UPSERT, (text,))
        # Last, as the processes of a worker share this row.
        if worker is not None:
            counts = (min(count, LARGEST_INTEGER) for count in (worker.active, worker.processed))
            cursor.execute(WORKER_UPSERT, (worker.name, worker.status, *counts, worker.starts))
        failures = collections.Counter(
            row["worker_name"]
            for row in rows
            if row.get("worker_name") and row.get("status") == "FAILURE"
        )
        for name, count in failures.items():
            cursor.execute(WORKER_FAILURES, (count, name))

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
    def transaction(self, seconds: float = STATEMENT_SECONDS) -> Iterator[Any]:
        """A transaction that ends by itself: PostgreSQL cancels a slow statement, and if it does
        not answer at all the socket is shut down under the driver, which then raises."""
        assert self._socket is not None
        deadline = threading.Timer(seconds + 1, shut_down, args=(self._socket,))
        deadline.daemon = True
        with contextlib.suppress(RuntimeError):  # an ending interpreter starts no thread
            deadline.start()
        try:
            with contextlib.closing(self._connection.cursor()) as cursor:
                # Local to the transaction: a pooler hands the session to others. The last
                # half second of records is not worth a wait for the disk. A host that is gone
                # in the middle must not keep its locks.
                milliseconds = str(int(seconds * 1000))
                cursor.execute(
                    "SELECT set_config('statement_timeout', %s, true),"
                    " set_config('idle_in_transaction_session_timeout', %s, true),"
                    " set_config('synchronous_commit', 'off', true)",
                    (milliseconds, milliseconds),
                )
                yield cursor
            self._connection.commit()
        except BaseException:
            with contextlib.suppress(Exception):
                self._connection.rollback()
            raise
        finally:
            deadline.cancel()


def has_tables(cursor: Any, layout: Layout) -> bool:
    cursor.execute(
        "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s::text[]) AS name",
        (layout.tables,),
    )
    return cursor.fetchone()[0]


def shut_down(connected: socket.socket) -> None:
    """Ends the connection for whoever waits on it."""
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


class Complaints:
    """The log lines about one kind of trouble: at most one in COMPLAIN_SECONDS."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def log(self, text: str) -> bool:
        """Whether the line was written."""
        due = time.monotonic() - self._last >= COMPLAIN_SECONDS
        if due:
            self._last = time.monotonic()
            logger.warning("celery_signals: %s", text)
        return due


class Recorder:
    """The queue of one process and the thread that writes it. A forked child begins anew."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._enabled = True
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        # SimpleQueue, as its put may be interrupted by itself (a finalizer that publishes).
        self._queue: queue.SimpleQueue[Record | WorkerState | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._dropped = 0  # threads may count at once: near enough for a log line
        self._complaints = Complaints()

    def put(self, record: Record | WorkerState) -> None:
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

    def start(self) -> bool:
        """Starts the writer unless it runs; it connects at once. False if nothing is recorded."""
        with self._starting:
            if self._thread is not None or not self._enabled:
                return self._enabled
            if threads_are_green():
                # libpq would stop every greenlet of the process while it waits.
                self._enabled = False
                logger.warning("celery_signals: not recording: gevent and eventlet are not served")
                return False
            thread = threading.Thread(target=self._run, name="celery_signals", daemon=True)
            thread.start()
            self._thread = thread
            return True

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
        return self._complaints.log(text)

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
                rows, unusable = rows_of(item for item in batch if isinstance(item, dict))
                states = (item for item in batch if isinstance(item, WorkerState))
                self._dropped += unusable
                if not self._write(database, rows, WorkerState.latest_of(states), stopping):
                    return
                if stopping.is_set() and waiting.empty():
                    return
        finally:
            database.close()
            if self._thread is threading.current_thread():
                self._thread = None  # it failed; the next record starts another

    def _write(
        self,
        database: Database,
        rows: list[Record],
        worker: WorkerState | None,
        stopping: threading.Event,
    ) -> bool:
        """Writes a batch, however often it takes; False if the process ends before it works."""
        pause, longest = BACKOFF_SECONDS
        complained = False
        while rows or worker:
            try:
                self._dropped += database.write(rows, worker)
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
        return self.complain(
            f"cannot write to PostgreSQL: {type(error).__name__}: {first_line_of(error)};"
            f" {rows + self._queue.qsize()} records wait, {self._dropped} dropped"
        )


class QueueDepths:
    """The thread of a worker's main process that writes queue_stats.

    It has connections of its own, and only for a moment: a broker or a database that hangs must
    not hold up records. Of all workers on one database one writes at a time, and a queue that
    another has just written is left out.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._complaints = Complaints()
        self._stopping = threading.Event()

    def start(self, app: Any) -> None:
        """Only for brokers on Redis: elsewhere a look at a queue is not free of side effects."""
        with app.connection_for_read() as connection:
            if connection.transport.driver_type != "redis":
                return
        threading.Thread(
            target=self._run, args=(app,), name="celery_signals_depths", daemon=True
        ).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self, app: Any) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = DEPTHS_SECONDS
            database = Database(self._settings)
            try:
                pause = self._record(database, app)
            except Exception as error:
                # An error of the broker might hold its URL.
                reason = first_line_of(error) if isinstance(error, driver.Error) else "the broker"
                self._complaints.log(f"no queue depths: {type(error).__name__}: {reason}")
            finally:
                database.close()

    def _record(self, database: Database, app: Any) -> float:
        """Writes the depths that are due; the seconds until one is due again."""
        database.connect()
        with database.transaction() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (DEPTHS_LOCK,))
            if not cursor.fetchone()[0]:
                return DEPTHS_SECONDS
            cursor.execute(DEPTHS_AGE, (list(app.amqp.queues.consume_from),))
            ages = dict(cursor.fetchall())
            fresh = {name: age for name, age in ages.items() if age < DEPTHS_SECONDS}
            due = [name for name in ages if name not in fresh]
            if due:
                cursor.execute(DEPTHS_INSERT, (due, depths_of(app, due)))
            return DEPTHS_SECONDS - max(fresh.values(), default=0.0)


def depths_of(app: Any, queues: Iterable[str]) -> list[int]:
    """How many messages wait in each queue, as kombu counts them: priorities together."""
    limits = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    with app.connection_for_read(transport_options=limits) as one, one.channel() as channel:
        return [channel._size(queue) for queue in queues]


class Worker:
    """The worker that this process belongs to, if any: its name, its state, its queues' depths."""

    def __init__(self, settings: Settings, recorder: Recorder) -> None:
        self.name: str | None = None
        self._settings = settings
        self._recorder = recorder
        self._depths: QueueDepths | None = None
        self._is_ready = False
        self._told = 0.0

    def initialize(self, sender: Any, **_: Any) -> None:
        """celeryd_init. The children of the pool inherit the name."""
        self.name = str(column("worker_name", sender))

    def get_ready(self, sender: Any, **_: Any) -> None:
        """worker_ready."""
        if not self._recorder.start() or not self._settings.has_logs:
            return
        self._is_ready = True
        self._tell("ONLINE", starts=True)
        self._depths = QueueDepths(self._settings)
        self._depths.start(sender.app)

    def beat(self, **_: Any) -> None:
        """heartbeat_sent."""
        if self._is_ready and time.monotonic() - self._told >= HEARTBEAT_SECONDS:
            self._tell("ONLINE")

    def shut_down(self, **_: Any) -> None:
        """worker_shutdown."""
        if self._depths is not None:
            self._depths.stop()
        if self._is_ready:
            self._is_ready = False
            self._tell("OFFLINE")
        self._recorder.stop()

    def _tell(self, status: str, starts: bool = False) -> None:
        from celery.worker import state  # only a worker has loaded it

        self._told = time.monotonic()
        if self.name:
            active, processed = len(state.active_requests), state.all_total_count[0]
            self._recorder.put(WorkerState(self.name, status, active, processed, starts))


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

    worker = Worker(settings, recorder)

    def connect(signal: Any, handler: Callable[..., None]) -> None:
        def safe(**arguments: Any) -> None:
            try:
                handler(**arguments)
            except Exception as error:
                recorder.complain(f"{signal.name} was not recorded: {type(error).__name__}")

        signal.connect(safe, weak=False, dispatch_uid=f"celery_signals.{signal.name}")

    def record(make: Callable[..., Record | None], **arguments: Any) -> None:
        made = make(settings, **arguments)
        if made is not None:
            if worker.name and make is not published:
                made["worker_name"] = worker.name
            recorder.put(made)

    for signal, make in RECORD_OF_SIGNAL:
        connect(signal, functools.partial(record, make))
    if settings.has_logs:
        connect(signals.celeryd_init, worker.initialize)
        connect(signals.heartbeat_sent, worker.beat)
    connect(signals.worker_ready, worker.get_ready)
    connect(signals.worker_shutdown, worker.shut_down)
    # A child of the prefork pool ends without atexit.
    connect(signals.worker_process_shutdown, lambda **_: recorder.stop())
    atexit.register(recorder.stop)


# ----------------------------------------------------------------------- statistics and clean-up


@contextlib.contextmanager
def recorded() -> Iterator[tuple[Settings, Database]]:
    """The settings of this process's environment, and the database with what is recorded.

    Raises RuntimeError or ValueError if they do not name one.
    """
    settings = Settings.from_environment(os.environ)
    if settings is None:
        raise RuntimeError("CELERY_SIGNALS_DATABASE_URL is not set")
    if driver is None:
        raise RuntimeError("install psycopg or psycopg2")
    database = Database(dataclasses.replace(settings, create_tables=False))
    try:
        database.connect()
        yield settings, database
    finally:
        database.close()


def get_task_statistics(hours: float = 24) -> list[Record]:
    """What became of the tasks that ended within so many hours, and of those in progress now.

    One dict per task name: task_name, total, succeeded, failed, retried (tasks that were, at least
    once), success_ratio (of those that succeeded or failed; None if none did), average_seconds and
    p95_seconds (of the run time of tasks that ended; None if none ran). From the layout that
    CELERY_SIGNALS_TABLES names, task_info if it names both; from the other if that is not there.
    """
    with recorded() as (settings, database), database.transaction(REPORT_SECONDS) as cursor:
        layouts = [*settings.layouts, *(layout for layout in Layout)]
        there = next((layout for layout in layouts if has_tables(cursor, layout)), None)
        if there is None:
            raise RuntimeError("neither task_info nor task_logs is in the search path")
        cursor.execute(STATISTICS.format(**STATISTICS_NAMES[there]), (hours * 3600,))
        names = [description[0] for description in cursor.description]
        tasks = [dict(zip(names, row)) for row in cursor.fetchall()]
    for task in tasks:
        decided = task["succeeded"] + task["failed"]
        task["success_ratio"] = task["succeeded"] / decided if decided else None
    return tasks


def cleanup_old_records(days: float = 30, batch: int = 1000) -> dict[str, int]:
    """Deletes tasks that ended more than so many days ago, from all tables of the layouts that
    CELERY_SIGNALS_TABLES names, with depths of that age and workers that were last heard of then.

    Each batch is a short transaction of its own. Returns the number of rows by table.
    """
    if days < 0 or batch < 1:
        raise ValueError("days must not be negative, and a batch must be at least 1")
    deleted: dict[str, int] = {}
    with recorded() as (settings, database):
        for layout in settings.layouts:
            for tables, statement in CLEANUPS[layout]:
                deleted.update(dict.fromkeys(tables, 0))
                counts = (batch,)
                while counts[0] >= batch:
                    with database.transaction(REPORT_SECONDS) as cursor:
                        cursor.execute(statement, (days * 86_400, batch))
                        counts = cursor.fetchone()
                    for table, count in zip(tables, counts):
                        deleted[table] += count
    return deleted


def main() -> None:
    parser = argparse.ArgumentParser(description="Records Celery tasks in PostgreSQL.")
    actions = parser.add_mutually_exclusive_group(required=True)
    actions.add_argument("--schema", action="store_true", help="print the DDL")
    actions.add_argument(
        "--statistics",
        nargs="?",
        type=float,
        const=24,
        metavar="HOURS",
        help="print a line of JSON per task name, of the last 24 hours unless told",
    )
    actions.add_argument(
        "--cleanup",
        type=float,
        metavar="DAYS",
        help="delete tasks that ended so long ago; print the number of rows by table",
    )
    arguments = parser.parse_args()
    try:
        if arguments.schema:
            print("".join(layout.schema for layout in chosen_layouts(os.environ)), end="")
        elif arguments.statistics is not None:
            for task in get_task_statistics(arguments.statistics):
                print(json.dumps(task))
        else:
            print(json.dumps(cleanup_old_records(arguments.cleanup)))
    except (RuntimeError, ValueError) as error:
        parser.error(str(error))
    except driver.Error as error:
        parser.exit(1, f"{parser.prog}: {type(error).__name__}: {first_line_of(error)}\n")


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

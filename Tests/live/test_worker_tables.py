"""Tables that tell of workers and queues: the recorder's, those of others, and long or spoilt ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
import pytest
from readers_application import collected, value
from servers import wait_until
from stack import Exporter
from tables_application import COLLECT, SECONDS, WORKERS, log_lines, problems, queues, workers

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]


def test_workers_and_queues(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    watcher = exporter(COLLECT, "--tasks.max-workers=3", DATABASE_URL=database_url)
    assert workers(watcher.metrics()) == {name: {} for name in WORKERS}
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    moment = 1795000000.25
    database.execute(
        f"""
        INSERT INTO worker_status VALUES
            ('lives@a', 'ONLINE', 2, 30, 4, to_timestamp({moment})),
            ('gone@a', 'OFFLINE', 0, 5, 1, to_timestamp({moment} - 60));
        INSERT INTO queue_stats (queue_name, depth, recorded_at) VALUES
            ('mail', 7, now() - interval '2 minutes'), ('mail', 3, now() - interval '1 minute'),
            ('empty', 0, now()), ('silent for a day', 9, now() - interval '1 day')
        """
    )
    metrics = wait_until(
        lambda: (now := collected(watcher, "workers")) and workers(now)["status"] and now,
        SECONDS,
        "the tables",
    )
    assert workers(metrics) == {
        "status": {"lives@a": 1, "gone@a": 0},
        "heartbeat": {"lives@a": moment, "gone@a": moment - 60},
        "active": {"lives@a": 2, "gone@a": 0},
        "processed": {"lives@a": 30, "gone@a": 5},
        "failed": {"lives@a": 4, "gone@a": 1},
    }
    lengths, times = queues(metrics)
    assert lengths == {"mail": 3, "empty": 0}
    recorded = database.execute(
        "SELECT queue_name, extract(epoch FROM max(recorded_at))::float8 FROM queue_stats"
        " WHERE queue_name <> 'silent for a day' GROUP BY 1"
    ).fetchall()
    assert times == pytest.approx(dict(recorded), abs=0.001)

    # More than are told: those heard of last.
    database.execute(
        """
        INSERT INTO worker_status
        SELECT 'worker ' || n, 'ONLINE', 0, 0, 0, now() + n * interval '1 second'
        FROM generate_series(1, 100) AS n
        """
    )
    metrics = collected(watcher, "workers")
    assert workers(metrics)["status"] == {"worker 98": 1, "worker 99": 1, "worker 100": 1}
    assert problems(metrics, "workers").keys() == {"over_limit"}

    # One that is gone leaves the other.
    database.execute("DROP TABLE worker_status")
    wait_until(
        lambda: workers(collected(watcher, "workers"))["status"] == {}, SECONDS, "no workers"
    )
    wait_until(
        lambda: queues(collected(watcher, "workers"))[0] == {"mail": 3, "empty": 0},
        SECONDS,
        "the queues",
    )


def test_workers_and_queues_of_anybody(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """Tables that others made: fewer columns, other types, nonsense in them."""
    long_name = "n" * 300
    database.execute(
        f"""
        CREATE TYPE state AS ENUM ('online', 'OFFLINE');
        CREATE TABLE worker_status (
            worker_name varchar, status state, active_tasks bigint, last_heartbeat timestamp
        );
        INSERT INTO worker_status VALUES
            ('a', 'online', 3000000000, '2026-11-20 12:00:00.5'), ('b', NULL, NULL, NULL),
            (NULL, 'online', 1, now()), ('c', 'OFFLINE', -1, 'infinity'),
            ('{long_name}1', 'online', 1, NULL), ('{long_name}2', 'online', 1, NULL),
            ('quote " \\ line\n', 'online', 1, NULL), ('a', 'OFFLINE', 0, '2026-11-19 12:00:00');
        CREATE TABLE queue_stats (queue_name text, depth numeric, recorded_at timestamp);
        INSERT INTO queue_stats VALUES
            ('whole', 12, now() AT TIME ZONE 'UTC'), ('', 1, now() AT TIME ZONE 'UTC'),
            (NULL, 1, now() AT TIME ZONE 'UTC'), ('none', NULL, now() AT TIME ZONE 'UTC'),
            ('never', 1, NULL), ('{long_name}1', 1, now() AT TIME ZONE 'UTC'),
            ('{long_name}2', 2, now() AT TIME ZONE 'UTC')
        """
    )
    watcher = exporter(COLLECT, DATABASE_URL=database_url)
    metrics = watcher.metrics()  # which fails where two samples have the same labels
    found = workers(metrics)
    shortened = long_name[:200]
    strange = 'quote " \\ line\n'
    assert found["status"] == {"a": 1, "b": 0, "c": 0, shortened: 1, strange: 1}
    assert found["heartbeat"] == {"a": 1795176000.5}
    assert found["active"] == {"a": 3e9, "c": -1, shortened: 1, strange: 1}
    assert (found["processed"], found["failed"]) == ({}, {})
    lengths, times = queues(metrics)
    assert lengths.keys() == times.keys() == {"whole", "", shortened}
    assert lengths["whole"] == 12
    assert value(metrics, "celery_beat_exporter_dropped_label_values_total") > 0


@pytest.mark.parametrize(
    ("table", "spoil", "reason", "words"),
    [
        (table, spoil.format(table), reason, words.format(table))
        for table, needed, time in (
            ("worker_status", "status", "last_heartbeat"),
            ("queue_stats", "depth", "recorded_at"),
        )
        for spoil, reason, words in (
            ("REVOKE SELECT ON {} FROM reader", "permission", "GRANT SELECT ON {} TO reader"),
            (f"ALTER TABLE {{}} DROP {needed}", "malformed", "table {} has not all the columns"),
            (
                f"ALTER TABLE {{}} ALTER {time} TYPE text",
                "wrong_type",
                f"column {time} of table {{}}",
            ),
            ("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", "timeout", "table {}"),
        )
    ],
)
def test_one_of_workers_and_queues_is_spoilt(
    database: psycopg.Connection,
    database_url: str,
    reader_url: str,
    exporter: Exporters,
    table: str,
    spoil: str,
    reason: str,
    words: str,
) -> None:
    """The other goes on."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    database.execute("INSERT INTO worker_status VALUES ('a', 'ONLINE', 0, 0, 0, now())")
    database.execute(
        "INSERT INTO queue_stats (queue_name, depth, recorded_at) VALUES ('a', 1, now())"
    )
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with psycopg.connect(database_url) as spoiler:
        spoiler.execute(spoil)
        if reason != "timeout":
            spoiler.commit()
        flags = ["--collect.timeout=3s"] if reason == "timeout" else []
        watcher = exporter(COLLECT, *flags, DATABASE_URL=reader_url)
        # Without heartbeats the states are known all the same.
        states = {"a": 1} if reason == "wrong_type" else {}
        expected = ({"a": 1}, states) if table == "worker_status" else ({}, {"a": 1})

        def told() -> Metrics | None:
            """A busy machine may let a collection take too long, of which then nothing is told."""
            now = collected(watcher, "workers")
            return now if (queues(now)[0], workers(now)["status"]) == expected else None

        metrics = wait_until(told, SECONDS, f"{expected}")
        if table == "worker_status":
            assert workers(metrics)["heartbeat"] == {}
        assert reason in problems(metrics, "workers")
        assert problems(metrics, "workers").keys() <= {reason, "malformed"}
        assert log_lines(watcher, words)


def test_long_history_of_depths(
    database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """The cost of reading the latest depths does not follow the history's size."""
    database.execute(celery_signals.TASK_LOGS_SCHEMA)
    database.execute(
        """
        INSERT INTO queue_stats (queue_name, depth, recorded_at)
        SELECT 'queue ' || n % 5, n % 7, now() - n * interval '12 seconds'
        FROM generate_series(0, 199999) AS n
        """
    )
    database.execute("VACUUM ANALYZE queue_stats")

    def blocks() -> int:
        return database.execute(
            """
            SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit
            FROM pg_statio_user_tables WHERE relname = 'queue_stats'
            """
        ).fetchone()[0]

    database.execute("SELECT pg_stat_force_next_flush()")
    before = blocks()
    watcher = exporter("--collect.interval=1h", DATABASE_URL=database_url)
    assert queues(watcher.metrics())[0] == {f"queue {n}": n for n in range(5)}
    watcher.stop()  # its session tells of its reads when it ends
    wait_until(lambda: blocks() > before, SECONDS, "statistics")
    assert blocks() - before < 200

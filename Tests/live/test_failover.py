"""PostgreSQL fails over: the primary is killed, its replica is promoted, and both are in the URL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from postgres_replica import Replica
from readers_application import value
from servers import PostgresServer, wait_until
from stack import Exporter
from tables_application import COLLECT, SECONDS, family, insert, problems, read, results
from watch import Watch

import celery_signals  # isort: skip - tables_application knows where it is

if TYPE_CHECKING:
    from stack import Metrics

Exporters = Callable[..., Exporter]

LONG_AGO = "now() - interval '90 seconds'"


@pytest.fixture
def replica(own_postgres: PostgresServer, folder: Path) -> Iterator[Replica]:
    """A replica of a primary with the recorder's table, in which a task ended long ago."""
    with connection_to(own_postgres) as database:
        database.execute(celery_signals.SCHEMA)
        insert(database, ended=LONG_AGO)
    with Replica(folder / "replica", own_postgres) as replica:
        yield replica


def connection_to(server: PostgresServer) -> psycopg.Connection:
    return psycopg.connect(server.url, autocommit=True)


def is_in_step(replica: Replica, rows: int) -> bool:
    with connection_to(replica) as database:
        return database.execute("SELECT count(*) FROM task_info").fetchone() == (rows,)


def source_is(exporter: Exporter, up: int) -> Metrics:
    """The first metrics after a collection that found the database so."""

    def metrics() -> Metrics | None:
        now = read(exporter)
        is_so = value(now, "celery_beat_exporter_source_up", source="database") == up
        return now if is_so else None

    return wait_until(metrics, SECONDS, f"source_up {up}")


def sources_up(watch: Watch) -> list[float]:
    """How the database was in turn, without repetitions."""
    told = [
        value(metrics, "celery_beat_exporter_source_up", source="database")
        for metrics in watch.samples
    ]
    return [now for before, now in zip([None, *told], told, strict=False) if now != before]


def test_replica_in_step(
    own_postgres: PostgresServer, replica: Replica, exporter: Exporters
) -> None:
    """Each task counts once, whichever server it was recorded on and whenever that was."""
    watcher = exporter(COLLECT, "--collect.timeout=10s", DATABASE_URL=replica.url_of_both)
    with Watch(watcher) as watch:
        with connection_to(own_postgres) as database:
            insert(database, count=3)
            insert(database, status="STARTED", ended=None)
        assert results(read(watcher)) == {("a", "SUCCESS"): 3}
        wait_until(lambda: is_in_step(replica, 5), SECONDS, "the replica")

        own_postgres.kill()
        # The replica answers, but is not the one that is wanted.
        metrics = source_is(watcher, 0)
        assert not [name for name, _ in metrics if name.startswith("celery_task_")]
        assert problems(metrics, "tasks").keys() <= {"connect", "connection_lost"}
        replica.promote()
        with connection_to(replica) as database:
            insert(database, count=2)  # before the exporter has found it, perhaps
            insert(database, status="FAILURE")
            metrics = source_is(watcher, 1)
            assert results(metrics) == {("a", "SUCCESS"): 5, ("a", "FAILURE"): 1}
            insert(database, count=4)
        metrics = read(watcher)
        assert results(metrics) == {("a", "SUCCESS"): 9, ("a", "FAILURE"): 1}
        assert family(metrics, "celery_task_in_progress", "task_name", "status") == {
            ("a", "STARTED"): 1
        }
        # With the one of long ago.
        ratio = value(metrics, "celery_task_success_ratio", task_name="a", window="5m")
        assert ratio == pytest.approx(10 / 11)
    watch.assert_no_counter_fell()
    assert sources_up(watch) == [1, 0, 1]


def test_replica_behind(
    own_postgres: PostgresServer, replica: Replica, exporter: Exporters
) -> None:
    """What is lost stays counted and what comes is added, as far as they can be told apart."""
    watcher = exporter(COLLECT, "--collect.timeout=10s", DATABASE_URL=replica.url_of_both)
    moment = f"to_timestamp({time.time() - 20:.0f})"
    with Watch(watcher) as watch:
        with connection_to(own_postgres) as database:
            insert(database, count=2)
            wait_until(lambda: is_in_step(replica, 3), SECONDS, "the replica")
            replica.lose_primary()
            insert(database, count=3)
            insert(database, task="b", count=3, ended=moment)
        assert results(read(watcher)) == {("a", "SUCCESS"): 5, ("b", "SUCCESS"): 3}

        own_postgres.kill()
        source_is(watcher, 0)
        watcher.pause()
        replica.promote()
        with connection_to(replica) as database:
            # They cannot be told from the lost ones: same ten seconds, and before anybody looked.
            insert(database, task="b", count=4, ended=moment)
            watcher.resume()
            metrics = source_is(watcher, 1)
            assert results(metrics) == {("a", "SUCCESS"): 5, ("b", "SUCCESS"): 4}
            # From then on all count, in whichever seconds they ended.
            insert(database, count=4)
            insert(database, task="b", count=1, ended=moment)
        assert results(read(watcher)) == {("a", "SUCCESS"): 9, ("b", "SUCCESS"): 5}
    watch.assert_no_counter_fell()
    assert sources_up(watch) == [1, 0, 1]

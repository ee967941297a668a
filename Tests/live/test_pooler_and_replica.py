"""What may stand between exporter and database: PgBouncer, and a replica that lags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from postgres_replica import Replica
from readers_application import collected, value
from servers import PostgresServer, Process, free_port, wait_until
from stack import Exporter
from tables_application import COLLECT, LONG_AGO, SECONDS, insert, problems, read, results, workers

import celery_signals  # isort: skip - tables_application knows where it is

Exporters = Callable[..., Exporter]

LAG = 5.0  # seconds that the replica is behind its primary


class PgBouncer(Process):
    """A pooler in transaction mode with a single session of the server for all its clients."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.port = free_port()
        self._server = urlsplit(server.url)
        self._configuration = folder / "pgbouncer.ini"
        # As the server's own, for the same reason: it refuses to run as root.
        super().__init__("pgbouncer", folder, ["pgbouncer", self._configuration], user=server.user)

    @property
    def url(self) -> str:
        return self._server._replace(
            netloc=f"{self._server.username}:{self._server.password}@127.0.0.1:{self.port}"
        ).geturl()

    def start(self) -> None:
        accounts = self.folder / "accounts"
        accounts.write_text(f'"{self._server.username}" "{self._server.password}"\n')
        self._configuration.write_text(f"""
            [databases]
            * = host=127.0.0.1 port={self._server.port}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = {accounts}
            pool_mode = transaction
            default_pool_size = 1
            server_login_retry = 1
        """)
        super().start()

    def answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture
def pooler(folder: Path, own_postgres: PostgresServer) -> Iterator[PgBouncer]:
    with PgBouncer(folder, own_postgres) as pooler:
        yield pooler


def test_behind_pgbouncer(
    own_postgres: PostgresServer, pooler: PgBouncer, exporter: Exporters
) -> None:
    """All collectors share one session, in which others leave settings; none of ours stays."""
    with psycopg.connect(own_postgres.url, autocommit=True) as database:
        database.execute(celery_signals.SCHEMA + celery_signals.TASK_LOGS_SCHEMA)
        database.execute("INSERT INTO worker_status VALUES ('a', 'ONLINE', 0, 0, 0, now())")
        watcher = exporter(COLLECT, "--collect.timeout=10s", DATABASE_URL=pooler.url)
        with psycopg.connect(pooler.url, autocommit=True, prepare_threshold=None) as other:
            sessions = set()
            for number in range(1, 6):
                other.execute("SET lock_timeout = '77ms'")
                other.execute("SET default_transaction_isolation = 'serializable'")
                other.execute("SET timezone = 'Asia/Kolkata'")
                other.execute("SET datestyle = 'German'")
                other.execute("SET search_path = nowhere")
                insert(database, "task_info")
                assert results(read(watcher)) == {("a", "SUCCESS"): number}
                sessions.add(other.execute("SELECT pg_backend_pid()").fetchone()[0])
                assert other.execute("SHOW lock_timeout").fetchone()[0] == "77ms"
                assert other.execute("SHOW statement_timeout").fetchone()[0] == "0"
                assert other.execute("SHOW transaction_read_only").fetchone()[0] == "off"
            assert len(sessions) == 1, "nothing shared"
        metrics = collected(watcher, "workers")
        assert workers(metrics)["status"] == {"a": 1}
        for collector in ("tasks", "pipelines", "workers", "django"):
            assert problems(metrics, collector) == {}

    # The server and the pooler are killed and come again; each task counts once.
    expected = 5
    for victim in (own_postgres, pooler):
        victim.kill()
        metrics = wait_until(
            lambda: (
                (now := read(watcher))
                and value(now, "celery_beat_exporter_source_up", source="database") == 0
                and now
            ),
            SECONDS,
            "the outage",
        )
        assert results(metrics) == {}
        victim.start()
        with psycopg.connect(own_postgres.url, autocommit=True) as database:
            insert(database, "task_info", count=3)
        expected += 3
        wait_until(lambda: results(read(watcher)), SECONDS, "the database")
        assert results(read(watcher)) == {("a", "SUCCESS"): expected}


def test_replica_that_lags(own_postgres: PostgresServer, folder: Path, exporter: Exporters) -> None:
    """Rows come after their time, and each counts once, also over a restart of it."""
    with psycopg.connect(own_postgres.url, autocommit=True) as database:
        database.execute(celery_signals.SCHEMA)
        insert(database, "task_info", ended=LONG_AGO)
        delay = {"recovery_min_apply_delay": f"{LAG:.0f}s"}
        with Replica(folder / "replica", own_postgres, settings=delay) as replica:
            watcher = exporter(COLLECT, "--collect.timeout=10s", DATABASE_URL=replica.url)
            totals, sent = [0.0], 0

            def has_all() -> bool:
                totals.append(results(read(watcher)).get(("a", "SUCCESS"), 0))
                assert totals[-2] <= totals[-1] <= sent
                return totals[-1] == sent

            has_lagged = False
            for _ in range(5):
                insert(database, "task_info", count=2)
                sent += 2
                has_lagged |= not has_all()
            assert has_lagged
            wait_until(has_all, SECONDS, "all")
            insert(database, "task_info")
            replica.kill()
            replica.start()
            wait_until(
                lambda: results(read(watcher)) == {("a", "SUCCESS"): sent + 1}, SECONDS, "the last"
            )
            assert results(read(watcher)) == {("a", "SUCCESS"): sent + 1}

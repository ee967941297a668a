"""What a collection costs PostgreSQL when the task table is small, large and huge, with as many tasks a minute.

Side by side on one server: our steady collection, the GROUP BY that one would write without much
thought, and prometheus-postgres-exporter asking that. Times and buffers are PostgreSQL's own
(pg_stat_statements). A first table of each size keeps its indexes, then loses that on the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from measuring import PROJECT, Bar, Table

# isort: split
from servers import PostgresServer, free_port, wait_until
from stack import Exporter, WebProcess, fetch, write_json

SIZES = (10_000, 1_000_000, 10_000_000)
TASKS_PER_SECOND = 20
TASK_NAMES = 50
# Longer than what each collection reads again.
RECENT_SECONDS = 150
COLLECTIONS = 20
SECONDS = 60.0
# Of the time at the smallest size.
BAR = Bar(1.5)
NAIVE = "SELECT task_name, status, count(*) AS total FROM task_info GROUP BY task_name, status"
FILL = f"""
INSERT INTO task_info (task_id, status, task_name, root_task_id, retry_count, task_time, completed_time)
SELECT 'old-' || n, CASE WHEN n %% 20 = 0 THEN 'FAILURE' ELSE 'SUCCESS' END, 'shop.task_' || n %% {TASK_NAMES},
    'old-' || n, 0, ended - interval '1 second', ended
FROM (
    SELECT n, now() - (%s - n) * interval '1 second' / {TASKS_PER_SECOND} AS ended FROM generate_series(1, %s) AS n
) AS history
"""


@dataclass
class Cost:
    """What one collection or scrape cost PostgreSQL."""

    milliseconds: float
    buffers: float


class Bench:
    def __init__(self, folder: Path, server: PostgresServer) -> None:
        self.folder = folder
        self.server = server
        self._number = 0

    def fill(self, rows: int) -> str:
        """A new database with so much history; its URL."""
        name = f"history_{rows}"
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = f"{self.server.url.rpartition('/')[0]}/{name}"
        schema = subprocess.run(
            [sys.executable, PROJECT / "recorder" / "celery_signals.py", "--schema"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(schema)
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute(FILL, (rows, rows))
            # Filling a long history takes minutes: let the last ones be the same at every size.
            recent = RECENT_SECONDS * TASKS_PER_SECOND
            connection.execute(
                "DELETE FROM task_info WHERE completed_time > now() - %s * interval '1 second'",
                (RECENT_SECONDS,),
            )
            connection.execute(FILL.replace("old-", "recent-"), (recent, recent))
            connection.execute("VACUUM ANALYZE task_info")
        return url

    @contextmanager
    def tasks_going_on(self, url: str) -> Iterator[None]:
        """Tasks end at the same pace as in the history, while this lasts."""
        ended = threading.Event()
        self._number += 1
        number = self._number

        def write() -> None:
            with psycopg.connect(url, autocommit=True) as connection:
                n = 0
                while not ended.wait(1 / TASKS_PER_SECOND):
                    n += 1
                    connection.execute(
                        "INSERT INTO task_info (task_id, status, task_name, root_task_id, retry_count,"
                        " task_time, completed_time) VALUES (%s, 'SUCCESS', %s, %s, 0,"
                        " now() - interval '1 second', now())",
                        (f"new-{number}-{n}", f"shop.task_{n % TASK_NAMES}", f"new-{number}-{n}"),
                    )

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def cost(self, url: str, application: str, rounds: int) -> Cost:
        """Since the last reset, of the statements that are not the benchmark's."""
        with psycopg.connect(url) as connection:
            row = connection.execute(
                "SELECT sum(total_exec_time), sum(shared_blks_hit + shared_blks_read)"
                " FROM pg_stat_statements JOIN pg_database ON oid = dbid"
                " WHERE datname = current_database() AND query LIKE %s",
                (application,),
            ).fetchone()
        return Cost(float(row[0] or 0) / rounds, float(row[1] or 0) / rounds)

    def reset(self, url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT pg_stat_statements_reset()")

    def ours(self, url: str) -> Cost:
        self._number += 1
        exporter = Exporter(
            self.folder,
            "--collect.interval=1s",
            environment={"DATABASE_URL": url},
            name=f"exporter-{self._number}",
        )
        duration = (
            "celery_beat_exporter_collector_duration_seconds",
            frozenset({("collector", "tasks")}),
        )
        with exporter, self.tasks_going_on(url):
            seen: list[float] = []

            def collections(count: int) -> bool:
                now = exporter.metrics()[duration]
                if now not in seen:
                    seen.append(now)
                return len(seen) > count

            wait_until(lambda: collections(3), SECONDS, "the first collections")
            self.reset(url)
            seen.clear()
            wait_until(lambda: collections(COLLECTIONS), SECONDS, "collections")
            return self.cost(url, "%FROM task_info AS t%", COLLECTIONS)

    def naive(self, url: str) -> Cost:
        self.reset(url)
        with psycopg.connect(url) as connection:
            for _ in range(3):
                connection.execute(NAIVE)
        return self.cost(url, NAIVE + "%", 3)

    def postgres_exporter(self, url: str) -> Cost:
        queries = self.folder / "queries.json"
        metrics = [
            {"task_name": {"usage": "LABEL"}},
            {"status": {"usage": "LABEL"}},
            {"total": {"usage": "GAUGE"}},
        ]
        write_json(queries, {"task_info": {"query": NAIVE, "metrics": metrics}})
        port = free_port()
        self._number += 1
        process = PostgresExporter(
            f"postgres-exporter-{self._number}", self.folder, port, url, queries
        )
        with process:
            fetch(f"{process.url}/metrics")
            self.reset(url)
            for _ in range(3):
                fetch(f"{process.url}/metrics")
        return self.cost(url, NAIVE + "%", 3)


class PostgresExporter(WebProcess):
    """Debian's prometheus-postgres-exporter with one query of its user's."""

    ready_path = "/"

    def __init__(self, name: str, folder: Path, port: int, url: str, queries: Path) -> None:
        command = [
            "prometheus-postgres-exporter",
            f"--web.listen-address=127.0.0.1:{port}",
            f"--extend.query-path={queries}",
            "--disable-default-metrics",
            "--disable-settings-metrics",
        ]
        environment = {"DATA_SOURCE_NAME": f"{url}?sslmode=disable"}
        super().__init__(name, folder, port, command, environment=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    sizes = parser.parse_args().sizes
    table = Table(
        f"What a collection costs PostgreSQL, {TASKS_PER_SECOND * 60:,} tasks a minute",
        *("rows", "what asks", "ms", "buffers", "ratio to the fewest rows", "bar", ""),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {
            "shared_preload_libraries": "pg_stat_statements",
            "shared_buffers": "1GB",
            "max_wal_size": "8GB",
            "jit": "off",
        }
        with PostgresServer(folder, settings=settings) as server:
            bench = Bench(folder, server)
            first: dict[str, float] = {}

            def tell(rows: int, what: str, cost: Cost, bar: Bar | None = None) -> None:
                ratio = cost.milliseconds / first.setdefault(what, cost.milliseconds)
                cells = [f"{cost.milliseconds:.2f}", f"{cost.buffers:.0f}", f"{ratio:.2f}"]
                table.row(f"{rows:,}", what, *cells, *(bar.cells(ratio) if bar else ("–", "")))

            for rows in sizes:
                url = bench.fill(rows)
                tell(rows, "exporter's collection", bench.ours(url), BAR)
                tell(rows, "naive GROUP BY", bench.naive(url))
                tell(rows, "postgres_exporter with it", bench.postgres_exporter(url))
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("DROP INDEX task_info_completed_time")
                tell(rows, "exporter's collection without the index", bench.ours(url))


if __name__ == "__main__":
    main()

"""Processor time in an hour at the default interval, beside redis_exporter's, both scraped as Prometheus would.

The exporter reads a RedBeat with a living beat, queues, and a task table in which tasks end all the
time; redis_exporter reads the lengths of the same queues.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from measuring import RedisExporter, Table, processor_seconds, queue_keys
from redis_collection import living_beat
from tasks import TASKS_PER_SECOND, Bench

# isort: split
from servers import PostgresServer, RedisServer
from stack import Exporter, fetch

ENTRIES, QUEUES, ROWS = 50, 10, 100_000
SCRAPE_SECONDS = 10.0


@contextmanager
def all_that_is_read(folder: Path) -> Iterator[Mapping[str, str]]:
    """A Redis and a database in which something happens all the time, as the exporter's environment."""
    with (
        RedisServer(folder / "redis") as redis_server,
        PostgresServer(
            folder / "postgres", settings={"shared_preload_libraries": "pg_stat_statements"}
        ) as postgres_server,
        living_beat(folder, redis_server, ENTRIES, QUEUES),
    ):
        bench = Bench(folder, postgres_server)
        database_url = bench.fill(ROWS)
        with bench.tasks_going_on(database_url):
            yield {"CELERY_BROKER_URL": redis_server.url, "DATABASE_URL": database_url}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    minutes = parser.parse_args().minutes
    with (
        tempfile.TemporaryDirectory() as path,
        all_that_is_read(Path(path)) as environment,
    ):
        folder = Path(path)
        redis_url = environment["CELERY_BROKER_URL"]
        with (
            Exporter(folder, environment=environment) as exporter,
            RedisExporter(folder, redis_url, queue_keys(redis_url)) as other,
        ):
            both = (exporter, other)
            for one in both:  # what the start and the first scrape take is spent once
                fetch(f"{one.url}/metrics")
            before = [processor_seconds(one) for one in both]
            begin = time.monotonic()
            while time.monotonic() - begin < minutes * 60:
                time.sleep(SCRAPE_SECONDS)
                for one in both:
                    fetch(f"{one.url}/metrics")
            hours = (time.monotonic() - begin) / 3600
            used = [(processor_seconds(one) - start) / hours for one, start in zip(both, before)]
    table = Table(
        f"Processor seconds in an hour, from {minutes:g} minutes",
        *("what is read", "exporter", "redis_exporter, queues alone", "ratio"),
    )
    what = f"{ENTRIES} entries, {QUEUES} queues, a task table with {TASKS_PER_SECOND * 60:,} tasks a minute"
    table.row(what, f"{used[0]:.1f}", f"{used[1]:.1f}", f"{used[0] / used[1]:.1f}")


if __name__ == "__main__":
    main()

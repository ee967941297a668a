"""Requests per second of /metrics beside other exporters on the same queues, in turn, on one connection.

redis_exporter asks Redis at each scrape, celery-exporter asks the workers and waits for who may
still answer; the exporter serves what it has collected.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measuring import (
    PRIORITIES,
    Bar,
    CeleryExporter,
    RedisExporter,
    Table,
    fill_queues,
    queue_exporter,
    queue_keys,
    race,
)

# isort: split
from servers import RedisServer
from stack import WebProcess, worker

QUEUES = 20
BAR = Bar(50, is_floor=True)
# For some ten answers of an exporter that takes 2 s for each.
SLOW_SECONDS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of both exporters in turn")
    options = parser.parse_args()
    table = Table(
        f"Requests per second beside other exporters, {QUEUES} queues",
        *("other exporter", "exporter", "other", "ratio", "bar", ""),
    )
    with tempfile.TemporaryDirectory() as path, RedisServer(Path(path)) as server:
        folder = Path(path)
        names = fill_queues(server.url, QUEUES, PRIORITIES)
        with queue_exporter(folder, server.url, names) as exporter:

            def compare(
                what: str, peer: WebProcess, bar: Bar | None, rounds: int, seconds: int
            ) -> None:
                urls = [f"{one.url}/metrics" for one in (exporter, peer)]
                with peer:
                    result = race(*urls, 1, rounds=rounds, seconds=seconds)
                figures = [f"{result.ours:,.0f}", f"{result.theirs:,.1f}", f"{result.ratio:,.0f}"]
                table.row(what, *figures, *(bar.cells(result.ratio) if bar else ("–", "")))

            short = (options.rounds, options.seconds)
            compare("redis_exporter", RedisExporter(folder, server.url, names), BAR, *short)
            with_priorities = RedisExporter(folder, server.url, queue_keys(server.url))
            compare("redis_exporter, all priorities", with_priorities, BAR, *short)
            slow = CeleryExporter(folder, server.url, names)
            with worker(folder, broker_url=server.url):
                compare("celery-exporter, one worker", slow, None, 1, SLOW_SECONDS)


if __name__ == "__main__":
    main()

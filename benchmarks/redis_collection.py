"""What a steady collection from Redis takes and how many round trips, at any number of schedule entries and queues.

A real beat lives on the schedule, ticks every second and sends a task each time. Times are those that
the exporter tells of itself. Beside it, `redis-cli --pipe` sends the same commands many times in one
go: the least that any client would need, since it never waits and makes nothing of the replies.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

from measuring import Bar, Table, fill_queues, fill_schedule
from round_trips import RoundTrips

# isort: split
from readers_application import Application
from servers import RedisServer, wait_until
from stack import Exporter

FEW = 10
# What each collector reads: so many entries and queues.
SIZES = {
    "redbeat": [(entries, FEW) for entries in (10, 1000, 10_000)],
    "queues": [(FEW, queues) for queues in (1, 100, 1000)],
}
# A command that only this collector's connection sends.
COMMANDS = {"redbeat": b"ZCARD", "queues": b"LLEN"}
SECONDS = 120.0
STEADY_COLLECTIONS = 5
ROUND_TRIPS = Bar(4)
MILLISECONDS = Bar(100, unit=" ms")
DURATION = "celery_beat_exporter_collector_duration_seconds"


@contextmanager
def living_beat(folder: Path, server: RedisServer, entries: int, queues: int) -> Iterator[None]:
    """A beat with so many entries, of which one sends a task every second to one of these queues."""
    names = fill_queues(server.url, queues)
    fill_schedule(server.url, entries - 1)
    often = {
        "task": "readers_application.succeed",
        "schedule": 1,
        "options": {"queue": names[0]},
    }
    shop = Application(
        folder,
        broker_url=server.url,
        beat_max_loop_interval=1,
        beat_schedule={"often": often},
    )
    try:
        shop.beat()
        yield
    finally:
        with redirect_stdout(io.StringIO()):  # it prints its logs
            shop.close()


class Steady:
    """An exporter on that Redis, once it knows all entries and queues."""

    def __init__(self, folder: Path, port: int, interval: str, entries: int, queues: int) -> None:
        self._entries, self._queues = entries, queues
        self.exporter = Exporter(
            folder,
            f"--collect.interval={interval}",
            "--beat.max-loop-interval=1s",
            environment={"CELERY_BROKER_URL": f"redis://127.0.0.1:{port}/0"},
        )

    def wait(self) -> None:
        def knows_all() -> bool:
            metrics = self.exporter.metrics()
            queues = sum(1 for name, _ in metrics if name == "celery_queue_length")
            redbeat = frozenset({("scheduler", "redbeat")})
            entries = metrics.get(("celery_beat_schedule_entries", redbeat))
            return (entries, queues) == (self._entries, self._queues)

        what = f"{self._entries} entries and {self._queues} queues"
        wait_until(knows_all, SECONDS, what)

    def milliseconds(self, collector: str, count: int) -> float:
        """The median of so many collections to come."""
        label = frozenset({("collector", collector)})
        seen: list[float] = []

        def collected() -> bool:
            duration = self.exporter.metrics()[DURATION, label]
            if duration not in seen:
                seen.append(duration)
            return len(seen) > count

        wait_until(collected, SECONDS, f"{count} collections")
        # The first has been there before.
        return statistics.median(seen[1:]) * 1000


def pipe_milliseconds(server: RedisServer, commands: bytes, rounds: int) -> float:
    """How long `redis-cli --pipe` takes for these commands; without its start, which it spends once."""

    def took(times: int) -> float:
        begin = time.perf_counter()
        subprocess.run(
            ["redis-cli", "-p", str(server.port), "--pipe"],
            input=commands * times,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - begin

    more = max(10, 200_000 // len(commands))
    each = [(took(1 + more) - took(1)) / more for _ in range(rounds)]
    return statistics.median(each) * 1000


def measure(collector: str, entries: int, queues: int, collections: int, table: Table) -> None:
    with tempfile.TemporaryDirectory() as path, RedisServer(Path(path)) as server:
        folder = Path(path)
        sizes = (entries, queues)
        with living_beat(folder, server, *sizes):
            direct = Steady(folder, server.port, "250ms", *sizes)
            with direct.exporter:
                direct.wait()
                took = direct.milliseconds(collector, collections)
            with RoundTrips(server.port) as proxy:
                so_far = lambda: proxy.collections(COMMANDS[collector])
                behind = Steady(folder, proxy.port, "2s", *sizes)
                with behind.exporter:
                    behind.wait()
                    enough = len(so_far()) + STEADY_COLLECTIONS
                    what = "collections through the proxy"
                    wait_until(lambda: len(so_far()) >= enough, SECONDS, what)
        commands = so_far()[-1].commands
        trips = max(collection.round_trips for collection in so_far())
        pipe = pipe_milliseconds(server, commands, 5)
        table.row(
            f"{entries:,} entries, {queues:,} queues",
            collector,
            str(commands.count(b"\r\n*") + 1),
            f"{trips} ({' '.join(ROUND_TRIPS.cells(trips))})",
            f"{took:.2f}",
            f"{pipe:.3f}",
            f"{took / pipe:.1f}",
            *MILLISECONDS.cells(took),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collections", type=int, default=20, help="of each measurement")
    collections = parser.parse_args().collections
    table = Table(
        "A steady collection from Redis, ms",
        *("Redis", "collector", "commands", "round trips", "exporter"),
        *("redis-cli --pipe", "ratio", "bar", ""),
    )
    for collector, sizes in SIZES.items():
        for entries, queues in sizes:
            measure(collector, entries, queues, collections, table)


if __name__ == "__main__":
    main()

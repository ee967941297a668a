"""What the benchmarks share: tables, what Redis holds, how servers are asked and processes looked at, other exporters."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import redis
from celery import Celery
from celery.schedules import schedule
from kombu import Connection, Exchange, Producer, Queue
from redbeat import RedBeatSchedulerEntry

PROJECT = Path(__file__).resolve().parents[1]

from servers import Process, RedisServer, free_port
from stack import Exporter, WebProcess

PEERS_PYTHON = PROJECT / ".venv-peers" / "bin" / "python"
# kombu's priority_steps.
PRIORITIES = (0, 3, 6, 9)
# Longer than any scrape here: celery-exporter takes 2 s for one.
REQUEST_SECONDS = 30
# CPUCLOCK_SCHED of Linux: scheduled time, in nanoseconds.
CLOCK_OF_PROCESS = 2


@dataclass(frozen=True)
class Bar:
    """What a figure is to reach, or not to exceed."""

    limit: float
    is_floor: bool = False
    unit: str = ""

    def cells(self, figure: float) -> tuple[str, str]:
        """The bar, and whether the figure keeps it."""
        kept = figure >= self.limit if self.is_floor else figure <= self.limit
        sign = "≥" if self.is_floor else "≤"
        return f"{sign} {self.limit:g}{self.unit}", "ok" if kept else "MISSED"


class Table:
    """A Markdown table, printed row by row, so that it can go into docs/performance.md as it is."""

    def __init__(self, title: str, *columns: str) -> None:
        self._print(f"\n### {title}\n")
        self.row(*columns)
        self._print("|" + "---|" * len(columns))

    def row(self, *cells: str) -> None:
        self._print(f"| {' | '.join(cells)} |".replace("|  |", "| |"))

    @staticmethod
    def _print(text: str) -> None:
        print(text, flush=True)


# Servers and processes


def requests_per_second(url: str, connections: int, seconds: int) -> float:
    """As wrk counts them; RuntimeError when an answer was not 200 or did not come."""
    command = ["wrk", f"-c{connections}", "-t1", f"-d{seconds}s", f"--timeout={REQUEST_SECONDS}s"]
    report = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"{url}: {report}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1])


@dataclass(frozen=True)
class Race:
    """Requests per second of two servers that took turns, medians of the rounds."""

    ours: float
    theirs: float
    ratio: float


def race(ours: str, theirs: str, connections: int, *, rounds: int, seconds: int) -> Race:
    """Asks two URLs in turn; the ratio is that of each round, since a machine has better and worse moments."""
    pairs = []
    for _ in range(rounds):
        pairs.append([requests_per_second(url, connections, seconds) for url in (ours, theirs)])
    return Race(
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(one / other for one, other in pairs),
    )


def resident_megabytes(process: Process) -> float:
    """Memory of the process that is in RAM now, its own and what it shares."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000


def processor_seconds(process: Process) -> float:
    """What all threads of the process have used of the processor so far, in user and system mode.

    The kernel's clock of another process (clock_getcpuclockid(3)): /proc counts in hundredths of a
    second, and a scrape takes less.
    """
    return time.clock_gettime((~process.pid << 3) | CLOCK_OF_PROCESS)


def series_count(text: str) -> int:
    return sum(1 for line in text.splitlines() if not line.startswith("#"))


# What Redis holds


def fill_queues(url: str, count: int, priorities: Sequence[int] = (0,)) -> list[str]:
    """So many queues with a message of each priority, all by kombu; their names."""
    names = [f"queue-{number:04}" for number in range(count)]
    with Connection(url) as connection, connection.channel() as channel:
        producer = Producer(channel)
        for name in names:
            Queue(name, Exchange(name), name, channel=channel).declare()
            for priority in priorities:
                producer.publish("message", name, priority=priority)
    return names


def queue_keys(url: str) -> list[str]:
    """The lists in which the messages of these queues wait."""
    with redis.Redis.from_url(url) as client:
        return sorted(key.decode() for key in client.scan_iter("queue-*", count=1000))


def fill_schedule(url: str, count: int) -> None:
    """So many entries of a RedBeat schedule, due in an hour, each stored by RedBeat."""
    with closing(Celery("benchmark", broker=url, set_as_current=False)) as app:
        app.conf.redbeat_redis_url = url
        for number in range(count):
            name, task = f"entry-{number:05}", f"shop.task_{number % 50}"
            RedBeatSchedulerEntry(name, task, schedule(3600, app=app), app=app).save()


class Contents:
    """A Redis with 1,000 or about 10,000 series, and the exporters that read it.

    A thousand series are a queue each, ten times as many are queues that use priorities and entries of
    a schedule.
    """

    QUEUES, MORE_QUEUES, ENTRIES = 950, 1000, 1220

    def __init__(self, server: RedisServer, series: int) -> None:
        self.url = server.url
        if series <= 1000:
            self.queues = fill_queues(server.url, self.QUEUES)
        else:
            self.queues = fill_queues(server.url, self.MORE_QUEUES, PRIORITIES)
            fill_schedule(server.url, self.ENTRIES)

    def exporter(self, folder: Path) -> Exporter:
        flag = f"--beat.max-entry-series={self.ENTRIES}"
        return queue_exporter(folder, self.url, self.queues, flag)

    def redis_exporter(self, folder: Path) -> RedisExporter:
        return RedisExporter(folder, self.url, queue_keys(self.url))


def queue_exporter(folder: Path, url: str, queues: Iterable[str], *flags: str) -> Exporter:
    """The exporter on a Redis with these queues."""
    environment = {"CELERY_BROKER_URL": url, "CELERY_BEAT_EXPORTER_QUEUES": ",".join(queues)}
    return Exporter(folder, *flags, environment=environment)


# Other exporters


class RedisExporter(WebProcess):
    """Debian's prometheus-redis-exporter, which tells the lengths of these keys."""

    ready_path = "/health"

    def __init__(self, folder: Path, url: str, keys: Iterable[str]) -> None:
        port = free_port()
        command = [
            "prometheus-redis-exporter",
            f"-redis.addr={url}",
            f"-web.listen-address=127.0.0.1:{port}",
            f"-check-single-keys={','.join(keys)}",
        ]
        super().__init__("redis-exporter", folder, port, command)


class CeleryExporter(WebProcess):
    """danihodovic's celery-exporter, from .venv-peers."""

    ready_path = "/"

    def __init__(self, folder: Path, url: str, queues: Iterable[str]) -> None:
        port = free_port()
        start = "import sys; from src.cli import cli; sys.argv[0] = 'celery-exporter'; cli()"
        command = [PEERS_PYTHON, "-c", start, f"--broker-url={url}", f"--queues={','.join(queues)}"]
        command += ["--host=127.0.0.1", f"--port={port}"]
        super().__init__("celery-exporter", folder, port, command)

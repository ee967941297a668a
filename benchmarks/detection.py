"""How long after a fault `celery_beat_up` is 0 and the page is there, for each scheduler; the table of docs/detection.md.

Each beat is a real one, each fault a real signal. The earliest moment at which anyone outside could
know is the deadline; the lock's own end is what one waits for who looks at the lock alone.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from watched import START_SECONDS, Watched

# isort: split
from django_beats import OLDER, Site
from readers_application import OLDER_PYTHON, Application
from servers import PostgresServer, Process, RedisServer, wait_until
from stack import write_json

SUCCEED, FAIL = "readers_application.succeed", "readers_application.fail"
LOCK = "redbeat::lock"
PAGE_SECONDS = 420.0
SHORT_LOOP = 10
EVERY_TEN = {"often": {"task": SUCCEED, "schedule": 10}}
NIGHTLY = {"nightly": {"task": SUCCEED, "schedule": {"hour": 3, "minute": 30}}}
OVERDUE, WITHOUT_LOCK = "CeleryBeatOverdue", "CeleryBeatOverdueWithoutLock"
LOCK_MISSING = "CeleryBeatLockMissing"


@dataclass
class Beat:
    """A running beat under watch: how to bring it back, and what must page."""

    name: str
    schedulers: tuple[str, ...]
    process: Process
    watched: Watched
    client: redis.Redis
    pages: dict[str, str]  # by fault
    waits_for: str | None = None  # the scheduler that must have told of a run


FAULTS: dict[str, Callable[[Process], object]] = {
    "SIGKILL": lambda process: process.kill(),
    "SIGSTOP": lambda process: process.pause(),
    "SIGTERM": lambda process: process.stop(),
}


def seconds(value: float | None) -> str:
    return "–" if value is None else f"{max(0.0, value):.1f}"


def measure(beat: Beat, fault: str) -> Iterator[str]:
    """A row for each scheduler that tells of the beat."""
    beat.watched.wait_until_well(*beat.schedulers)
    if beat.waits_for:
        # Before the first run of an entry nobody knows what a beat without a lock has promised.
        ran = lambda: beat.watched.told("celery_beat_last_task_time", beat.waits_for)
        wait_until(ran, START_SECONDS, "a run")
    lock = beat.client.pttl(LOCK)
    deadlines = {
        one: beat.watched.told("celery_beat_deadline_timestamp_seconds", one)
        for one in beat.schedulers
    }
    begin = time.time()
    FAULTS[fault](beat.process)
    down: dict[str, float] = {}
    paged: dict[str, float] = {}

    def all_known() -> bool:
        for one in beat.schedulers:
            if one not in down and beat.watched.up(one) == 0:
                down[one] = time.time()
                # It may have acted once more in the last moment.
                name = "celery_beat_deadline_timestamp_seconds"
                deadlines[one] = beat.watched.told(name, one) or deadlines[one]
        for alert in beat.watched.pages(begin):
            one = alert.labels.get("scheduler", "")
            if alert.name == beat.pages[fault]:
                paged.setdefault(one, alert.arrived)
        return len(down) == len(paged) == len(beat.schedulers)

    wait_until(
        all_known, PAGE_SECONDS, f"{beat.name} to be known dead after {fault}: {down} {paged}"
    )
    for one in beat.schedulers:
        released = lock > 0 and fault == "SIGTERM"
        deadline = 0.0 if released else deadlines[one] - begin
        ends = None if lock < 0 else 0.0 if released else lock / 1000
        cells = [seconds(deadline), seconds(down[one] - begin), seconds(paged[one] - begin)]
        yield " | ".join(["", beat.name, one, fault, *cells, seconds(ends), ""]).strip()
    beat.process.kill()
    beat.client.delete(LOCK)
    beat.process.start()


class Bench:
    def __init__(self, folder: Path, parts: ExitStack) -> None:
        self.folder = folder
        self.redis = parts.enter_context(RedisServer(folder / "redis"))
        self.postgres = parts.enter_context(PostgresServer(folder / "postgres"))
        self.client = redis.Redis.from_url(self.redis.url)
        self._number = 0

    @contextmanager
    def watched(self, *flags: str, **environment: str) -> Iterator[Watched]:
        self._number += 1
        folder = self.folder / f"watched-{self._number}"
        with Watched(folder, *flags, keep_firing="2s", **environment) as watched:
            yield watched

    @contextmanager
    def redbeat(
        self,
        name: str,
        flags: tuple[str, ...],
        lock: bool = True,
        python: Any = None,
        **settings: Any,
    ) -> Iterator[Beat]:
        self.client.flushall()
        folder = self.folder / name.replace(" ", "-")
        given = {} if python is None else {"python": python}
        shop = Application(folder, broker_url=self.redis.url, **given, **settings)
        kept = OVERDUE if lock else WITHOUT_LOCK
        pages = {"SIGKILL": kept, "SIGSTOP": kept, "SIGTERM": LOCK_MISSING if lock else kept}
        with self.watched(*flags, CELERY_BROKER_URL=self.redis.url) as watched:
            try:
                first = "redbeat" if "beat_max_loop_interval" not in settings else None
                yield Beat(name, ("redbeat",), shop.beat(), watched, self.client, pages, first)
            finally:
                shop.close()

    @contextmanager
    def django(
        self, name: str, python: str | None = None, restricted: bool = False
    ) -> Iterator[Beat]:
        self.client.flushall()
        url = self.postgres.url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
            if restricted:
                connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
                connection.execute("GRANT USAGE ON SCHEMA public TO watcher")
                connection.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO watcher")
        read_url = url
        if restricted:
            read_url = f"postgresql://watcher:watch@{url.rpartition('@')[2]}"
        folder = self.folder / name.replace(" ", "-")
        folder.mkdir()
        given = {} if python is None else {"python": python}
        pages = dict.fromkeys(FAULTS, WITHOUT_LOCK)
        with (
            Site(folder, self.redis.url, url, **given) as site,
            self.watched(DATABASE_URL=read_url) as watched,
        ):
            yield Beat(name, ("django",), site.beat(), watched, self.client, pages)

    @contextmanager
    def persistent(self, name: str) -> Iterator[Beat]:
        self.client.flushall()
        folder = self.folder / name.replace(" ", "-")
        shop = Application(
            folder,
            broker_url=self.redis.url,
            beat_scheduler="celery.beat:PersistentScheduler",
            beat_enable_remote_control=True,
            beat_schedule=EVERY_TEN,
        )
        expected = folder / "exporter.yml"
        write_json(
            expected, {"schedule": [{"task": SUCCEED, "interval": "10s", "tolerance": "5s"}]}
        )
        pages = dict.fromkeys(FAULTS, WITHOUT_LOCK)
        environment = {"CELERY_BROKER_URL": self.redis.url, "DATABASE_URL": self.postgres.url}
        flags = (
            f"--config.file={expected}",
            "--beat.ping=celerybeat@*",
            "--beat.scheduler=evidence,ping",
        )
        with self.watched(*flags, **environment) as watched:
            try:
                shop.worker("celery", database_url=self.postgres.url)
                yield Beat(name, ("evidence", "ping"), shop.beat(), watched, self.client, pages)
            finally:
                shop.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only beats whose name holds this")
    only = parser.parse_args().only
    lock_flag, loop_flag = "--redbeat.lock-key=none", f"--beat.max-loop-interval={SHORT_LOOP}s"
    print("| beat | scheduler | fault | deadline | `celery_beat_up` 0 | page | lock's end |")
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as parts:
        bench = Bench(Path(folder), parts)
        short = {"beat_max_loop_interval": SHORT_LOOP}
        both, three = ("SIGKILL", "SIGSTOP"), ("SIGKILL", "SIGSTOP", "SIGTERM")
        without_lock = {"lock": False, "redbeat_lock_key": None}
        often = {"beat_schedule": EVERY_TEN}
        runs: dict[str, tuple[Callable[[str], AbstractContextManager[Beat]], tuple[str, ...]]] = {
            "RedBeat, an entry every 10 s": (lambda name: bench.redbeat(name, (), **often), both),
            "RedBeat, loop 10 s, nothing due": (
                lambda name: bench.redbeat(name, (loop_flag,), beat_schedule=NIGHTLY, **short),
                three,
            ),
            "RedBeat 2.2.0, an entry every 10 s": (
                lambda name: bench.redbeat(name, (), python=OLDER_PYTHON, **often),
                both,
            ),
            "RedBeat without a lock, an entry every 10 s": (
                lambda name: bench.redbeat(name, (lock_flag,), **without_lock, **often),
                three,
            ),
            "DatabaseScheduler": (bench.django, three),
            "DatabaseScheduler 2.5": (lambda name: bench.django(name, python=OLDER), both),
            "DatabaseScheduler, sessions unseen": (
                lambda name: bench.django(name, restricted=True),
                both,
            ),
            "PersistentScheduler, a task every 10 s, tolerance 5 s": (bench.persistent, three),
        }
        for name, (run, faults) in runs.items():
            if only not in name:
                continue
            rows: list[str] = []
            # The parts print their logs when they end.
            with redirect_stdout(io.StringIO()), run(name) as beat:
                up = lambda beat=beat: beat.watched.up(beat.schedulers[0]) == 1
                wait_until(up, START_SECONDS, beat.name)
                for fault in faults:
                    rows += measure(beat, fault)
            print("\n".join(rows), flush=True)


if __name__ == "__main__":
    main()

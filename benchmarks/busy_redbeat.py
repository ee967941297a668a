"""A RedBeat of which hundreds or thousands of entries fall due together: alive in every answer, and its death soon known.

Each beat is a real one. It works through one round of entries after another while the exporter is
asked twice a second; then it is killed in the middle of a round, and another between two rounds.
Exit status 1 when one that worked was ever said to be dead, or one that was killed to be alive.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from measuring import Table

# isort: split
import redis
from celery.schedules import crontab
from readers_application import Application, value
from redbeat_samples import SUCCEED
from servers import Process, RedisServer, wait_until
from slow_link import SlowLink
from stack import Exporter

LOCK = "redbeat::lock"
LOOK_SECONDS = 0.5
# A round of ten thousand takes a minute and more on a busy machine.
ROUND_SECONDS = 600.0
DEATH_SECONDS = 420.0
ROUND_MINUTES = 2


@dataclass(frozen=True)
class Load:
    """How many entries fall due together, and how far away Redis is from beat, in milliseconds."""

    entries: int
    milliseconds: int

    def __str__(self) -> str:
        away = f", Redis {self.milliseconds} ms away" if self.milliseconds else ""
        return f"{self.entries} entries{away}"


class Trial:
    """A beat with that load under an exporter."""

    def __init__(self, load: Load, folder: Path, parts: ExitStack) -> None:
        self.load = load
        server = parts.enter_context(RedisServer(folder / "redis"))
        url = server.url
        if load.milliseconds:
            link = parts.enter_context(SlowLink(server.port, load.milliseconds / 1000))
            url = url.replace(str(server.port), str(link.port))
        near = Application(folder, broker_url=server.url)
        together = crontab(minute=f"*/{ROUND_MINUTES}", app=near.app)
        for number in range(load.entries):
            near.store(f"customer {number}", together, options={"expires": 100})
        near.close()
        self.application = Application(folder, broker_url=url)
        parts.callback(self._close)
        self.client = parts.enter_context(redis.Redis.from_url(server.url))
        self.exporter = Exporter(
            folder, "--collect.interval=1s", environment={"CELERY_BROKER_URL": server.url}
        )
        parts.enter_context(self.exporter)
        self.answers = 0
        self.false_deaths = 0
        self.longest_round = 0.0

    def run(self, rounds: int) -> tuple[str, ...]:
        """The cells of its row."""
        beat = self._start()
        for _ in range(rounds):
            self._watch_round()
        due = self._told("deadline_timestamp_seconds")
        between = self._kill(beat) - due
        self.client.delete(LOCK)
        beat = self._start()
        self._watch_round(until=0.5)
        killed = time.time()
        within = self._kill(beat) - killed
        return (
            str(self.load),
            f"{self.longest_round:.0f}",
            f"{self.false_deaths} of {self.answers}",
            f"{within:.1f}",
            f"{between:.1f}",
        )

    def _start(self) -> Process:
        beat = self.application.beat()
        wait_until(lambda: self._told("up") == 1, ROUND_SECONDS, "beat to be seen alive")
        return beat

    def _watch_round(self, until: float = 1) -> None:
        """Asks until that share of the entries has been sent."""
        first = self._runs()
        begun: float | None = None
        deadline = time.monotonic() + ROUND_SECONDS
        while (runs := self._runs() - first) < until * self.load.entries:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.load}: {runs:.0f} sent in {ROUND_SECONDS:.0f} s")
            if runs and begun is None:
                begun = time.monotonic()
            time.sleep(LOOK_SECONDS)
        if begun is not None and until == 1:
            self.longest_round = max(self.longest_round, time.monotonic() - begun)

    def _close(self) -> None:
        with redirect_stdout(io.StringIO()):  # it shows the ends of logs
            self.application.close()

    def _kill(self, beat: Process) -> float:
        """The Unix time at which celery_beat_up was 0."""
        beat.kill()
        wait_until(lambda: self._told("up") == 0, DEATH_SECONDS, "beat to be seen dead")
        return time.time()

    def _runs(self) -> float:
        metrics = self.exporter.metrics()
        self.answers += 1
        self.false_deaths += value(metrics, "celery_beat_up", scheduler="redbeat") != 1
        name = "celery_beat_tasks_total"
        return value(metrics, name, scheduler="redbeat", task_name=SUCCEED) or 0

    def _told(self, name: str) -> float | None:
        return value(self.exporter.metrics(), f"celery_beat_{name}", scheduler="redbeat")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--loads",
        default="400@8,1000,3000,10000",
        help="entries, and how many milliseconds Redis is away (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=2, help="to watch (default: %(default)s)")
    arguments = parser.parse_args()
    table = Table(
        "Entries of RedBeat that fall due together",
        "beat",
        "longest round, s",
        "answers in which it was not up",
        "killed within a round: known after, s",
        "killed between rounds: known after the next was due, s",
    )
    false_deaths = 0
    for words in arguments.loads.split(","):
        entries, _, milliseconds = words.partition("@")
        load = Load(int(entries), int(milliseconds or 0))
        with tempfile.TemporaryDirectory() as name, ExitStack() as parts:
            trial = Trial(load, Path(name), parts)
            table.row(*trial.run(arguments.rounds))
            false_deaths += trial.false_deaths
    raise SystemExit(1 if false_deaths else 0)


if __name__ == "__main__":
    main()

"""Normal life with deploys: beats of every kind, restarted, rolled, moved and edited, and no page but for one that is away.

Intervals of tasks are seconds instead of minutes; the rules are those that ship, unchanged. It prints
what it does and what is expected of that, every alert that fires and whether it was expected, and
at the end how many were. Exit status 0 when what was expected came and nothing else did.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from applications import KINDS, Office, Servers, Shaky, Watchable
from watched import Watched

# isort: split
from servers import wait_until
from stack import Alert, write_json

START_SECONDS = 90.0
# What is known of a beat's return: a collection, a scrape, a rule that looks back over a minute.
RETURN_SECONDS = 75.0
Event = Callable[[], None]


@dataclass
class Outage:
    """A beat that is away: pages are expected from its deadline to its return, of its application alone."""

    target: str
    deadline: float  # Unix time
    back: float = float("inf")
    pages: int = 0

    def expects(self, alert: Alert) -> bool:
        is_its_own = alert.labels.get("target") == self.target
        return is_its_own and self.deadline <= alert.arrived <= self.back + RETURN_SECONDS


class Life:
    """Everything that runs, and what happens to it."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.dice = dice
        self.parts = contextlib.ExitStack()
        self.outages: list[Outage] = []
        self.unexpected: list[Alert] = []
        self.servers = Servers(folder, self.parts)
        self.applications: dict[str, Watchable] = {
            kind.name: kind(folder, self.servers, self.parts, dice) for kind in KINDS
        }
        file = folder / "exporter.yml"
        write_json(
            file, {"targets": {name: one.settings for name, one in self.applications.items()}}
        )
        self.watched = Watched(
            folder / "watched",
            f"--config.file={file}",
            targets=list(self.applications),
            on_alert=self._on_alert,
        )

    def start(self) -> None:
        """Returns when every beat has been seen alive, or says which was not."""
        for one in self.applications.values():
            one.start()
        self.parts.enter_context(self.watched)
        try:
            wait_until(lambda: not self._unseen(), START_SECONDS, "every beat to be seen alive")
        except TimeoutError as error:
            say(f"{error}, in vain for {', '.join(self._unseen())}")

    def events(self) -> Iterator[Event]:
        """Each event in turn, every round in another order."""
        events = [event for one in self.applications.values() for event in one.events]
        events += [self.restart_exporter, self.hold_a_scrape, self.restart_redis, self.save_redis]
        while True:
            self.dice.shuffle(events)
            for event in events:
                # A beat that is away has no deploys.
                if not any(
                    outage.back == float("inf") and outage.target == of_application(event)
                    for outage in self.outages
                ):
                    yield event

    def restart_exporter(self) -> None:
        self.watched.exporter.stop()
        time.sleep(self.dice.uniform(0, 5))
        self.watched.exporter.start()

    def hold_a_scrape(self) -> None:
        """One or two scrapes in a row fail."""
        self.watched.exporter.pause()
        time.sleep(2.5)
        self.watched.exporter.resume()

    def restart_redis(self) -> None:
        """With what it had; beats that tick meanwhile end, and are started again as anyone would."""
        away = {outage.target for outage in self.outages if outage.back == float("inf")}
        self.servers.redis.stop()
        time.sleep(1)
        self.servers.redis.start()
        time.sleep(12)
        for one in self.applications.values():
            for process in one.processes:
                if not process.running and not (one.name in away and process is one.beat):
                    process.kill()
                    process.start()

    def save_redis(self) -> None:
        shop = self.applications[Office.name].shop
        shop.app.connection_for_write().default_channel.client.bgsave()

    # Outages

    def begin_outage(self) -> None:
        """The beat of one application is killed."""
        one = self.applications[Shaky.name]
        name = ("celery_beat_deadline_timestamp_seconds", frozenset({("scheduler", "django")}))
        deadline = self.watched.exporter.probe(one.name)[name]
        self.outages.append(Outage(one.name, deadline))
        one.beat.kill()

    def end_outage(self) -> None:
        self.applications[Shaky.name].beat.start()
        self.outages[-1].back = time.time()

    # What is told

    def _unseen(self) -> list[str]:
        """The targets of which not every scheduler is up."""

        def told(name: str) -> set[float]:
            metrics = self.watched.exporter.probe(name)
            return {value for (family, _), value in metrics.items() if family == "celery_beat_up"}

        return [name for name in self.applications if told(name) != {1}]

    def _on_alert(self, alert: Alert) -> None:
        if alert.status != "firing":
            return
        outage = next((outage for outage in self.outages if outage.expects(alert)), None)
        if outage is None:
            self.unexpected.append(alert)
        elif alert.labels["severity"] == "critical":
            outage.pages += 1
        labels = " ".join(f"{k}={v}" for k, v in sorted(alert.labels.items()))
        say(f"ALERT {'UNEXPECTED' if outage is None else 'as expected'} {alert.name} {labels}")


def of_application(event: Event) -> str | None:
    """The target whose event it is; None where it concerns all."""
    return getattr(event.__self__, "name", None)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


@dataclass(frozen=True)
class Options:
    minutes: float
    every: float
    outages: list[float]  # minutes
    seed: int

    @classmethod
    def read(cls) -> Options:
        parser = argparse.ArgumentParser(description=__doc__)
        parser.add_argument("--minutes", type=float, default=60)
        parser.add_argument("--every", type=float, default=60, help="seconds between two events")
        parser.add_argument(
            "--outages",
            default="3,30",
            help="minutes for which a beat is away, one after the other",
        )
        parser.add_argument("--seed", type=int, default=1)
        given = parser.parse_args()
        outages = [float(minutes) for minutes in given.outages.split(",") if minutes]
        return cls(given.minutes, given.every, outages, given.seed)


def agenda(options: Options, life: Life) -> Iterator[tuple[float, Event, str]]:
    """Events with their times in seconds after the start, and what is expected of each.

    What is not taken up by outages is shared out before, between and after them.
    """
    left = (options.minutes - sum(options.outages)) * 60 / (len(options.outages) + 1)
    timed: list[tuple[float, Event, str]] = []
    time_of_next = 0.0
    for minutes in options.outages:
        begin = time_of_next + left
        time_of_next = begin + minutes * 60
        page = f"a page of {Shaky.name} from its deadline on, while it is away for {minutes:g} min"
        timed += [(begin, life.begin_outage, page), (time_of_next, life.end_outage, "no new page")]
    events = life.events()
    ordinary = options.every
    while timed or ordinary < options.minutes * 60:
        if timed and timed[0][0] <= ordinary:
            yield timed.pop(0)
        else:
            yield ordinary, next(events), "no page"
            ordinary += options.every


def live(options: Options, life: Life) -> int:
    """Lets all happen; how many events that were."""
    life.start()
    start = time.monotonic()
    count = 0
    for due, event, expected in agenda(options, life):
        time.sleep(max(0.0, start + due - time.monotonic()))
        name = " ".join(filter(None, [of_application(event), event.__name__]))
        say(f"{name}: expected {expected}")
        event()
        count += 1
    time.sleep(max(0.0, start + options.minutes * 60 - time.monotonic()))
    return count


def main() -> int:
    options = Options.read()
    with tempfile.TemporaryDirectory() as name:
        life = Life(Path(name), random.Random(options.seed))
        try:
            events = live(options, life)
        finally:
            # The parts print their logs when they end.
            with contextlib.redirect_stdout(io.StringIO()):
                life.parts.close()
    pages = sum(alert.labels["severity"] == "critical" for alert in life.unexpected)
    missed = sum(outage.pages == 0 for outage in life.outages)
    print(
        f"{options.minutes:g} minutes, {events} events, {len(life.outages)} outages of beat:"
        f" {len(life.outages) - missed} of these told by a page, and else"
        f" {pages} pages, {len(life.unexpected) - pages} warnings"
    )
    return 1 if life.unexpected or missed else 0


if __name__ == "__main__":
    sys.exit(main())

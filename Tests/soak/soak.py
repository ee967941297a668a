"""An exporter under fire: sources are killed, hung and replaced at random, clients misbehave.

    .venv/bin/python Tests/soak/soak.py [--minutes 30] [--seed 1]

Three applications on two Redis and two PostgreSQL servers are watched by one exporter, while
scrapers ask for them all the time. In the end no scrape may have failed, everything must be read
again, and memory, descriptors and threads must be what they were. Exit status 0 if so. The seed
makes the order of the faults; what meets what is the machine's affair.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from applications import Application, ConfigurationFile, Postgres, Redis, run_tasks
from faults import Fault, all_faults, reload
from scrapes import Counts, Scrapes
from servers import Process, wait_until
from stack import Exporter, fetch, parse_metrics

CONNECTIONS = 4
PARSE_EVERY = 100
STEP_SECONDS = 0.1
GAP_SECONDS = (0.3, 2.0)  # between two faults
FAULT_SECONDS = (0.5, 6.0)
RECOVERY_SECONDS = 60.0
SOURCES = {"redbeat", "broker", "database"}
WARM_UP = 1 / 6  # of the time, in which memory may grow
LOWS = 10  # parts of that time, in each of which no server lies for a moment at least
PEAK_MEGABYTES = 64.0  # above the median, while a server lies


@dataclass(frozen=True)
class Held:
    """What the process holds at a moment."""

    minutes: float  # since the start
    megabytes: float  # resident
    descriptors: int
    threads: int

    @classmethod
    def by(cls, process: Process, minutes: float) -> Held:
        folder = Path(f"/proc/{process.pid}")
        status = dict(
            line.split(":", 1) for line in (folder / "status").read_text().splitlines() if line
        )
        return cls(
            minutes,
            int(status["VmRSS"].split()[0]) / 1024,
            len(list((folder / "fd").iterdir())),
            int(status["Threads"]),
        )


def lows(samples: list[Held]) -> list[Held]:
    """Where memory was lowest in each part of the time: what a lie takes for a while is not kept."""
    length = max(1, len(samples) // LOWS)
    parts = [samples[start : start + length] for start in range(0, len(samples), length)]
    return [min(part, key=lambda sample: sample.megabytes) for part in parts]


def growth(samples: list[Held]) -> float:
    """By how many megabytes the trend of memory (least squares) rises from first to last."""
    xs = [sample.minutes for sample in samples]
    ys = [sample.megabytes for sample in samples]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - x_mean) ** 2 for x in xs)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True)) / spread
    return slope * (xs[-1] - xs[0])


class Trouble:
    """Begins faults at random and ends each in time. For the main thread, which starts servers."""

    def __init__(self, faults: list[Fault], choices: random.Random) -> None:
        self.counts: dict[str, int] = {}
        self._faults = faults
        self._choices = choices
        self._next = time.monotonic()
        self._active: dict[int, tuple[float, contextlib.ExitStack]] = {}

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def step(self) -> None:
        """Ends what is due to end, begins what is due to begin."""
        now = time.monotonic()
        for subject, (until, _) in list(self._active.items()):
            if until <= now:
                self._end(subject)
        if now < self._next:
            return
        fault = self._choices.choice(self._faults)
        seconds = self._choices.uniform(*FAULT_SECONDS)
        self._next = now + self._choices.uniform(*GAP_SECONDS)
        subject = id(fault.subject)
        self._end(subject)
        stack = contextlib.ExitStack()
        self._active[subject] = (now + seconds, stack)
        stack.enter_context(fault.begin())
        self.counts[fault.name] = self.counts.get(fault.name, 0) + 1

    def end(self) -> None:
        for subject in list(self._active):
            self._end(subject)

    def _end(self, subject: int) -> None:
        if subject in self._active:
            self._active.pop(subject)[1].close()


def ailing(exporter: Exporter, applications: list[Application]) -> list[str]:
    """The applications of which a source is not read, or the beat not known to live, and what is."""
    found = []
    for application in applications:
        metrics = parse_metrics(fetch(exporter.url + application.path))
        up = {
            dict(labels)["source"]
            for (name, labels), value in metrics.items()
            if name == "celery_beat_exporter_source_up" and value == 1
        }
        beat = metrics.get(("celery_beat_up", frozenset({("scheduler", "redbeat")})))
        if up != SOURCES or beat != 1:
            found.append(f"{application.path}: sources {sorted(up)}, celery_beat_up {beat}")
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--seed", type=int, default=1, help="of the order of the faults")
    arguments.add_argument("--per-second", type=float, default=200, help="scrapes")
    arguments.add_argument("--slowest", type=float, default=1, help="seconds a scrape may take")
    arguments.add_argument(
        "--growth",
        type=float,
        default=4,
        help="megabytes by which the trend of memory's lows may rise after the warm-up, to the end",
    )
    options = arguments.parse_args()
    with contextlib.ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        return soak(folder, running, options)


def soak(folder: Path, running: contextlib.ExitStack, options: argparse.Namespace) -> int:
    redis_servers = [running.enter_context(Redis(folder / f"redis{n}")) for n in range(2)]
    postgres = [running.enter_context(Postgres(folder / f"postgres{n}")) for n in range(2)]
    applications = [
        Application("", folder, redis_servers[0], 0, postgres[0]),
        Application("bank", folder, redis_servers[0], 1, postgres[0]),
        Application("shop", folder, redis_servers[1], 0, postgres[1]),
    ]
    configuration = ConfigurationFile(folder / "exporter.yml", applications)
    configuration.write()
    for application in applications:
        application.fill()

    end = threading.Event()
    lives = [threading.Thread(target=one.live, args=(end,)) for one in applications]
    lives += [threading.Thread(target=run_tasks, args=(server, end)) for server in postgres]
    for life in lives:
        life.start()
    running.callback(lambda: [life.join() for life in lives])
    running.callback(end.set)

    exporter = Exporter(folder, "--web.enable-lifecycle", f"--config.file={configuration.path}")
    running.enter_context(exporter)
    wait_until(lambda: not ailing(exporter, applications), RECOVERY_SECONDS, "all to be read")
    first = Held.by(exporter, 0)

    choices = random.Random(options.seed)
    trouble = Trouble(all_faults(applications, configuration, exporter.port, choices), choices)
    running.callback(trouble.end)  # else what it holds would keep the applications for ever
    with Scrapes(
        exporter.port,
        [one.path for one in applications],
        per_second=options.per_second,
        connections=CONNECTIONS,
        parse_every=PARSE_EVERY,
        slowest=options.slowest,
    ) as scrapes:
        samples, total = run(exporter, scrapes, trouble, options.minutes)
        trouble.end()
    total.add(scrapes.take())

    recovery = time.monotonic()
    problems = []
    last = samples[-1]

    def is_as_before() -> bool:
        nonlocal last
        last = Held.by(exporter, options.minutes)
        is_held = last.descriptors > first.descriptors or last.threads > first.threads
        return not ailing(exporter, applications) and not is_held

    configuration.write()
    if reload(exporter.port) != 200:
        problems.append("the last reload failed")
    try:
        wait_until(is_as_before, RECOVERY_SECONDS, "everything to be as it was")
    except TimeoutError as error:
        problems.append(f"{error}: began with {first}, ended with {last}")
        problems += ailing(exporter, applications)
    recovered = time.monotonic() - recovery
    if not all(life.is_alive() for life in lives):
        problems.append("an application has ended")
    status = exporter.stop()
    if status != 0:
        problems.append(f"the exporter ended with status {status}")
    if total.failed:
        problems.append(f"{total.failed} scrapes failed, as {'; '.join(scrapes.failures)}")

    steady = [sample for sample in samples if sample.minutes >= options.minutes * WARM_UP]
    memory = sorted(sample.megabytes for sample in steady)
    rise, peak = growth(lows(steady)), memory[-1] - memory[len(memory) // 2]
    if rise > options.growth:
        problems.append(f"memory grows: by {rise:.1f} MB after the warm-up")
    if peak > PEAK_MEGABYTES:
        problems.append(f"memory has a peak of {peak:.1f} MB above the median")

    print(f"faults, seed {options.seed}:")
    for name, count in sorted(trouble.counts.items()):
        print(f"  {count:4} {name}")
    print(
        f"{total.scrapes} scrapes ({total.scrapes / options.minutes / 60:.0f}/s), {total.parsed} parsed,"
        f" {total.failed} failed, slowest {total.slowest * 1000:.0f} ms\n"
        f"memory after the warm-up: trend {rise:+.2f} MB, {memory[0]:.1f} to {memory[-1]:.1f} MB\n"
        f"descriptors {first.descriptors} -> {last.descriptors}, threads {first.threads} -> {last.threads},"
        f" all well again after {recovered:.1f} s"
    )
    for problem in problems:
        print(f"PROBLEM: {problem}")
    print("steady" if not problems else "not steady")
    return 1 if problems else 0


def run(
    exporter: Exporter, scrapes: Scrapes, trouble: Trouble, minutes: float
) -> tuple[list[Held], Counts]:
    """The samples of every moment and all that was scraped; prints a line for each minute."""
    print(
        "minute  faults  failed collections  scrapes/s  failed  slowest ms  resident MB  files  threads"
    )
    start = since = time.monotonic()
    end = start + minutes * 60
    samples, total = [], Counts()
    minute, faults, failures = 1, 0, failed_collections(exporter)
    while since < end:
        trouble.step()
        time.sleep(STEP_SECONDS)
        now = time.monotonic()
        held = Held.by(exporter, (now - start) / 60)
        samples.append(held)
        if now < min(start + minute * 60, end):
            continue
        counts, failures_now = scrapes.take(), failed_collections(exporter)
        print(
            f"{minute:6}  {trouble.total - faults:6}  {failures_now - failures:18}"
            f"  {counts.scrapes / (now - since):9.0f}  {counts.failed:6}  {counts.slowest * 1000:10.0f}"
            f"  {held.megabytes:11.1f}  {held.descriptors:5}  {held.threads:7}",
            flush=True,
        )
        total.add(counts)
        minute, since, faults, failures = minute + 1, now, trouble.total, failures_now
    return samples, total


def failed_collections(exporter: Exporter) -> int:
    """How often the log told that a collector began to fail."""
    return exporter.log.read_text().count('msg="collection failed"')


if __name__ == "__main__":
    sys.exit(main())

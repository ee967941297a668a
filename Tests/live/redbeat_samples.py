"""What tests ask an exporter about RedBeat: its families, whether they are right, and for how long."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from readers_application import Application, value
from servers import Process, wait_until
from stack import Exporter

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    from stack import Metrics

    Applications = Callable[..., Application]
    Exporters = Callable[..., Exporter]

# Seconds, as FLAGS say.
COLLECT = 0.2
GRACE = 1.0
# What a scrape, a Redis round trip and a busy machine add to a moment that was computed.
SLACK = 0.5
FLAGS = ("--collect.interval=200ms", "--beat.grace=1s", "--beat.scheduler=redbeat")
SUCCEED, FAIL = "readers_application.succeed", "readers_application.fail"


def beat(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A family of the exporter's about RedBeat, named without what all these have in common."""
    return value(metrics, f"celery_beat_{name}", scheduler="redbeat", **labels)


def beat_is(exporter: Exporter, up: int, timeout: float) -> Metrics:
    """The first metrics in which beat is up, or not."""

    def metrics() -> Metrics | None:
        now = exporter.metrics()
        return now if beat(now, "up") == up else None

    return wait_until(metrics, timeout, f"celery_beat_up {up}")


def dies_on_time(exporter: Exporter, collections: int = 1) -> Metrics:
    """The first metrics without a beat that has just been killed or paused.

    They come when deadline and grace are over, and at most so many collections later.
    """
    due = beat(exporter.metrics(), "deadline_timestamp_seconds") + GRACE
    while True:
        before = time.time()
        metrics = exporter.metrics()
        # A tick in the last moment may have come after the first look.
        due = max(due, beat(metrics, "deadline_timestamp_seconds") + GRACE)
        if beat(metrics, "up") == 0:
            assert time.time() >= due, "dead before its time"
            return metrics
        assert before <= due + collections * COLLECT + SLACK, "alive after its time"


def run_counts(client: redis.Redis) -> dict[str, int]:
    """Runs by task, as RedBeat has counted them."""
    counts: dict[str, int] = {}
    for key in client.zrange("redbeat::schedule", 0, -1):
        task = json.loads(client.hget(key, "definition"))["task"]
        runs = json.loads(client.hget(key, "meta")).get("total_run_count", 0)
        counts[task] = counts.get(task, 0) + runs
    return counts


def started(process: Process) -> list[float]:
    """When each beat in that log said that it starts, in Unix time."""
    words = re.findall(
        r"\[(\S+ \S+),(\d{3}): INFO/MainProcess\] beat: Starting", process.log.read_text()
    )
    return [
        datetime.strptime(second, "%Y-%m-%d %H:%M:%S").timestamp() + int(milliseconds) / 1000
        for second, milliseconds in words
    ]


@dataclass(frozen=True)
class Look:
    """What an exporter served between two moments, in Unix time."""

    before: float
    after: float
    metrics: Metrics

    @property
    def is_up(self) -> bool:
        return beat(self.metrics, "up") == 1


class Watch:
    """Looks at an exporter all the time, in a thread, so that nothing it served goes unseen."""

    def __init__(self, exporter: Exporter) -> None:
        self.looks: list[Look] = []
        self._exporter = exporter
        self._error: Exception | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def longest_absence(self) -> float:
        """For how many seconds at most beat was not up; to the end when it did not return."""
        longest = 0.0
        since = None
        for look in self.looks:
            if not look.is_up:
                since = since or look.before
                longest = max(longest, look.after - since)
            elif since is not None:
                longest = max(longest, look.after - since)
                since = None
        return longest

    def check_all(self, holds: Callable[[Metrics], bool], what: str) -> None:
        """AssertionError unless it holds in everything that was served."""
        assert self.looks
        for look in self.looks:
            assert holds(look.metrics), f"not {what}: {told(look.metrics)}"

    def check_death(self, collections: int = 1) -> None:
        """AssertionError unless beat, alive at first, was dead from deadline and grace on."""
        due = 0.0
        for look in self.looks:
            deadline = beat(look.metrics, "deadline_timestamp_seconds") or 0
            due = max(due, deadline + beat(look.metrics, "grace_seconds"))
            if not look.is_up:
                assert look.after >= due, "dead before its time"
                return
            assert look.before <= due + collections * COLLECT + SLACK, "alive after its time"
        raise AssertionError("alive to the end")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.looks or self._error, 5, "the first look")
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _look(self) -> None:
        try:
            is_last = False  # one more look after the end: all that the test has seen is seen here
            while not is_last:
                is_last = self._end.wait(COLLECT / 4)
                before = time.time()
                metrics = self._exporter.metrics()
                self.looks.append(Look(before, time.time(), metrics))
        except (OSError, ValueError) as error:  # raised anew by the test's own thread
            self._error = error


def told(metrics: Metrics) -> dict[str, float]:
    """What is served about RedBeat, for a failure's message."""
    return {
        " ".join([name, *(text for key, text in sorted(labels) if key != "scheduler")]): number
        for (name, labels), number in metrics.items()
        if ("scheduler", "redbeat") in labels
    }


def clock_off(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is so far ahead, or behind; FileNotFoundError
    without the package faketime.

    Its sleeps and timeouts are as long as ever.
    """
    libraries = list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise FileNotFoundError("faketime is not installed: run demo/install test")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME": f"{seconds:+d}s",
    }

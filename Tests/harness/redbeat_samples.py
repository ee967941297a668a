"""What tests ask an exporter about RedBeat: its families, whether they are right, and for how long."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import readers_application
import redis
from readers_application import Application, value
from servers import PATIENCE_SECONDS, wait_until
from stack import Exporter

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    from stack import Metrics

    Applications = Callable[..., Application]
    Exporters = Callable[..., Exporter]

# Seconds, as FLAGS say. A busy machine makes a beat late, too, though not by so much.
COLLECT = 0.2
GRACE = 3.0
# How late a beat may be with an entry on such a machine, which may let it and then Redis stand still
# for seconds. What tests hunt for is minutes and hours.
SLACK = 15.0
# redbeat_lock_timeout of beats whose lock must outlast that.
LONG_LOCK = 120
PAUSE = 5.0  # that a tick may take from one run to the next
# Half of what the last digit of a sum of two times may be off.
ROUNDING = 0.001
FLAGS = ("--collect.interval=200ms", "--beat.grace=3s", "--beat.scheduler=redbeat")
SUCCEED, FAIL = "readers_application.succeed", "readers_application.fail"


def beat(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A family of the exporter's about RedBeat, named without what all these have in common."""
    return value(metrics, f"celery_beat_{name}", scheduler="redbeat", **labels)


def beat_is(exporter: Exporter, up: int, timeout: float = PATIENCE_SECONDS) -> Metrics:
    """The first metrics in which beat is up, or not."""

    def metrics() -> Metrics | None:
        now = exporter.metrics()
        return now if beat(now, "up") == up else None

    return wait_until(metrics, timeout, f"celery_beat_up {up}")


def dies_on_time(exporter: Exporter) -> Metrics:
    """The first metrics without a beat that has just been killed or paused.

    Until then it was up in each, and its time was not over when Redis was looked at. How long that
    was depends on nothing but its last tick.
    """
    ended = time.time()

    def dead() -> Metrics | None:
        metrics = exporter.metrics()
        check_time(metrics)
        return None if beat(metrics, "up") else metrics

    metrics = wait_until(dead, PATIENCE_SECONDS, "beat to be dead")
    shows_no_life_after(metrics, ended)
    return metrics


def shows_no_life_after(metrics: Metrics, ended: float) -> None:
    """AssertionError if a deadline is later than the last tick of a beat that ended then can explain.

    An idle time, which is the last tick where there is no lock, is told in whole seconds, by a
    clock that Redis looks at in its spare time. A tick that had still to send has a while for that.
    """
    latest = ended + max(PAUSE, beat(metrics, "max_loop_interval_seconds")) + SLACK
    late = beat(metrics, "deadline_timestamp_seconds") - latest
    assert late < 0, f"it shows life after its end, by {late} s"


def check_time(metrics: Metrics) -> None:
    """AssertionError unless beat is up exactly as long as its deadline and grace are not over."""
    end = beat(metrics, "deadline_timestamp_seconds") + beat(metrics, "grace_seconds")
    left = end - beat(metrics, "observed_timestamp_seconds")
    if beat(metrics, "up"):
        assert left > -ROUNDING, f"alive {-left} s after its time"
    else:
        assert left < ROUNDING, f"dead {left} s before its time"


def is_alive(metrics: Metrics) -> bool:
    """Whether beat is up, or has been silent for longer than the grace."""
    return readers_application.is_alive(metrics, "redbeat", GRACE)


def run_counts(client: redis.Redis) -> dict[str, int]:
    """Runs by task, as RedBeat has counted them."""
    counts: dict[str, int] = {}
    for key in client.zrange("redbeat::schedule", 0, -1):
        task = json.loads(client.hget(key, "definition"))["task"]
        runs = json.loads(client.hget(key, "meta")).get("total_run_count", 0)
        counts[task] = counts.get(task, 0) + runs
    return counts


@dataclass(frozen=True)
class Look:
    """What an exporter served at a moment."""

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

    def check_all(self, holds: Callable[[Metrics], bool], what: str) -> None:
        """AssertionError unless it holds in everything that was served."""
        assert self.looks
        for look in self.looks:
            assert holds(look.metrics), f"not {what}: {told(look.metrics)}"

    def check_death(self) -> None:
        """AssertionError unless beat, alive at first, was dead from deadline and grace on."""
        first = next((place for place, look in enumerate(self.looks) if look.is_up), None)
        assert first is not None, "never alive"
        for look in self.looks[first:]:
            check_time(look.metrics)
            if not look.is_up:
                return
        raise AssertionError("alive to the end")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.looks or self._error, PATIENCE_SECONDS, "the first look")
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
                self.looks.append(Look(self._exporter.metrics()))
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

"""A Django site with django-celery-beat and its beats, and what their tests share."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import pytest
import readers_application
import watch
from servers import Process, wait_until
from stack import BEAT_STARTS, PROJECT, CeleryProcess, Exporter

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    from stack import Metrics

FOLDER = Path(__file__).resolve().parent
SECONDS = 60.0  # longest wait
LOOP = 5.0  # DatabaseScheduler's own loop interval
GRACE = 3.0
COLLECT = 0.2
FLAGS = (f"--collect.interval={COLLECT * 1000:.0f}ms", f"--beat.grace={GRACE:.0f}s")
# What a busy machine adds to a moment that was computed.
SLACK = 10.0
# Half of what the last digit of a sum of two times may be off.
ROUNDING = 0.001
# An idle session's scans may be told this much later.
REPORT_DELAY = 10.0
# CONN_MAX_AGE: a connection that is renewed at every tick, and one that is kept.
RENEWED, KEPT = 0, 600

# django-celery-beat 2.9.0 on Celery 5.7, and 2.5.0 on Celery 5.2.
NEWER = sys.executable
OLDER = str(PROJECT / ".venv-older" / "bin" / "python")

# The `site` of a test, with each version in turn.
both_versions = pytest.mark.parametrize("site", [NEWER, OLDER], ids=["2.9", "2.5"], indirect=True)


class Site:
    """A Django site on a database that is its own, which `python` brings the packages for.

    Its processes end with it.
    """

    def __init__(
        self, folder: Path, broker_url: str, database_url: str, python: str = NEWER
    ) -> None:
        self._folder = folder
        self.python = python
        url = urlsplit(database_url)
        self.environment = {
            "CELERY_BROKER_URL": broker_url,
            "DJANGO_SETTINGS_MODULE": "django_site",
            "DJANGO_DATABASE": url.path.lstrip("/"),
            "DJANGO_USER": url.username or "",
            "DJANGO_PASSWORD": url.password or "",
            "DJANGO_PORT": str(url.port),
            "PYTHONPATH": str(FOLDER),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.processes: list[Process] = []
        self._migrate(database_url)

    # What `migrate` makes of an empty database, by the Python that ran it.
    _migrated: ClassVar[dict[object, str]] = {}

    def _migrate(self, database_url: str) -> None:
        """As `manage.py migrate`, of which the result is kept: it takes many times as long as to load that."""
        if self.python in self._migrated:
            self._psql(database_url, self._migrated[self.python])
            return
        self.manage("migrate")
        dump = ["pg_dump", "--no-owner", "--dbname", database_url]
        self._migrated[self.python] = subprocess.run(
            dump, check=True, timeout=5 * SECONDS, stdout=subprocess.PIPE, text=True
        ).stdout

    @staticmethod
    def _psql(database_url: str, statements: str) -> None:
        command = ["psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", database_url]
        subprocess.run(
            command,
            input=statements,
            check=True,
            timeout=5 * SECONDS,
            stdout=subprocess.DEVNULL,
            text=True,
        )

    def configure(self, *, django: dict[str, object] | None = None, **celery: object) -> None:
        """Settings of Django and of Celery, for processes that are started from now on."""
        self.environment["DJANGO_SETTINGS"] = json.dumps(django or {})
        self.environment["CELERY_SETTINGS"] = json.dumps(celery)

    def manage(self, *arguments: str) -> None:
        """`manage.py ARGUMENTS`."""
        self._run("-m", "django", *arguments, "--verbosity", "0")

    def shell(self, code: str) -> str:
        """What `code` prints, run with the site set up, as in `manage.py shell`."""
        return self._run("-c", self._set_up(code))

    def process(self, name: str, code: str) -> Process:
        """The same as a process that goes on, such as a web server's."""
        command = [self.python, "-c", self._set_up(code)]
        process = Process(name, self._folder, command, environment=self.environment)
        self.processes.append(process)
        process.start()
        return process

    def beat(
        self, *, connection_seconds: int = RENEWED, loop_seconds: int | None = None
    ) -> DjangoBeat:
        """A running beat; its connection is renewed at every tick unless it is told to keep it."""
        name = f"beat-{len(self.processes)}"
        process = DjangoBeat(name, self._folder, self, connection_seconds, loop_seconds)
        self.processes.append(process)
        process.start()
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            print(process.log_tail())  # shown when the test has failed
            process.kill()

    @staticmethod
    def _set_up(code: str) -> str:
        return f"import django\ndjango.setup()\n{code}"

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            [self.python, *arguments],
            env={**os.environ, **self.environment},
            check=True,
            timeout=5 * SECONDS,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


class DjangoBeat(CeleryProcess):
    def __init__(
        self,
        name: str,
        folder: Path,
        site: Site,
        connection_seconds: int,
        loop_seconds: int | None,
    ) -> None:
        Process.__init__(
            self,
            name,
            folder,
            [site.python, "-m", "celery", "-A", "django_site", "beat", "-S", "django"]
            + ["--pidfile=", "--loglevel", "info"]
            + ([] if loop_seconds is None else ["--max-interval", str(loop_seconds)]),
            environment={**site.environment, "DJANGO_CONNECTION_SECONDS": str(connection_seconds)},
        )
        self._ready_words = BEAT_STARTS
        self._log_start = 0

    def sent(self, entry: str) -> int:
        """How often it has sent the task of an entry."""
        return self.log.read_text().count(f"Sending due task {entry} ")

    def stood_still(self, since: float) -> bool:
        """Whether its log has a gap that is longer than the grace, and ended after that moment.

        It sends something each second, unless the machine gives it no processor for a while.
        """
        moments = self.said("Sending due task ")
        gaps = itertools.pairwise(moments)
        return any(end > since and end - start > GRACE for start, end in gaps)


class Watch(watch.Watch):
    def told(self, name: str, **labels: str) -> list[float | None]:
        """What the samples so far say of beat."""
        return [value(metrics, name, **labels) for metrics in self.samples]

    def assert_life(self, *beats: DjangoBeat) -> None:
        """AssertionError unless beat was up in each sample, or one of these says itself why not."""
        told = set(self.told("celery_beat_up"))
        stood_still = any(one.stood_still(self.began) for one in beats)
        assert told == {1} or (told == {0, 1} and stood_still), told


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample of a DatabaseScheduler; None when there is none."""
    return readers_application.value(metrics, name, scheduler="django", **labels)


def up_is(exporter: Exporter, expected: float | None) -> Metrics:
    """The first metrics that say so."""
    return sample(
        exporter,
        lambda metrics: value(metrics, "celery_beat_up") == expected,
        f"celery_beat_up {expected}",
    )


def dies_on_time(exporter: Exporter, seen: bool = True) -> Metrics:
    """The first metrics without a beat that has just been killed or paused.

    Until then it was up in each, and its time was not over when the database was looked at. How
    long that was depends on nothing but its last sign of life, which is `seen` at once if its
    sessions are, and else told later.
    """
    ended = time.time()

    def dead() -> Metrics | None:
        metrics = exporter.metrics()
        check_time(metrics)
        return None if value(metrics, "celery_beat_up") else metrics

    metrics = wait_until(dead, SECONDS, "beat to be dead")
    # The end of a session tells its last scans, which may pass for one tick more.
    loop = value(metrics, "celery_beat_max_loop_interval_seconds")
    latest = ended + (2 * loop if seen else loop + 2 * REPORT_DELAY)
    deadline = value(metrics, "celery_beat_deadline_timestamp_seconds")
    assert deadline < latest + SLACK, "it shows life after its end"
    return metrics


def check_time(metrics: Metrics) -> None:
    """AssertionError unless beat is up exactly as long as its deadline and grace are not over."""
    end = value(metrics, "celery_beat_deadline_timestamp_seconds")
    end += value(metrics, "celery_beat_grace_seconds")
    left = end - value(metrics, "celery_beat_observed_timestamp_seconds")
    if value(metrics, "celery_beat_up"):
        assert left > -ROUNDING, f"alive {-left} s after its time"
    else:
        assert left < ROUNDING, f"dead {left} s before its time"


def instances_are(exporter: Exporter, expected: int) -> Metrics:
    """The first metrics that say so."""
    return sample(
        exporter,
        lambda metrics: value(metrics, "celery_beat_instances") == expected,
        f"celery_beat_instances {expected}",
    )


def sample(exporter: Exporter, condition: Callable[[Metrics], bool], what: str) -> Metrics:
    """The first metrics for which the condition holds."""

    def metrics() -> Metrics | None:
        now = exporter.metrics()
        return now if condition(now) else None

    return wait_until(metrics, SECONDS, what)


def age(metrics: Metrics) -> float:
    """Seconds that the exporter had run for when it looked at beat."""
    started = metrics["process_start_time_seconds", frozenset()]
    return value(metrics, "celery_beat_observed_timestamp_seconds") - started


def watcher_time(exporter: Exporter) -> float:
    """When the exporter last read the database, by its clock, which is the database's here."""
    name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
    return exporter.metrics()[(name, frozenset({("collector", "django")}))]

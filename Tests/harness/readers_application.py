"""A small Celery application for the tests of what the exporter reads, and what those tests share.

`celery -A readers_application ...` runs it with the settings in READERS_SETTINGS, which are JSON: a
schedule given as an object there holds the fields of a crontab.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery, Task, shared_task
from celery.schedules import BaseSchedule, crontab, schedule
from kombu import pools
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import ensure_conf
from servers import PATIENCE_SECONDS, POLL_SECONDS
from stack import BEAT_STARTS, PROJECT, CeleryProcess, Exporter

if TYPE_CHECKING:
    from stack import Metrics

if os.environ.get("CELERY_SIGNALS_DATABASE_URL"):
    import celery_signals  # noqa: F401, its import connects the signals

SETTINGS = "READERS_SETTINGS"
# Celery, RedBeat and django-celery-beat as of Tests/live/requirements-older.txt.
OLDER_PYTHON = PROJECT / ".venv-older" / "bin" / "python"


def configured(settings: dict[str, Any]) -> Celery:
    """The application with `settings`, which are Celery's own and JSON."""
    app = Celery("readers", set_as_current=False)
    entries = {
        name: {**entry, "schedule": crontab_or_seconds(entry["schedule"])}
        for name, entry in settings.get("beat_schedule", {}).items()
    }
    app.conf.update(
        {
            "beat_scheduler": "redbeat.RedBeatScheduler",
            "broker_connection_retry_on_startup": True,
            "redbeat_redis_url": settings.get("broker_url"),
            "redbeat_redis_options": {},
            # Else there is one more entry, which cleans up the result backend that is not there.
            "result_expires": None,
            **settings,
            "beat_schedule": entries,
        }
    )
    return app


def crontab_or_seconds(value: Any) -> Any:
    return crontab(**value) if isinstance(value, dict) else value


@shared_task
def succeed() -> int:
    return 1


@shared_task
def fail() -> None:
    raise ValueError("as told")


@shared_task(bind=True, max_retries=5)
def succeed_after(self: Task, retries: int) -> int:
    if self.request.retries < retries:
        raise self.retry(countdown=0)
    return self.request.retries


@shared_task(name="shop.count")
def count() -> None:
    """What the beat of django_site.py sends."""


@shared_task
def nap(seconds: float) -> None:
    time.sleep(seconds)


class CeleryCommand(CeleryProcess):
    """`celery -A readers_application ARGUMENTS` with these settings."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: list[str],
        ready_words: str,
        *,
        settings: dict[str, Any],
        database_url: str | None,
        python: Path | str,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(
            name,
            folder,
            arguments,
            ready_words,
            broker_url=settings["broker_url"],
            database_url=database_url,
        )
        self.command[self.command.index(sys.executable)] = str(python)
        self.command[self.command.index("shop.celery")] = "readers_application"
        folders = [Path(__file__).resolve().parent, PROJECT / "recorder"]
        self.environment["PYTHONPATH"] = os.pathsep.join(map(str, folders))
        self.environment[SETTINGS] = json.dumps(settings)
        self.environment.update(environment)


class Application:
    """The application under one configuration: its producer here, its beats and workers beside.

    These run in `python`, which may have other versions of Celery and RedBeat than the producer.
    """

    def __init__(
        self, folder: Path, *, python: Path | str = sys.executable, **settings: Any
    ) -> None:
        self.folder = folder
        self.python = python
        self.settings = settings
        self.app = configured(settings)
        ensure_conf(self.app)
        self._processes: list[CeleryCommand] = []

    def beat(self, name: str = "beat", **environment: str) -> CeleryCommand:
        """A beat, started; it counts as started while it still waits for another's lock."""
        arguments = ["beat", "--loglevel", "info"]
        return self._start(name, arguments, BEAT_STARTS, environment=environment)

    def worker(self, *queues: str, database_url: str | None = None) -> CeleryCommand:
        """A worker, ready."""
        arguments = ["worker", "--loglevel", "info", "--concurrency", "2", "-Q", ",".join(queues)]
        return self._start("worker", arguments, " ready.", database_url)

    def send(self, task: Task, *arguments: object, **options: Any) -> str:
        """Sends a task as an application does; its id."""
        return self.app.tasks[task.name].apply_async(arguments, **options).id

    def store(
        self, name: str, due: BaseSchedule | float, task: Task = succeed, **members: Any
    ) -> RedBeatSchedulerEntry:
        """Stores a schedule entry, as an application does; a number is an interval in seconds."""
        if not isinstance(due, BaseSchedule):
            due = schedule(due, app=self.app)
        entry = RedBeatSchedulerEntry(name, task.name, due, app=self.app, **members)
        return entry.save()

    def stored(self, name: str) -> RedBeatSchedulerEntry:
        """The entry as RedBeat reads it."""
        key = RedBeatSchedulerEntry.generate_key(self.app, name)
        return RedBeatSchedulerEntry.from_key(key, app=self.app)

    def close(self) -> None:
        for process in self._processes:
            print(process.log_tail())  # shown when the test has failed
            process.kill()
        self.app.close()
        # Connections outlive their application and remember what they have declared to the broker,
        # which the next test empties.
        pools.reset()

    def _start(
        self,
        name: str,
        arguments: list[str],
        words: str,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> CeleryCommand:
        process = CeleryCommand(
            name,
            self.folder,
            arguments,
            words,
            settings=self.settings,
            database_url=database_url,
            python=self.python,
            environment=environment or {},
        )
        self._processes.append(process)
        process.start()
        return process


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The one sample of that name which has these labels and perhaps others; None when none has."""
    found = list(values(metrics, name, **labels))
    assert len(found) < 2, f"{len(found)} samples of {name} with {labels}"
    return found[0] if found else None


def values(metrics: Metrics, name: str, **labels: str) -> Iterator[float]:
    for (sample, own), number in metrics.items():
        if sample == name and labels.items() <= dict(own).items():
            yield number


def by_label(metrics: Metrics, name: str, label: str) -> dict[str, float]:
    """The samples of that name by one label, added up over the others."""
    sums: dict[str, float] = {}
    for (sample, labels), number in metrics.items():
        if sample == name:
            key = dict(labels)[label]
            sums[key] = sums.get(key, 0) + number
    return sums


def is_alive(metrics: Metrics, scheduler: str, silence: float) -> bool:
    """Whether beat is up, or has shown no life for so many seconds that it may be called dead.

    A busy machine may let it stand still. Where it has just ticked, or sent something by its own
    account, nothing else may count.
    """

    def beat(name: str) -> float | None:
        return value(metrics, f"celery_beat_{name}", scheduler=scheduler)

    if beat("up") != 0:
        return beat("up") == 1
    now = beat("observed_timestamp_seconds")
    signs = [beat(name) for name in ("scheduler_heartbeat", "last_task_time")]
    last = max((sign for sign in signs if sign is not None and sign <= now), default=now)
    return now - last > silence


def collected(exporter: Exporter, collector: str) -> Metrics:
    """The metrics after a collection that began after this call, in success or failure."""
    # Two ends of collections: the first may have begun before the call.
    durations = []
    patience = 3 * PATIENCE_SECONDS  # for three ends
    deadline = time.monotonic() + patience
    while True:
        metrics = exporter.metrics()
        duration = value(
            metrics, "celery_beat_exporter_collector_duration_seconds", collector=collector
        )
        if duration not in durations:
            durations.append(duration)
        if len(durations) == 3:
            return metrics
        if time.monotonic() > deadline:
            raise TimeoutError(f"no collection by {collector} in {patience:g} s")
        time.sleep(POLL_SECONDS)


if os.environ.get(SETTINGS):
    app = configured(json.loads(os.environ[SETTINGS]))

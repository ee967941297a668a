"""The applications of normal_life.py: each a target of one exporter, with its beats, its workers and what befalls them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import watched  # noqa: F401, its import finds the modules below

# isort: split
from celery.schedules import crontab
from django_beats import DjangoBeat, Site
from readers_application import Application, fail, nap, succeed
from servers import PostgresServer, Process, RedisServer

SUCCEED, NAP = "readers_application.succeed", "readers_application.nap"
# Sent by nobody else, so that it tells of the beat without a trace.
FILING = "readers_application.succeed_after"
LOOP = 10  # seconds, of the office's beats
# How long a deploy that stops the old before it starts the new may leave nobody at work.
LONGEST_GAP = 30.0
BUSY_ENTRIES = 1000
STORE_SECONDS = 3


class Servers:
    """A Redis and a PostgreSQL of which each application has a database of its own."""

    def __init__(self, folder: Path, parts: ExitStack) -> None:
        arguments = ("--appendonly", "yes")
        self.redis = parts.enter_context(RedisServer(folder / "redis", arguments=arguments))
        self.postgres = parts.enter_context(PostgresServer(folder / "postgres"))
        self._count = 0

    def redis_url(self) -> str:
        self._count += 1
        return f"{self.redis.url.rpartition('/')[0]}/{self._count}"

    def database_url(self, name: str) -> str:
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return urlsplit(self.postgres.url)._replace(path=f"/{name}").geturl()


class Watchable:
    """An application under its target's name: what the exporter is told of it, and what may befall it."""

    name: str

    def __init__(self, folder: Path, servers: Servers, parts: ExitStack, dice: random.Random):
        self.folder = folder / self.name
        self.folder.mkdir()
        self.servers = servers
        self.dice = dice
        self.beat: Process
        self.others: list[Process] = []
        self._parts = parts

    @property
    def settings(self) -> dict[str, object]:
        """Those of its target."""
        raise NotImplementedError

    def start(self) -> None:
        raise NotImplementedError

    @property
    def events(self) -> list[Callable[[], None]]:
        """What happens to it on any day, and none of which is a reason for a page."""
        return [self.recreate_beat]

    @property
    def processes(self) -> list[Process]:
        return [self.beat, *self.others]

    def recreate_beat(self) -> None:
        """A deploy that leaves nobody at work for a while."""
        self.beat.stop()
        self.wait_for_a_gap()
        self.beat.start()

    def wait_for_a_gap(self) -> None:
        time.sleep(self.dice.uniform(1, LONGEST_GAP))

    def application(self, name: str = "", **settings: object) -> Application:
        one = Application(self.folder / name, **settings)
        self._parts.callback(one.close)
        return one

    def site(self, broker_url: str, database_url: str) -> Site:
        return self._parts.enter_context(Site(self.folder, broker_url, database_url))


class Office(Watchable):
    """A RedBeat, a DatabaseScheduler and a PersistentScheduler on one broker and one database."""

    name = "office"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._broker_url = self.servers.redis_url()
        self._database_url = self.servers.database_url(self.name)
        # Each has queues of its own, and only one uses RedBeat.
        self.shop = self.application(
            "shop",
            broker_url=self._broker_url,
            beat_max_loop_interval=LOOP,
            beat_schedule={
                "often": {"task": SUCCEED, "schedule": 5},
                "now and then": {"task": NAP, "schedule": 20, "args": [0.5]},
                "each minute": {"task": SUCCEED, "schedule": {}},
                "nightly": {"task": SUCCEED, "schedule": {"hour": 3, "minute": 30}},
            },
        )
        self.files = self.application(
            "files",
            broker_url=self._broker_url,
            beat_scheduler="celery.beat:PersistentScheduler",
            beat_enable_remote_control=True,
            task_default_queue="office",
            beat_schedule={"filing": {"task": FILING, "schedule": 10, "args": [0]}},
        )
        self.django_site = self.site(self._broker_url, self._database_url)
        self._deploys = 0

    @property
    def settings(self) -> dict[str, object]:
        filing = {"entry": "filing", "task": FILING, "interval": "10s", "tolerance": "20s"}
        return {
            "broker.url": self._broker_url,
            "database.url": self._database_url,
            "beat.scheduler": ["redbeat", "django", "evidence", "ping"],
            "beat.ping": "celerybeat@*",
            "beat.max-loop-interval": f"{LOOP}s",
            "schedule": [filing],
        }

    def start(self) -> None:
        self.beat = self.shop.beat("beat-0")
        self.persistent: Process = self.files.beat("beat-0")
        self.django: DjangoBeat = self.django_site.beat(loop_seconds=LOOP)
        self.workers = [
            self.shop.worker("celery", database_url=self._database_url),
            self.files.worker("office", database_url=self._database_url),
        ]

    @property
    def events(self) -> list[Callable[[], None]]:
        return [
            self.recreate_beat,
            self.roll_beat,
            self.recreate_django,
            self.roll_django,
            self.recreate_persistent,
            self.restart_workers,
            self.burst,
            self.long_tasks,
            self.edit_schedule,
            self.read_as_administrator,
        ]

    @property
    def processes(self) -> list[Process]:
        return [self.beat, self.django, self.persistent, *self.workers]

    def roll_beat(self) -> None:
        """The new beat waits for the lock while the old is still there."""
        self._deploys += 1
        new = self.shop.beat(f"beat-{self._deploys}")
        time.sleep(self.dice.uniform(1, 10))
        self.beat.stop()
        self.beat = new

    def recreate_django(self) -> None:
        self.django.stop()
        self.wait_for_a_gap()
        self.django.start()

    def roll_django(self) -> None:
        """For some seconds two beats send."""
        new = self.django_site.beat(loop_seconds=LOOP)
        self.wait_for_a_gap()
        self.django.stop()
        self.django = new

    def recreate_persistent(self) -> None:
        self.persistent.stop()
        self.wait_for_a_gap()
        self.persistent.start()

    def restart_workers(self) -> None:
        for worker in self.workers:
            worker.stop()
        time.sleep(self.dice.uniform(1, 10))
        for worker in self.workers:
            worker.start()

    def burst(self) -> None:
        for _ in range(400):
            self.shop.send(succeed)
        for _ in range(3):
            self.shop.send(fail)

    def long_tasks(self) -> None:
        for _ in range(4):
            self.shop.send(nap, 5)

    def edit_schedule(self) -> None:
        self.shop.store("added", self.dice.choice([3, 30, 3600]))
        time.sleep(5)
        self.shop.store("off", 5, enabled=False)
        time.sleep(5)
        self.shop.stored("added").delete()

    def read_as_administrator(self) -> None:
        """Someone looks at the tables that beat looks at."""
        with psycopg.connect(self._database_url) as connection:
            connection.execute('SELECT * FROM "django_celery_beat_periodictasks"')


class Shaky(Watchable):
    """A DatabaseScheduler whose beat is away for minutes now and then: only that is to be told."""

    name = "shaky"
    # Every 10 s, as every few minutes, and at full minutes.
    ENTRIES = """
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

for seconds in (10, 30, 120, 300):
    every, _ = IntervalSchedule.objects.get_or_create(every=seconds, period="seconds")
    PeriodicTask.objects.create(name=f"every {seconds} s", task="shop.count", interval=every)
for minute in ("*", "*/5"):
    crontab, _ = CrontabSchedule.objects.get_or_create(minute=minute)
    PeriodicTask.objects.create(name=f"at {minute}", task="shop.count", crontab=crontab)
"""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._broker_url = self.servers.redis_url()
        self._database_url = self.servers.database_url(self.name)
        self.django_site = self.site(self._broker_url, self._database_url)
        # Takes what beat sends.
        self._taker = self.application("taker", broker_url=self._broker_url)

    @property
    def settings(self) -> dict[str, object]:
        return {"database.url": self._database_url}

    def start(self) -> None:
        self.django_site.shell(self.ENTRIES)
        self.beat = self.django_site.beat()
        self.others = [self._taker.worker("celery")]


class Storing(Shaky):
    """A DatabaseScheduler whose application stores a periodic task every few seconds."""

    name = "storing"
    STORE = f"""
import itertools
import time
from django_celery_beat.models import IntervalSchedule, PeriodicTask

hour, _ = IntervalSchedule.objects.get_or_create(every=1, period="hours")
for number in itertools.count():
    PeriodicTask.objects.update_or_create(
        name=f"order {{number % 20}}",
        defaults={{"task": "shop.count", "interval": hour, "description": str(number)}},
    )
    time.sleep({STORE_SECONDS})
"""

    def start(self) -> None:
        super().start()
        self.others.append(self.django_site.process("store", self.STORE))


class Busy(Watchable):
    """A RedBeat of which all entries, a great many, fall due together at each full minute."""

    name = "busy"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._broker_url = self.servers.redis_url()
        self._application = self.application(broker_url=self._broker_url)

    @property
    def settings(self) -> dict[str, object]:
        return {"broker.url": self._broker_url}

    def start(self) -> None:
        each_minute = crontab(app=self._application.app)
        for number in range(BUSY_ENTRIES):
            self._application.store(f"customer {number}", each_minute, options={"expires": 50})
        self.beat = self._application.beat()
        self.others = [self._application.worker("celery")]


class Unlocked(Watchable):
    """A RedBeat without a lock, of which the exporter is told nothing but the broker."""

    name = "unlocked"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self._broker_url = self.servers.redis_url()
        self._application = self.application(
            broker_url=self._broker_url,
            redbeat_lock_key=None,
            beat_schedule={
                "often": {"task": SUCCEED, "schedule": 10},
                "each minute": {"task": SUCCEED, "schedule": {}},
            },
        )

    @property
    def settings(self) -> dict[str, object]:
        return {"broker.url": self._broker_url}

    def start(self) -> None:
        self.beat = self._application.beat()
        self.others = [self._application.worker("celery")]


KINDS: tuple[type[Watchable], ...] = (Office, Shaky, Storing, Busy, Unlocked)

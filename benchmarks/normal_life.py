"""Normal life with deploys: beats of every kind, restarted, rolled, moved and edited, and not one page.

Intervals of tasks are seconds instead of minutes; the rules are those that ship, unchanged. It prints
what it does, every alert that fires, and at the end how many did.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
from watched import Watched

# isort: split
from django_beats import DjangoBeat, Site
from readers_application import Application, fail, nap, succeed
from servers import PostgresServer, Process, RedisServer
from stack import Alert, write_json

SUCCEED, NAP = "readers_application.succeed", "readers_application.nap"
# Sent by nobody else, so that it tells of the beat without a trace.
FILING = "readers_application.succeed_after"
DJANGO_LOOP = 5
REDBEAT_LOOP = 10
# How long a deploy that stops the old before it starts the new may leave nobody at work.
LONGEST_GAP = 30.0


class Life:
    """Everything that runs, and what happens to it."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.folder = folder
        self.dice = dice
        self.alerts: list[Alert] = []
        self.parts = contextlib.ExitStack()
        arguments = ("--appendonly", "yes")
        self.redis = self.parts.enter_context(RedisServer(folder / "redis", arguments=arguments))
        self.postgres = self.parts.enter_context(PostgresServer(folder / "postgres"))
        entries = {
            "often": {"task": SUCCEED, "schedule": 5},
            "now and then": {"task": NAP, "schedule": 20, "args": [0.5]},
            "each minute": {"task": SUCCEED, "schedule": {}},
            "nightly": {"task": SUCCEED, "schedule": {"hour": 3, "minute": 30}},
        }
        # Two applications on one broker: each has queues of its own, and only one uses RedBeat.
        self.shop = Application(
            folder / "shop",
            broker_url=self.redis.url,
            beat_max_loop_interval=REDBEAT_LOOP,
            beat_schedule=entries,
        )
        self.office = Application(
            folder / "office",
            broker_url=self.redis.url,
            beat_scheduler="celery.beat:PersistentScheduler",
            beat_enable_remote_control=True,
            task_default_queue="office",
            beat_schedule={"filing": {"task": FILING, "schedule": 10, "args": [0]}},
        )
        self.parts.callback(self.shop.close)
        self.parts.callback(self.office.close)
        (folder / "site").mkdir()
        self.site = self.parts.enter_context(
            Site(folder / "site", self.redis.url, self.postgres.url)
        )
        expected = folder / "exporter.yml"
        filing = {"entry": "filing", "task": FILING, "interval": "10s", "tolerance": "20s"}
        write_json(expected, {"schedule": [filing]})
        self.watched = Watched(
            folder / "watched",
            f"--config.file={expected}",
            "--beat.ping=celerybeat@*",
            "--beat.scheduler=redbeat,django,evidence,ping",
            # The one setting for both schedulers: the longer.
            f"--beat.max-loop-interval={REDBEAT_LOOP}s",
            on_alert=self._on_alert,
            CELERY_BROKER_URL=self.redis.url,
            DATABASE_URL=self.postgres.url,
        )
        self._deploys = 0

    def start(self) -> None:
        self.redbeat: Process = self.shop.beat("beat-0")
        self.persistent: Process = self.office.beat("beat-0")
        self.django: DjangoBeat = self.site.beat(loop_seconds=DJANGO_LOOP)
        self.workers = [
            self.shop.worker("celery", database_url=self.postgres.url),
            self.office.worker("office", database_url=self.postgres.url),
        ]
        self.parts.enter_context(self.watched)

    def gap(self) -> float:
        return self.dice.uniform(1, LONGEST_GAP)

    # What happens

    def roll_redbeat(self) -> None:
        """The new beat waits for the lock while the old is still there."""
        self._deploys += 1
        new = self.shop.beat(f"beat-{self._deploys}")
        time.sleep(self.dice.uniform(1, 10))
        self.redbeat.stop()
        self.redbeat = new

    def recreate_redbeat(self) -> None:
        self.redbeat.stop()
        time.sleep(self.gap())
        self.redbeat.start()

    def recreate_django(self) -> None:
        self.django.stop()
        time.sleep(self.gap())
        self.django.start()

    def roll_django(self) -> None:
        """For some seconds two beats send."""
        new = self.site.beat(loop_seconds=DJANGO_LOOP)
        time.sleep(self.gap())
        self.django.stop()
        self.django = new

    def recreate_persistent(self) -> None:
        self.persistent.stop()
        time.sleep(self.gap())
        self.persistent.start()

    def restart_workers(self) -> None:
        for worker in self.workers:
            worker.stop()
        time.sleep(self.dice.uniform(1, 10))
        for worker in self.workers:
            worker.start()

    def restart_exporter(self) -> None:
        self.watched.exporter.stop()
        time.sleep(self.dice.uniform(0, 5))
        self.watched.exporter.start()

    def hold_a_scrape(self) -> None:
        """One or two scrapes in a row fail."""
        self.watched.exporter.pause()
        time.sleep(2.5)
        self.watched.exporter.resume()

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

    def restart_redis(self) -> None:
        """With what it had; beats that tick meanwhile end, and are started again as anyone would."""
        self.redis.stop()
        time.sleep(1)
        self.redis.start()
        time.sleep(12)
        for process in (self.redbeat, self.django, self.persistent, *self.workers):
            if not process.running:
                process.kill()
                process.start()

    def save_redis(self) -> None:
        self.shop.app.connection_for_write().default_channel.client.bgsave()

    def read_as_admin(self) -> None:
        """Someone looks at the tables that beat looks at."""
        with psycopg.connect(self.postgres.url) as connection:
            connection.execute('SELECT * FROM "django_celery_beat_periodictasks"')

    EVENTS: tuple[Callable[[Life], None], ...] = (
        roll_redbeat,
        recreate_redbeat,
        recreate_django,
        roll_django,
        recreate_persistent,
        restart_workers,
        restart_exporter,
        hold_a_scrape,
        burst,
        long_tasks,
        edit_schedule,
        restart_redis,
        save_redis,
        read_as_admin,
    )

    def _on_alert(self, alert: Alert) -> None:
        if alert.status == "firing":
            self.alerts.append(alert)
            labels = " ".join(f"{k}={v}" for k, v in sorted(alert.labels.items()))
            print(f"{clock()} ALERT {alert.name} {labels}", flush=True)


def clock() -> str:
    return time.strftime("%H:%M:%S")


def shuffled(dice: random.Random) -> Iterator[Callable[[Life], None]]:
    """Each event in turn, every round in another order."""
    while True:
        events = list(Life.EVENTS)
        dice.shuffle(events)
        yield from events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=60, help="seconds between two events")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    events = 0
    with tempfile.TemporaryDirectory() as name:
        life = Life(Path(name), dice)
        quiet = io.StringIO()  # the parts print their logs when they end
        try:
            life.start()
            end = time.monotonic() + options.minutes * 60
            for event in shuffled(dice):
                pause = min(options.every, end - time.monotonic())
                if pause <= 0:
                    break
                time.sleep(pause)
                print(f"{clock()} {event.__name__}", flush=True)
                event(life)
                events += 1
        finally:
            with contextlib.redirect_stdout(quiet):
                life.parts.close()
    pages = [alert for alert in life.alerts if alert.labels["severity"] == "critical"]
    warnings = len(life.alerts) - len(pages)
    print(f"{options.minutes:g} minutes, {events} events: {len(pages)} pages, {warnings} warnings")


if __name__ == "__main__":
    main()

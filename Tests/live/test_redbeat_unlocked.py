"""RedBeats that work without a lock, and beats whose lock has ended: what the exporter concludes
when nobody has told it which of the two it looks at.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import redis
from readers_application import collected, value
from redbeat_samples import (
    COLLECT,
    FAIL,
    FLAGS,
    LONG_LOCK,
    SUCCEED,
    Watch,
    beat,
    beat_is,
    is_alive,
)
from servers import RedisServer, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Exporter, Metrics

LOOP = 1.0  # seconds
WATCHED = (*FLAGS, "--beat.max-loop-interval=1s")
EVERY_SECOND = {"often": {"task": SUCCEED, "schedule": 1}}
HOURLY = {"hourly": {"task": SUCCEED, "schedule": 3600}}


def is_not_dead(metrics: Metrics) -> bool:
    return beat(metrics, "up") is None or is_alive(metrics)


def wait_for_schedule(client: redis.Redis) -> None:
    """Returns once beat, which has said that it starts, has stored its schedule as well."""
    wait_until(lambda: client.zcard("redbeat::schedule"), 60, "a stored schedule")


def without_lock(metrics: Metrics) -> bool:
    return beat(metrics, "lock_held") is None


def test_nothing_configured(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """It is recognised by its runs, said once, and judged by the schedule's idle time."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_key=None,
        beat_schedule=EVERY_SECOND,
    )
    process = shop.beat()
    wait_for_schedule(client)
    watcher = exporter(*WATCHED, CELERY_BROKER_URL=redis_url)
    with Watch(watcher) as watch:
        beat_is(watcher, 1, 60)
        collected(watcher, "redbeat")
    watch.check_all(is_not_dead, "alive or unknown")
    watch.check_all(without_lock, "without a lock")
    assert watcher.log.read_text().count("beat works although there is no lock redbeat::lock") == 1

    with Watch(watcher) as watch:
        process.kill()
        beat_is(watcher, 0, 60)
    watch.check_death()


def test_nothing_configured_and_nothing_due(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Its ticks alone touch the schedule."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=3,
        redbeat_lock_key=None,
        beat_schedule=HOURLY,
    )
    process = shop.beat()
    wait_for_schedule(client)
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=3s", CELERY_BROKER_URL=redis_url)
    with Watch(watcher) as watch:
        beat_is(watcher, 1, 60)
    watch.check_all(is_not_dead, "alive or unknown")
    process.kill()
    beat_is(watcher, 0, 60)


def test_a_lock_that_has_ended(
    client: redis.Redis, redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """Nobody works: not for the exporter that knew the beat, nor for one that comes later."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=LOOP,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={**EVERY_SECOND, **HOURLY},
    )
    process = shop.beat()
    early = exporter(*WATCHED, CELERY_BROKER_URL=redis_url)
    beat_is(early, 1, 60)
    with Watch(early) as watch:
        process.kill()
        beat_is(early, 0, 60)
        client.pexpire("redbeat::lock", 500)  # all of it is not waited for
        wait_until(lambda: not client.exists("redbeat::lock"), 60, "the end of the lock")
        late = exporter(*WATCHED, CELERY_BROKER_URL=redis_url)
        metrics = beat_is(late, 0, 60)
        assert beat(metrics, "lock_held") == 0
        # An application that stores entries touches the schedule as beats do.
        for number in range(3):
            shop.store(f"added {number}", 3600)
            collected(early, "redbeat")
    watch.check_death()
    metrics = collected(early, "redbeat")
    assert (beat(metrics, "up"), beat(metrics, "lock_held")) == (0, 0)
    assert beat(metrics, "schedule_entries") == 5
    assert beat(metrics, "entry_overdue_seconds", entry="often") > LOOP


def test_a_copy_of_redis(folder: Path, application: Applications, exporter: Exporters) -> None:
    """Reads by beat touch nothing in a replica: whether it is alive cannot be known there."""
    (folder / "copy").mkdir()
    with (
        RedisServer(folder) as server,
        RedisServer(
            folder / "copy", arguments=["--replicaof", "127.0.0.1", str(server.port)]
        ) as replica,
        redis.Redis.from_url(replica.url) as client,
    ):
        shop = application(
            broker_url=server.url,
            beat_max_loop_interval=LOOP,
            redbeat_lock_key=None,
            beat_schedule=HOURLY,
        )
        shop.beat()
        wait_until(lambda: client.exists("redbeat::schedule"), 60, "the replica's data")
        configured = exporter(*WATCHED, "--redbeat.lock-key=none", CELERY_BROKER_URL=replica.url)
        told_nothing = exporter(*WATCHED, CELERY_BROKER_URL=replica.url)
        end = time.time() + 10 * LOOP  # the subject: that nothing happens meanwhile
        while time.time() < end:
            for watcher in (configured, told_nothing):
                metrics = collected(watcher, "redbeat")
                assert beat(metrics, "up") is None
                assert beat(metrics, "schedule_entries") == 1


def test_prefixes_that_begin_alike(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    """`shop` and `shop-eu` in one Redis: neither sees the other's entries, tasks or life."""
    shops = {
        prefix: application(
            broker_url=redis_url,
            beat_max_loop_interval=LOOP,
            redbeat_key_prefix=prefix,
            redbeat_lock_key=None,
            beat_schedule={f"of {prefix}": {"task": task, "schedule": 1}},
        )
        for prefix, task in (("shop", SUCCEED), ("shop-eu", FAIL))
    }
    beats = {prefix: shop.beat(prefix) for prefix, shop in shops.items()}
    watchers = {
        prefix: exporter(
            *WATCHED,
            f"--redbeat.key-prefix={prefix}",
            "--redbeat.lock-key=none",
            CELERY_BROKER_URL=redis_url,
        )
        for prefix in shops
    }
    for prefix, watcher in watchers.items():
        beat_is(watcher, 1, 60)

        def has_run(watcher: Exporter = watcher, entry: str = f"of {prefix}") -> bool:
            return bool(beat(watcher.metrics(), "entry_runs_total", entry=entry))

        wait_until(has_run, 60, f"a run of {prefix}")
        assert beat(watcher.metrics(), "schedule_entries") == 1
    sent = value(watchers["shop"].metrics(), "celery_beat_tasks_total", task_name=FAIL)
    assert sent is None
    beats["shop"].kill()
    beat_is(watchers["shop"], 0, 60)
    assert is_alive(collected(watchers["shop-eu"], "redbeat"))
    assert COLLECT < LOOP

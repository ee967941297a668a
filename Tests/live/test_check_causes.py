"""The first line of `check` names the cause, whatever else it brings about."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from checks import check, command
from contents import fill_redis
from django_beats import Site
from readers_application import Application, value
from redbeat_samples import SUCCEED, clock_off
from redis_servers import Cluster
from servers import RedisServer, wait_until
from stack import Exporter, fetch

if TYPE_CHECKING:
    from servers import PostgresServer

Applications = Callable[..., Application]
Exporters = Callable[..., Exporter]

SECONDS = 10.0  # longest wait for something that normally takes a moment
SECRET = "s3cr3tMARK"
HASTY = ("--beat.max-loop-interval=1s", "--beat.grace=1s")


@pytest.fixture
def shop(redis_url: str, application: Applications) -> Application:
    """An application whose beat ticks and sends every second."""
    return application(
        broker_url=redis_url,
        beat_max_loop_interval=1,
        redbeat_lock_timeout=25,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )


def ticks(client: redis.Redis) -> None:
    wait_until(lambda: client.llen("celery"), SECONDS, "a task")


def test_beat_was_killed(client: redis.Redis, redis_url: str, shop: Application) -> None:
    beat = shop.beat()
    ticks(client)
    beat.kill()
    wait_until(lambda: client.pttl("redbeat::lock") < 21_000, SECONDS, "what is past the deadline")
    answer = check(*HASTY, CELERY_BROKER_URL=redis_url)
    assert answer.first.startswith("FAIL redbeat beat is dead, hung or cut off: last sign of life ")
    assert command(answer.lines[0].text) == f"redis-cli -u {redis_url} DEL redbeat::lock"


def test_redis_is_down(
    own_redis: RedisServer, site: Site, database_url: str, exporter: Exporters
) -> None:
    """Also where a dead beat stands beside it."""
    own_redis.kill()
    answer = check(
        "--beat.scheduler=redbeat,django",
        CELERY_BROKER_URL=own_redis.url,
        DATABASE_URL=database_url,
    )
    assert answer.first == f"FAIL broker connect to {own_redis.url}: Connection refused"
    assert answer.said("FAIL", "django", "dead, hung or cut off")


def test_postgresql_is_down(redis_url: str, own_postgres: PostgresServer) -> None:
    fill_redis(redis_url)
    url = own_postgres.url
    own_postgres.kill()
    answer = check(CELERY_BROKER_URL=redis_url, DATABASE_URL=url)
    assert answer.first.startswith("FAIL database connect to PostgreSQL at 127.0.0.1")


def test_the_password_is_wrong(folder: Path) -> None:
    with RedisServer(folder, arguments=["--requirepass", "right"]) as server:
        answer = check(
            "--beat.scheduler=redbeat",
            CELERY_BROKER_URL=f"redis://:{SECRET}@127.0.0.1:{server.port}/0",
        )
    assert answer.first.startswith("FAIL broker log in to redis://127.0.0.1")
    assert [line.level for line in answer.lines] == ["FAIL"]


def test_a_right_is_missing(client: redis.Redis, redis_url: str, shop: Application) -> None:
    shop.beat()
    ticks(client)
    client.acl_setuser(
        "reader", enabled=True, passwords=["+reader"], keys=["*"], commands=["+@all", "-zrange"]
    )
    try:
        url = redis_url.replace("//", "//reader:reader@")
        answer = check("--beat.scheduler=redbeat", CELERY_BROKER_URL=url)
    finally:
        client.acl_deluser("reader")
    assert answer.first.startswith("FAIL redbeat ") and "zrange" in answer.first
    assert not answer.said("FAIL", "redbeat", "dead")


def test_a_queue_without_workers(client: redis.Redis, redis_url: str, shop: Application) -> None:
    """A worker that is there takes from another."""
    shop.beat()
    ticks(client)
    answer = check(CELERY_BROKER_URL=redis_url)
    assert answer.first.startswith("warn queues celery: ")
    assert answer.said("warn", "queues", "nobody takes any", "no worker is connected")
    shop.worker("celery")
    client.lpush("reports", "{}")
    wait_until(lambda: client.llen("celery") == 0, SECONDS, "an empty queue")
    answer = check("--queues=reports", CELERY_BROKER_URL=redis_url)
    assert answer.first == "warn queues reports: 1 message waits, and nobody takes any"
    assert answer.said("warn", "queues", "celery -A APP worker -Q reports")


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_is_off(
    client: redis.Redis, redis_url: str, shop: Application, seconds: int
) -> None:
    shop.worker("celery")
    shop.beat(**clock_off(seconds))
    wait_until(
        lambda: any(
            b"total_run_count" in client.hget(key, "meta")
            for key in client.zrange("redbeat::schedule", 0, -1)
        ),
        SECONDS,
        "a run",
    )
    answer = check(CELERY_BROKER_URL=redis_url)
    assert answer.first.startswith("warn redbeat beat's clock is ")
    assert ("ahead of" if seconds > 0 else "behind") + " that of Redis" in answer.first


@pytest.mark.parametrize(
    ("where", "setting"),
    [
        ({"redbeat_key_prefix": "my app:"}, "--redbeat.key-prefix='my app:'"),
        (
            {"redbeat_redis_url": 9, "redbeat_key_prefix": "eu:shop:"},
            "--redbeat.url={url}/9 --redbeat.key-prefix=eu:shop:",
        ),
        # Without a lock, and all entries stored by the application: only they tell.
        ({"redbeat_key_prefix": "bare:", "redbeat_lock_key": None}, "--redbeat.key-prefix=bare:"),
    ],
    ids=["prefix", "database and prefix", "bare"],
)
def test_redbeat_is_elsewhere(
    redis_url: str,
    application: Applications,
    exporter: Exporters,
    where: dict[str, object],
    setting: str,
) -> None:
    """`check`, the log and the page name the place, whether RedBeat is expected or not; with the setting all is well."""
    base = redis_url.rpartition("/")[0]
    setting = setting.format(url=base)
    if isinstance(where.get("redbeat_redis_url"), int):
        where = {**where, "redbeat_redis_url": f"{base}/{where['redbeat_redis_url']}"}
    is_bare = "redbeat_lock_key" in where
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=1,
        # A machine that stands still for five seconds would otherwise end the beat.
        redbeat_lock_timeout=300,
        beat_schedule={} if is_bare else {"often": {"task": SUCCEED, "schedule": 1}},
        **where,
    )
    if is_bare:
        shop.store("often", 1)
    with redis.Redis.from_url(redis_url) as client:
        # What only looks like it.
        client.zadd("jobs:schedule", {"jobs:1": 1})
        client.set("jobs2:lock", "x")
        client.zadd("jobs3:schedule", {"jobs3:1": 1})
        client.hset("jobs3:1", "other", "field")
        shop.beat()
        ticks(client)
    for flags in (("--beat.scheduler=redbeat",), ()):
        answer = check(*flags, CELERY_BROKER_URL=redis_url)
        text = answer.lines[0].text
        assert text.splitlines()[2] == f"set: {setting}"
        assert "start beat" not in text and "jobs" not in text
        assert answer.first.startswith(
            "FAIL redbeat nothing of RedBeat" if flags else "warn beat no beat was found"
        )
        watcher = exporter("--collect.interval=200ms", *flags, CELERY_BROKER_URL=redis_url)
        line = wait_until(
            lambda watcher=watcher: [
                line
                for line in watcher.log.read_text().splitlines()
                if "a beat is somewhere else" in line
            ],
            SECONDS,
            "a line in the log",
        )
        assert len(line) == 1 and setting.partition(" ")[0].replace("'", "") in line[0].replace(
            "'", ""
        )
        told = json.loads(fetch(f"{watcher.url}/api/v1/status"))["beat"]
        assert [place["setting"] for place in told["search"]["found"]] == [setting]
        assert told["active"] is (False if flags else None)
        page = fetch(watcher.url).replace("&#39;", "'")
        assert setting in page and "No beat was found" in page
    # What it says mends it.
    right = [part.replace("'", "") for part in setting.split(" --")]
    right = [part if part.startswith("--") else f"--{part}" for part in right]
    off = ["--redbeat.lock-key=none"] if is_bare else []
    answer = check("--beat.scheduler=redbeat", *right, *off, CELERY_BROKER_URL=redis_url)
    assert answer.said("ok", "redbeat", "alive")


def test_what_is_found_is_not_touched(folder: Path) -> None:
    """Idle times tell whoever watches another application's RedBeat when it last lived."""
    with RedisServer(folder, arguments=["--requirepass", "right"]) as server:
        url = f"redis://:right@127.0.0.1:{server.port}"
        keys = [f"{name}::{key}" for name in ("a", "b") for key in ("schedule", "lock")][:3]
        with redis.Redis.from_url(f"{url}/4") as client:
            for name in ("a", "b"):
                client.zadd(f"{name}::schedule", {f"{name}:entry": 1})
                client.hset(f"{name}:entry", "definition", "{}")
            client.set("a::lock", uuid.uuid1().hex, px=1_500_000)
            wait_until(
                lambda: min(client.object("idletime", key) for key in keys) >= 2,
                SECONDS,
                "idleness",
            )
            answer = check("--beat.scheduler=redbeat", CELERY_BROKER_URL=f"{url}/0")
            assert min(client.object("idletime", key) for key in keys) >= 2
    text = answer.lines[0].text
    for name in ("a", "b"):
        place = f"redis://:PASSWORD@127.0.0.1:{server.port}/4 --redbeat.key-prefix={name}:"
        assert f"set: --redbeat.url={place}" in text


def test_beat_comes_later(redis_url: str, shop: Application, exporter: Exporters) -> None:
    """What is said at the start is taken back."""
    watcher = exporter("--collect.interval=200ms", CELERY_BROKER_URL=redis_url)

    def log(words: str) -> list[str]:
        return [line for line in watcher.log.read_text().splitlines() if words in line]

    (line,) = wait_until(lambda: log("no alert about beat can fire"), SECONDS, "a line in the log")
    assert f"RedBeat with the prefix redbeat: in {redis_url}" in line
    shop.beat()
    wait_until(lambda: log('msg="beat found" scheduler=redbeat'), SECONDS, "another")
    wait_until(
        lambda: json.loads(fetch(f"{watcher.url}/api/v1/status"))["beat"]["search"] is None,
        SECONDS,
        "no search",
    )
    assert len(log("no alert about beat can fire")) == 1


def test_what_may_not_be_looked_through_is_said(client: redis.Redis, redis_url: str) -> None:
    for denied in ("scan", "select", "info"):
        client.set("other", 1)
        with redis.Redis.from_url(redis_url.replace("/0", "/5")) as other:
            other.set("key", 1)
        commands = ["+@all", f"-{denied}"]
        client.acl_setuser("few", enabled=True, passwords=["+few"], keys=["*"], commands=commands)
        try:
            answer = check(
                "--beat.scheduler=redbeat", CELERY_BROKER_URL=redis_url.replace("//", "//few:few@")
            )
        finally:
            client.acl_deluser("few")
        assert answer.said("FAIL", "redbeat", "could not be looked through: "), denied
        assert not answer.said("FAIL", "redbeat", "found none elsewhere"), denied


def test_redbeat_is_elsewhere_in_a_cluster(folder: Path, redis_url: str) -> None:
    with contextlib.ExitStack() as stack:
        cluster = Cluster(folder, stack)
        with cluster.client() as client:
            client.set("{shop}::lock", uuid.uuid1().hex, px=1_500_000)
            client.zadd("{shop}::schedule", {"{shop}:a": time.time() + 60})
            client.sadd("{shop}::statics", "a")
        answer = check(
            "--beat.scheduler=redbeat", CELERY_BROKER_URL=redis_url, REDBEAT_REDIS_URL=cluster.url
        )
    assert answer.said("FAIL", "redbeat", "set: --redbeat.key-prefix='{shop}:'")


def test_django_is_elsewhere(
    site: Site, database_url: str, shared_postgres: PostgresServer, exporter: Exporters
) -> None:
    """In another database, in another schema, or where it may not be looked."""
    base = database_url.rpartition("/")[0]
    for flags in (("--beat.scheduler=django",), ()):
        answer = check(*flags, DATABASE_URL=f"{base}/postgres")
        assert answer.lines[0].level == ("FAIL" if flags else "warn")
        assert "the database in --database.url to test" in answer.lines[0].text
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER SCHEMA public RENAME TO shop; CREATE SCHEMA public")
    answer = check("--beat.scheduler=django", DATABASE_URL=database_url)
    assert "?options=-csearch_path%3Dshop" in answer.lines[0].text
    watcher = exporter(DATABASE_URL=f"{database_url}?options=-csearch_path%3Dshop")
    assert value(watcher.metrics(), "celery_beat_schedule_entries", scheduler="django") is not None

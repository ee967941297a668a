"""`check` and `healthcheck`: what they say of real beats, tables and servers, and how they end."""

from __future__ import annotations

import contextlib
import socket
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from checks import Answer, check, command, program
from contents import LOCK_MILLISECONDS, QUEUE, TASK, fill_database, fill_redis
from django_beats import Site
from exporter_signs import NOWHERE
from readers_application import Application
from redbeat_samples import SUCCEED
from redis_servers import Cluster
from servers import RedisServer, wait_until
from stack import Exporter

if TYPE_CHECKING:
    from servers import PostgresServer

Exporters = Callable[..., Exporter]
Applications = Callable[..., Application]

SECONDS = 60.0  # longest wait for something that normally takes a moment
CHECK_SECONDS = 120.0  # longest run of a check, with a server that hangs
SECRET = "s3cr3tMARK"
HASTY = "--collect.timeout=3s"


@pytest.fixture
def shop(redis_url: str, application: Applications) -> Application:
    """An application whose beat ticks and sends every second, and has an entry that is off."""
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=1,
        redbeat_lock_timeout=25,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    shop.store("off", 60, enabled=False)
    return shop


def ticks(client: redis.Redis) -> None:
    """Returns when beat has sent a task."""
    wait_until(lambda: client.llen("celery"), SECONDS, "a task")


def test_all_is_well(
    client: redis.Redis, redis_url: str, owner_url: str, shop: Application
) -> None:
    fill_database(owner_url)
    shop.beat()
    ticks(client)
    shop.worker("celery")
    answer = check("--queues=mail", CELERY_BROKER_URL=redis_url, DATABASE_URL=owner_url)
    assert answer.summary == "all is well"
    assert [line.subject for line in answer.lines] == [
        *("broker", "redbeat", "redbeat", "queues", "database", "tasks")
    ]
    assert answer.said("ok", "broker", redis_url, "Redis ", " ms")
    assert answer.said("ok", "redbeat", "alive", "lock held", "left of 25 s (learnt)")
    assert answer.said("ok", "redbeat", "2 entries, 1 disabled", "next due", "last task sent")
    assert answer.said("ok", "queues", "celery ", "(found)", "mail 0 (named)", " unacknowledged")
    assert answer.said("ok", "database", "database test", "PostgreSQL ")
    assert answer.said("ok", "tasks", "reads task_info", "1 task name")


def test_a_dead_redbeat(client: redis.Redis, redis_url: str, shop: Application) -> None:
    """What is said is what mends it."""
    flags = ("--beat.max-loop-interval=1s", "--beat.grace=1s")
    beat = shop.beat()
    ticks(client)
    beat.kill()
    late = 25_000 - 3_000
    wait_until(lambda: client.pttl("redbeat::lock") < late, SECONDS, "what is past the deadline")
    # One look does not tell: the lock's idle time cannot be believed after a save.
    client.save()
    answer = check(*flags, CELERY_BROKER_URL=redis_url)
    assert answer.said("FAIL", "redbeat", "dead, hung or cut off", "at the latest", "grace 1 s")
    assert answer.said("FAIL", "redbeat", "DEL redbeat::lock")
    assert answer.said("ok", "redbeat", "2 entries, 1 disabled", "last task sent")
    assert answer.summary == "1 warning, 1 failure"  # no worker takes what beat has sent

    client.delete("redbeat::lock")
    answer = check(*flags, CELERY_BROKER_URL=redis_url)
    assert answer.said("FAIL", "redbeat", "the lock redbeat::lock", "start beat", "lock-key=none")

    shop.beat("next")
    wait_until(lambda: client.exists("redbeat::lock"), SECONDS, "the lock")
    shop.worker("celery")
    assert check(*flags, CELERY_BROKER_URL=redis_url).status == 0


def test_an_empty_schedule(client: redis.Redis, redis_url: str) -> None:
    fill_redis(redis_url)
    client.delete("redbeat::schedule")
    answer = check(CELERY_BROKER_URL=redis_url)
    assert answer.said("FAIL", "redbeat", "the schedule is empty", "restart beat")


def test_nothing_is_there(redis_url: str, owner_url: str) -> None:
    answer = check(CELERY_BROKER_URL=redis_url, DATABASE_URL=owner_url)
    assert answer.said("warn", "beat", "RedBeat", "django-celery-beat")
    assert answer.said("warn", "queues", "no queues were found", "--queues")
    assert answer.said("warn", "tasks", "no task table", "recorder/celery_signals.py")
    assert answer.summary == "3 warnings"
    # What was named is missed.
    answer = check(
        "--beat.scheduler=redbeat,django", CELERY_BROKER_URL=redis_url, DATABASE_URL=owner_url
    )
    assert answer.said("FAIL", "redbeat", "nothing of RedBeat", "none elsewhere")
    assert answer.said("warn", "django", "no tables of django-celery-beat")
    assert not answer.of("beat")


def test_what_the_database_lacks(database: psycopg.Connection, reader_url: str) -> None:
    """Each command that it gives mends what it is about."""
    fill_database(
        reader_url.replace("reader:reader", database.info.user + ":" + database.info.password)
    )
    for (name,) in database.execute(
        "SELECT indexname FROM pg_indexes WHERE tablename = 'task_info' AND indexname NOT LIKE '%key'"
    ).fetchall():
        database.execute(f'DROP INDEX "{name}"')

    def tasks() -> list[tuple[str, str]]:
        return check(DATABASE_URL=reader_url).of("tasks")

    ((level, text),) = tasks()
    assert level == "FAIL"
    database.execute(command(text))
    ((other, advice), (level, text)) = tasks()
    assert (level, other) == ("ok", "warn")
    assert text.startswith("reads task_info")
    assert "run: CREATE INDEX CONCURRENTLY" in advice
    database.execute(command(advice))
    ((level, _),) = tasks()
    assert level == "ok"


def test_secrets_that_are_wrong(folder: Path, database_url: str) -> None:
    with RedisServer(folder, arguments=["--requirepass", "right"]) as server:
        answer = check(
            CELERY_BROKER_URL=f"redis://:{SECRET}@127.0.0.1:{server.port}/0",
            DATABASE_URL=f"postgresql://nobody:{SECRET}@{database_url.rpartition('@')[2]}",
        )
    assert answer.said("FAIL", "broker", "log in to redis://127.0.0.1", "password")
    assert answer.said("FAIL", "database", "nobody", "password authentication failed")
    assert answer.summary == "2 failures"
    assert not [line for line in answer.lines if SECRET in line.text]


def test_servers_that_are_away_or_hang(
    own_redis: RedisServer, own_postgres: PostgresServer, redis_url: str, owner_url: str
) -> None:
    """The one that hangs does not keep the other from being told of."""
    fill_redis(redis_url)
    fill_database(owner_url)
    answer = check(CELERY_BROKER_URL=f"redis://{NOWHERE}", DATABASE_URL=f"postgresql://{NOWHERE}/d")
    assert answer.said("FAIL", "broker", NOWHERE, "Connection refused")
    assert answer.said("FAIL", "database", NOWHERE, "Connection refused")
    assert answer.summary == "2 failures"

    own_redis.pause()
    answer = check(HASTY, CELERY_BROKER_URL=own_redis.url, DATABASE_URL=owner_url)
    own_redis.resume()
    assert answer.said("FAIL", "broker", "no answer within 3.0 seconds")
    assert answer.said("ok", "tasks", "reads task_info")
    assert answer.summary == "1 failure"

    own_postgres.pause()
    answer = check(HASTY, CELERY_BROKER_URL=redis_url, DATABASE_URL=own_postgres.url)
    own_postgres.resume()
    assert answer.said("FAIL", "database", "no answer within 3.0 seconds")
    assert answer.said("ok", "redbeat", "lock held")
    assert answer.summary == "1 warning, 1 failure"


def test_hostile_names(client: redis.Redis, redis_url: str, database_url: str) -> None:
    """None leaves its line or sends anything to the terminal, which `check` asserts."""
    hostile = ["line\nbreak", "\x1b[31mred", "\x9b2J", "nul\0", "ünïcödé", "x" * 5000]
    fill_redis(redis_url, hostile)
    fill_database(database_url, hostile[:3] + hostile[4:5])
    for name in hostile:
        client.lpush(name, "message")
        client.sadd("_kombu.binding.celery", f"celery\x06\x16\x06\x16{name}")
    client.hset("redbeat:\x1b[32m", "definition", "{")
    client.zadd("redbeat::schedule", {"redbeat:\x1b[32m": 1})
    answer = check(CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)
    assert answer.said("warn", "redbeat", "\\u001b[32m", "no JSON object as its definition")
    assert answer.said("ok", "queues", "\\u001b[31mred 1", "line\\nbreak 1")
    assert max(len(line.text) for line in answer.lines) < 3000


def test_several_applications(folder: Path, redis_url: str, owner_url: str) -> None:
    fill_redis(redis_url)
    fill_database(owner_url)
    (folder / "exporter.yml").write_text(
        f"targets:\n"
        f"  shop: {{broker.url: {redis_url}}}\n"
        f"  bank:\n"
        f"    database.url: {owner_url}\n"
        f"    schedule: [{{task: {TASK}, interval: 1m}}]\n"
        f"  farm: {{database.url: {owner_url}}}\n"
    )
    answer = check(f"--config.file={folder}/exporter.yml")
    assert answer.said("ok", "shop redbeat", "lock held")
    assert answer.said("ok", "bank tasks", "reads task_info")
    assert answer.said("ok", "bank evidence", "its tasks run: the last")
    assert answer.said("warn", "farm beat", "no beat was found", "django-celery-beat's tables")
    assert answer.summary == "2 warnings"


def test_a_redis_that_evicts(own_redis: RedisServer) -> None:
    fill_redis(own_redis.url)
    with redis.Redis.from_url(own_redis.url) as client:
        client.delete(*client.keys(f"{QUEUE}*"))  # which no worker would take
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "volatile-lru")
        answer = check(CELERY_BROKER_URL=own_redis.url)
        assert answer.said("warn", "redbeat", "evict redbeat::lock", "noeviction")
        assert answer.summary == "1 warning"
        client.config_set("maxmemory-policy", "allkeys-lfu")
        answer = check("--redbeat.lock-timeout=25m", CELERY_BROKER_URL=own_redis.url)
        assert answer.said("warn", "redbeat", "evict redbeat::lock", "noeviction")
        assert answer.said("warn", "queues", "evict queues", "noeviction")
        assert answer.summary == "2 warnings"


def test_a_redis_of_several_servers(folder: Path, redis_url: str) -> None:
    fill_redis(redis_url)
    with contextlib.ExitStack() as stack:
        cluster = Cluster(folder, stack)
        with cluster.client() as client:
            client.set("redbeat::lock", uuid.uuid1().hex, px=LOCK_MILLISECONDS)
        answer = check(CELERY_BROKER_URL=redis_url, REDBEAT_REDIS_URL=cluster.url)
    assert answer.said("ok", "redbeat redis", "redis-cluster://", "Redis ")
    assert answer.said("ok", "redbeat", "lock held")
    assert answer.said("FAIL", "redbeat", "the schedule is empty")
    assert answer.said("ok", "broker", redis_url)


def test_a_database_scheduler(
    site: Site, database_url: str, shared_postgres: PostgresServer
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        beat = site.beat()
        wait_until(lambda: beat.sent("often"), SECONDS, "a task")

        def django(url: str) -> Answer:
            answer = check("--beat.scheduler=django", DATABASE_URL=url)
            # No task table, and some ask as a superuser.
            assert {level for level, _ in answer.of("tasks")} == {"warn"}
            return answer

        answer = django(database_url)
        assert answer.said("ok", "django", "alive: last sign of life")
        assert answer.said("ok", "django", "1 entry")
        assert len(answer.of("django")) == 2

        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watch'")
        try:
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO watcher")
            watcher_url = f"postgresql://watcher:watch@{database_url.rpartition('@')[2]}"
            answer = django(watcher_url)
            assert answer.said("ok", "django", "alive: last sign of life")
            [advice] = [text for level, text in answer.of("django") if level == "warn"]
            connection.execute(command(advice))
            assert len(django(watcher_url).of("django")) == 2
        finally:
            connection.execute("DROP OWNED BY watcher; DROP ROLE watcher")

        other = site.beat()
        wait_until(lambda: other.sent("often"), SECONDS, "a task of the other")
        # One look sees the session of a beat that renews it only where the two coincide.
        wait_until(
            lambda: django(database_url).said("FAIL", "django", "2 beats at once"),
            SECONDS,
            "both to be seen",
        )
        other.kill()
        beat.kill()
        # The end of a session may pass for a tick.
        wait_until(
            lambda: django(database_url).said(
                "FAIL", "django", "dead, hung or cut off", "start it"
            ),
            SECONDS,
            "their death to be told",
        )


def test_settings_that_are_wrong() -> None:
    for arguments in (
        ("check",),
        ("check", "--broker.url=amqp://h"),
        ("healthcheck", "--web.listen-address=x"),
    ):
        done = program(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert len(done.stderr.splitlines()) == 1


@contextlib.contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A port whose first client gets this answer and an end, or nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if answer is None:
            yield server.getsockname()[1]
            return
        with ThreadPoolExecutor(max_workers=1) as pool:

            def serve() -> None:
                connection, _ = server.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(answer)

            serving = pool.submit(serve)
            yield server.getsockname()[1]
            serving.result()


def healthcheck(port: int) -> tuple[int, str]:
    """Its status, and the one line that it says when that is not 0."""
    done = program("healthcheck", f"--web.listen-address=127.0.0.1:{port}")
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == (1 if done.returncode else 0)
    return done.returncode, done.stderr


def test_healthcheck(exporter: Exporters) -> None:
    # Of an exporter whose sources are away: it is well itself.
    running = exporter(CELERY_BROKER_URL=f"redis://{NOWHERE}")
    assert healthcheck(running.port) == (0, "")
    # In its container the environment is all that the two have in common.
    assert (
        program(
            "healthcheck", CELERY_BEAT_EXPORTER_WEB_LISTEN_ADDRESS=f":{running.port}"
        ).returncode
        == 0
    )
    running.stop()
    status, line = healthcheck(running.port)
    assert status == 1 and "Connection refused" in line


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", 0, ""),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 1, "it answered 503"),
        (b"SSH-2.0-OpenSSH\r\n", 1, "no HTTP"),
        (b"H" * 5000, 1, "no HTTP"),
        (b"", 1, "no HTTP"),
        (None, 1, "no answer in time"),
    ],
)
def test_healthcheck_of_something_else(answer: bytes | None, status: int, words: str) -> None:
    with answering(answer) as port:
        found, line = healthcheck(port)
    assert found == status and words in line

"""Redis and PostgreSQL killed, hung, refusing and back: one source's trouble stays its own.

For each fault the same is true: the exporter answers, what came from the source vanishes, what
comes from the other goes on, the log has one line for the beginning and one for the end, and all
returns by itself.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from contents import QUEUE, fill_database, fill_redis
from outages import hung, killed, stopped
from redis_servers import listens
from servers import PostgresServer, RedisServer, wait_until
from stack import Exporter, write_json

if TYPE_CHECKING:
    from stack import Metrics

SECONDS = 60.0  # longest wait for something that normally takes one
COLLECTIONS = 2  # failed collections that a fault must last for
RECONNECTIONS = 20
LOADING_KEYS = 20_000  # of which the last are loaded at once, when a test has seen enough
LOADING_MICROSECONDS = 1000  # for each key
NAME = "celery-beat-exporter"  # of its sessions
FAST = ("--collect.interval=100ms", f"--queues={QUEUE}")
# For faults that are known by their time, which is longer than a busy machine lets a server stand still.
HASTY = (*FAST, "--collect.timeout=6s")
# What a fault does to a question that is being answered.
BREAKS = frozenset({"connection_lost", "server"})


@dataclass(frozen=True)
class Source:
    """What is served from one server: its sources, its collectors, and a family of each."""

    names: frozenset[str]
    families: dict[str, str]

    @property
    def collectors(self) -> set[str]:
        return set(self.families)


REDIS = Source(
    frozenset({"broker", "redbeat"}),
    {"redbeat": "celery_beat_schedule_entries", "queues": "celery_queue_length"},
)
DATABASE = Source(frozenset({"database"}), {"tasks": "celery_task_in_progress"})
ALSO_DATABASE = {"django", "pipelines", "workers"}


class SlowRedis(RedisServer):
    """A Redis that takes its time to load, and counts as started while it does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            arguments=[
                *("--key-load-delay", str(LOADING_MICROSECONDS)),
                *("--loading-process-events-interval-bytes", "1024"),
            ],
        )

    def answers(self) -> bool:
        return listens(self.port)

    @property
    def is_loading(self) -> bool:
        with client_of(self) as client:
            return bool(client.info("persistence")["loading"])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SlowRedis, PostgresServer]]:
    folder = tmp_path_factory.mktemp("faults")
    with SlowRedis(folder) as redis_server, PostgresServer(folder) as postgres:
        fill_database(postgres.url)
        yield redis_server, postgres


@pytest.fixture
def redis_server(servers: tuple[SlowRedis, PostgresServer]) -> SlowRedis:
    """The module's Redis, full."""
    with client_of(servers[0]) as client:
        client.flushall()
    fill_redis(servers[0].url)
    return servers[0]


@pytest.fixture
def postgres(servers: tuple[SlowRedis, PostgresServer]) -> PostgresServer:
    return servers[1]


def client_of(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def urls(redis_server: RedisServer, postgres: PostgresServer) -> dict[str, str]:
    return {"CELERY_BROKER_URL": redis_server.url, "DATABASE_URL": postgres.url}


# What the exporter says


def values(metrics: Metrics, family: str, label: str) -> dict[str, float]:
    """The samples of a family by the value of one label."""
    return {
        dict(labels)[label]: value for (name, labels), value in metrics.items() if name == family
    }


def up(metrics: Metrics) -> set[str]:
    """The sources that answer."""
    sources = values(metrics, "celery_beat_exporter_source_up", "source")
    return {source for source, value in sources.items() if value == 1}


def errors(metrics: Metrics, collectors: set[str]) -> dict[str, dict[str, float]]:
    """How often each collector failed, by reason."""
    counts: dict[str, dict[str, float]] = {collector: {} for collector in collectors}
    for (name, labels), count in metrics.items():
        collector = dict(labels).get("collector")
        if name == "celery_beat_exporter_collector_errors_total" and collector in collectors:
            counts[collector][dict(labels)["reason"]] = count
    return counts


def last_success(metrics: Metrics, collectors: set[str]) -> dict[str, float]:
    name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
    successes = values(metrics, name, "collector")
    return {collector: successes.get(collector, 0) for collector in collectors}


def present(metrics: Metrics, source: Source) -> set[str]:
    """The collectors of a source of which something is served."""
    names = {name for name, _ in metrics}
    return {collector for collector, family in source.families.items() if family in names}


def log_lines(exporter: Exporter, message: str, start: int) -> list[str]:
    """The collectors of both sources of which the log said something after a position."""
    text = exporter.log.read_bytes()[start:].decode()
    told = [
        line.split("collector=")[1].split()[0]
        for line in text.splitlines()
        if f'msg="{message}"' in line
    ]
    # The others of the same database fail and return with the tasks'.
    return sorted(collector for collector in told if collector not in ALSO_DATABASE)


class Watch:
    """Asks an exporter for its metrics and remembers the longest wait for them, in seconds."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self.slowest = 0.0

    def metrics(self) -> Metrics:
        start = time.monotonic()
        metrics = self._exporter.metrics()  # which must come: nothing here catches its OSError
        self.slowest = max(self.slowest, time.monotonic() - start)
        return metrics


def open_files(metrics: Metrics) -> float:
    return metrics["process_open_fds", frozenset()]


def check_fault(
    exporter: Exporter,
    source: Source,
    other: Source,
    fault: contextlib.AbstractContextManager[None],
    reason: str,
    also: frozenset[str] = frozenset(),
    restore: Callable[[], None] = lambda: None,
) -> None:
    """The life of one fault of `source`, from full service to full service.

    It counts for `reason`, and at its beginning perhaps for others, `also`. `restore` brings back
    what the server has forgotten.
    """
    watch = Watch(exporter)

    def served_fully(since: float = 0.0) -> Metrics | None:
        now = watch.metrics()
        collectors = source.collectors | other.collectors | {"process"}
        full = up(now) == source.names | other.names and present(now, source) == source.collectors
        return now if full and min(last_success(now, collectors).values()) > since else None

    wait_until(served_fully, SECONDS, "everything to be served")
    connected = time.time()  # what is counted from now on has seen all connections open
    before = wait_until(lambda: served_fully(connected), SECONDS, "everything to be served again")
    log_start = exporter.log.stat().st_size
    counts_before = errors(before, source.collectors)

    def new_errors(now: Metrics) -> dict[str, dict[str, float]]:
        return {
            collector: {
                reason: count - counts_before[collector][reason]
                for reason, count in counts.items()
                if count > counts_before[collector][reason]
            }
            for collector, counts in errors(now, source.collectors).items()
        }

    def failed() -> Metrics | None:
        """The metrics, once each collector of the source failed COLLECTIONS times for the reason."""
        now = watch.metrics()
        assert up(now) >= other.names
        assert present(now, other) == other.collectors
        counted = new_errors(now).values()
        assert {name for counts in counted for name in counts} <= {reason} | also
        return now if min(counts.get(reason, 0) for counts in counted) >= COLLECTIONS else None

    with fault:
        beginning = time.time()
        during = wait_until(failed, SECONDS, f"{COLLECTIONS} collections to fail")
        assert up(during) == other.names
        assert present(during, source) == set()
        wait_until(
            lambda: min(last_success(watch.metrics(), other.collectors).values()) > beginning,
            SECONDS,
            "the other source to be read",
        )
    restore()
    ending = time.time()
    after = wait_until(lambda: served_fully(ending), SECONDS, "everything to return")
    wait_until(
        lambda: open_files(watch.metrics()) <= open_files(before), SECONDS, "files to be closed"
    )
    assert errors(after, other.collectors) == errors(before, other.collectors)
    # One line for each beginning: a failure whose reason changes is news.
    failures = [collector for collector, counts in new_errors(after).items() for _ in counts]
    assert log_lines(exporter, "collection failed", log_start) == sorted(failures)
    assert log_lines(exporter, "collection works again", log_start) == sorted(source.collectors)
    print(f"slowest answer {watch.slowest * 1000:.0f} ms")


# Faults


@contextlib.contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """Nobody is let in any more, and those that were are thrown out."""
    with client_of(server) as client:
        limit = client.config_get("maxclients")["maxclients"]
        client.config_set("maxclients", 1)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        try:
            yield
        finally:
            client.config_set("maxclients", limit)


@contextlib.contextmanager
def loading(server: SlowRedis) -> Iterator[None]:
    """Restarted, and busy with reading its file."""
    with client_of(server) as client:
        client.mset({f"ballast {number}": number for number in range(LOADING_KEYS)})
        client.save()
        dump = Path(client.config_get("dir")["dir"]) / "dump.rdb"
    server.kill()
    server.start()
    try:
        yield
        # Otherwise something else made the collections fail.
        assert server.is_loading
        with client_of(server) as client:
            client.config_set("key-load-delay", 0)
        wait_until(lambda: not server.is_loading, SECONDS, "Redis to have loaded")
    finally:
        dump.unlink()


@contextlib.contextmanager
def closed(server: PostgresServer) -> Iterator[None]:
    """No session is let in any more, and those that were are ended."""
    elsewhere = f"{server.url.rpartition('/')[0]}/template1"
    with psycopg.connect(elsewhere, autocommit=True) as connection:
        connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS false")
        end_sessions(connection)
        try:
            yield
        finally:
            connection.execute("ALTER DATABASE postgres ALLOW_CONNECTIONS true")


@contextlib.contextmanager
def locked(server: PostgresServer) -> Iterator[None]:
    """Somebody alters the table and forgets to commit."""
    with psycopg.connect(server.url) as connection:
        connection.execute("LOCK TABLE task_info IN ACCESS EXCLUSIVE MODE")
        yield


def end_sessions(connection: psycopg.Connection) -> None:
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        [NAME],
    )


@pytest.mark.parametrize(
    ("fault", "reason", "also"),
    [
        (killed, "connect", BREAKS),
        (stopped, "connect", BREAKS),
        (hung, "timeout", frozenset()),
        (full, "server", BREAKS),
        (loading, "server", BREAKS | {"connect"}),
    ],
)
def test_redis_fails_and_returns(
    exporter: Callable[..., Exporter],
    redis_server: SlowRedis,
    postgres: PostgresServer,
    fault: Callable[[SlowRedis], contextlib.AbstractContextManager[None]],
    reason: str,
    also: frozenset[str],
) -> None:
    def refill() -> None:
        if fault in (killed, stopped):
            fill_redis(redis_server.url)

    check_fault(
        exporter(*(HASTY if reason == "timeout" else FAST), **urls(redis_server, postgres)),
        REDIS,
        DATABASE,
        fault(redis_server),
        reason,
        also,
        refill,
    )


@pytest.mark.parametrize(
    ("fault", "reason", "also"),
    [
        (killed, "connect", BREAKS),
        (stopped, "connect", BREAKS),
        (hung, "timeout", frozenset()),
        (closed, "connect", BREAKS),
        (locked, "timeout", frozenset()),
    ],
)
def test_postgresql_fails_and_returns(
    exporter: Callable[..., Exporter],
    redis_server: SlowRedis,
    postgres: PostgresServer,
    fault: Callable[[PostgresServer], contextlib.AbstractContextManager[None]],
    reason: str,
    also: frozenset[str],
) -> None:
    check_fault(
        exporter(*(HASTY if reason == "timeout" else FAST), **urls(redis_server, postgres)),
        DATABASE,
        REDIS,
        fault(postgres),
        reason,
        also,
    )


def test_sources_that_come_later(
    exporter: Callable[..., Exporter], redis_server: SlowRedis, postgres: PostgresServer
) -> None:
    """Neither is there at the start, then one, then both."""
    with stopped(postgres):
        with stopped(redis_server):
            one = exporter(*FAST, **urls(redis_server, postgres))
            metrics = one.metrics()
            assert up(metrics) == set()
            for counts in errors(metrics, REDIS.collectors | DATABASE.collectors).values():
                assert {reason for reason, count in counts.items() if count} == {"connect"}
        fill_redis(redis_server.url)
        wait_until(
            lambda: present(one.metrics(), REDIS) == REDIS.collectors, SECONDS, "what is in Redis"
        )
        assert up(one.metrics()) == REDIS.names
    # Others that read the database may be a moment later.
    wait_until(
        lambda: up(one.metrics()) == REDIS.names | DATABASE.names,
        SECONDS,
        "the database to be read",
    )
    assert present(one.metrics(), DATABASE) == DATABASE.collectors
    assert log_lines(one, "collection failed", 0) == ["queues", "redbeat", "tasks"]
    assert log_lines(one, "collection works again", 0) == ["queues", "redbeat", "tasks"]


def test_a_flushed_redis_is_no_dead_one(
    exporter: Callable[..., Exporter], redis_server: SlowRedis, postgres: PostgresServer
) -> None:
    """What was there and is gone is an explicit 0: beat, which is dead, and the queue's length."""
    one = exporter(*FAST, **urls(redis_server, postgres))
    beat = frozenset({("scheduler", "redbeat")})
    queue = frozenset({("queue_name", QUEUE)})

    def served() -> tuple[float, ...]:
        metrics = one.metrics()
        assert up(metrics) == REDIS.names | DATABASE.names
        return (
            metrics["celery_beat_up", beat],
            metrics["celery_beat_lock_held", beat],
            metrics["celery_beat_schedule_entries", beat],
            metrics["celery_queue_length", queue],
            metrics["celery_unacked_messages", frozenset()],
        )

    wait_until(lambda: served() == (1, 1, 1, 2, 0), SECONDS, "everything to be served")
    with client_of(redis_server) as client:
        client.flushall()
    wait_until(lambda: served() == (0, 0, 0, 0, 0), SECONDS, "explicit zeros")
    fill_redis(redis_server.url)
    wait_until(lambda: served() == (1, 1, 1, 2, 0), SECONDS, "everything to return")
    assert log_lines(one, "collection failed", 0) == []


def test_reconnections_leave_no_files_open(
    exporter: Callable[..., Exporter], redis_server: SlowRedis, postgres: PostgresServer
) -> None:
    one = exporter(*FAST, **urls(redis_server, postgres))
    collectors = REDIS.collectors | DATABASE.collectors | {"process"}

    def wait_for_collections() -> None:
        start = time.time()
        wait_until(
            lambda: min(last_success(one.metrics(), collectors).values()) > start,
            SECONDS,
            "collections",
        )

    # The first may have counted files before all connections were open.
    wait_for_collections()
    wait_for_collections()
    before = open_files(one.metrics())
    with client_of(redis_server) as client, psycopg.connect(postgres.url, autocommit=True) as own:
        connections = client.info("stats")["total_connections_received"]
        for _ in range(RECONNECTIONS):
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            end_sessions(own)
            wait_for_collections()
        connections = client.info("stats")["total_connections_received"] - connections

    # Both readers of the Redis share one.
    assert connections >= RECONNECTIONS
    wait_until(lambda: open_files(one.metrics()) <= before, SECONDS, "files to be closed")
    # But for one that was not idle.
    failed = log_lines(one, "collection failed", 0)
    assert len(failed) < RECONNECTIONS / 4, "idle connections are replaced unseen"


# What it leaves behind


def sessions(connection: psycopg.Connection) -> list[str]:
    """The states of the exporter's sessions."""
    rows = connection.execute(
        "SELECT state FROM pg_stat_activity WHERE application_name = %s", [NAME]
    )
    return [state for (state,) in rows]


def test_it_leaves_nothing_in_the_sources(
    exporter: Callable[..., Exporter], redis_server: SlowRedis, database_url: str
) -> None:
    fill_database(database_url)
    relations = "SELECT oid, relname, relfilenode, reltuples FROM pg_class ORDER BY oid"
    locks = "SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name = %s"
    with client_of(redis_server) as client, psycopg.connect(database_url) as connection:
        connection.autocommit = True

        def contents() -> list[object]:
            keys = {key: client.dump(key) for key in client.keys("*")}
            changes = client.info("persistence")["rdb_changes_since_last_save"]
            return [keys, changes, connection.execute(relations).fetchall()]

        before = contents()
        one = exporter(
            "--collect.interval=1h", CELERY_BROKER_URL=redis_server.url, DATABASE_URL=database_url
        )
        # The first collections have ended, the next come in an hour.
        assert up(one.metrics()) == REDIS.names | DATABASE.names
        assert set(sessions(connection)) == {"idle"}, "neither running nor idle in a transaction"
        assert connection.execute(locks, [NAME]).fetchall() == []
        assert one.stop() == 0
        wait_until(lambda: sessions(connection) == [], SECONDS, "the session to end")
        assert contents() == before


def test_a_query_that_takes_too_long_is_ended(
    exporter: Callable[..., Exporter], database_url: str, folder: Path
) -> None:
    """The exporter forgets it after three seconds, and so does the server, not after its minute."""
    fill_database(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE task_info RENAME TO tasks")
        connection.execute(
            "CREATE VIEW task_info AS SELECT * FROM tasks WHERE pg_sleep(60) IS NOT NULL"
        )
        named = folder / "exporter.yml"
        write_json(named, {"tables": [{"table": "task_info"}]})
        flags = ("--collect.interval=1h", "--collect.timeout=3s", f"--config.file={named}")
        one = exporter(*flags, DATABASE_URL=database_url)
        assert errors(one.metrics(), {"tasks"})["tasks"]["timeout"] == 1
        wait_until(lambda: "active" not in sessions(connection), SECONDS, "the query to end")

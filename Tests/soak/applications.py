"""What the exporter watches in a soak: servers, applications that never rest, and its configuration."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis
from contents import LOCK_MILLISECONDS, QUEUE, TASK, fill_database, fill_redis
from servers import PostgresServer, RedisServer

STEP_SECONDS = 0.1  # between two signs of life of an application
CLIENT_SECONDS = 30.0  # longest wait of its clients
ENTRIES = [f"entry {number}" for number in range(20)]
TASKS = [TASK, "orders.ship", "reports.day"]
ROWS_KEPT = 5000


class Redis(RedisServer):
    """A Redis whose password changes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, arguments=["--requirepass", uuid.uuid4().hex])
        self.is_refilled = True  # by its applications, when they find it empty
        self.is_replaced = False  # by a liar, whom only the exporter asks

    def url_of(self, database: int) -> str:
        return f"{self.url.rpartition('/')[0]}/{database}"

    def connect(self, database: int = 0) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(database), socket_timeout=CLIENT_SECONDS)

    def change_password(self) -> None:
        password = uuid.uuid4().hex
        with self.connect() as client:
            client.config_set("requirepass", password)
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        self.command[self.command.index(self._password)] = password
        self._password = password


class Postgres(PostgresServer):
    """A PostgreSQL whose password changes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_refilled = True  # by its application, when it finds no tables
        self.is_replaced = False  # by a liar, whom only the exporter asks

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True, connect_timeout=int(CLIENT_SECONDS))

    def change_password(self) -> None:
        password = uuid.uuid4().hex
        with self.connect() as connection:
            connection.execute(f"ALTER ROLE {self.USER} PASSWORD '{password}'")
            self._password = password
            self.end_sessions(connection)

    def end_sessions(self, connection: psycopg.Connection) -> None:
        """Ends all but one."""
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid != pg_backend_pid()"
        )


class Application:
    """A Celery application as its servers see it, one of several that the exporter watches."""

    def __init__(
        self, name: str, folder: Path, redis_server: Redis, database: int, postgres: Postgres
    ) -> None:
        """`name` is that of its target, empty for the one that the top of the file names."""
        self.name = name
        self.redis = redis_server
        self.database = database
        self.postgres = postgres
        self._contents: dict[bytes, bytes] = {}
        self._secrets = {
            "broker.url-file": folder / f"broker-{name}",
            "database.url-file": folder / f"database-{name}",
        }

    @property
    def path(self) -> str:
        return f"/probe?target={self.name}" if self.name else "/metrics"

    @property
    def broker_url(self) -> str:
        return self.redis.url_of(self.database)

    def settings(self) -> dict[str, object]:
        """Its part of the exporter's file."""
        secrets = {key: str(path) for key, path in self._secrets.items()}
        return {**secrets, "beat.scheduler": "redbeat", "queues": [QUEUE]}

    def write_secrets(self) -> None:
        self._secrets["broker.url-file"].write_text(self.broker_url)
        self._secrets["database.url-file"].write_text(self.postgres.url)

    def fill(self) -> None:
        """What RedBeat and kombu have written, at first by themselves, and later as it was then."""
        with self.redis.connect(self.database) as client:
            if not self._contents:
                fill_redis(self.broker_url, ENTRIES)
                self._contents = {key: client.dump(key) for key in client.scan_iter()}
                return
            pipeline = client.pipeline()
            pipeline.flushdb()
            for key, dump in self._contents.items():
                pipeline.restore(key, 0, dump)
            pipeline.set("redbeat::lock", uuid.uuid1().hex, px=LOCK_MILLISECONDS)
            pipeline.execute()

    def live(self, end: threading.Event) -> None:
        """Beat sends tasks, workers take them. Its servers may do what they like."""
        client = self.redis.connect(self.database)
        for count in itertools.count(1):
            if end.wait(STEP_SECONDS):
                client.close()
                return
            if self.redis.is_replaced:
                continue
            try:
                if client.exists("redbeat::lock"):
                    self._tick(client, count)
                elif self.redis.is_refilled:
                    self.fill()
            except (redis.RedisError, OSError):
                client.close()
                client = self.redis.connect(self.database)  # with the password as it is now

    def _tick(self, client: redis.Redis, count: int) -> None:
        key = f"redbeat:{ENTRIES[count % len(ENTRIES)]}"
        pipeline = client.pipeline(transaction=False)
        pipeline.pexpire("redbeat::lock", LOCK_MILLISECONDS)
        pipeline.hset(key, "meta", json.dumps({"total_run_count": count}))
        pipeline.zadd("redbeat::schedule", {key: int(time.time()) + 60}, xx=True)
        pipeline.lpush(QUEUE, "message")
        pipeline.ltrim(QUEUE, 0, count % 100)
        pipeline.execute(raise_on_error=False)


def run_tasks(postgres: Postgres, end: threading.Event) -> None:
    """Tasks start, succeed and fail, until the end. The server may do what it likes."""
    connection = None
    for count in itertools.count(1):
        if end.wait(STEP_SECONDS):
            break
        if postgres.is_replaced:
            continue
        try:
            if connection is None or connection.closed:
                connection = postgres.connect()
            run_task(connection, count)
        except psycopg.errors.UndefinedTable:
            if postgres.is_refilled:
                with contextlib.suppress(psycopg.Error):
                    fill_database(postgres.url, TASKS)
        except psycopg.Error:
            if connection is not None:
                connection.close()
    if connection is not None:
        connection.close()


def run_task(connection: psycopg.Connection, count: int) -> None:
    status = "FAILURE" if count % 7 == 0 else "SUCCESS"
    connection.execute(
        "INSERT INTO task_info (task_id, task_name, status, task_time, completed_time)"
        " VALUES (%s, %s, %s, now() - interval '1 second', now())",
        (uuid.uuid4().hex, TASKS[count % len(TASKS)], status),
    )
    if count % 1000 == 0:
        connection.execute(
            "DELETE FROM task_info WHERE id < (SELECT max(id) FROM task_info) - %s", (ROWS_KEPT,)
        )


class ConfigurationFile:
    """The exporter's file: one application at its top, and targets."""

    def __init__(self, path: Path, applications: Sequence[Application]) -> None:
        self.path = path
        self._applications = applications

    def write(self, grace: str = "2s", guest: bool = False) -> None:
        """`guest` is one more target for a while."""
        targets = {one.name: one.settings() for one in self._applications if one.name}
        if guest:
            targets["guest"] = self._applications[0].settings()
        targets = {name: {**target, "beat.grace": grace} for name, target in targets.items()}
        settings = {
            "collect.interval": "500ms",
            "collect.timeout": "1s",
            "tasks.windows": "1m,5m",  # so that what is kept of tasks is all there after 5 minutes
            "targets": targets,
        }
        for application in self._applications:
            application.write_secrets()
            if not application.name:
                settings |= application.settings()
        self.path.write_text(json.dumps(settings))

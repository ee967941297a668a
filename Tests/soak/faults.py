"""What a soak does to an exporter's sources, configuration and clients.

A fault is a context manager: it begins on entering and is mended on leaving, some seconds later.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from applications import Application, ConfigurationFile, Postgres, Redis
from contents import QUEUE
from lying_servers import LIES, REDIS_LIES, Lie, LyingServer
from outages import hung, killed

CLIENTS = 20  # that misbehave at once
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n\r\n"
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Fault:
    name: str
    subject: object  # has one fault at a time
    begin: Callable[[], contextlib.AbstractContextManager[None]]


def all_faults(
    applications: Sequence[Application],
    configuration: ConfigurationFile,
    port: int,
    choices: random.Random,
) -> list[Fault]:
    """Every fault for everything that can have it. `port` is the exporter's."""
    faults = []
    redis_servers = {one.redis: one for one in applications}
    for number, server in enumerate(redis_servers):
        own = [one for one in applications if one.redis is server]
        for name, begin in {
            "killed": partial(killed, server),
            "hung": partial(hung, server),
            "replaced": partial(restarted, server),
            "flushed": partial(flushed, server),
            "disconnected": partial(disconnected, server),
            "garbage": partial(garbage, own, choices),
            "password": partial(new_password, server, own, port),
            "lying": partial(lying, server, REDIS_LIES, choices),
        }.items():
            faults.append(Fault(f"redis {number} {name}", server, begin))
    for number, postgres in enumerate({one.postgres: one for one in applications}):
        own = [one for one in applications if one.postgres is postgres]
        for name, begin in {
            "killed": partial(killed, postgres),
            "hung": partial(hung, postgres),
            "replaced": partial(replaced, postgres),
            "dropped": partial(dropped, postgres),
            "locked": partial(locked, postgres),
            "sessions ended": partial(sessions_ended, postgres),
            "password": partial(new_password, postgres, own, port),
            "lying": partial(lying, postgres, LIES, choices),
        }.items():
            faults.append(Fault(f"postgresql {number} {name}", postgres, begin))
    for name, begin in {
        # All targets start anew, and again at the end.
        "changed": partial(rewritten, configuration, port, grace="3s"),
        "guest": partial(rewritten, configuration, port, guest=True),
        "broken": partial(broken, configuration, port),
    }.items():
        faults.append(Fault(f"configuration {name}", configuration, begin))
    for name, begin in {
        "silent": partial(silent, port),
        "half asked": partial(half_asked, port),
        "deaf": partial(deaf, port),
        "reset": partial(reset, port),
        "noise": partial(noise, port, choices),
    }.items():
        faults.append(Fault(f"clients {name}", "clients", begin))
    return faults


# Servers


@contextlib.contextmanager
def restarted(server: Redis) -> Iterator[None]:
    """An empty one on the same port, at once."""
    server.kill()
    server.start()
    yield


@contextlib.contextmanager
def replaced(server: Postgres) -> Iterator[None]:
    """An empty one on the same port, as soon as it is made."""
    server.kill()
    shutil.rmtree(server.data)
    server.start()
    yield


@contextlib.contextmanager
def lying(server: Redis | Postgres, lies: dict[str, Lie], choices: random.Random) -> Iterator[None]:
    """One in its place whose answers are none."""
    server.kill()
    server.is_replaced = True
    try:
        with LyingServer(lies[choices.choice(list(lies))], server.port):
            yield
    finally:
        server.start()
        server.is_replaced = False


@contextlib.contextmanager
def flushed(server: Redis) -> Iterator[None]:
    server.is_refilled = False
    with server.connect() as client:
        client.flushall()
    try:
        yield
    finally:
        server.is_refilled = True


@contextlib.contextmanager
def disconnected(server: Redis) -> Iterator[None]:
    with server.connect() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    yield


@contextlib.contextmanager
def garbage(applications: Sequence[Application], choices: random.Random) -> Iterator[None]:
    """Keys of the wrong type, entries that nobody can decode."""
    for application in applications:
        with application.redis.connect(application.database) as client:
            pipeline = client.pipeline()  # at once, for the application goes on writing
            for key in choices.sample(["redbeat::schedule", "redbeat::statics", QUEUE], 2):
                pipeline.delete(key)
                pipeline.hset(key, "wrong", "type")
            pipeline.execute()
            for key in client.scan_iter("redbeat:entry *"):
                client.hset(key, choices.choice(["definition", "meta"]), choices.randbytes(100))
    try:
        yield
    finally:
        for application in applications:
            application.fill()


@contextlib.contextmanager
def dropped(server: Postgres) -> Iterator[None]:
    server.is_refilled = False
    with server.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS task_info")
    try:
        yield
    finally:
        server.is_refilled = True


@contextlib.contextmanager
def locked(server: Postgres) -> Iterator[None]:
    """Somebody alters the table and forgets to commit."""
    with server.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '2s'")
        with contextlib.suppress(Exception):  # there may be none just now
            connection.execute("LOCK TABLE task_info IN ACCESS EXCLUSIVE MODE")
        yield


@contextlib.contextmanager
def sessions_ended(server: Postgres) -> Iterator[None]:
    with server.connect() as connection:
        server.end_sessions(connection)
    yield


@contextlib.contextmanager
def new_password(
    server: Redis | Postgres, applications: Sequence[Application], port: int
) -> Iterator[None]:
    """The exporter hears of it only at the end."""
    server.change_password()
    try:
        yield
    finally:
        for application in applications:
            application.write_secrets()
        reload(port)


# The configuration


@contextlib.contextmanager
def restored(configuration: ConfigurationFile, port: int) -> Iterator[None]:
    """As it was, in the end."""
    try:
        yield
    finally:
        configuration.write()
        reload(port)


@contextlib.contextmanager
def rewritten(configuration: ConfigurationFile, port: int, **settings: object) -> Iterator[None]:
    configuration.write(**settings)
    reload(port)
    with restored(configuration, port):
        yield


@contextlib.contextmanager
def broken(configuration: ConfigurationFile, port: int) -> Iterator[None]:
    configuration.path.write_text("targets: [")
    if reload(port) != 500:
        raise AssertionError("a broken file was not refused")
    with restored(configuration, port):
        yield


def reload(port: int) -> int:
    """The status of the answer: 500 while the file is broken. It waits until there may be a reload."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/-/reload")
            status = connection.getresponse().status
        if status != 429:
            return status
        time.sleep(0.1)


# Clients


@contextlib.contextmanager
def connections(port: int, *sent: bytes) -> Iterator[list[socket.socket]]:
    """Connections that have sent something, or tried to, and wait for nothing."""
    with contextlib.ExitStack() as opened:
        sockets = []
        for number in range(CLIENTS):
            address = ("127.0.0.1", port)
            one = opened.enter_context(socket.create_connection(address, timeout=ANSWER_SECONDS))
            one.setblocking(False)
            sockets.append(one)
            if sent:
                with contextlib.suppress(OSError):
                    one.send(sent[number % len(sent)])
        yield sockets


@contextlib.contextmanager
def silent(port: int) -> Iterator[None]:
    with connections(port):
        yield


@contextlib.contextmanager
def half_asked(port: int) -> Iterator[None]:
    with connections(port, *(REQUEST[:length] for length in range(1, CLIENTS + 1))):
        yield


@contextlib.contextmanager
def deaf(port: int) -> Iterator[None]:
    """They ask for more than fits into their buffers, and read none of it."""
    with connections(port, REQUEST * 500):
        yield


@contextlib.contextmanager
def reset(port: int) -> Iterator[None]:
    with connections(port, REQUEST) as sockets:
        for one in sockets:
            # To linger for no time is to reset.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    yield


@contextlib.contextmanager
def noise(port: int, choices: random.Random) -> Iterator[None]:
    with connections(port, *(choices.randbytes(1000) for _ in range(CLIENTS))):
        yield

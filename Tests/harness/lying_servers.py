"""Servers that lie: a PostgreSQL and a Redis whose answers follow their protocol only as far as it harms.

A liar listens on loopback and serves each connection on a thread of its own, until it is closed. What it does
there is one of LIES, a function of the connection. None of them ends before the client does.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

Lie = Callable[[socket.socket], None]

MAXIMUM = 2**31 - 1
FLOOD_BYTES = 1 << 20  # in one go


class LyingServer:
    """Serves a lie on `port`, or on one that the system gives."""

    def __init__(self, lie: Lie, port: int = 0) -> None:
        self.connections = 0
        self._lie = lie
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # To close it would leave the port to whoever waits in accept.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            try:
                with contextlib.suppress(OSError, EOFError):
                    self._lie(connection)
            finally:
                with self._lock:
                    self._open.discard(connection)


# The protocol. Source: https://www.postgresql.org/docs/current/protocol-message-formats.html


def message(kind: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """`length` is what it says of itself, where that is not true."""
    return kind + struct.pack("!i", len(body) + 4 if length is None else length) + body


def row_description(columns: int) -> bytes:
    one = b"c\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0)
    return message(b"T", struct.pack("!H", columns) + one * columns)


def row(*values: bytes | None) -> bytes:
    fields = b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
        for value in values
    )
    return message(b"D", struct.pack("!H", len(values)) + fields)


def refusal(kind: bytes, text: bytes) -> bytes:
    """An error (E) or a notice (N)."""
    return message(kind, b"SERROR\0VERROR\0CXX000\0M" + text + b"\0\0")


def authentication(kind: int, body: bytes = b"") -> bytes:
    return message(b"R", struct.pack("!i", kind) + body)


COMPLETE = message(b"C", b"SELECT 0\0")
READY = message(b"Z", b"T")
GREETING = authentication(0) + message(b"Z", b"I")
TRUSTED = COMPLETE + READY


def received(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        some = connection.recv(count - len(data))
        if not some:
            raise EOFError
        data += some
    return data


def startup(connection: socket.socket) -> None:
    """Reads what a client begins with, and refuses its wish for encryption."""
    while wanted(connection) in (SSL_REQUEST, GSS_REQUEST):
        connection.sendall(b"N")


SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


def wanted(connection: socket.socket) -> int:
    """The code with which a client begins: of a version, or of a request."""
    (length,) = struct.unpack("!i", received(connection, 4))
    return struct.unpack("!i", received(connection, length - 4)[:4])[0]


def encrypted(lie: Lie, context: ssl.SSLContext) -> Lie:
    """The same under TLS."""

    def encrypted_lie(connection: socket.socket) -> None:
        while wanted(connection) != SSL_REQUEST:
            connection.sendall(b"N")
        connection.sendall(b"S")
        with context.wrap_socket(connection, server_side=True) as secured:
            lie(secured)

    return encrypted_lie


def questions(connection: socket.socket) -> Iterator[bytes]:
    """What a client asks: the text of each Q, and of the P before an S."""
    startup(connection)
    connection.sendall(GREETING)
    text = b""
    while True:
        kind = received(connection, 1)
        (length,) = struct.unpack("!i", received(connection, 4))
        body = received(connection, length - 4)
        if kind in b"QP":
            text = body
        if kind in b"QS":
            yield text


def silence(connection: socket.socket) -> None:
    """Neither answers nor closes, even when the client has."""
    threading.Event().wait()


def answering(answer: Callable[[socket.socket], object]) -> Lie:
    """Begins the transaction as it should, and answers each question by a lie."""

    def lie(connection: socket.socket) -> None:
        asked = questions(connection)
        next(asked)
        connection.sendall(TRUSTED)
        for _ in asked:
            answer(connection)

    return lie


def saying(data: bytes) -> Lie:
    """The same answer to each question."""
    return answering(lambda connection: connection.sendall(data))


def flooding(data: bytes, before: bytes = b"") -> Lie:
    """The same over and over, as fast as it can be sent."""
    chunk = data * max(1, FLOOD_BYTES // len(data))

    def answer(connection: socket.socket) -> None:
        connection.sendall(before)
        while True:
            connection.sendall(chunk)

    return answering(answer)


def catalogued(connection: socket.socket) -> None:
    """Tells of tables as they should be, and of rows without end where the most are expected."""
    rows = row(*[b"1795788357"] * 20) + row(*[b"x" * 50] * 20)
    for question in questions(connection):
        if b"current_schemas" in question:
            connection.sendall(row_description(1) + row(b"public") + TRUSTED)
        elif b"names.title" in question:
            columns = [
                row(
                    *(
                        table,
                        b"%d" % (16384 + len(table)),
                        b"r",
                        b"public",
                        table,
                        b"public",
                        table,
                        b"owner",
                    ),
                    *(b"t", b"t", b"exporter", b"0", None, name, kind, b"t", b"f", b"t"),
                )
                for table, kinds in TABLES.items()
                for name, kind in kinds.items()
            ]
            connection.sendall(row_description(18) + b"".join(columns) + TRUSTED)
        elif b"FETCH" in question:
            connection.sendall(row_description(20))
            while True:
                connection.sendall(rows * 1000)
        elif b"pg_is_in_recovery" in question:
            connection.sendall(row_description(3) + row(b"1795788357", b"0", b"f") + TRUSTED)
        elif b"SELECT extract(epoch" in question:
            connection.sendall(row_description(1) + row(b"1795788357") + TRUSTED)
        else:
            connection.sendall(TRUSTED)


TEXT, WHOLE, TIME = b"character varying", b"integer", b"timestamp with time zone"
TABLES = {
    b"task_info": {
        b"task_id": TEXT,
        b"task_name": TEXT,
        b"status": TEXT,
        b"task_time": TIME,
        b"completed_time": TIME,
    },
    b"django_celery_beat_periodictasks": {b"last_update": TIME},
    b"django_celery_beat_periodictask": {
        **dict.fromkeys((b"name", b"task", b"queue"), TEXT),
        **dict.fromkeys((b"enabled", b"one_off"), b"boolean"),
        **dict.fromkeys((b"last_run_at", b"date_changed", b"start_time", b"expires"), TIME),
        **dict.fromkeys((b"total_run_count", b"interval_id", b"crontab_id"), WHOLE),
        **dict.fromkeys((b"clocked_id", b"solar_id"), WHOLE),
    },
    b"django_celery_beat_intervalschedule": {b"id": WHOLE, b"every": WHOLE, b"period": TEXT},
    b"django_celery_beat_crontabschedule": {
        b"id": WHOLE,
        **dict.fromkeys((b"minute", b"hour", b"day_of_week", b"day_of_month"), TEXT),
        **dict.fromkeys((b"month_of_year", b"timezone"), TEXT),
    },
    b"django_celery_beat_clockedschedule": {b"id": WHOLE, b"clocked_time": TIME},
}


def greeting_with(data: bytes) -> Lie:
    """Floods before there is any question."""
    chunk = data * max(1, FLOOD_BYTES // len(data))

    def lie(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(authentication(0))
        while True:
            connection.sendall(chunk)

    return lie


def scram(iterations: bytes) -> Lie:
    """Asks for that many rounds of a hash before it lets anybody in."""

    def lie(connection: socket.socket) -> None:
        startup(connection)
        connection.sendall(authentication(10, b"SCRAM-SHA-256\0\0"))
        (length,) = struct.unpack("!i", received(connection, 5)[1:])
        nonce = re.search(rb"r=([^,]+)", received(connection, length - 4))[1]
        salt = base64.b64encode(b"0123456789abcdef")
        challenge = b"r=" + nonce + b"server,s=" + salt + b",i=" + iterations
        # In pieces, as no honest server would send it.
        whole = authentication(11, challenge)
        for piece in (whole[:-3], whole[-3:]):
            connection.sendall(piece)
            select.select([connection], [], [], 0.05)
        silence(connection)

    return lie


def numbered_parameters(connection: socket.socket) -> None:
    """Parameters of ever new names, all of which libpq would keep."""
    for start in itertools.count(0, 10000):
        connection.sendall(
            b"".join(message(b"S", b"name%d\0value\0" % n) for n in range(start, start + 10000))
        )


# What the log must never show as it is, beside a line of its own.
FORGERY = b"harmless\ntime=2026-01-01T00:00:00Z level=error msg=forged\x1b[31m\xc2\x9b2J\r\x07"

LIES: dict[str, Lie] = {
    "copy in": saying(message(b"G", b"\0\0\0")),
    "copy out": saying(message(b"H", b"\0\0\0")),
    "copy both": saying(message(b"W", b"\0\0\0")),
    "copy out without end": flooding(message(b"d", bytes(1000)), message(b"H", b"\0\0\0")),
    "ready without end": flooding(READY),
    "parameters without end": answering(numbered_parameters),
    "one parameter without end": flooding(message(b"S", b"name\0value\0")),
    "notifications without end": flooding(message(b"A", struct.pack("!i", 1) + b"channel\0load\0")),
    "notices without end": flooding(refusal(b"N", FORGERY)),
    "results without end": flooding(COMPLETE),
    "half a message": saying(row_description(1) + message(b"D", b"\0\1", 1000)),
    "nothing": answering(silence),
    "rows without end": flooding(row(b"1"), row_description(1)),
    "empty rows without end": flooding(row(), row_description(0)),
    "null rows without end": flooding(
        message(b"D", struct.pack("!H", 100) + b"\xff\xff\xff\xff" * 100), row_description(100)
    ),
    "rows without end behind true ones": catalogued,
    "a row of a gigabyte": flooding(
        bytes(FLOOD_BYTES), row_description(1) + message(b"D", b"\0\1", 1 << 30)
    ),
    "many columns": flooding(
        message(b"D", struct.pack("!H", 65535) + b"\xff\xff\xff\xff" * 65535),
        row_description(65535),
    ),
    "descriptions without end": flooding(row_description(1000)),
    "an error of 50 MB": saying(refusal(b"E", FORGERY * 700_000) + READY),
    "an error": saying(refusal(b"E", FORGERY * 100) + READY),
    "an error with a state of its own": saying(
        message(b"E", b"SERROR\0C" + FORGERY * 100 + b"\0Mtext\0\0") + READY
    ),
    "errors without end": flooding(refusal(b"E", b"text")),
    "parameters before the first question": greeting_with(message(b"S", b"name\0value\0")),
    "notices before the first question": greeting_with(refusal(b"N", FORGERY)),
    "a count of rounds": scram(b"2147483647"),
    "a padded count of rounds": scram(b" +00002147483647"),
    "a silent login": lambda connection: (startup(connection), silence(connection))[0],
    "a silent server": silence,
}


# Redis, to whom it is all the same what it is asked. Source: https://redis.io/docs/latest/develop/reference/protocol-spec/


def replying(reply: bytes) -> Lie:
    """The same to each command, however many there were, and a few more."""

    def lie(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            connection.sendall(reply * 100)

    return lie


def replying_without_end(beginning: bytes, rest: bytes) -> Lie:
    chunk = rest * max(1, FLOOD_BYTES // len(rest))

    def lie(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(beginning)
        while True:
            connection.sendall(chunk)

    return lie


REDIS_LIES: dict[str, Lie] = {
    "the least integer": replying(b":-9223372036854775808\r\n"),
    "the greatest integer": replying(b":9223372036854775807\r\n"),
    "a count below zero": replying(b"*-9223372036854775808\r\n"),
    "a time at the end of time": replying(b"*2\r\n$19\r\n9223372036854775807\r\n$6\r\n999999\r\n"),
    "an error": replying(b"-ERR " + FORGERY.replace(b"\n", b" ").replace(b"\r", b" ") + b"\r\n"),
    "an error of 50 MB": replying_without_end(b"-ERR ", b"text \x1b[31m"),
    "elements without end": replying_without_end(b"*67108864\r\n", b":1\r\n"),
    "arrays in arrays": replying_without_end(b"", b"*1\r\n"),
    "a string of a gigabyte": replying_without_end(b"$1073741824\r\n", bytes(1 << 16)),
    "half a reply": replying(b"$1000000\r\nhalf"),
    "no Redis": replying(bytes(range(256))),
    "a silent server": silence,
}

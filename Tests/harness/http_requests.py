"""Requests to an exporter, made as clients of all kinds make them."""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack import Exporter

SECONDS = 60.0  # longest wait for an answer


@contextlib.contextmanager
def connected(exporter: Exporter) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=SECONDS) as connection:
        yield connection


def ask(
    exporter: Exporter,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to one request on a connection of its own, and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=SECONDS)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer, answer.read()


def answers(connection: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """The next answers on a connection, as status and body; fewer when the server ends it."""
    found = []
    with connection.makefile("rb") as stream:
        while len(found) < count and (line := stream.readline()):
            status = int(line.split()[1])
            headers = http.client.parse_headers(stream)
            found.append((status, stream.read(int(headers["Content-Length"]))))
    return found

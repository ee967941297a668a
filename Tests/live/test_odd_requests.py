"""Requests that could be read in two ways, and clients that want more connections than there are."""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exporter_signs import NOWHERE, log, source_up
from http_requests import answers, ask, connected
from readers_application import by_label
from servers import wait_until
from stack import Exporter

SECONDS = 60.0  # longest wait for something that normally takes a moment
LINE = b"GET /-/healthy HTTP/1.1\r\n"
HEAD = LINE + b"Host: h\r\n"
# What must not be taken for a request of its own where it is another's body.
NEXT = b"GET /-/ready HTTP/1.1\r\nHost: h\r\n\r\n"

AMBIGUOUS = {
    "two lengths": HEAD + b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(NEXT),
    "two lengths, the other way": HEAD + b"Content-Length: 9\r\nContent-Length: 0\r\n\r\n",
    "the same length twice": HEAD + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n\r\n",
    "a length with a sign": HEAD + b"Content-Length: +0\r\n\r\n",
    "a length with a zero byte": HEAD + b"Content-Length: 0\x009\r\n\r\n",
    "a length without end": HEAD + b"Content-Length: 18446744073709551615\r\n\r\n",
    "a blank before the colon": HEAD + b"Content-Length : 9\r\n\r\n",
    "a length that goes on": HEAD + b"Content-Length: 0\r\n 9\r\n\r\n",
    "a body": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": HEAD
    + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks after a blank": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "something like chunks": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a POST with both": b"POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a PUT with two lengths": b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n",
    "a zero byte in the path": b"GET /-/healthy\0x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a zero byte behind the path": b"GET /-/healthy\0 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a zero byte in the query": b"GET /-/healthy?a=b\0x HTTP/1.1\r\nHost: h\r\n\r\n",
    "a zero byte in the method": b"GET\0x /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n",
    "a zero byte in the version": b"GET /-/healthy HTTP/1.1\0x\r\nHost: h\r\n\r\n",
    "a zero byte in a name": HEAD + b"X\0y: z\r\n\r\n",
    "a zero byte in a value": HEAD + b"X: y\0z\r\n\r\n",
    "a zero byte behind a value": HEAD + b"X: y\0\r\n\r\n",
    "zero bytes behind the last": HEAD + b"X: y\0\0\0\0\r\n\r\n",
    "a zero byte in another value": LINE + b"X: y\0z\r\nHost: h\r\n\r\n",
    "a blank in the path": b"GET /-/healthy x HTTP/1.1\r\nHost: h\r\n\r\n",
    "two blanks": b"GET  /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n",
    "two blanks before the version": b"GET /-/healthy  HTTP/1.1\r\nHost: h\r\n\r\n",
    "a control character in the path": b"GET /-/healthy\x01 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a path that is no ASCII": b"GET /-/healthy\xff HTTP/1.1\r\nHost: h\r\n\r\n",
    "a lone line feed": LINE + b"Host: h\nX: y\r\n\r\n",
    "a lone carriage return": HEAD + b"X: y\rZ: a\r\n\r\n",
    "a line that goes on": HEAD + b"X: y\r\n z\r\n\r\n",
    "a first line that goes on": LINE + b" X: y\r\nHost: h\r\n\r\n",
    "a line without a colon": HEAD + b"nothing\r\n\r\n",
    "a header without a name": HEAD + b": x\r\n\r\n",
    "a name with a blank": HEAD + b"a b: x\r\n\r\n",
    "a name that is no token": HEAD + b"a(b: x\r\n\r\n",
    "a control character in a value": HEAD + b"X: \x01\r\n\r\n",
    "two hosts": HEAD + b"Host: i\r\n\r\n",
    "two logins": HEAD + b"Authorization: Basic YTpi\r\nAuthorization: Basic YTpj\r\n\r\n",
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    environment = {"CELERY_BROKER_URL": f"redis://{NOWHERE}"}
    with Exporter(tmp_path_factory.mktemp("plain"), environment=environment) as one:
        yield one


def received(exporter: Exporter, request: bytes) -> bytes:
    """All that it sends until it ends the connection."""
    found = b""
    with connected(exporter) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request)
        while chunk := connection.recv(1 << 16):
            found += chunk
    return found


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_refused(plain: Exporter, request_bytes: bytes) -> None:
    """And nothing that comes behind it is answered."""
    found = received(plain, request_bytes + NEXT)

    assert set(re.findall(rb"^HTTP/1\.1 (\d+)", found, re.MULTILINE)) == {b"400"}
    assert b"Healthy" not in found and b"Ready" not in found


@pytest.mark.parametrize(
    "headers",
    [
        b"",
        b"Content-Length: 0\r\n",
        b"Cookie: a=b; c=d; e\r\nAccept: */*\r\n",
        b"X-None:\r\nX-Tab:\tv\r\nX-Blanks:   v\r\nX-Behind: v  \r\nX-Latin: \xe4\xff\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    ],
)
def test_what_is_in_order_is_answered(plain: Exporter, headers: bytes) -> None:
    request = b"GET /-/healthy?a=%%00&b HTTP/1.1\r\nHost: h\r\n%b\r\n" % headers
    with connected(plain) as connection:
        connection.sendall(request * 3)
        assert answers(connection, 3) == [(200, b"Healthy.\n")] * 3


@pytest.mark.parametrize("target", [b"http://h/-/healthy", b"HTTP://other:1/-/healthy?a=b"])
def test_what_proxies_are_asked(plain: Exporter, target: bytes) -> None:
    with connected(plain) as connection:
        connection.sendall(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
        assert answers(connection, 1) == [(200, b"Healthy.\n")]


def test_however_it_comes_in_pieces(plain: Exporter) -> None:
    """What is in order is found out by where it lies in memory, which grows and moves meanwhile."""
    choices = random.Random(1)
    for size in (0, 100, 1000, 5000, 9000):
        for pieces in (1, 3, 50):
            lines = [
                b"X-%d: %b\r\n" % (n, b"v" * choices.randrange(900)) for n in range(size // 450)
            ]
            request = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n" + b"".join(lines) + b"\r\n"
            sent = request * 2
            step = len(sent) // pieces + 1
            with connected(plain) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for start in range(0, len(sent), step):
                    connection.sendall(sent[start : start + step])
                assert [status for status, _ in answers(connection, 2)] == [200, 200]


class Limited(Exporter):
    """An exporter that may open few files."""

    def __init__(self, files: int, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)
        self.command = ["prlimit", f"--nofile={files}", *self.command]


def test_clients_leave_descriptors_to_collectors(
    folder: Path, redis_url: str, database_url: str
) -> None:
    environment = {"CELERY_BROKER_URL": redis_url, "DATABASE_URL": database_url}
    flags = ("--collect.interval=100ms", "--collect.timeout=60s")
    with (
        Limited(64, folder, *flags, environment=environment) as one,
        contextlib.ExitStack() as stack,
    ):
        (event,) = [event for event in log(one) if event["level"] == "warn" and "files" in event]
        connections = int(event["connections"])
        assert event["files"] == "64" and 8 <= connections < 64 <= int(event["enough"])
        for number in range(150):
            address = ("127.0.0.1", one.port)
            source = (f"127.0.0.{2 + number % 40}", 0)
            stack.enter_context(socket.create_connection(address, SECONDS, source_address=source))
        last = time.time()

        def all_collected() -> bool:
            name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
            return min(by_label(one.metrics(), name, "collector").values()) > last

        wait_until(all_collected, SECONDS, "collections while clients take all connections")
        assert set(source_up(one.metrics()).values()) == {1}
        assert len(list(Path(f"/proc/{one.pid}/fd").iterdir())) < 64
        assert len([event for event in log(one) if "files" in event]) == 1


def test_no_descriptor_left(exporter: Callable[..., Exporter]) -> None:
    """It waits for one, and does not spin; then it serves again."""
    one = exporter("--collect.interval=1h", CELERY_BROKER_URL=f"redis://{NOWHERE}")
    before = resource.prlimit(one.pid, resource.RLIMIT_NOFILE)
    # Connections of clients that were answered take a moment to end.
    open_files = wait_until(lambda: settled_files(one), SECONDS, "connections to end")
    resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (open_files, before[1]))
    try:
        with connected(one) as connection:
            connection.sendall(LINE + b"Host: h\r\n\r\n")
            start, used = time.monotonic(), processor_seconds(one)
            time.sleep(1)
            share = (processor_seconds(one) - used) / (time.monotonic() - start)
            resource.prlimit(one.pid, resource.RLIMIT_NOFILE, before)
            assert answers(connection, 1) == [(200, b"Healthy.\n")]
            assert share < 0.1
    finally:
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, before)
    assert ask(one, "GET", "/-/healthy")[0].status == 200


def test_a_client_that_waits_for_a_descriptor_is_let_in(
    exporter: Callable[..., Exporter],
) -> None:
    """As soon as another goes, also where nothing else happens then."""
    one = exporter("--collect.interval=1h", CELERY_BROKER_URL=f"redis://{NOWHERE}")
    before = resource.prlimit(one.pid, resource.RLIMIT_NOFILE)
    open_files = wait_until(lambda: settled_files(one), SECONDS, "connections to end")
    request = LINE + b"Host: h\r\n\r\n"
    healthy = [(200, b"Healthy.\n")]
    with connected(one) as first:
        first.sendall(request)
        assert answers(first, 1) == healthy
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (open_files, before[1]))
        try:
            with connected(one) as refused:
                refused.sendall(request)
                time.sleep(1)  # in which it finds that it cannot be accepted
                resource.prlimit(one.pid, resource.RLIMIT_NOFILE, before)
                first.close()
                assert answers(refused, 1) == healthy
        finally:
            resource.prlimit(one.pid, resource.RLIMIT_NOFILE, before)
    assert ask(one, "GET", "/-/healthy")[0].status == 200


def settled_files(exporter: Exporter) -> int | None:
    """How many files it has open, none of them a client's connection."""
    port = f":{exporter.port:04X} "
    connections = [
        line
        for line in Path("/proc/net/tcp").read_text().splitlines()
        if port in line[:21] and " 01 " in line
    ]
    descriptors = [int(entry.name) for entry in Path(f"/proc/{exporter.pid}/fd").iterdir()]
    return None if connections else max(descriptors) + 1


def processor_seconds(exporter: Exporter) -> float:
    fields = Path(f"/proc/{exporter.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""Clients that are slow on purpose: they are cut off in time, and keep no scrape out however many they are."""

from __future__ import annotations

import contextlib
import re
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from secured_exporter import SecuredExporter, ask, trusting
from servers import wait_until
from stack import Exporter

SECONDS = 60.0  # longest wait for something that normally takes a moment
# As the exporter has them.
REQUEST_SECONDS, RESPONSE_SECONDS = 10, 30
CONNECTIONS, CONNECTIONS_OF_ADDRESS = 512, 256

# What the kernel keeps of an answer that is not fetched, and as much again for its own ends.
UNSENT_BYTES = 2 * (128 << 10)

CLIENTS = 10_000
ADDRESSES = 40
# What connections may take at most: 16 KiB each, and as much again.
MEMORY_BYTES = CONNECTIONS * (32 << 10)
BEGINNINGS = [b"", b"G", b"GET /metrics HTTP/1.1\r\nHost: h\r\nX-Slow: "]


@pytest.fixture
def full(exporter: Callable[..., Exporter], folder: Path, redis_url: str) -> Exporter:
    """An exporter whose metrics are larger than what sockets hold."""
    names = [f"queue-{number:04}-{'x' * 900}" for number in range(1000)]
    file = folder / "exporter.yml"
    file.write_text("queues:\n" + "".join(f"  - {name}\n" for name in names))
    return exporter(f"--config.file={file}", "--collect.interval=1h", CELERY_BROKER_URL=redis_url)


def ended(connection: socket.socket) -> bool:
    """Whether the other side has ended it; what it sent before is thrown away."""
    connection.setblocking(False)
    try:
        while connection.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def dribble(connections: dict[str, socket.socket], start: float) -> dict[str, float]:
    """Sends a byte a second on each until they have ended, and says how many seconds after `start` that was."""
    found: dict[str, float] = {}
    while connections.keys() - found.keys():
        passed = time.monotonic() - start
        assert passed < SECONDS, f"still open: {connections.keys() - found.keys()}"
        for name in connections.keys() - found.keys():
            with contextlib.suppress(BlockingIOError):
                try:
                    if name != "silent":
                        connections[name].send(b"x")
                    if ended(connections[name]):
                        found[name] = passed
                except OSError:
                    found[name] = passed
        time.sleep(0.5)
    return found


def test_bytes_that_trickle_do_not_prolong_a_request(
    secured: Callable[[Path], SecuredExporter],
    exporter: Callable[..., Exporter],
    folder: Path,
    redis_url: str,
) -> None:
    plain = exporter(CELERY_BROKER_URL=redis_url)
    server = Authority(folder).issue("server", "subjectAltName=IP:127.0.0.1")
    file = folder / "web.yml"
    file.write_text(f"tls_server_config: {{cert_file: {server.file}, key_file: {server.key}}}")
    guarded = secured(file)

    with contextlib.ExitStack() as stack:

        def connect(one: Exporter, beginning: bytes) -> socket.socket:
            address = ("127.0.0.1", one.port)
            connection = stack.enter_context(socket.create_connection(address, timeout=SECONDS))
            connection.sendall(beginning)
            return connection

        def answered() -> socket.socket:
            """A connection on which a request has been answered and the next has begun."""
            request = b"GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n"
            connection = connect(plain, request)
            assert b"Healthy" in connection.recv(1 << 16)
            connection.sendall(request[:-2] + b"X-Slow: ")
            return connection

        client = ssl.MemoryBIO()
        hello = trusting(Authority(folder, "other")).wrap_bio(ssl.MemoryBIO(), client)
        with contextlib.suppress(ssl.SSLWantReadError):
            hello.do_handshake()
        start = time.monotonic()
        took = dribble(
            {
                "silent": connect(plain, b""),
                "line": connect(plain, b"GET /"),
                "header": connect(plain, b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: "),
                "second": answered(),
                "handshake": connect(guarded, client.read()[:-100]),
            },
            start,
        )
        assert all(seconds > REQUEST_SECONDS - 1 for seconds in took.values()), took


def test_an_answer_must_be_fetched_in_time(full: Exporter) -> None:
    size = len(full.text())
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(deaf_client(full, "127.0.0.1"))
        start = time.monotonic()
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
        received = len(slow.recv(1))
        while connections(full):
            assert time.monotonic() - start < RESPONSE_SECONDS + SECONDS
            received += len(slow.recv(1))
            time.sleep(1)
        assert received < size / 2
    assert time.monotonic() - start > RESPONSE_SECONDS - 1


def deaf_client(exporter: Exporter, address: str) -> socket.socket:
    """A connection that can take few bytes before somebody reads them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    connection.settimeout(SECONDS)
    connection.bind((address, 0))
    connection.connect(("127.0.0.1", exporter.port))
    return connection


def connections(exporter: Exporter) -> int:
    """How many connections of clients it has open."""
    port = f"{exporter.port:04X}"
    count = 0
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port}") and fields[3] != "0A":
            inodes.add(f"socket:[{fields[9]}]")
    for descriptor in Path(f"/proc/{exporter.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(descriptor.readlink()) in inodes
    return count


def resident_bytes(exporter: Exporter) -> int:
    status = Path(f"/proc/{exporter.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    needed = CLIENTS + 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < needed:
        pytest.skip(f"{CLIENTS} connections need {needed} descriptors, and {hard} are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def slow_client(exporter: Exporter, address: str, beginning: bytes) -> socket.socket:
    connection = socket.create_connection(
        ("127.0.0.1", exporter.port), timeout=SECONDS, source_address=(address, 0)
    )
    with contextlib.suppress(OSError):
        connection.sendall(beginning)
    return connection


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("addresses", [1, ADDRESSES])
def test_ten_thousand_slow_clients_keep_no_scrape_out(
    exporter: Callable[..., Exporter], redis_url: str, addresses: int
) -> None:
    """Also where all, and the scrape, come from one address: behind a proxy, say."""
    one = exporter("--collect.interval=1h", CELERY_BROKER_URL=redis_url)
    before = resident_bytes(one)
    limit = CONNECTIONS_OF_ADDRESS if addresses == 1 else CONNECTIONS
    with contextlib.ExitStack() as stack:
        for number in range(CLIENTS):
            source = f"127.0.0.{1 + number % addresses}"
            beginning = BEGINNINGS[number % len(BEGINNINGS)]
            stack.enter_context(slow_client(one, source, beginning))
            if number % 500 == 499:
                assert ask(one, "/metrics").status == 200
                # Those that are cut off take a moment to end.
                wait_until(lambda: connections(one) <= limit, SECONDS, "those to end")
        wait_until(lambda: connections(one) <= limit, SECONDS, "the last to be cut off")
        # Nobody goes before he must, so the bound is really reached.
        assert connections(one) > limit / 2
        assert ask(one, "/metrics").status == 200
        assert resident_bytes(one) < before + MEMORY_BYTES
    wait_until(lambda: connections(one) == 0, 2 * REQUEST_SECONDS, "all to have ended")


def test_one_address_does_not_take_the_place_of_others(
    exporter: Callable[..., Exporter], redis_url: str
) -> None:
    one = exporter("--collect.interval=1h", CELERY_BROKER_URL=redis_url)

    def keeps_its_place() -> bool:
        start = time.monotonic()

        def is_late() -> bool:
            """Whether all this took longer than a request may, on a busy machine."""
            return time.monotonic() - start > REQUEST_SECONDS - 1

        with contextlib.ExitStack() as stack:
            beginning = b"GET /-/healthy HTTP/1.1\r\n"
            waiting = stack.enter_context(slow_client(one, "127.0.0.2", beginning))
            for _ in range(CONNECTIONS_OF_ADDRESS + 50):
                stack.enter_context(slow_client(one, "127.0.0.3", b"GET"))
            wait_until(
                lambda: connections(one) == CONNECTIONS_OF_ADDRESS + 1 or is_late(),
                SECONDS,
                "the bound",
            )
            answer = b""
            with contextlib.suppress(ConnectionError):
                waiting.sendall(b"Host: h\r\n\r\n")
                answer = waiting.recv(1 << 16)
        assert b"Healthy" in answer or is_late(), "cut off"
        return b"Healthy" in answer

    wait_until(keeps_its_place, SECONDS, "clients in time")


def unsent_bytes() -> int:
    """What the kernel keeps for TCP, of all programs."""
    pages = re.search(r"TCP: .* mem (\d+)", Path("/proc/net/sockstat").read_text())[1]
    return int(pages) * resource.getpagesize()


def test_deaf_clients_keep_no_scrape_out(full: Exporter) -> None:
    """They ask for much and fetch nothing. It is in memory once, and the kernel keeps little of it for each."""
    before, unsent_before = resident_bytes(full), unsent_bytes()
    request = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 20
    with contextlib.ExitStack() as stack:
        for number in range(CONNECTIONS + 100):
            deaf = stack.enter_context(deaf_client(full, f"127.0.0.{2 + number % 4}"))
            with contextlib.suppress(OSError):
                deaf.sendall(request)
        assert ask(full, "/metrics").status == 200
        assert resident_bytes(full) < before + MEMORY_BYTES
        assert unsent_bytes() < unsent_before + 2 * CONNECTIONS * UNSENT_BYTES

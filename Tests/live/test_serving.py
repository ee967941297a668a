"""How the exporter serves: what it answers, to whom, and how it starts and stops listening."""

from __future__ import annotations

import contextlib
import http.client
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from contents import HOSTILE_NAMES, fill_redis
from http_requests import answers, ask, connected
from servers import RedisServer, free_port, wait_until
from stack import Exporter, fetch, parse_metrics

SECONDS = 60.0  # longest wait for something that normally takes a moment
TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
CONNECTIONS = 200


def series(text: str) -> list[str]:
    return [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]


def test_metrics_have_the_headers_of_the_text_format(served: Exporter) -> None:
    answer, body = ask(served, "GET", "/metrics")

    assert answer.status == 200
    assert answer.headers["Content-Type"] == TEXT_FORMAT
    assert int(answer.headers["Content-Length"]) == len(body)
    assert body.endswith(b"\n")


def test_exposition_is_well_formed(served: Exporter) -> None:
    text = served.text()

    helps = re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE)
    types = re.findall(r"^# TYPE (\S+) (?:gauge|counter|histogram)$", text, re.MULTILINE)
    assert helps == types, "each family has one HELP and one TYPE"
    assert types == sorted(set(types)), "families are sorted and each comes once"
    # Every line belongs to the family whose TYPE came last.
    family = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family = line.split()[2]
        elif not line.startswith("#"):
            name = re.match(r"\w+", line)[0]
            assert name in {family, f"{family}_bucket", f"{family}_sum", f"{family}_count"}, line
    assert len(series(text)) == len(set(series(text)))
    metrics = parse_metrics(text)
    assert len(metrics) == len(series(text))
    for source in ("redbeat", "broker", "database"):
        assert metrics["celery_beat_exporter_source_up", frozenset({("source", source)})] == 1
    # One of every kind of thing that can be told, so that the checks above saw it all.
    assert {"celery_beat_up", "celery_queue_priority_length", "celery_task_duration_seconds"} <= {
        *types
    }


def test_promtool_has_nothing_to_say(served: Exporter) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=served.text(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_foreign_names_come_through_unchanged(served: Exporter) -> None:
    metrics = parse_metrics(served.text())

    def values(family: str, label: str) -> set[str]:
        return {
            value
            for name, labels in metrics
            for key, value in labels
            if (name, key) == (family, label)
        }

    assert set(HOSTILE_NAMES) <= values("celery_beat_entry_enabled", "entry")
    assert set(HOSTILE_NAMES) <= values("celery_task_in_progress", "task_name")


def test_answers_are_the_same_until_the_next_collection(served: Exporter) -> None:
    assert len({ask(served, "GET", "/metrics")[1] for _ in range(5)}) == 1


def test_order_stays_over_collections(exporter: Callable[..., Exporter], redis_url: str) -> None:
    fill_redis(redis_url, HOSTILE_NAMES)
    changing = exporter("--collect.interval=100ms", CELERY_BROKER_URL=redis_url)

    def collected() -> float:
        labels = frozenset({("collector", "queues")})
        name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
        return changing.metrics()[name, labels]

    def wait_for_collection() -> None:
        last = collected()
        wait_until(lambda: collected() > last, SECONDS, "another collection")

    # The first collection of the queues may not have known yet what the schedule names.
    wait_for_collection()
    first = changing.text()
    wait_for_collection()
    later = changing.text()

    assert later != first
    assert series(later) == series(first)


@pytest.mark.parametrize("path", ["/metrics", "/-/healthy", "/-/ready", "/unknown"])
def test_head_is_get_without_a_body(served: Exporter, path: str) -> None:
    head, nothing = ask(served, "HEAD", path)
    get, body = ask(served, "GET", path)

    def lasting(answer: http.client.HTTPResponse) -> dict[str, str]:
        return {name: value for name, value in answer.headers.items() if name != "Date"}

    assert head.status == get.status
    assert lasting(head) == lasting(get)
    assert nothing == b"" != body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_other_methods_are_not_allowed(served: Exporter, method: str) -> None:
    answer, _ = ask(served, method, "/metrics")

    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_bodies_are_refused_unread(served: Exporter, method: str) -> None:
    """405 comes with the body's first bytes; a client that goes on sending finds nobody there."""
    with connected(served) as connection:
        head = f"{method} /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: {1 << 20}\r\n\r\n"
        connection.sendall(head.encode())
        assert [status for status, _ in answers(connection, 2)] == [405]
        with contextlib.suppress(ConnectionError):
            connection.sendall(bytes(1 << 20))
    assert ask(served, "GET", "/-/healthy")[0].status == 200


def test_a_query_is_no_path(served: Exporter) -> None:
    assert ask(served, "GET", "/metrics?x=1")[1] == ask(served, "GET", "/metrics")[1]


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/",
        "//metrics",
        "/../metrics",
        "/./metrics",
        "/%00",
        "/metrics%00",
        "/METRICS",
        "/-/reload/",
        "/-/",
        "/index.html",
        "/" + "x" * 4000,
    ],
)
def test_all_else_is_not_found(served: Exporter, path: str) -> None:
    assert ask(served, "GET", path)[0].status == 404


def test_a_connection_serves_many_requests(served: Exporter) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n"
    expected = (200, served.text().encode())
    with connected(served) as connection:
        for _ in range(3):
            connection.sendall(request)
            assert answers(connection, 1) == [expected]
        missing = b"GET /missing HTTP/1.1\r\nHost: h\r\n\r\n"
        connection.sendall(request + missing + request)
        pipelined = answers(connection, 3)
        assert [status for status, _ in pipelined] == [200, 404, 200]
        assert pipelined[0] == pipelined[2] == expected


def test_old_clients_are_served(served: Exporter) -> None:
    """HTTP/1.0 knows no Host header, and the connection ends after the answer."""
    with connected(served) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert answers(connection, 2) == [(200, served.text().encode())]


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * (1 << 20) + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\nHost: h\r\n\r\n", 414),
    ],
    ids=["header", "path"],
)
def test_what_is_too_long_is_refused(served: Exporter, request_bytes: bytes, status: int) -> None:
    before = resident_bytes(served)
    # The answer may be lost where the server has closed before all was sent.
    with connected(served) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(request_bytes)
        assert [found for found, _ in answers(connection, 2)] == [status]

    assert ask(served, "GET", "/-/healthy")[0].status == 200
    assert resident_bytes(served) < before + (1 << 20), "it was never all in memory"


def resident_bytes(exporter: Exporter) -> int:
    status = Path(f"/proc/{exporter.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.parametrize(
    "noise",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"\0" * 64,
        b"GET\r\n\r\n",
        b"\r\n",
        # More than libmicrohttpd has room for: it falls silent, and ends the connection in a minute.
        b"GET /metrics?" + b"&".join([b"a=1"] * 500) + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    ],
)
def test_noise_does_no_harm(served: Exporter, noise: bytes) -> None:
    with connected(served) as connection:
        connection.sendall(noise)
        assert ask(served, "GET", "/-/healthy")[0].status == 200
    assert ask(served, "GET", "/-/healthy")[0].status == 200


def test_silent_and_slow_clients_do_not_hold_others_up(served: Exporter) -> None:
    with contextlib.ExitStack() as open_connections:
        for beginning in [b"", b"GET /metrics HTT", b"GET /metrics HTTP/1.1\r\nHost: h\r\n"] * 10:
            connection = open_connections.enter_context(connected(served))
            connection.sendall(beginning)
        # A client that asks for much and reads nothing.
        deaf = open_connections.enter_context(connected(served))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
        deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n" * 50)

        assert ask(served, "GET", "/metrics")[0].status == 200


def test_many_clients_at_once(served: Exporter) -> None:
    """All connections are open before the first is asked."""
    expected = (200, served.text().encode())
    with contextlib.ExitStack() as open_connections, ThreadPoolExecutor(16) as threads:
        connections = [
            open_connections.enter_context(connected(served)) for _ in range(CONNECTIONS)
        ]

        def asked(connection: socket.socket) -> list[tuple[int, bytes]]:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n")
            return answers(connection, 1)

        assert list(threads.map(asked, connections)) == [[expected]] * CONNECTIONS


def test_another_telemetry_path(exporter: Callable[..., Exporter], redis_url: str) -> None:
    other = exporter("--web.telemetry-path=/beat/figures", CELERY_BROKER_URL=redis_url)

    assert "celery_beat_exporter_build_info" in fetch(other.url + "/beat/figures")
    assert ask(other, "GET", "/metrics")[0].status == 404
    _, page = ask(other, "GET", "/")
    assert b'href="/beat/figures"' in page


def test_the_page_links_to_what_there_is(served: Exporter) -> None:
    _, page = ask(served, "GET", "/")

    links = re.findall(r'href="(/[^"]*)"', page.decode())
    assert "/metrics" in links
    assert {link: ask(served, "GET", link)[0].status for link in links} == dict.fromkeys(links, 200)


@pytest.fixture
def waiting(folder: Path, own_redis: RedisServer) -> Iterator[Callable[..., Exporter]]:
    """Starts an exporter in front of a Redis that accepts connections and answers nothing."""
    with contextlib.ExitStack() as exporters:
        own_redis.pause()

        def start(*flags: str) -> Exporter:
            one = Exporter(folder, *flags, environment={"CELERY_BROKER_URL": own_redis.url})
            one.ready_path = "/-/healthy"  # counts as started while it is not ready
            return exporters.enter_context(one)

        yield start
        own_redis.resume()


def test_ready_once_every_source_was_tried(waiting: Callable[..., Exporter]) -> None:
    """Well or badly: readiness is about the exporter, which serves whatever its sources do."""
    # For longer than a busy machine may let this test stand still.
    exporter = waiting("--collect.timeout=8s")

    before, reason = ask(exporter, "GET", "/-/ready")
    assert (before.status, reason) == (
        503,
        b"Not ready: the first collections have not ended.\n",
    )
    assert "celery_beat_exporter_source_up" not in exporter.text(), "nothing is known yet"
    wait_until(
        lambda: ask(exporter, "GET", "/-/ready")[0].status == 200,
        SECONDS,
        "readiness",
    )
    assert ask(exporter, "GET", "/-/healthy")[0].status == 200
    for source in ("redbeat", "broker"):
        up = exporter.metrics()["celery_beat_exporter_source_up", frozenset({("source", source)})]
        assert up == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_at_once_while_a_source_hangs(
    waiting: Callable[..., Exporter], number: signal.Signals
) -> None:
    exporter = waiting("--collect.timeout=10m")
    exporter.stop_signal = number
    with connected(exporter):  # nor does it wait for its clients
        # Whatever it would wait for takes longer than anybody waits for it before it is killed.
        assert exporter.stop() == 0

    assert f"signal={number.name}" in exporter.log_tail()
    with pytest.raises(ConnectionRefusedError):
        ask(exporter, "GET", "/-/healthy")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_at_once(
    exporter: Callable[..., Exporter], redis_url: str, number: signal.Signals
) -> None:
    # It sleeps for so long in between.
    idle = exporter("--collect.interval=1h", CELERY_BROKER_URL=redis_url)
    idle.stop_signal = number

    assert idle.stop() == 0


def test_several_listen_addresses(exporter: Callable[..., Exporter], redis_url: str) -> None:
    ports = [free_port(), free_port()]
    many = exporter(
        f"--web.listen-address=[::1]:{ports[0]}",
        f"--web.listen-address=:{ports[1]}",
        CELERY_BROKER_URL=redis_url,
    )

    text = many.text()
    assert fetch(f"http://[::1]:{ports[0]}/metrics") == text
    assert fetch(f"http://127.0.0.1:{ports[1]}/metrics") == text
    assert fetch(f"http://[::1]:{ports[1]}/metrics") == text
    with pytest.raises(OSError):
        fetch(f"http://127.0.0.1:{ports[0]}/metrics")


def test_a_port_in_use_is_told(served: Exporter) -> None:
    done = subprocess.run(
        [*served.command, "--broker.url=redis://127.0.0.1:1"],
        env={},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    for words in (f"127.0.0.1:{served.port}", "Address already in use", "--web.listen-address"):
        assert words in line

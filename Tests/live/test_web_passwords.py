"""Passwords by the web configuration: what wants one, who is let in, and guesses without end."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import select
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from exporter_signs import NOWHERE
from secured_exporter import HASH, PASSWORD, SECONDS, USER, USERS, SecuredExporter, ask, bcrypt
from servers import wait_until


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredExporter]:
    """An exporter with two users and headers, without TLS."""
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "web.yml"
    file.write_text(
        USERS + f"  other: {bcrypt('x' * 72, 4)}\n"
        "http_server_config:\n  headers: {X-Frame-Options: deny, X-XSS-Protection: '0'}\n"
    )
    one = SecuredExporter(
        folder,
        f"--web.config.file={file}",
        environment={"CELERY_BROKER_URL": f"redis://{NOWHERE}"},
    )
    with one:
        yield one


PATHS = ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/probe?target=x", "/unknown"]
STATUSES = {"/unknown": 404, "/probe?target=x": 400}


@pytest.mark.parametrize("path", PATHS)
def test_every_path_wants_a_password(guarded: SecuredExporter, path: str) -> None:
    refused = ask(guarded, path)
    served = ask(guarded, path, user=USER)

    assert (refused.status, refused.body) == (401, b"Unauthorized.\n")
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert served.status == STATUSES.get(path, 200)
    for answer in (refused, served, ask(guarded, path, user=USER, method="HEAD")):
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["X-XSS-Protection"] == "0"
        assert len(answer.headers.get_all("Content-Type")) == 1


def test_a_reload_wants_a_password(
    secured: Callable[[Path], SecuredExporter], folder: Path
) -> None:
    """Its body, if any, is never read, whether or not the password is known already."""
    file = folder / "web.yml"
    file.write_text(USERS)
    exporter = secured(file, "--web.enable-lifecycle")

    def reload(**login: str) -> int:
        return ask(exporter, "/-/reload", method="POST", **login).status

    assert reload() == reload(user=USER, password="wrong") == 401
    assert not exporter.events("configuration reloaded")
    assert reload(user=USER) == 200
    assert len(exporter.events("configuration reloaded")) == 1
    for password, status in {PASSWORD: b"429", "wrong": b"401"}.items():
        login = base64.b64encode(f"{USER}:{password}".encode())
        with socket.create_connection(("127.0.0.1", exporter.port), timeout=SECONDS) as connection:
            head = b"POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n"
            connection.sendall(head + b"Authorization: Basic " + login + b"\r\n\r\nx")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 " + status)
    # A body where there should be none.
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=SECONDS) as connection:
        head = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n"
        connection.sendall(head + b"Authorization: Basic " + login + b"\r\n\r\n123456789")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400")


def test_passwords(guarded: SecuredExporter) -> None:
    def status(user: str, password: str) -> int:
        return ask(guarded, user=user, password=password).status

    for _ in range(2):
        assert status(USER, PASSWORD) == 200
        assert status(USER, PASSWORD + " ") == 401
        assert status(USER, PASSWORD + "\0") == 401
        assert status(USER, "") == 401
        assert status("", PASSWORD) == 401
        assert status(USER.upper(), PASSWORD) == 401
        assert status("nobody", PASSWORD) == 401
        assert status("other", PASSWORD) == 401
        # bcrypt sees 72 bytes.
        assert status("other", "x" * 72) == status("other", "x" * 2000) == 200
        assert status("other", "x" * 71) == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(USER.encode()).decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\x80").decode(),
        "Bearer " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        "Basic " + "QUFB" * 2000,
    ],
)
def test_what_is_no_login(guarded: SecuredExporter, header: str) -> None:
    assert ask(guarded, headers={"Authorization": header}).status == 401


def test_the_scheme_has_no_case(guarded: SecuredExporter) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    assert ask(guarded, headers={"Authorization": f"bAsIc {login}"}).status == 200


def test_a_connection_that_logs_in_goes_on(guarded: SecuredExporter) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = f"GET /-/healthy HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {login}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=SECONDS) as connection:
        stream = connection.makefile("rb")
        for count in (1, 3):
            connection.sendall(request * count)
            for _ in range(count):
                assert stream.readline().startswith(b"HTTP/1.1 200")
                headers = http.client.parse_headers(stream)
                assert stream.read(int(headers["Content-Length"])) == b"Healthy.\n"


@contextlib.contextmanager
def guessing(exporter: SecuredExporter) -> Iterator[None]:
    """40 guessers at addresses of their own and 8 at ours, each with one guess after the other.

    They go on while the exporter is down. Each has been told of a guess when this begins, so that no
    address is without a wrong password.
    """
    ends = threading.Event()
    sources = [f"127.0.1.{number}" for number in range(1, 41)] + ["127.0.0.1"] * 8
    told = [threading.Event() for _ in sources]

    def guess(number: int) -> None:
        for attempt in itertools.count():
            if ends.is_set():
                return
            password = f"{number} {attempt}"
            with contextlib.suppress(OSError):
                answer = ask(exporter, user=USER, password=password, source=sources[number])
                assert answer.status == 401
                told[number].set()

    with ThreadPoolExecutor(len(sources)) as threads:
        guesses = [threads.submit(guess, number) for number in range(len(sources))]
        try:
            for one in told:
                assert one.wait(SECONDS)
            yield
        finally:
            ends.set()
        for one in guesses:
            one.result()


def start_again(exporter: SecuredExporter) -> None:
    exporter.start()
    # The log has the first start in it too.
    wait_until(lambda: len(exporter.events("serving")) == 2, SECONDS, "the second start")


def test_guessers_keep_nobody_out(secured: Callable[[Path], SecuredExporter], folder: Path) -> None:
    """Neither after a restart, nor after a change of the hash or of the password; nobody is turned away."""
    file = folder / "web.yml"

    def configure(password: str, cost: int) -> None:
        file.write_text(f"basic_auth_users: {{{USER}: '{bcrypt(password, cost)}'}}\n")

    def changed(count: int) -> None:
        message = "web configuration read again"
        wait_until(lambda: len(exporter.events(message)) == count, SECONDS, "the change")

    configure(PASSWORD, 8)
    exporter = secured(file)
    with guessing(exporter):
        assert [ask(exporter, user=USER).status for _ in range(11)] == [200] * 11
        assert ask(exporter, user=USER, source="127.0.0.9").status == 200
        exporter.stop()
        start_again(exporter)
        assert ask(exporter, user=USER).status == 200
        configure(PASSWORD, 9)
        changed(1)
        assert ask(exporter, user=USER).status == 200
        configure("other", 8)
        changed(2)
        assert ask(exporter, user=USER, password="other").status == 200


@contextlib.contextmanager
def waiting_guesses(exporter: SecuredExporter, count: int) -> Iterator[list[socket.socket]]:
    """Connections from our address, each with a guess of its own, of which some wait to be verified."""
    with contextlib.ExitStack() as stack:
        connections = []
        for number in range(count):
            address = ("127.0.0.1", exporter.port)
            login = base64.b64encode(f"{USER}:{number}".encode())
            one = stack.enter_context(socket.create_connection(address, timeout=2 * SECONDS))
            one.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic " + login + b"\r\n\r\n")
            connections.append(one)
        yield connections


@pytest.mark.parametrize("later_cost", [11, 12], ids=["same_hash", "other_hash"])
def test_a_restart_does_not_forget_who_knows_the_password(
    secured: Callable[..., SecuredExporter], folder: Path, later_cost: int
) -> None:
    """Not even with as many guesses before it from its own address as there may be."""
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users: {{{USER}: '{bcrypt(PASSWORD, 11)}'}}\n")
    exporter = secured(file, RUNTIME_DIRECTORY=f"{folder}:/nowhere")
    assert ask(exporter, user=USER).status == 200
    assert exporter.stop() == 0
    (kept,) = folder.glob("known-logins*")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert PASSWORD.encode() not in kept.read_bytes()

    file.write_text(f"basic_auth_users: {{{USER}: '{bcrypt(PASSWORD, later_cost)}'}}\n")
    start_again(exporter)
    with waiting_guesses(exporter, 120) as guesses:
        # Those that are told are not the ones that came last.
        select.select(guesses, [], [], SECONDS)
        assert ask(exporter, user=USER).status == 200
        told, _, _ = select.select(guesses, [], [], 0)
        assert len(told) < len(guesses) / 2
    assert not exporter.events("logins are not kept across a restart")


def test_where_logins_cannot_be_kept(secured: Callable[..., SecuredExporter], folder: Path) -> None:
    """It says so, in a line each, and serves."""
    file = folder / "web.yml"
    file.write_text(USERS)
    nowhere = folder / "nowhere"
    exporter = secured(file, RUNTIME_DIRECTORY=str(nowhere))
    assert ask(exporter, user=USER).status == 200
    (event,) = exporter.events("logins are not kept across a restart")
    assert event["error"] == f"cannot write {nowhere}/known-logins: No such file or directory"


def with_slow_passwords(folder: Path) -> Path:
    """A web configuration whose hash takes seconds to verify."""
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users: {{{USER}: '{HASH.replace('$05$', '$15$')}'}}\n")
    return file


def test_a_wait_that_is_too_long_ends(
    secured: Callable[[Path], SecuredExporter], folder: Path
) -> None:
    """The connection is cut off like every other, and what is found out later does no harm."""
    exporter = secured(with_slow_passwords(folder))
    with waiting_guesses(exporter, 30) as connections, contextlib.suppress(ConnectionError):
        assert connections[-1].recv(1) == b""
    assert ask(exporter, user=USER, source="127.0.0.2").status in (200, 401)


def test_it_ends_while_passwords_wait(
    secured: Callable[[Path], SecuredExporter], folder: Path
) -> None:
    exporter = secured(with_slow_passwords(folder))
    with waiting_guesses(exporter, 140) as connections:
        # One finds the queue of its address full and is told at once, so the others are waiting.
        def is_turned_away() -> bool:
            answered, _, _ = select.select(connections, [], [], 0)
            return any(b" 503 " in one.recv(64, socket.MSG_PEEK) for one in answered)

        wait_until(is_turned_away, SECONDS, "one to be turned away")

        assert exporter.stop() == 0

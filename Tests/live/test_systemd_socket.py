"""--web.systemd-socket: sockets that somebody else has opened."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter_signs import NOWHERE
from servers import Process, free_port, wait_until
from stack import Exporter, fetch

SECONDS = 60.0  # longest wait for something that normally takes a moment
BINARY = Exporter(Path(os.devnull)).command[0]
SOURCE = f"--broker.url=redis://{NOWHERE}"

# What systemd does: pass the first descriptors and name the process that they are for.
PARENT = """
import os, socket, sys
kinds, command = sys.argv[1].split(","), sys.argv[2:]
opened = []
for kind in kinds:
    if kind.startswith("="):
        one = socket.socket(fileno=int(kind[1:]))
    elif kind.startswith("/"):
        one = socket.socket(socket.AF_UNIX)
        one.bind(kind)
        one.listen()
    elif kind.isdigit():
        one = socket.create_server(("127.0.0.1", int(kind)))
    elif kind == "datagram":
        one = socket.socket(type=socket.SOCK_DGRAM)
    elif kind == "unheard":
        one = socket.socket()
    else:
        one = open(os.devnull)
    opened.append(one)
for number, one in enumerate(opened):
    os.dup2(os.dup(one.fileno()), 50 + number)
for number in range(len(opened)):
    os.dup2(50 + number, 3 + number, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(len(opened))
os.execv(command[0], command)
"""


class Activated(Process):
    """An exporter that has been given sockets."""

    def __init__(self, folder: Path, *kinds: str | int | Path) -> None:
        sockets = ",".join(map(str, kinds))
        command = [sys.executable, "-c", PARENT, sockets, BINARY, "--web.systemd-socket", SOURCE]
        super().__init__("activated", folder, command)

    def answers(self) -> bool:
        return self.log.read_text().count("msg=serving") > 0


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    process.start()
    try:
        yield process
    finally:
        status = process.stop()
    assert status == 0


def test_it_serves_on_all_that_it_is_given(folder: Path) -> None:
    ports = [free_port(), free_port()]
    path = folder / "exporter.sock"
    with running(Activated(folder, *ports, path)):
        for port in ports:
            assert fetch(f"http://127.0.0.1:{port}/-/healthy") == "Healthy.\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(SECONDS)
            connection.connect(str(path))
            connection.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            answer = b""
            while part := connection.recv(1 << 16):
                answer += part
        assert answer.endswith(b"Healthy.\n")


def test_systemd_starts_it_with_the_first_client(folder: Path) -> None:
    """Nothing is lost on the way: the first client is answered by a program that did not run yet."""
    port = free_port()
    program = "systemd-socket-activate"
    command = [program, f"--listen=127.0.0.1:{port}", BINARY, "--web.systemd-socket", SOURCE]
    activator = Process("activator", folder, command)
    activator.start()
    try:
        wait_until(
            lambda: f"Listening on 127.0.0.1:{port}" in activator.log.read_text(),
            SECONDS,
            "the socket",
        )
        assert "msg=serving" not in activator.log.read_text()
        assert fetch(f"http://127.0.0.1:{port}/-/healthy") == "Healthy.\n"
        wait_until(
            lambda: f"address=systemd:{port}" in activator.log.read_text(), SECONDS, "its word"
        )
    finally:
        assert activator.stop() == 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("datagram", "descriptor 3 is no listening stream socket"),
        ("unheard", "descriptor 3 is no listening stream socket"),
        ("file", "descriptor 3 is no listening stream socket"),
    ],
)
def test_what_is_no_socket_to_listen_on(folder: Path, kind: str, words: str) -> None:
    done = subprocess.run(
        Activated(folder, kind).command,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert f"listen on systemd's sockets: {words}" in done.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "there are none (LISTEN_FDS, LISTEN_PID)"),
        ({"LISTEN_FDS": "1"}, "there are none"),
        ({"LISTEN_FDS": "many", "LISTEN_PID": "1"}, "there are none"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, "they are process 1's"),
    ],
)
def test_without_sockets_it_does_not_start(environment: dict[str, str], words: str) -> None:
    done = subprocess.run(
        [BINARY, "--web.systemd-socket", SOURCE],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert f"listen on systemd's sockets: {words}" in done.stderr


def test_its_sockets_are_not_inherited_further(folder: Path) -> None:
    with running(Activated(folder, free_port())) as one:
        flags = Path(f"/proc/{one.pid}/fdinfo/3").read_text()
        assert int(flags.split("flags:")[1].split()[0], 8) & os.O_CLOEXEC


def test_a_client_waits_for_the_next_to_start(folder: Path) -> None:
    """As over a restart of the service: the socket stays open, as it is systemd's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        command = Activated(folder, f"={listening.fileno()}").command

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(command, pass_fds=[listening.fileno()], stderr=subprocess.PIPE)

        with start() as first:
            assert fetch(f"http://127.0.0.1:{port}/-/healthy") == "Healthy.\n"
            first.terminate()
        assert first.returncode == 0
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as waiting:
            waiting.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            with start() as second:
                assert waiting.recv(1 << 16).startswith(b"HTTP/1.1 200")
                second.terminate()
        assert second.returncode == 0

"""A server that answers the commands of a Redis client as it is told to, true or not."""

from __future__ import annotations

import contextlib
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    from stack import Exporter

OK = b"+OK\r\n"


class LyingRedis:
    """On 127.0.0.1. `answers` has what it says to a command, by its name; `answer` is for all others."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer = answer
        self.answers: dict[bytes, bytes | Callable[[list[bytes]], bytes]] = {
            b"CLIENT": OK,
            b"AUTH": OK,
            b"SELECT": OK,
        }
        self.passwords: set[bytes] = set()
        self.commands = 0
        lying = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    for command in lying._commands(self.rfile):
                        answer = lying.answers.get(command[0], lying.answer)
                        self.wfile.write(answer if isinstance(answer, bytes) else answer(command))

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _commands(self, file: IO[bytes]) -> Iterator[list[bytes]]:
        while line := file.readline():
            words = [file.read(int(file.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
            self.commands += 1
            if words[0] == b"AUTH":
                self.passwords.add(words[-1])
            yield words


class PeakMemory:
    """How much more than now a process comes to have at once, resident, in bytes."""

    def __init__(self, exporter: Exporter) -> None:
        self._folder = Path(f"/proc/{exporter.pid}")
        # The peak begins anew: proc_pid_clear_refs(5).
        (self._folder / "clear_refs").write_text("5")
        self._idle = self._status("VmRSS")

    @property
    def growth(self) -> int:
        return self._status("VmHWM") - self._idle

    def _status(self, name: str) -> int:
        text = (self._folder / "status").read_text()
        return int(re.search(rf"{name}:\s+(\d+) kB", text)[1]) * 1024

"""A proxy in front of a server that makes it as far away as one in another building: what it passes on arrives later."""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

PIECE_BYTES = 1 << 16
Pieces = queue.SimpleQueue[tuple[float, bytes]]


class SlowLink:
    """Listens on loopback, on `port`, and passes everything on, half a round trip later each way."""

    def __init__(self, server_port: int, round_trip_seconds: float) -> None:
        self._server_port = server_port
        self._way_seconds = round_trip_seconds / 2
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target in ((client, server), (server, client)):
                pieces = Pieces()
                for work, end in ((self._receive, source), (self._send, target)):
                    threading.Thread(target=work, args=(end, pieces), daemon=True).start()

    def _receive(self, source: socket.socket, pieces: Pieces) -> None:
        piece = b"first"
        while piece:
            try:
                piece = source.recv(PIECE_BYTES)
            except OSError:
                piece = b""
            pieces.put((time.monotonic() + self._way_seconds, piece))

    def _send(self, target: socket.socket, pieces: Pieces) -> None:
        while True:
            arrival, piece = pieces.get()
            time.sleep(max(0.0, arrival - time.monotonic()))
            try:
                if not piece:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(piece)
            except OSError:
                return

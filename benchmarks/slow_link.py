"""A proxy in front of a server that makes it as far away as one in another building: what it passes on arrives later."""

from __future__ import annotations

import queue
import socket
import threading
import time

from proxy import Proxy

PIECE_BYTES = 1 << 16
Pieces = queue.SimpleQueue[tuple[float, bytes]]


class SlowLink(Proxy):
    """Passes everything on, half a round trip later each way."""

    def __init__(self, server_port: int, round_trip_seconds: float) -> None:
        super().__init__(server_port)
        self._way_seconds = round_trip_seconds / 2

    def pass_on(self, client: socket.socket, server: socket.socket) -> None:
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threads = []
        for source, target in ((client, server), (server, client)):
            pieces = Pieces()
            for work, end in ((self._receive, source), (self._send, target)):
                threads.append(threading.Thread(target=work, args=(end, pieces), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

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

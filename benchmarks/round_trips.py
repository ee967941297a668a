"""A proxy in front of Redis that counts the round trips of a client's collections and keeps what they ask."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass

from proxy import Proxy

# A client that waits for replies is silent. On a busy machine it may be slow between two writes.
SILENCE_SECONDS = 0.05
# Between two collections nothing is asked for longer than this.
PAUSE_SECONDS = 0.5
PIECE_BYTES = 1 << 20


@dataclass
class Collection:
    """All that a connection asked between two pauses."""

    commands: bytes = b""
    round_trips: int = 0


class RoundTrips(Proxy):
    """Passes everything on.

    Replies are held back until the client has been silent for a while: so it has asked all that it
    can without them, and each time they are let go is the end of one round trip.
    """

    def __init__(self, redis_port: int) -> None:
        super().__init__(redis_port)
        self._connections: list[list[Collection]] = []

    def collections(self, word: bytes) -> list[Collection]:
        """The whole collections of the connection that has asked `word`, but for the first, which also logs in."""
        for collections in self._connections:
            if any(word in collection.commands for collection in collections):
                return collections[1:-1]
        return []

    def pass_on(self, client: socket.socket, server: socket.socket) -> None:
        collections: list[Collection] = []
        self._connections.append(collections)
        held = b""
        is_asking = False
        spoke = -PAUSE_SECONDS
        while True:
            readable, _, _ = select.select([client, server], [], [], SILENCE_SECONDS)
            if client in readable:
                try:
                    asked = client.recv(PIECE_BYTES)
                except ConnectionResetError:  # it ended with replies unread
                    return
                if not asked:
                    return
                now = time.monotonic()
                if now - spoke > PAUSE_SECONDS:
                    collections.append(Collection())
                spoke = now
                collections[-1].commands += asked
                if not is_asking:
                    collections[-1].round_trips += 1
                    is_asking = True
                server.sendall(asked)
            if server in readable:
                answered = server.recv(PIECE_BYTES)
                if not answered:
                    return
                held += answered
            if held and time.monotonic() - spoke >= SILENCE_SECONDS:
                client.sendall(held)
                held = b""
                is_asking = False

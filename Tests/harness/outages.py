"""Faults of a server as context managers: each begins on entering and is mended on leaving."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from servers import Process


@contextlib.contextmanager
def killed(server: Process) -> Iterator[None]:
    """A Redis without persistence has lost all afterwards, a PostgreSQL nothing."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def stopped(server: Process) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def hung(server: Process) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()

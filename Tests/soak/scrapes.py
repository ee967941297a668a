"""Scrapes at a fixed rate over connections that stay open, as many Prometheus would make them."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import itertools
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import parser
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

SECONDS = (
    60.0  # longest wait for an answer; one that took longer than `slowest` has failed all the same
)
FAILURES_KEPT = 20
TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@dataclass
class Counts:
    """What scrapes came to, in one minute or in all."""

    scrapes: int = 0
    parsed: int = 0
    failed: int = 0
    slowest: float = 0.0  # seconds
    bytes: int = 0

    def add(self, other: Counts) -> None:
        self.scrapes += other.scrapes
        self.parsed += other.parsed
        self.failed += other.failed
        self.slowest = max(self.slowest, other.slowest)
        self.bytes += other.bytes


class Scrapes:
    """Scrapes any of `paths`, in either format, plain or compressed, while `with Scrapes(...)` lasts.

    A scrape has failed when it was not answered with 200, took longer than `slowest` seconds, or,
    for each `parse_every`th, when it is no exposition. A connection that the server ends fails the
    scrape that was made on it.
    """

    def __init__(
        self,
        port: int,
        paths: Sequence[str],
        *,
        per_second: float,
        connections: int,
        parse_every: int,
        slowest: float,
    ) -> None:
        self.failures: list[str] = []  # the first FAILURES_KEPT, for people
        self._port = port
        self._paths = paths
        self._interval = connections / per_second
        self._parse_every = parse_every
        self._slowest = slowest
        self._counts = Counts()
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(connections)
        ]

    def take(self) -> Counts:
        """What there was since the last call."""
        with self._lock:
            counts, self._counts = self._counts, Counts()
            return counts

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        kinds = list(itertools.product((TEXT, OPENMETRICS), ("gzip", "identity"), self._paths))
        choices = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SECONDS)
        due = time.monotonic() + self._interval * number / len(self._threads)
        with contextlib.closing(connection):
            for count in itertools.count(1):
                if self._end.wait(max(0.0, due - time.monotonic())):
                    return
                # Where the machine could not keep up, what was missed is not made up for.
                due = max(due + self._interval, time.monotonic() - 1)
                parse = count % self._parse_every == 0
                self._scrape(connection, *choices.choice(kinds), parse=parse)

    def _scrape(
        self,
        connection: http.client.HTTPConnection,
        accept: str,
        encoding: str,
        path: str,
        *,
        parse: bool,
    ) -> None:
        counts = Counts(scrapes=1, parsed=int(parse))
        start = time.monotonic()
        problem = None
        try:
            connection.request("GET", path, headers={"Accept": accept, "Accept-Encoding": encoding})
            answer = connection.getresponse()
            body = answer.read()
            counts.slowest = time.monotonic() - start
            counts.bytes = len(body)
            if answer.status != 200:
                problem = f"status {answer.status}"
            elif counts.slowest > self._slowest:
                problem = f"took {counts.slowest:.2f} s"
            elif parse:
                check(answer, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()  # the next request opens it again
            problem = repr(error)
        if problem is not None:
            counts.failed = 1
        with self._lock:
            self._counts.add(counts)
            if problem is not None and len(self.failures) < FAILURES_KEPT:
                self.failures.append(f"{time.strftime('%H:%M:%S')} {path} {accept}: {problem}")


def check(answer: http.client.HTTPResponse, body: bytes) -> None:
    """ValueError unless it is an exposition, as its headers say."""
    if answer.headers["Content-Encoding"] == "gzip":
        body = gzip.decompress(body)
    is_openmetrics = answer.headers["Content-Type"].startswith("application/openmetrics-text")
    read = read_openmetrics if is_openmetrics else parser.text_string_to_metric_families
    if not sum(len(family.samples) for family in read(body.decode())):
        raise ValueError("no sample")

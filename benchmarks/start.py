"""Time from the start to the first answer, the exporter's and redis_exporter's in turn, on the same queues.

The clock starts before the process is made, and stops when /metrics has been read to its end: once
when it answers at all, once when the answer has the lengths of the queues.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Bar, RedisExporter, Table, fill_queues, queue_exporter

# isort: split
from servers import PATIENCE_SECONDS, RedisServer
from stack import WebProcess

QUEUES = 20
PAUSE_SECONDS = 0.0001
PIECE_BYTES = 1 << 16
BAR = Bar(1)


@dataclass
class Starts:
    """Seconds of each start to the first answer, and to the first with queues."""

    answers: list[float] = field(default_factory=list)
    queues: list[float] = field(default_factory=list)


def metrics(port: int) -> str | None:
    """What /metrics answers; None where nobody listens yet. Our own client, to add as little as can be."""
    with socket.socket() as connection:
        if connection.connect_ex(("127.0.0.1", port)) != 0:
            return None
        connection.settimeout(PATIENCE_SECONDS)
        connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(PIECE_BYTES), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise RuntimeError(head.decode(errors="replace"))
    return body.decode()


def start(process: WebProcess, queue: str, into: Starts) -> None:
    """Starts the process by itself: what wraps it elsewhere takes time, too."""
    begin = time.perf_counter()
    child = subprocess.Popen(
        process.command,
        env=process.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    answered = False
    try:
        while time.perf_counter() - begin < PATIENCE_SECONDS:
            text = metrics(process.port)
            if text is None:
                time.sleep(PAUSE_SECONDS)
                continue
            took = time.perf_counter() - begin
            if not answered:
                into.answers.append(took)
                answered = True
            if f'"{queue}"' in text:
                into.queues.append(took)
                return
        raise TimeoutError(f"{process.name} told no length of {queue} in {PATIENCE_SECONDS:g} s")
    finally:
        child.kill()
        child.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="of both in turn")
    rounds = parser.parse_args().rounds
    table = Table(
        f"Milliseconds from the start, median (least) of {rounds}",
        *("to", "exporter", "redis_exporter", "ratio of medians", "bar", ""),
    )
    with tempfile.TemporaryDirectory() as path, RedisServer(Path(path)) as server:
        folder = Path(path)
        names = fill_queues(server.url, QUEUES)
        processes = (
            queue_exporter(folder, server.url, names),
            RedisExporter(folder, server.url, names),
        )
        ours, theirs = Starts(), Starts()
        for _ in range(rounds):
            for process, starts in zip(processes, (ours, theirs)):
                start(process, names[0], starts)
    for what, one, other in (
        ("the first answer", ours.answers, theirs.answers),
        ("the first answer with queues", ours.queues, theirs.queues),
    ):
        medians = [statistics.median(times) for times in (one, other)]
        cells = [
            f"{median * 1000:.1f} ({min(times) * 1000:.1f})"
            for median, times in zip(medians, (one, other))
        ]
        ratio = medians[0] / medians[1]
        table.row(what, *cells, f"{ratio:.2f}", *BAR.cells(ratio))


if __name__ == "__main__":
    main()

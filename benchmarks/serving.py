"""Requests per second of /metrics beside a plain libmicrohttpd server with the same bytes.

Both run in one go and take turns, so that only their ratio counts. `wrk` asks over loopback, on 1
and on 8 connections.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from measuring import Bar, Contents, Table, race, series_count

# isort: split
from servers import RedisServer
from stack import Exporter

FOLDER = Path(__file__).resolve().parent
CONNECTIONS = (1, 8)
SERIES = (1000, 10_000)
BAR = Bar(0.9, is_floor=True)


def build_reference(folder: Path) -> Path:
    binary = folder / "reference_server"
    source = FOLDER / "reference_server.c"
    subprocess.run(["cc", "-O2", "-o", binary, source, "-lmicrohttpd"], check=True)
    return binary


def compare(
    exporter: Exporter, reference_binary: Path, folder: Path, options: argparse.Namespace, to: Table
) -> None:
    text = exporter.text()
    body = folder / "body"
    body.write_text(text)
    command = [reference_binary, body]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reference:
        try:
            reference_url = f"http://127.0.0.1:{int(reference.stdout.readline())}/metrics"
            for connections in CONNECTIONS:
                result = race(
                    f"{exporter.url}/metrics",
                    reference_url,
                    connections,
                    rounds=options.rounds,
                    seconds=options.seconds,
                )
                to.row(
                    f"{series_count(text):,} series, {len(text.encode()) / 1000:.0f} kB",
                    str(connections),
                    f"{result.ours:,.0f}",
                    f"{result.theirs:,.0f}",
                    f"{result.ratio:.2f}",
                    *BAR.cells(result.ratio),
                )
        finally:
            reference.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of both servers in turn")
    options = parser.parse_args()
    table = Table(
        "Requests per second beside a plain libmicrohttpd server",
        *("/metrics", "connections", "exporter", "plain server", "ratio", "bar", ""),
    )
    for series in SERIES:
        with tempfile.TemporaryDirectory() as path:
            folder = Path(path)
            reference_binary = build_reference(folder)
            with RedisServer(folder) as server:
                contents = Contents(server, series)
                with contents.exporter(folder) as exporter:
                    compare(exporter, reference_binary, folder, options, table)


if __name__ == "__main__":
    main()

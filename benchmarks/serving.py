"""Requests per second of /metrics beside a plain libmicrohttpd server with the same bytes, and memory.

Both run on this machine in one go and take turns, so that only their ratio counts. `wrk` asks over
loopback, on 1 and on 8 connections.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "demo"))

from servers import Process, RedisServer, free_port
from stack import Exporter

FOLDER = Path(__file__).resolve().parent
CONNECTIONS = (1, 8)


def requests_per_second(url: str, connections: int, seconds: int) -> float:
    command = ["wrk", f"-c{connections}", "-t1", f"-d{seconds}s", url]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in report or "Socket errors" in report:
        raise RuntimeError(f"{url}: {report}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", report)[1])


def resident_megabytes(process: Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1000


def build_reference(folder: Path) -> Path:
    binary = folder / "reference_server"
    source = FOLDER / "reference_server.c"
    subprocess.run(["cc", "-O2", "-o", binary, source, "-lmicrohttpd"], check=True)
    return binary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of both servers in turn")
    parser.add_argument("--queues", type=int, default=900, help="that make most of the series")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        reference_binary = build_reference(folder)
        with RedisServer(folder) as server:
            names = [f"queue-{number:04}" for number in range(options.queues)]
            with redis.Redis.from_url(server.url) as client:
                pipeline = client.pipeline()
                for name in names:
                    pipeline.lpush(name, "message")
                pipeline.execute()
            exporter = Exporter(
                folder,
                "--queues",
                ",".join(names),
                port=free_port(),
                environment={"CELERY_BROKER_URL": server.url},
            )
            with exporter:
                text = exporter.text()
                (folder / "body").write_text(text)
                series = sum(1 for line in text.splitlines() if not line.startswith("#"))
                print(f"{series} series, {len(text.encode())} bytes")
                compare(exporter, reference_binary, folder / "body", options)
                print(f"resident memory after it all: {resident_megabytes(exporter):.1f} MB")


def compare(
    exporter: Exporter, reference_binary: Path, body: Path, options: argparse.Namespace
) -> None:
    command = [reference_binary, body]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reference:
        try:
            reference_url = f"http://127.0.0.1:{int(reference.stdout.readline())}/metrics"
            for connections in CONNECTIONS:
                ratios = []
                ours = theirs = 0.0
                for _ in range(options.rounds):
                    url = f"{exporter.url}/metrics"
                    ours = requests_per_second(url, connections, options.seconds)
                    theirs = requests_per_second(reference_url, connections, options.seconds)
                    ratios.append(ours / theirs)
                print(
                    f"{connections} connection(s): {ours:.0f} requests/s, the plain server {theirs:.0f};"
                    f" median ratio of {len(ratios)} rounds {statistics.median(ratios):.2f}"
                )
        finally:
            reference.kill()


if __name__ == "__main__":
    main()

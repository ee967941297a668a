"""Resident memory of the exporter and of redis_exporter on the same queues, with usual scrapes and after as many as can be."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from measuring import Bar, Contents, Table, requests_per_second, resident_megabytes, series_count

# isort: split
from servers import RedisServer
from stack import WebProcess, fetch

SERIES = (1000, 10_000)
SCRAPE_SECONDS = 10.0
# More would be above redis_exporter's.
BAR = Bar(1)


def measure(process: WebProcess, minutes: float, seconds: int) -> tuple[str, float, float]:
    """What it serves; megabytes after so many minutes of normal scrapes, and after as many scrapes as it can answer in `seconds`."""
    url = f"{process.url}/metrics"
    with process:
        text = fetch(url)
        for _ in range(int(minutes * 60 / SCRAPE_SECONDS)):
            time.sleep(SCRAPE_SECONDS)
            fetch(url)
        usual = resident_megabytes(process)
        requests_per_second(url, 1, seconds)
        return text, usual, resident_megabytes(process)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1, help="with a scrape every 10 s")
    parser.add_argument("--seconds", type=int, default=20, help="of scrapes, one after the other")
    options = parser.parse_args()
    table = Table(
        "Resident memory, MB",
        *("/metrics", "when", "exporter", "redis_exporter", "ratio", "bar", ""),
    )
    for series in SERIES:
        with tempfile.TemporaryDirectory() as path, RedisServer(Path(path)) as server:
            folder = Path(path)
            contents = Contents(server, series)
            pair = (contents.exporter(folder), contents.redis_exporter(folder))
            ours, theirs = (measure(one, options.minutes, options.seconds) for one in pair)
        whens = (
            f"scraped every {SCRAPE_SECONDS:g} s for {options.minutes:g} min",
            f"scraped for {options.seconds} s on end",
        )
        for when, one, other in zip(whens, ours[1:], theirs[1:]):
            ratio = one / other
            bar = BAR.cells(ratio) if series == SERIES[0] else ("–", "")
            what = f"{series_count(ours[0]):,} series"
            table.row(what, when, f"{one:.1f}", f"{other:.1f}", f"{ratio:.2f}", *bar)


if __name__ == "__main__":
    main()

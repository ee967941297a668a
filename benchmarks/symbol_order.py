"""Writes down which functions run, for the linker to put them together: Sources/celery-beat-exporter/symbol-order.

A page of code that one function needs is in memory with all that stands beside it. The program runs
in valgrind, first on queues alone, then on all that it can read; what the latter adds comes second.
Functions that are new since stand elsewhere, and the program works as before.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from measuring import PROJECT, fill_queues
from processor import QUEUES, all_that_is_read

# isort: split
from servers import RedisServer
from stack import Exporter, exporter_binary, fetch

ORDER = PROJECT / "Sources" / "celery-beat-exporter" / "symbol-order"
PAGES = ("/metrics", "/", "/api/v1/status", "/-/healthy")
SECONDS = 60.0


@contextmanager
def queues(folder: Path) -> Iterator[Mapping[str, str]]:
    with RedisServer(folder) as server:
        fill_queues(server.url, QUEUES)
        yield {"CELERY_BROKER_URL": server.url}


def functions(profile: str) -> set[str]:
    """The symbols that a profile of callgrind names. Calls into themselves have a number at their end."""
    return {re.sub(r"'\d+$", "", name) for name in re.findall(r"^fn=(\S+)$", profile, re.MULTILINE)}


def defined(program: Path) -> set[str]:
    symbols = subprocess.run(
        ["nm", "--defined-only", program], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[2] for line in symbols.splitlines()}


def run(program: Path, folder: Path, environment: Mapping[str, str]) -> set[str]:
    """The functions that run while the program reads that for some time and serves its pages."""
    profile = folder / "profile"
    wrapper = folder / "profiled"
    options = f"--tool=callgrind --callgrind-out-file={profile} --demangle=no --compress-strings=no"
    wrapper.write_text(f'#!/bin/sh\nexec valgrind {options} {program} "$@"\n')
    wrapper.chmod(0o755)
    os.environ["CELERY_BEAT_EXPORTER_BINARY"] = str(wrapper)
    with Exporter(folder, environment=environment) as exporter:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for page in PAGES:
                fetch(exporter.url + page)
            time.sleep(1)
    return functions(profile.read_text())


def main() -> None:
    program = exporter_binary()
    order: list[str] = []
    for load in (queues, all_that_is_read):
        with tempfile.TemporaryDirectory() as path, load(Path(path)) as environment:
            ran = run(program, Path(path), environment)
        order += sorted((ran & defined(program)) - set(order))
    ORDER.write_text("".join(f"{name}\n" for name in order))
    program.unlink()  # `make build` links it again
    print(f"{len(order)} functions in {ORDER.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()

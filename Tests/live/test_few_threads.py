"""Where the system has no more threads for it, the exporter goes on with those that it has."""

from __future__ import annotations

import json
import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporter_signs import NOWHERE, logfmt, source_up
from servers import free_port, wait_until
from stack import WebProcess, exporter_binary, fetch, parse_metrics

THREADS = 30  # that it may have
TARGETS = 60  # of which each wants one
SECONDS = 60.0


class LimitedExporter(WebProcess):
    """An exporter of a user who may have few threads. The limit does not hold for root."""

    def __init__(self, folder: Path, configuration: Path) -> None:
        port = free_port()
        user = "daemon" if os.geteuid() == 0 else None
        number = pwd.getpwnam(user).pw_uid if user else os.geteuid()
        command = ["prlimit", f"--nproc={threads_of(number) + THREADS}", exporter_binary()]
        command += [f"--web.listen-address=127.0.0.1:{port}", f"--config.file={configuration}"]
        command += ["--collect.interval=1s"]
        super().__init__("exporter", folder, port, command)
        self.user = user


def threads_of(user: int) -> int:
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user:
                count += len(list((process / "task").iterdir()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return count


def write(path: Path, targets: int) -> None:
    names = [f"shop{number}" for number in range(targets)]
    url = f"postgresql://{NOWHERE}/d"
    path.write_text(json.dumps({"targets": {name: {"database.url": url} for name in names}}))


@pytest.fixture
def limited(folder: Path) -> Iterator[LimitedExporter]:
    folder.chmod(0o755)
    path = folder / "exporter.yml"
    write(path, 1)
    with LimitedExporter(folder, path) as exporter:
        yield exporter


def test_it_goes_on_with_those_it_has(limited: LimitedExporter, folder: Path) -> None:
    path = folder / "exporter.yml"
    write(path, TARGETS)
    os.kill(limited.pid, signal.SIGHUP)
    wait_until(lambda: "no more threads" in limited.log.read_text(), SECONDS, "the shortage")

    names = [f"shop{number}" for number in range(TARGETS)]
    # None passes for one that was read, neither those with a thread nor those without.
    for name in names:
        wait_until(
            lambda name=name: (
                source_up(parse_metrics(fetch(f"{limited.url}/probe?target={name}")))
                == {"database": 0}
            ),
            SECONDS,
            f"the end of {name}'s first collection",
        )
    told = [event for event in logfmt(limited.log.read_text()) if "no more threads" in str(event)]
    assert {event["msg"] for event in told} == {"collection failed"}

    # Threads that become free are used.
    last = names[-1]
    path.write_text(json.dumps({"targets": {last: {"database.url": f"postgresql://{NOWHERE}/d"}}}))
    os.kill(limited.pid, signal.SIGHUP)

    def failed_to_connect() -> set[str]:
        events = logfmt(limited.log.read_text())
        return {
            event["collector"]
            for event in events
            if event.get("reason") == "connect" and event.get("target") == last
        }

    wait_until(lambda: len(failed_to_connect()) == 4, SECONDS, "its collectors to run")
    assert limited.stop() == 0

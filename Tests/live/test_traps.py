"""A fault of the exporter's own ends it with a line that says where."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from servers import PATIENCE_SECONDS
from stack import Exporter, exporter_binary

MESSAGE = "ended by a fault of its own: please report this line"
# Port 1 is nobody's.
NOTHING_THERE = "--broker.url=redis://127.0.0.1:1"
SIGNALS = (
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGABRT,
)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_trap(tmp_path: Path, number: signal.Signals) -> None:
    with Exporter(tmp_path, NOTHING_THERE, "--log.format=json") as exporter:
        pid = exporter.pid
        os.kill(pid, number)
        assert exporter.wait(PATIENCE_SECONDS) == -number
        line = exporter.log.read_text().splitlines()[-1]
    report = json.loads(line)
    addresses = report.pop("addresses").split(",")
    assert report == {
        "level": "critical",
        "msg": MESSAGE,
        "signal": number.name,
        "thread": "celery-beat-exp",
    }
    # The main thread waits for signals, which it was told to do by this function.
    symbolizer = shutil.which("addr2line") or shutil.which("llvm-symbolizer")
    command = [symbolizer, "-f", "-e", str(exporter_binary()), *addresses]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "nextSignal" in names or "waitForEnd" in names, names


def test_logfmt(tmp_path: Path) -> None:
    with Exporter(tmp_path, NOTHING_THERE) as exporter:
        os.kill(exporter.pid, signal.SIGILL)
        exporter.wait(PATIENCE_SECONDS)
        line = exporter.log.read_text().splitlines()[-1]
    start = f'level=critical msg="{MESSAGE}" signal=SIGILL thread="celery-beat-exp" addresses='
    assert line.startswith(f"{start}0x")

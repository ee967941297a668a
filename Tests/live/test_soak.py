"""A minute of what `make soak` does for half an hour: Tests/soak."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOAK = Path(__file__).resolve().parents[1] / "soak" / "soak.py"
SECONDS = 600.0  # longest wait for the end of it


def test_a_minute_of_faults_fails_no_scrape_and_leaves_nothing_behind() -> None:
    """Whatever this machine is busy with: an answer may take its time here.

    In a minute memory has hardly warmed up. Whether it grows is told by half an hour, `make soak`.
    """
    options = ["--minutes", "1", "--per-second", "100", "--slowest", "60", "--growth", "16"]
    soak = subprocess.run(
        [sys.executable, SOAK, *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert soak.returncode == 0, soak.stdout + soak.stderr
    assert soak.stdout.endswith("steady\n")

"""What the benchmarks run on, as docs/performance.md tells it: the machine and the versions of all that is measured."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

# Names or patterns, as dpkg-query takes them.
PACKAGES = (
    "redis-server",
    "postgresql-[0-9]*",
    "libmicrohttpd[0-9]*",
    "libhiredis[0-9]*",
    "prometheus-redis-exporter",
    "prometheus-postgres-exporter",
)
PEERS = Path(__file__).resolve().parent / "requirements-peers.txt"


def installed() -> list[str]:
    """Debian packages with their versions."""
    command = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package} ${Version}\n"]
    # It fails where a pattern matches nothing, and tells of the others all the same.
    lines = subprocess.run(
        [*command, *PACKAGES], check=False, capture_output=True, text=True
    ).stdout
    return [line.partition(" ")[2] for line in lines.splitlines() if line.startswith("installed ")]


def main() -> None:
    processor = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())[1]
    kilobytes = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    peers = [line for line in PEERS.read_text().splitlines() if line and not line.startswith("#")]
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    today = datetime.now(timezone.utc).date()
    print(
        f"- {today}: {os.cpu_count()} cores of {processor}, {kilobytes / 1e6:.0f} GB, load {load}"
    )
    print(f"- {platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}")
    print(f"- {', '.join(installed())}")
    print(f"- {', '.join(peers)}", flush=True)


if __name__ == "__main__":
    main()

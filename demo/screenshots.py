"""Takes the pictures of the status page in docs/images: alive, dead, and dead on a phone.

demo/install test brings the browser.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from chromium import Chromium, Page
from servers import wait_until
from stack import PROJECT, Exporter, Stack, fetch

IMAGES = PROJECT / "docs" / "images"
SECONDS = 120.0  # longest wait for what takes half a minute


def main() -> int:
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        with Stack(folder) as stack, Chromium(folder) as browser:
            wait_until(lambda: has_run(stack.exporter), SECONDS, "a table with something in it")
            page = browser.page(1100, 1000)
            take(page, stack.exporter, "status.png", "light")
            stack.beat.kill()
            wait_until(lambda: is_dead(stack.exporter), SECONDS, "a dead beat")
            take(page, stack.exporter, "status-dead.png", "dark")
            page.resize(360, 740)
            take(page, stack.exporter, "status-phone.png", "light")
    return 0


def take(page: Page, exporter: Exporter, name: str, scheme: str) -> None:
    page.prefer(scheme)
    page.open(exporter.url)
    page.screenshot(IMAGES / name)


def status(exporter: Exporter) -> dict:
    return json.loads(fetch(f"{exporter.url}/api/v1/status"))


def has_run(exporter: Exporter) -> bool:
    """Whether entries have run, and tasks have ended."""
    now = status(exporter)
    entries = [entry for beat in now["beat"]["schedulers"] for entry in beat["entries"]]
    ran = [entry for entry in entries if entry["last_run"] is not None]
    ended = [task for task in now["tasks"] or [] if task["success_ratios"]]
    return len(ran) >= 3 and len(ended) >= 3


def is_dead(exporter: Exporter) -> bool:
    return status(exporter)["beat"]["active"] is False


if __name__ == "__main__":
    sys.exit(main())

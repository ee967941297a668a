"""The whole stack: real Celery, Prometheus and Alertmanager, a beat that is killed, and the page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from reference import families_of_sources
from servers import wait_until
from stack import PROJECT, RULES, Stack, fetch

SECONDS = 60.0  # longest wait for something that normally takes a few
ROUNDING = 0.001  # half of what the last digit of a sum of two times may be off
SLACK = 10.0  # what a busy machine adds to a moment that was computed
ALERT = "CeleryBeatOverdue"
BEAT = frozenset({("scheduler", "redbeat")})
DEMO_SECONDS = 30


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All runs and nothing is wrong. Beat's loop is short, so that its lock soon ends without it."""
    folder = tmp_path_factory.mktemp("stack")
    # The bundled rules, but for the minutes that an alert goes on after its cause.
    rules = folder / "rules.yml"
    text, changes = re.subn(r"keep_firing_for: \w+", "keep_firing_for: 2s", RULES.read_text())
    assert changes
    rules.write_text(text)
    stack = Stack(folder, rules=rules)
    stack.beat.command += ["--max-interval", "2"]
    with stack:
        wait_until(lambda: is_watched(stack), SECONDS, "Prometheus to watch a live beat")
        yield stack


def is_watched(stack: Stack) -> bool:
    """Whether a scrape has found beat alive, and Prometheus knows where to send alerts."""
    managers = json.loads(fetch(f"{stack.prometheus.url}/api/v1/alertmanagers"))
    return bool(
        managers["data"]["activeAlertmanagers"] and stack.prometheus.query("celery_beat_up == 1")
    )


def test_every_family_is_stored(stack: Stack) -> None:
    """By Prometheus, under the names that the sources give them."""
    known = families_of_sources().keys()
    assert len(known) > 30
    # A burst of low priority, more than the workers can take at once.
    with contextlib.closing(Celery("test", broker=stack.redis_url)) as application:
        application.send_task("shop.mail.send_newsletter", queue="mail")
        # Every fifth fails, in each of the two processes.
        for _ in range(10):
            application.send_task("shop.orders.settle")

    def missing() -> set[str]:
        names = json.loads(fetch(f"{stack.prometheus.url}/api/v1/label/__name__/values"))["data"]
        return known - {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}

    try:
        wait_until(lambda: not missing(), SECONDS, "every family to be stored")
    except TimeoutError as error:
        raise TimeoutError(f"{error}: {sorted(missing())} are missing") from None


def test_every_sample_that_is_served_is_stored(stack: Stack) -> None:
    """Prometheus takes the whole exposition: no scrape fails and no sample is dropped."""
    # Rules, and alerts that are pending, have the job's name too.
    samples = 'count({job="celery-beat-exporter", __name__!~"up|scrape_.*|.*:.*|ALERTS.*"})'
    (stored,) = wait_until(
        lambda: stack.prometheus.query(f"{samples} == sum(scrape_samples_scraped)"),
        SECONDS,
        "a scrape of which all is stored",
    )
    assert int(stored["value"][1]) > 100
    assert stack.prometheus.refused_scrapes() == []


def test_a_killed_beat_pages_and_its_successor_resolves_the_page(stack: Stack) -> None:
    assert stack.prometheus.query('ALERTS{alertstate="firing"}') == []
    assert list(stack.webhook.alerts) == []
    killed = time.time()
    stack.beat.kill()

    wait_until(lambda: stack.exporter.metrics()["celery_beat_up", BEAT] == 0, SECONDS, "beat down")
    down = time.time()
    metrics = stack.exporter.metrics()
    deadline = metrics["celery_beat_deadline_timestamp_seconds", BEAT]
    grace = metrics["celery_beat_grace_seconds", BEAT]
    page = stack.webhook.wait_for(ALERT, SECONDS)
    print(f"from the kill to the deadline {deadline - killed:.1f} s (and {grace:g} s of grace)")
    print(f"from the kill to celery_beat_up 0 {down - killed:.1f} s")
    print(f"from the kill to the page {page.arrived - killed:.1f} s")

    # While nobody could know it, nothing is said; and nothing puts off when it can be known.
    assert metrics["celery_beat_observed_timestamp_seconds", BEAT] > deadline + grace - ROUNDING
    # Redis may have answered its last tick a little later.
    assert deadline < killed + metrics["celery_beat_max_loop_interval_seconds", BEAT] + SLACK
    assert metrics["celery_beat_lock_held", BEAT] == 1, "the dead beat still holds its lock"
    assert page.labels["severity"] == "critical"
    assert page.labels["scheduler"] == "redbeat"
    assert page.annotations["summary"]

    # Its successor must first wait for the lock of the dead beat to end.
    acquisitions = metrics["celery_beat_lock_acquisitions_total", BEAT]
    stack.beat.start()
    wait_until(lambda: stack.exporter.metrics()["celery_beat_up", BEAT] == 1, SECONDS, "beat up")
    stack.webhook.wait_for(ALERT, SECONDS, status="resolved")
    metrics = stack.exporter.metrics()
    assert metrics["celery_beat_lock_acquisitions_total", BEAT] == acquisitions + 1
    told = [(alert.name, alert.status) for alert in stack.webhook.alerts]
    assert told == [(ALERT, "firing"), (ALERT, "resolved")]


def test_the_demo_shows_a_page_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, PROJECT / "demo" / "demo.py"),
            *("--seconds", str(DEMO_SECONDS), "--kill-beat-after", "5"),
        ],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS + 5 * SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for line in (
        r"  metrics +http://127\.0\.0\.1:\d+/metrics",
        r"killing beat: kill -9 \d+",
        r"celery_beat_up 0, [\d.]+ s after beat's end",
        rf"PAGE {ALERT} \(critical, firing\): .+ \[[\d.]+ s after beat's end\]",
        r"Stopped\.",
    ):
        assert re.search(f"^{line}$", done.stdout, re.MULTILINE), f"{line}\n{done.stdout}"
    assert done.stdout.count("PAGE ") == 1
    assert list(tmp_path.iterdir()) == []
    assert processes_with(f"TMPDIR={tmp_path}") == []


def processes_with(variable: str) -> list[str]:
    """The command lines of all processes whose environment holds a variable."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found

"""What an exporter shows of itself: the events of its log, and how it fares with its sources."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from servers import PATIENCE_SECONDS, wait_until

# A server may get no processor for as long as a collection may take by default.
PATIENT = {"CELERY_BEAT_EXPORTER_COLLECT_TIMEOUT": "60s"}

if TYPE_CHECKING:
    from stack import Exporter, Metrics

# Nobody listens there, and the kernel says so at once.
NOWHERE = "127.0.0.1:1"


def logfmt(text: str) -> list[dict[str, str]]:
    """The events of a log; an assertion fails for a line that is no logfmt."""
    pair = r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s"]+)'
    events = []
    for line in text.split("\n")[:-1]:  # splitlines knows line breaks that a log does not
        assert re.fullmatch(f"{pair}(?: {pair})*", line), line
        event = dict(re.findall(pair, line))
        events.append({k: json.loads(v) if v[0] == '"' else v for k, v in event.items()})
    return events


def log(exporter: Exporter) -> list[dict[str, str]]:
    return logfmt(exporter.log.read_text())


def errors(exporter: Exporter) -> dict[str, str]:
    """The error of each collector that has failed: a failure may be served before it is logged."""
    success = "celery_beat_exporter_collector_success"
    failed = {
        dict(labels)["collector"]
        for (name, labels), is_success in exporter.metrics().items()
        if name == success and not is_success
    }

    def told() -> dict[str, str]:
        return {
            event["collector"]: event["error"]
            for event in log(exporter)
            if event["msg"] == "collection failed"
        }

    wait_until(lambda: failed <= told().keys(), PATIENCE_SECONDS, "failures in the log")
    return told()


def reloads(exporter: Exporter) -> int:
    """How often it has read its configuration again, by its log."""
    return sum(event["msg"] == "configuration reloaded" for event in log(exporter))


def families(metrics: Metrics) -> set[str]:
    return {name for name, _ in metrics}


def source_up(metrics: Metrics) -> dict[str, float]:
    return {
        value: up
        for (name, labels), up in metrics.items()
        for _, value in labels
        if name == "celery_beat_exporter_source_up"
    }


def problems(metrics: Metrics, collector: str) -> dict[str, float]:
    """The reasons for which a collector has counted errors."""
    return {
        dict(labels)["reason"]: count
        for (name, labels), count in metrics.items()
        if name == "celery_beat_exporter_collector_errors_total"
        and ("collector", collector) in labels
        and count
    }

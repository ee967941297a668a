"""Checks the dashboards, which no Grafana is needed for.

    python3 grafana/check.py                          the rules that every dashboard keeps
    python3 grafana/check.py --prometheus URL         also every query, against a live Prometheus

The second lists the panels and variables that have no data, over the last --window seconds. The
exit code is 1 if anything is listed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SCHEMA_VERSION = 39
GRID_WIDTH = 24
HTTP_TIMEOUT_SECONDS = 10
ANSWER_BYTES = 16 << 20
POINTS = 60  # of a panel's curve

# How Grafana fills the variables in when everything is selected.
VARIABLES = {"$job": ".+", "$instance": ".+"}
VARIABLE_MATCHERS = ('job=~"$job"', 'instance=~"$instance"')

# A selector: a metric's name, its matchers and its range, if any. Other names are functions, which
# are followed by a bracket, keywords and grouping labels.
SELECTOR = re.compile(r"\b(celery_\w+|process_\w+)(\{[^}]*\})?(\[[^]]*\])?")
COUNTER_FUNCTIONS = re.compile(r"(?:rate|increase)\($")
LABEL_VALUES = re.compile(r"label_values\((.+), *\w+\)")


def panels_of(dashboard: dict) -> Iterator[dict]:
    """All panels but the rows, also those in collapsed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def dashboard_faults(dashboard: dict) -> Iterator[str]:
    if dashboard.get("schemaVersion") != SCHEMA_VERSION:
        yield f"schemaVersion is not {SCHEMA_VERSION}"
    if dashboard.get("id", 0) is not None:
        yield "id is not null"
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,39}", dashboard.get("uid") or ""):
        yield "uid is not a short readable name"
    if dashboard.get("editable") is not False:
        yield "editable is not false"
    for key in "title", "description", "tags":
        if not dashboard.get(key):
            yield f"{key} is missing"
    yield from variable_faults(dashboard)
    everything = [*dashboard["panels"], *panels_of(dashboard)]
    identifiers = [panel.get("id") for panel in {id(one): one for one in everything}.values()]
    if None in identifiers or len(set(identifiers)) != len(identifiers):
        yield "panels share an id or have none"
    yield from layout_faults(dashboard["panels"])
    for panel in panels_of(dashboard):
        for fault in panel_faults(panel):
            yield f"panel {panel.get('title')!r}: {fault}"


def variable_faults(dashboard: dict) -> Iterator[str]:
    variables = {one["name"]: one for one in dashboard.get("templating", {}).get("list", [])}
    if [name for name, one in variables.items() if one["type"] == "datasource"] != ["datasource"]:
        yield "there must be one data source variable, `datasource`"
    elif variables["datasource"].get("label") != "Data source":
        yield "the variable datasource is not labelled Data source"
    for name in "job", "instance":
        wanted = {
            "type": "query",
            "multi": True,
            "includeAll": True,
            "allValue": ".+",
            "refresh": 2,
        }
        variable = variables.get(name, {})
        for key, value in wanted.items():
            if variable.get(key) != value:
                yield f"variable {name}: {key} is not {json.dumps(value)}"
        if variable_query(variable) is None:
            yield f"variable {name}: the query is not label_values(...)"


def variable_query(variable: dict) -> str | None:
    """The selector whose label values a variable offers."""
    query = variable.get("query", {})
    match = LABEL_VALUES.fullmatch(query.get("query", "") if isinstance(query, dict) else query)
    return match[1] if match else None


def layout_faults(panels: list[dict]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > GRID_WIDTH:
            yield f"panel {panel.get('title')!r} is wider than the grid"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    yield f"panels {other!r} and {panel['title']!r} overlap"
                    return


def panel_faults(panel: dict) -> Iterator[str]:
    for key in "title", "description":
        if not panel.get(key):
            yield f"{key} is missing"
    if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
        yield "unit is missing"
    if not panel.get("targets"):
        yield "no query"
    for one in [panel, *panel.get("targets", [])]:
        if one.get("datasource", {}).get("uid") != "${datasource}":
            yield "the data source is not ${datasource}"
    for target in panel.get("targets", []):
        yield from query_faults(target["expr"])


def query_faults(query: str) -> Iterator[str]:
    selectors = list(SELECTOR.finditer(query))
    if not selectors:
        yield f"no metric in {query}"
    for match in selectors:
        name, matchers, span = match[1], match[2] or "", match[3]
        for matcher in VARIABLE_MATCHERS:
            if matcher not in matchers:
                yield f"{name} is not matched with {matcher}"
        in_rate = COUNTER_FUNCTIONS.search(query[: match.start()]) is not None
        if name.endswith(("_total", "_bucket", "_sum", "_count")) and not in_rate:
            yield f"{name} outside rate and increase"
        if in_rate and span != "[$__rate_interval]":
            yield f"the range of {name} is not $__rate_interval"


def queries_of(dashboard: dict) -> Iterator[tuple[str, str]]:
    """What each query is for, and the query as Grafana writes it."""
    for variable in dashboard["templating"]["list"]:
        selector = variable_query(variable)
        if selector is not None:
            yield f"variable {variable['name']!r}", selector
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            yield f"panel {panel['title']!r}", target["expr"]


class Prometheus:
    """A live Prometheus that is asked for curves."""

    def __init__(self, url: str, *, window: float, rate_interval: str) -> None:
        self._url = url.rstrip("/")
        self._window = window
        self._variables = {**VARIABLES, "$__rate_interval": rate_interval}
        # It is near, whatever proxies the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def fault(self, query: str) -> str | None:
        """Why the query brings no data; None when it does. OSError when there is no answer."""
        for variable, value in self._variables.items():
            query = query.replace(variable, value)
        now = time.time()
        step = max(1.0, self._window / POINTS)
        parameters = urllib.parse.urlencode(
            {"query": query, "start": now - self._window, "end": now, "step": step}
        )
        answer = self._get(f"/api/v1/query_range?{parameters}")
        if answer.get("status") != "success":
            return f"{answer.get('error')}: {query}"
        numbers = (
            value
            for series in answer["data"]["result"]
            for _, value in series["values"]
            if value != "NaN"
        )
        return None if any(True for _ in numbers) else f"no data: {query}"

    def _get(self, path: str) -> dict:
        try:
            with self._opener.open(self._url + path, timeout=HTTP_TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read(ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            # A query that it does not understand: it says why in the body.
            with error:
                return json.loads(error.read(ANSWER_BYTES))
        except http.client.HTTPException as error:
            raise OSError(f"{self._url}: {error!r}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the dashboards.")
    parser.add_argument("--prometheus", metavar="URL", help="also run every query there")
    parser.add_argument("--window", type=float, default=300, help="seconds to look back over (300)")
    parser.add_argument("--rate-interval", default="1m", help="$__rate_interval (1m)")
    parser.add_argument("files", nargs="*", type=Path, help="default: all beside this program")
    arguments = parser.parse_args()

    files = arguments.files or sorted(FOLDER.glob("*.json"))
    faults = []
    queries = 0
    for file in files:
        dashboard = json.loads(file.read_text())
        faults += [f"{file.name}: {fault}" for fault in dashboard_faults(dashboard)]
        if arguments.prometheus is not None:
            prometheus = Prometheus(
                arguments.prometheus,
                window=arguments.window,
                rate_interval=arguments.rate_interval,
            )
            for what, query in queries_of(dashboard):
                queries += 1
                try:
                    fault = prometheus.fault(query)
                except (OSError, ValueError) as error:
                    print(f"{arguments.prometheus} does not answer: {error}", file=sys.stderr)
                    return 1
                if fault is not None:
                    faults.append(f"{file.name}: {what}: {fault}")
    for fault in faults:
        print(fault)
    ran = f", {queries} queries" if arguments.prometheus is not None else ""
    print(f"{len(files)} dashboards{ran}, {len(faults)} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())

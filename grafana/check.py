"""Checks the dashboards, which no Grafana is needed for.

    python3 grafana/check.py                          the rules that every dashboard keeps
    python3 grafana/check.py --prometheus URL         also every query, against a live Prometheus

The second lists the queries of panels, variables and annotations that bring no data with everything
selected: curves over the last --window seconds, and what shows the present at this moment. The exit
code is 1 if anything is listed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus import Prometheus

FOLDER = Path(__file__).resolve().parent
DASHBOARDS = FOLDER / "dashboards"
DOCUMENTATION = FOLDER.parent / "docs"
RUNBOOKS = DOCUMENTATION / "runbooks"

SCHEMA_VERSION = 39
GRID_WIDTH = 24
TAG = "celery-beat-exporter"  # by which the dashboards link to each other
NO_DATA = "No data"
NO_DATA_COLOR = "#808080"

# A selector: a metric's name, its matchers and its range, if any. Other names are functions, which
# are followed by a bracket, keywords and grouping labels.
SELECTOR = re.compile(
    r"\b(celery_\w+|process_\w+|scrape_\w+|ALERTS\w*|up(?=\{))(\{[^}]*\})?(\[[^]]*\])?"
)
ADDITION = re.compile(r"\b(?:sum|avg|count)(?: by \([^)]*\))? ?\((?:rate\(|increase\()?$")
COUNTER_FUNCTION = re.compile(r"(?:rate|increase)\($")
LABEL_VALUES = re.compile(r"label_values\((.+), *\w+\)")
# Whether beat lives, and not a comparison with it.
BEAT_ITSELF = re.compile(r"celery_beat_up\{[^}]*\}\)+$")
RUNBOOK = re.compile(r"/docs/runbooks/([\w${}.]+)\.md")
DASHBOARD_LINK = re.compile(r"/d/([\w-]+)")

# The variables that every dashboard has, and what stands for all of their values. An application
# without a namespace or a target is one, too.
COMMON_VARIABLES = {"job": ".+", "namespace": ".*", "target": ".*", "instance": ".+"}
# Of the process, whatever the target; every other series of the exporter is of a target.
OF_THE_PROCESS = re.compile(r"process_|celery_beat_exporter_(build_info|config_\w+)$")
# Of one replica of the exporter; the others tell the same of the application.
OF_A_REPLICA = re.compile(r"process_|celery_beat_exporter_|ALERTS")
# Series that others than this exporter have as well.
OF_ANYBODY = re.compile(r"process_|scrape_|up$")


def dashboard_faults(dashboard: dict) -> Iterator[str]:
    """What breaks a rule within one dashboard."""
    if dashboard.get("schemaVersion") != SCHEMA_VERSION:
        yield f"schemaVersion is not {SCHEMA_VERSION}"
    if dashboard.get("id", 0) is not None:
        yield "id is not null"
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,39}", dashboard.get("uid") or ""):
        yield "uid is not a short readable name"
    if dashboard.get("editable") is not False:
        yield "editable is not false"
    for key in "title", "description":
        if not dashboard.get(key):
            yield f"{key} is missing"
    if TAG not in dashboard.get("tags", []):
        yield f"the tag {TAG} is missing"
    if not any(TAG in link.get("tags", []) for link in dashboard.get("links", [])):
        yield "no link to the other dashboards"
    yield from variable_faults(dashboard)
    everything = dashboard["panels"] + [
        inner for panel in dashboard["panels"] for inner in panel.get("panels", [])
    ]
    if set(Counter(panel.get("id", "none") for panel in everything).values()) - {1}:
        yield "panels share an id or have none"
    yield from layout_faults(dashboard["panels"])
    for annotation in dashboard.get("annotations", {}).get("list", []):
        for fault in [*source_faults(annotation), *query_faults(annotation["expr"])]:
            yield f"annotation {annotation['name']!r}: {fault}"
    for panel in panels_of(dashboard):
        for fault in panel_faults(panel):
            yield f"panel {panel.get('title')!r}: {fault}"


def folder_faults(dashboards: dict[str, dict]) -> Iterator[str]:
    """What does not fit together; the dashboards by the names of their files."""
    identifiers = [dashboard.get("uid") for dashboard in dashboards.values()]
    families = set(re.findall(r"celery_[a-z_]+", (DOCUMENTATION / "metrics.md").read_text()))
    common: dict[str, str] = {}
    for name, dashboard in dashboards.items():
        if name != f"{dashboard.get('uid')}.json":
            yield f"{name}: the file does not have the name of the uid {dashboard.get('uid')!r}"
        for variable in dashboard["templating"]["list"]:
            if variable["name"] in ("datasource", *COMMON_VARIABLES):
                definition = json.dumps(variable, sort_keys=True)
                if common.setdefault(variable["name"], definition) != definition:
                    yield f"{name}: the variable {variable['name']} differs from other dashboards'"
        for _, query in expressions_of(dashboard):
            for match in SELECTOR.finditer(query):
                family = re.sub(r"_(bucket|sum|count)$", "", match[1])
                if family.startswith("celery_") and family not in families:
                    yield f"{name}: {match[1]} is not in docs/metrics.md"
        for url in sorted(set(urls_of(dashboard))):
            for uid in DASHBOARD_LINK.findall(url):
                if uid not in identifiers:
                    yield f"{name}: a link to the dashboard {uid}, which is not there"
            for runbook in RUNBOOK.findall(url):
                if "$" not in runbook and not (RUNBOOKS / f"{runbook}.md").exists():
                    yield f"{name}: a link to the runbook {runbook}, which is not there"
    for uid, count in Counter(identifiers).items():
        if count > 1:
            yield f"the uid {uid!r} is used {count} times"


def panels_of(dashboard: dict) -> Iterator[dict]:
    """All panels but the rows, also those in collapsed rows."""
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def urls_of(part: object) -> Iterator[str]:
    """The addresses of all links, wherever they are."""
    if isinstance(part, dict):
        if isinstance(part.get("url"), str):
            yield part["url"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from urls_of(inner)


def variable_faults(dashboard: dict) -> Iterator[str]:
    variables = {one["name"]: one for one in dashboard.get("templating", {}).get("list", [])}
    if [name for name, one in variables.items() if one["type"] == "datasource"] != ["datasource"]:
        yield "there must be one data source variable, `datasource`"
    elif variables["datasource"].get("label") != "Data source":
        yield "the variable datasource is not labelled Data source"
    for name, all_value in COMMON_VARIABLES.items():
        wanted = {"type": "query", "multi": True, "includeAll": True, "allValue": all_value}
        variable = variables.get(name, {})
        for key, value in wanted.items():
            if variable.get(key) != value:
                yield f"variable {name}: {key} is not {json.dumps(value)}"
    for name, variable in variables.items():
        if variable["type"] != "query":
            continue
        if variable.get("refresh") != 2:
            yield f"variable {name}: refresh is not 2"
        if variable_query(variable) is None:
            yield f"variable {name}: the query is not label_values(...)"
        for fault in source_faults(variable):
            yield f"variable {name}: {fault}"


def variable_query(variable: dict) -> str | None:
    """The selector whose label values a variable offers."""
    query = variable.get("query", {})
    match = LABEL_VALUES.fullmatch(query.get("query", "") if isinstance(query, dict) else query)
    return match[1] if match else None


def layout_faults(panels: list[dict]) -> Iterator[str]:
    taken: dict[tuple[int, int], int] = {}
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > GRID_WIDTH:
            yield f"panel {panel.get('title')!r} is wider than the grid"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if taken.setdefault((x, y), id(panel)) != id(panel):
                    yield f"panel {panel.get('title')!r} lies on another"
                    return


def panel_faults(panel: dict) -> Iterator[str]:
    for key in "title", "description":
        if not panel.get(key):
            yield f"{key} is missing"
    if not panel.get("fieldConfig", {}).get("defaults", {}).get("unit"):
        yield "unit is missing"
    targets = panel.get("targets", [])
    if not targets:
        yield "no query"
    if len({target.get("refId") for target in targets}) != len(targets):
        yield "queries share a refId"
    for one in [panel, *targets]:
        yield from source_faults(one)
    for target in targets:
        yield from query_faults(target["expr"])
        if panel["type"] in ("timeseries", "state-timeline"):
            if not target.get("legendFormat"):
                yield "a curve without legendFormat"
        # A range would show the last value as if it were the present one.
        elif not target.get("instant"):
            yield "it shows the present, but its query is not instant"
    if panel["type"] != "timeseries":
        yield from state_faults(panel)


def source_faults(part: dict) -> Iterator[str]:
    if part.get("datasource", {}).get("uid") != "${datasource}":
        yield "the data source is not ${datasource}"


def state_faults(panel: dict) -> Iterator[str]:
    """What makes absent data look like a good state, or a dead beat like a live one."""
    configuration = panel.get("fieldConfig", {})
    defaults = configuration.get("defaults", {})
    overrides = [
        {one["id"]: one["value"] for one in override["properties"]}
        for override in configuration.get("overrides", [])
    ]
    # A table's labels may be missing, its values may not.
    is_table = panel["type"] == "table"
    shown = [one for one in overrides if "displayName" in one] if is_table else [defaults]
    for field in [*shown, *(one for one in overrides if "mappings" in one)]:
        if not any(map(shows_no_data, field.get("mappings", []))):
            yield f"absent data is not mapped to {NO_DATA!r} in grey"
        if state_colors(field).get("Dead", "red") != "red":
            yield "dead is not red"
    shows_beat = any(BEAT_ITSELF.search(target["expr"]) for target in panel.get("targets", []))
    if shows_beat and not any("Dead" in state_colors(field) for field in [defaults, *overrides]):
        yield "a dead beat is not called dead"
    if is_table and "mappings" in defaults:
        yield "labels are mapped as if they were values"
    for field in [defaults, *overrides]:
        if "green" in field.get("thresholds", {}).get("steps", [{"color": ""}])[0]["color"]:
            yield "what is below all thresholds is green, and so is absent data"


def state_colors(field: dict) -> dict[str, str]:
    """The colors of the words that values are mapped to."""
    return {
        state["text"]: state["color"]
        for mapping in field.get("mappings", [])
        if mapping["type"] == "value"
        for state in mapping["options"].values()
    }


def shows_no_data(mapping: dict) -> bool:
    options = mapping["options"]
    return (
        mapping["type"] == "special"
        and options.get("match") == "null+nan"
        and options["result"].get("text") == NO_DATA
        and options["result"].get("color") == NO_DATA_COLOR
    )


def query_faults(query: str) -> Iterator[str]:
    selectors = list(SELECTOR.finditer(query))
    if not selectors:
        yield f"no metric in {query}"
    for match in selectors:
        name, matchers, span = match[1], match[2] or "", match[3]
        wanted = set(COMMON_VARIABLES)
        if OF_THE_PROCESS.match(name):
            wanted -= {"target"}
        if name.startswith("ALERTS"):
            # The rules add the replicas of an exporter up.
            wanted -= {"instance"}
            if "instance" in matchers:
                yield f"{name} is matched with an instance, which alerts do not have"
        for variable in COMMON_VARIABLES:
            matcher = f'{variable}=~"${variable}"'
            if variable in wanted and matcher not in matchers:
                yield f"{name} is not matched with {matcher}"
        if OF_ANYBODY.match(name) and " and on (" not in query:
            yield f"{name} is not confined to this exporter's"
        if ADDITION.search(query[: match.start()]) and not OF_A_REPLICA.match(name):
            yield f"{name} is added up over the replicas of an exporter"
        in_rate = COUNTER_FUNCTION.search(query[: match.start()]) is not None
        if name.endswith(("_total", "_bucket", "_sum", "_count")) and not in_rate:
            yield f"{name} outside rate and increase"
        if in_rate and span != "[$__rate_interval]":
            yield f"the range of {name} is not $__rate_interval"


def expressions_of(dashboard: dict) -> Iterator[tuple[str, str]]:
    """What each query is for, and the query as Grafana writes it."""
    for variable in dashboard["templating"]["list"]:
        selector = variable_query(variable) if variable["type"] == "query" else None
        if selector is not None:
            yield f"variable {variable['name']!r}", selector
    for annotation in dashboard.get("annotations", {}).get("list", []):
        yield f"annotation {annotation['name']!r}", annotation["expr"]
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            yield f"panel {panel['title']!r}", target["expr"]


def instants_of(dashboard: dict) -> set[str]:
    """The queries that show the present."""
    targets = [target for panel in panels_of(dashboard) for target in panel["targets"]]
    return {target["expr"] for target in targets if target.get("instant")}


def with_all_selected(query: str, dashboard: dict) -> str:
    """The query as Grafana sends it when everything is selected."""
    for variable in dashboard["templating"]["list"]:
        query = query.replace(f'"${variable["name"]}"', f'"{variable.get("allValue", ".+")}"')
    return query


def empty_queries(dashboard: dict, prometheus: Prometheus, may_be_empty: set[str]) -> Iterator[str]:
    """The queries without data or with an error. OSError when Prometheus does not answer."""
    instants = instants_of(dashboard)
    for what, query in expressions_of(dashboard):
        asked = with_all_selected(query, dashboard)
        found = prometheus.has_data(asked, instant=query in instants)
        if isinstance(found, str):
            yield f"{what}: {found}: {asked}"
        elif not found and what not in may_be_empty:
            yield f"{what}: no data: {asked}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks the dashboards.")
    parser.add_argument("--prometheus", metavar="URL", help="also run every query there")
    parser.add_argument("--window", type=float, default=300, help="seconds to look back over (300)")
    parser.add_argument("--rate-interval", default="1m", help="$__rate_interval (1m)")
    parser.add_argument(
        "--may-be-empty",
        action="append",
        default=[],
        metavar="WHAT",
        help="what needs no data, as it is listed: \"panel 'Firing alerts'\"; repeatable",
    )
    arguments = parser.parse_args()

    faults = []
    dashboards = {}
    for file in sorted(DASHBOARDS.glob("*.json")):
        dashboards[file.name] = dashboard = json.loads(file.read_text())
        faults += [f"{file.name}: {fault}" for fault in dashboard_faults(dashboard)]
    faults += folder_faults(dashboards)
    if arguments.prometheus is not None:
        prometheus = Prometheus(
            arguments.prometheus, window=arguments.window, rate_interval=arguments.rate_interval
        )
        try:
            for name, dashboard in dashboards.items():
                empty = empty_queries(dashboard, prometheus, set(arguments.may_be_empty))
                faults += [f"{name}: {one}" for one in empty]
        except (OSError, ValueError) as error:
            print(f"{arguments.prometheus} does not answer: {error}", file=sys.stderr)
            return 1
    for fault in faults:
        print(fault)
    queries = sum(len(list(expressions_of(dashboard))) for dashboard in dashboards.values())
    print(f"{len(dashboards)} dashboards, {queries} queries, {len(faults)} faults")
    return 1 if faults or not dashboards else 0


if __name__ == "__main__":
    sys.exit(main())

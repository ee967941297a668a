"""The dashboards: their rules, and each of their queries against the Prometheus of a live stack."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from servers import wait_until
from stack import PROJECT, RULES, Exporter, Prometheus, Stack, write_json

GRAFANA = PROJECT / "grafana"

import check

SECONDS = 60.0  # longest wait for something that normally takes a few
# What needs no data while nothing is wrong: both show firing alerts and nothing else.
EMPTY_WHILE_ALL_IS_WELL = ("panel 'Firing alerts'", "annotation 'Alerts'")
# Two applications of one exporter, which has two names for the shop here.
TARGETS = ("shop", "mill")

DASHBOARDS = {path.name: json.loads(path.read_text()) for path in check.DASHBOARDS.glob("*.json")}
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All runs, with tasks of every kind: in priorities, in chains, that fail and that are retried."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DEMO_REDIS_URL", "DEMO_DATABASE_URL"):  # private servers, whatever is set
            environment.delenv(name, raising=False)
        stack = Stack(tmp_path_factory.mktemp("stack"))
    with stack:
        with contextlib.closing(Celery("test", broker=stack.redis_url)) as application:
            application.send_task("shop.mail.send_newsletter", queue="mail")
            # Every fifth fails, in each of the two processes, and every third report.
            for _ in range(10):
                application.send_task("shop.orders.settle")
            for _ in range(6):
                application.send_task("shop.reports.refresh_sales", queue="reports")
        yield stack


def wait_for_data(prometheus: Prometheus, *may_be_empty: str) -> None:
    """Returns when the check finds data for every query but these; else fails with its words."""
    command = [sys.executable, GRAFANA / "check.py", "--prometheus", prometheus.url]
    for one in may_be_empty:
        command += ["--may-be-empty", one]
    done: subprocess.CompletedProcess[str] | None = None

    def passes() -> bool:
        nonlocal done
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=5 * SECONDS, check=False
        )
        return done.returncode == 0

    # Rates need two scrapes of a task that has ended before.
    with contextlib.suppress(TimeoutError):
        wait_until(passes, SECONDS, "data for every query")
    assert done is not None
    assert done.returncode == 0, done.stdout + done.stderr


def values(prometheus: Prometheus, query: str, **selected: str) -> list[float]:
    """The values of a dashboard's query, sorted, with these variables; all of the others."""
    for name, value in selected.items():
        query = query.replace(f'"${name}"', f'"{value}"')
    query = check.with_all_selected(query, DASHBOARDS["celery-overview.json"])
    found = prometheus.query(query.replace("$__rate_interval", "1m"))
    return sorted(float(series["value"][1]) for series in found)


def eventually(check: Callable[[], None]) -> None:
    """Passes a check that holds at some time: a scrape that comes too late ends all series for a second."""

    def holds() -> bool:
        with contextlib.suppress(AssertionError, ValueError):
            check()
            return True
        return False

    with contextlib.suppress(TimeoutError):
        wait_until(holds, SECONDS, "what is to be seen")
        return
    check()


def query_of(dashboard: str, title: str, reference: str = "A") -> str:
    for panel in check.panels_of(DASHBOARDS[f"{dashboard}.json"]):
        for target in panel["targets"]:
            if (panel["title"], target["refId"]) == (title, reference):
                return target["expr"]
    raise KeyError(title)


def test_no_panel_is_empty(stack: Stack) -> None:
    wait_for_data(stack.prometheus, *EMPTY_WHILE_ALL_IS_WELL)


def test_applications_and_replicas_are_told_apart(stack: Stack, tmp_path: Path) -> None:
    application = {
        "broker.url": stack.redis_url,
        "database.url": stack.database_url,
        "beat.max-loop-interval": "10s",
    }
    write_json(
        tmp_path / "exporter.yml",
        {"collect.interval": "1s", "targets": dict.fromkeys(TARGETS, application)},
    )
    # Relabelling, done by hand; and what the exporter says of itself.
    probes = [
        {"__metrics_path__": "/probe", "__param_target": name, "target": name, "instance": replica}
        for name in TARGETS
        for replica in ("a", "b")
    ]
    with (
        Exporter(tmp_path, f"--config.file={tmp_path}/exporter.yml") as exporter,
        Prometheus(
            tmp_path, exporter_port=exporter.port, targets=[{}, *probes], rules=RULES
        ) as prometheus,
    ):
        wait_for_data(prometheus, *EMPTY_WHILE_ALL_IS_WELL)
        entries = query_of("celery-beat", "Entries")
        (table,) = [
            panel
            for panel in check.panels_of(DASHBOARDS["celery-applications.json"])
            if panel["type"] == "table" and panel["title"] == "Applications"
        ]

        def are_told_apart() -> None:
            (count,) = values(prometheus, entries, target="mill")
            assert values(prometheus, entries) == [count, count]
            assert values(prometheus, entries, target="mill", instance="a") == [count]
            assert values(prometheus, entries, target="bakery") == []
            # The table of applications has a row for each of them, whatever the replicas are.
            for column in table["targets"]:
                assert len(values(prometheus, column["expr"])) == len(TARGETS), column["refId"]
            assert values(prometheus, query_of("celery-queues-and-workers", "Workers")) == [2]
            scrapes = values(prometheus, query_of("celery-beat-exporter", "Scrapes"))
            assert scrapes == [1] * (len(probes) + 1)

        eventually(are_told_apart)


def test_a_killed_beat_is_seen_everywhere(stack: Stack) -> None:
    stack.beat.kill()
    wait_until(
        lambda: values(stack.prometheus, query_of("celery-overview", "Critical alerts")) == [1],
        SECONDS,
        "the page",
    )

    # Nothing may be empty now.
    wait_for_data(stack.prometheus)

    def is_dead() -> None:
        assert values(stack.prometheus, query_of("celery-overview", "Beat")) == [0]
        assert values(stack.prometheus, query_of("celery-applications", "Dead beats")) == [1]
        (left,) = values(stack.prometheus, query_of("celery-beat", "Until the deadline"))
        assert left < 0

    eventually(is_dead)


def test_an_exporter_that_is_gone_leaves_no_data(stack: Stack) -> None:
    """And no old state that looks like a present one; that it is gone can be seen."""
    stack.exporter.stop()
    scrapes = query_of("celery-beat-exporter", "Scrapes")
    wait_until(lambda: values(stack.prometheus, scrapes) == [0], SECONDS, "a failed scrape")
    for dashboard, title in (
        ("celery-overview", "Beat"),
        ("celery-overview", "Sources"),
        ("celery-overview", "Late entries"),
        ("celery-applications", "Dead beats"),
        ("celery-applications", "Unreadable sources"),
        ("celery-beat", "Lock"),
    ):
        assert values(stack.prometheus, query_of(dashboard, title)) == [], title
    assert values(stack.prometheus, query_of("celery-applications", "Applications")) == [1]


def first_panel(dashboard: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(panel for panel in check.panels_of(dashboard) if panel["type"] == kind)


def in_query(old: str, new: str, kind: str = "stat") -> Change:
    def change(dashboard: dict[str, Any]) -> None:
        target = first_panel(dashboard, kind)["targets"][0]
        assert old in target["expr"]
        target["expr"] = target["expr"].replace(old, new)

    return change


def in_panel(key: str, value: Any, kind: str = "stat") -> Change:
    return lambda dashboard: first_panel(dashboard, kind).update({key: value})


def in_field(key: str, value: Any, kind: str = "stat") -> Change:
    return lambda dashboard: first_panel(dashboard, kind)["fieldConfig"]["defaults"].update(
        {key: value}
    )


def in_variable(name: str, key: str, value: Any) -> Change:
    def change(dashboard: dict[str, Any]) -> None:
        (variable,) = [one for one in dashboard["templating"]["list"] if one["name"] == name]
        variable[key] = value

    return change


GREEN_BELOW = {"mode": "absolute", "steps": [{"color": "green", "value": None}]}
PALE = [{"type": "value", "options": {"0": {"text": "Dead", "color": "orange"}}}]
LINK = {"title": "Runbook", "url": "https://example.org/docs/runbooks/CeleryNothing.md"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda board: board.update(schemaVersion=36), "schemaVersion is not 39"),
        (lambda board: board.update(id=7), "id is not null"),
        (lambda board: board.update(uid="aB3_x"), "uid is not a short readable name"),
        (lambda board: board.update(uid="celery-tasks"), "does not have the name of the uid"),
        (lambda board: board.update(editable=True), "editable is not false"),
        (lambda board: board.pop("description"), "description is missing"),
        (lambda board: board.update(tags=["celery"]), "the tag celery-beat-exporter is missing"),
        (lambda board: board.update(links=[]), "no link to the other dashboards"),
        (in_variable("datasource", "label", "Source"), "is not labelled Data source"),
        (in_variable("datasource", "label", "Source"), "the variable datasource differs"),
        (in_variable("job", "multi", False), "variable job: multi is not true"),
        (in_variable("instance", "refresh", 1), "variable instance: refresh is not 2"),
        (in_variable("target", "allValue", ".+"), 'variable target: allValue is not ".*"'),
        (in_variable("job", "query", "up"), "variable job: the query is not label_values"),
        (in_variable("job", "datasource", {"uid": "x"}), "variable job: the data source is not"),
        (in_panel("id", 2, "timeseries"), "panels share an id or have none"),
        (in_panel("gridPos", {"x": 0, "y": 1, "w": 24, "h": 9}), "lies on another"),
        (in_panel("gridPos", {"x": 20, "y": 90, "w": 5, "h": 4}), "wider than the grid"),
        (in_panel("title", ""), "title is missing"),
        (in_panel("description", ""), "description is missing"),
        (in_panel("targets", []), "no query"),
        (in_panel("datasource", {"uid": "abc"}), "the data source is not ${datasource}"),
        (in_panel("links", [LINK]), "the runbook CeleryNothing, which is not there"),
        (in_panel("links", [{"url": "/d/celery-gone"}]), "the dashboard celery-gone, which is not"),
        (in_field("unit", ""), "unit is missing"),
        (in_field("mappings", []), "absent data is not mapped to 'No data' in grey"),
        (in_field("thresholds", GREEN_BELOW), "what is below all thresholds is green"),
        (in_field("mappings", PALE), "dead is not red"),
        (in_field("mappings", PALE, "table"), "labels are mapped as if they were values"),
        (
            lambda board: first_panel(board, "table")["fieldConfig"]["overrides"][-1].update(
                properties=[{"id": "displayName", "value": "For"}]
            ),
            "absent data is not mapped to 'No data' in grey",
        ),
        (in_field("mappings", []), "a dead beat is not called dead"),
        (in_query('job=~"$job", ', ""), 'celery_beat_up is not matched with job=~"$job"'),
        (in_query('target=~"$target", ', ""), 'is not matched with target=~"$target"'),
        (in_query("celery_beat_up", "celery_beat_alive"), "celery_beat_alive is not in docs"),
        (in_query("max by", "sum by"), "is added up over the replicas of an exporter"),
        (in_query("celery_beat_up", "celery_beat_tasks_total"), "outside rate and increase"),
        (in_query("$__rate_interval", "5m", "timeseries"), "is not $__rate_interval"),
        (in_query("celery_beat_up", "up"), "up is not confined to this exporter's"),
        (
            lambda board: first_panel(board, "stat")["targets"][0].update(instant=False),
            "its query is not instant",
        ),
        (
            lambda board: first_panel(board, "timeseries")["targets"][0].pop("legendFormat"),
            "a curve without legendFormat",
        ),
        (
            lambda board: first_panel(board, "timeseries")["targets"].append(
                copy.deepcopy(first_panel(board, "timeseries")["targets"][0])
            ),
            "queries share a refId",
        ),
        (
            lambda board: board["annotations"]["list"][0].update(expr="time()"),
            "annotation 'Beat started': no metric in time()",
        ),
    ],
)
def test_every_rule_is_enforced(change: Change, fault: str) -> None:
    dashboards = copy.deepcopy(DASHBOARDS)
    change(dashboards["celery-overview.json"])
    found = list(check.dashboard_faults(dashboards["celery-overview.json"]))
    found += check.folder_faults(dashboards)
    assert any(fault in one for one in found), found

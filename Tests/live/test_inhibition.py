"""alerts/inhibit-rules.yml in a real Alertmanager: which alert silences which, and which are left alone."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from servers import wait_until
from stack import PROJECT, RULES, Alertmanager, WebProcess, fetch

FRAGMENT = PROJECT / "alerts" / "inhibit-rules.yml"
SECONDS = 60.0  # longest wait for something that normally takes less than one

Labels = Mapping[str, str]


class InhibitingAlertmanager(Alertmanager):
    """An Alertmanager with the project's inhibit rules. It tells nobody, but answers when asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, webhook_url="")
        self.configuration = folder / "alertmanager.yml"

    def write_configuration(self) -> None:
        """The fragment as a user has it: pasted beside a route and a receiver."""
        others = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
        self.configuration.write_text(others + FRAGMENT.read_text())

    def start(self) -> None:
        self.write_configuration()
        WebProcess.start(self)

    def fire(self, *alerts: Labels) -> None:
        """From now on; OSError when they are refused."""
        self._post([{"labels": labels} for labels in alerts])

    def resolve(self, alert: Labels) -> None:
        start, end = "2020-01-01T00:00:00Z", "2020-01-01T00:01:00Z"
        self._post([{"labels": alert, "startsAt": start, "endsAt": end}])

    def states(self) -> dict[frozenset[tuple[str, str]], str]:
        """Of each alert by its labels: unprocessed, active or suppressed."""
        return {
            frozenset(alert["labels"].items()): alert["status"]["state"]
            for alert in json.loads(fetch(f"{self.url}/api/v2/alerts"))
        }

    def _post(self, alerts: Sequence[dict]) -> None:
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts",
            data=json.dumps(alerts).encode(),
            headers={"Content-Type": "application/json"},
        )
        # Loopback needs no proxy, whatever the environment says.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=SECONDS):
            pass


@dataclass(frozen=True)
class Pair:
    """Two alerts that fire together, and whether the first one silences the second one."""

    what: str
    first: Labels
    second: Labels
    silenced: bool

    def apart(self, number: int) -> list[dict[str, str]]:
        """Both in an application of their own, so that no other pair has to do with them."""
        own = {"job": f"celery-beat-exporter-{number}"}
        return [{**own, **self.first}, {**own, **self.second}]


def alert(name: str, **labels: str) -> Labels:
    return {"alertname": name, **labels}


def pairs() -> list[Pair]:
    redbeat = alert("CeleryRedisDown", source="redbeat")
    broker = alert("CeleryRedisDown", source="broker")
    database = alert("CeleryDatabaseDown", source="database")
    dead = (
        "CeleryBeatOverdue",
        "CeleryBeatOverdueWithoutLock",
        "CeleryBeatHeartbeatOld",
        "CeleryBeatLockMissing",
    )
    of_a_beat = (*dead, "CeleryBeatScheduleEmpty", "CeleryBeatEntryOverdue", "CeleryBeatDuplicated")
    of_a_beat = (*of_a_beat, "CeleryBeatNothingArrives", "CeleryClockSkew")
    of_queues = ("CeleryQueueBacklog", "CeleryUnackedTooOld")
    of_tasks = ("CeleryTaskSuccessRatioLow", "CeleryTaskFailureBurst")
    schedulers = ("redbeat", "ping", "django", "evidence")
    collectors = ("redbeat", "queues", "ping")
    collectors = (*collectors, "tasks", "pipelines", "workers", "django", "evidence")
    made: list[Pair] = []

    def add(silenced: bool, first: Labels, second: Labels) -> None:
        what = " ".join([*first.values(), "silences" if silenced else "leaves", *second.values()])
        made.append(Pair(what, first, second, silenced))

    # The database counts as down when it is the tasks alone that cannot be read.
    for source, its_scheduler in ((redbeat, "redbeat"), (broker, "ping"), (database, None)):
        for name in of_a_beat:
            for scheduler in schedulers:
                # Nothing arrives without the broker, and nothing is known to without the database.
                any_beat = name == "CeleryBeatNothingArrives" and source is not redbeat
                silenced = scheduler == its_scheduler or any_beat
                add(silenced, source, alert(name, scheduler=scheduler))
        for name in of_queues:
            add(source is broker, source, alert(name))
        for name in of_tasks:
            add(source is database, source, alert(name, task_name="shop.mail"))
        for collector, its_source in (
            ("redbeat", redbeat),
            ("queues", broker),
            ("ping", broker),
            ("tasks", database),
            ("pipelines", database),
            ("workers", database),
            ("django", database),
            ("evidence", database),
            ("process", None),
        ):
            stale = alert("CeleryBeatExporterDataStale", collector=collector)
            add(source is its_source, source, stale)
        add(False, source, alert("CeleryClockSkew", clock="exporter"))
        # Alerts of others may have labels of the same names.
        add(False, source, alert("Another", source=source["source"]))
        other = alert("Another", source=source["source"])
        for scheduler in schedulers:
            add(False, source, alert("Another", scheduler=scheduler))
            add(False, other, alert("CeleryBeatOverdue", scheduler=scheduler))
        for collector in collectors:
            add(False, source, alert("Another", collector=collector))
            add(False, other, alert("CeleryBeatExporterDataStale", collector=collector))
        for name in (*of_queues, *of_tasks):
            add(False, other, alert(name))
    add(False, redbeat, broker)
    add(False, broker, database)

    for its_scheduler in ("django", "evidence"):
        source = alert("CeleryBeatDatabaseDown", scheduler=its_scheduler)
        other = alert("Another", scheduler=its_scheduler)
        add(True, source, database)
        add(False, other, database)
        add(False, source, redbeat)
        add(False, source, broker)
        for scheduler in schedulers:
            for name in of_a_beat:
                add(scheduler == its_scheduler, source, alert(name, scheduler=scheduler))
            add(False, source, alert("Another", scheduler=scheduler))
            add(False, other, alert("CeleryBeatOverdue", scheduler=scheduler))
            if scheduler != its_scheduler:
                add(False, source, alert("CeleryBeatDatabaseDown", scheduler=scheduler))
        # These are left to CeleryDatabaseDown, which silences also while it is silenced itself.
        for name in (*of_queues, *of_tasks):
            add(False, source, alert(name))
        for collector in (*collectors, "process"):
            add(False, source, alert("CeleryBeatExporterDataStale", collector=collector))
        add(False, source, alert("CeleryClockSkew", clock="exporter"))

    overdue = "CeleryBeatOverdue"
    for name in dead:
        for other in of_a_beat:
            says_less = other in ("CeleryBeatHeartbeatOld", "CeleryBeatLockMissing")
            if other == name or not name.startswith(overdue) and other.startswith(overdue):
                continue  # the latter is the other way round
            silenced = other in (
                "CeleryBeatEntryOverdue",
                "CeleryBeatScheduleEmpty",
                "CeleryBeatNothingArrives",
            )
            silenced |= says_less and name.startswith(overdue)
            beat = {"scheduler": "redbeat"}
            add(silenced, alert(name, **beat), alert(other, **beat))
            add(False, alert(name, **beat), alert(other, scheduler="django"))
        for other in (*of_queues, *of_tasks):
            add(False, alert(name, scheduler="redbeat"), alert(other))
    return made


def elsewhere(pairs: Sequence[Pair]) -> Iterator[Pair]:
    """What is silenced in one application: in one namespace of it, in two, and in two jobs; so with targets."""
    for pair in pairs:
        for label in ("namespace", "target"):
            for first, second in (("a", "a"), ("a", "b"), ("a", None), (None, "b")):
                labels = [
                    labels if value is None else {**labels, label: value}
                    for labels, value in ((pair.first, first), (pair.second, second))
                ]
                what = f"{pair.what}, {label}s {first} and {second}"
                yield Pair(what, *labels, silenced=first == second)
        other = {**pair.second, "job": f"other job than that of {pair.what}"}
        yield Pair(f"{pair.what}, of another job", pair.first, other, silenced=False)


@pytest.fixture
def alertmanager(folder: Path) -> Iterator[InhibitingAlertmanager]:
    with InhibitingAlertmanager(folder) as server:
        yield server


def test_a_dead_source_and_a_dead_beat_silence_what_depends_on_them(
    alertmanager: InhibitingAlertmanager,
) -> None:
    """And nothing else: of another application, another scheduler or another source."""
    all_pairs = pairs()
    all_pairs += elsewhere([pair for pair in all_pairs if pair.silenced])
    # Alerts are taken in in their order: when the last ones are silenced, all have been looked at.
    all_pairs.sort(key=lambda pair: pair.silenced)
    assert {pair.silenced for pair in all_pairs} == {False, True}
    posted = [pair.apart(number) for number, pair in enumerate(all_pairs)]
    alertmanager.fire(*(first for first, _ in posted))
    alertmanager.fire(*(second for _, second in posted))

    def state(labels: Labels) -> str | None:
        return states.get(frozenset(labels.items()))

    def silenced_are_suppressed() -> bool:
        states.update(alertmanager.states())
        silenced = [
            second for pair, (_, second) in zip(all_pairs, posted, strict=True) if pair.silenced
        ]
        return all(state(second) == "suppressed" for second in silenced)

    states: dict[frozenset[tuple[str, str]], str] = {}
    try:
        wait_until(silenced_are_suppressed, SECONDS, "the alerts to be silenced")
    finally:
        wrong = [
            f"{pair.what}: {state(first)} and {state(second)}"
            for pair, (first, second) in zip(all_pairs, posted, strict=True)
            if (state(first), state(second))
            != ("active", "suppressed" if pair.silenced else "active")
        ]
        assert not wrong


def test_a_silenced_alert_is_told_when_its_reason_is_over(
    alertmanager: InhibitingAlertmanager,
) -> None:
    """The entry is still late when beat is back."""
    dead = alert("CeleryBeatOverdue", job="shop", scheduler="redbeat")
    late = alert("CeleryBeatEntryOverdue", job="shop", scheduler="redbeat")

    def is_late(state: str) -> bool:
        return alertmanager.states().get(frozenset(late.items())) == state

    alertmanager.fire(dead)
    alertmanager.fire(late)
    wait_until(lambda: is_late("suppressed"), SECONDS, "the entry's alert to be silenced")
    alertmanager.resolve(dead)
    wait_until(lambda: is_late("active"), SECONDS, "the entry's alert to be told")


def test_what_is_silenced_itself_silences_all_the_same(
    alertmanager: InhibitingAlertmanager,
) -> None:
    """The page about beat's database leaves to the warning about the database what that silences."""
    page = alert("CeleryBeatDatabaseDown", job="shop", scheduler="django")
    warning = alert("CeleryDatabaseDown", job="shop", source="database")
    stale = alert("CeleryBeatExporterDataStale", job="shop", collector="django")
    expected = {
        frozenset(page.items()): "active",
        frozenset(warning.items()): "suppressed",
        frozenset(stale.items()): "suppressed",
    }
    alertmanager.fire(page, warning, stale)
    wait_until(lambda: alertmanager.states() == expected, SECONDS, "the two to be silenced")


def test_the_fragment_is_valid(folder: Path) -> None:
    """As amtool sees it in a configuration; and it is nothing but inhibit rules, to be pasted."""
    alertmanager = InhibitingAlertmanager(folder)
    alertmanager.write_configuration()
    checked = subprocess.run(
        ["amtool", "check-config", alertmanager.configuration],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert checked.returncode == 0, checked.stderr
    text = FRAGMENT.read_text()
    assert f"{text.count('- source_matchers:')} inhibit rules" in checked.stdout
    assert re.findall(r"^[^ #\n].*", text, re.MULTILINE) == ["inhibit_rules:"]


def test_every_alert_that_is_named_exists() -> None:
    """A renamed alert would silence nothing, and be silenced by nothing."""
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    matchers = re.findall(r'- alertname =~? "?([^"\n]+)', FRAGMENT.read_text())
    patterns = {pattern for matcher in matchers for pattern in matcher.split("|")}
    assert len(patterns) > 10
    assert not {
        pattern for pattern in patterns if not any(re.fullmatch(pattern, name) for name in alerts)
    }

"""docs/metrics.md against the program, and each of its queries in a Prometheus with data for it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.error import HTTPError

import pytest
from celery import Celery
from prometheus_client.parser import text_string_to_metric_families
from servers import wait_until
from stack import PROJECT, Stack

SECONDS = 60.0  # longest wait for something that normally takes twenty
DOCUMENT = PROJECT / "docs" / "metrics.md"
FAMILIES = "| family | type | labels | meaning |"
QUERIES = "| question | PromQL |"
# Of a series besides what the exporter gives it.
PROMETHEUS_LABELS = {"job", "instance"}
SUFFIXES = ("_bucket", "_sum", "_count")
# A selector without its range. No other word of PromQL begins so.
SELECTOR = re.compile(r"\b((?:celery|process)_\w+)(\{[^}]*\})?")


@dataclass(frozen=True)
class Family:
    type: str
    labels: frozenset[str]


def rows(header: str) -> Iterator[list[str]]:
    """The cells of all rows in the document's tables with this header."""
    for table in DOCUMENT.read_text().split(header + "\n")[1:]:
        _, *lines = table.partition("\n\n")[0].splitlines()
        for line in lines:
            yield [cell.strip() for cell in line[1:-1].split("|")]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented() -> dict[str, Family]:
    found = {}
    for names, kind, labels, _ in rows(FAMILIES):
        family = Family(kind, frozenset(re.findall(r"\w+", labels)))
        for name in quoted(names):
            assert name not in found, f"{name} is documented twice"
            found[name] = family
    return found


def queries() -> list[str]:
    return [query for _, cell in rows(QUERIES) for query in quoted(cell)]


def selectors(query: str) -> Iterator[tuple[str, str]]:
    """The families that a query reads, and what it reads of them."""
    for match in SELECTOR.finditer(query):
        yield family_of(match[1]), match[0]


def family_of(sample: str) -> str:
    """The family with a sample of that name: a histogram's has other names."""
    for suffix in SUFFIXES:
        name = sample.removesuffix(suffix)
        if name != sample and name in documented():
            return name
    return sample


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All of a real Celery, in which everything that the exporter tells of soon happens."""
    stack = Stack(tmp_path_factory.mktemp("documentation"))
    for recorder in (stack.worker, stack.beat):
        recorder.environment["CELERY_SIGNALS_TABLES"] = "both"
    with stack:
        with contextlib.closing(Celery("test", broker=stack.redis_url)) as application:
            application.send_task("shop.mail.send_newsletter", queue="mail")
            for _ in range(10):
                application.send_task("shop.orders.settle")
        yield stack


def test_every_family_of_the_sources_is_documented() -> None:
    """And nothing else, with its type."""
    found = {}
    for source in (PROJECT / "Sources").rglob("*.swift"):
        for name, kind in re.findall(
            r'MetricFamily\(\s*"(\w+)".*?type: \.(\w+)\s*\)', source.read_text(), re.DOTALL
        ):
            assert name not in found, f"two families {name}"
            found[name] = kind
    assert found == {name: family.type for name, family in documented().items()}


def test_every_family_is_documented_as_it_is_served(stack: Stack) -> None:
    found: dict[str, Family] = {}  # some are served only for a while

    def are_there() -> bool:
        found.update(served(stack))
        return documented().keys() <= found.keys()

    with contextlib.suppress(TimeoutError):
        wait_until(are_there, SECONDS, "every documented family")
    assert found == documented()


def served(stack: Stack) -> dict[str, Family]:
    """The families that have samples."""
    found = {}
    for family in text_string_to_metric_families(stack.exporter.text()):
        sets = {frozenset(sample.labels.keys() - {"le"}) for sample in family.samples}
        if sets:
            (labels,) = sets
            # The parser takes the suffix of counters for no part of their names.
            suffix = "_total" if family.type == "counter" else ""
            found[family.name + suffix] = Family(family.type, labels)
    return found


def test_every_family_has_a_query() -> None:
    asked = {family for query in queries() for family, _ in selectors(query)}
    assert asked == documented().keys()


@pytest.mark.parametrize("query", queries())
def test_query(stack: Stack, query: str) -> None:
    """Prometheus answers, and finds data for each part of it; labels are those of the families."""
    found = list(selectors(query))
    assert found
    labels = PROMETHEUS_LABELS.union(*(documented()[family].labels for family, _ in found))
    named = re.findall(r"[{,]\s*(\w+)\s*[=!]", query)
    for group in re.findall(r"\bby \(([^)]*)\)", query):
        named += re.findall(r"\w+", group)
    assert set(named) <= labels | {"le"}
    for _, selector in found:
        wait_until(
            lambda selector=selector: stack.prometheus.query(f"last_over_time({selector}[1h])"),
            SECONDS,
            selector,
        )
    try:
        stack.prometheus.query(query)
    except HTTPError as error:
        pytest.fail(error.read().decode())

"""What docs/ says of metrics against the program, and every query there in a Prometheus with data for it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
import reference
from reference import busy_stack, families_of_sources, metrics_document, wait_for_families
from servers import wait_until
from stack import PROJECT, Stack

SECONDS = 60.0  # longest wait for something that normally takes twenty
DOCUMENT = PROJECT / "docs" / "metrics.md"
FAMILIES = "| family | type | labels | meaning |"
QUERIES = "| question | PromQL |"
PAGES = [
    path.relative_to(PROJECT)
    for path in [*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")]
    if path != DOCUMENT
]
# Of a series besides what the exporter gives it.
PROMETHEUS_LABELS = {"job", "instance"}
SUFFIXES = ("_bucket", "_sum", "_count")
# A selector without its range. No other word of PromQL begins so.
SELECTOR = re.compile(r"\b((?:celery|process)_\w+)(\{[^}]*\})?")


def rows(header: str) -> Iterator[list[str]]:
    """The cells of all rows in the document's tables with this header."""
    for table in DOCUMENT.read_text().split(header + "\n")[1:]:
        _, *lines = table.partition("\n\n")[0].splitlines()
        for line in lines:
            yield [cell.strip() for cell in line[1:-1].split("|")]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of each family."""
    found = {}
    for names, kind, labels, _ in rows(FAMILIES):
        family = (kind, frozenset(re.findall(r"\w+", labels)))
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
    with busy_stack(tmp_path_factory.mktemp("documentation")) as stack:
        yield stack


def test_every_family_of_the_sources_is_documented() -> None:
    """And nothing else, with its type."""
    assert families_of_sources() == {name: kind for name, (kind, _) in documented().items()}


def test_every_family_is_documented_as_it_is_served(stack: Stack) -> None:
    found: dict[str, reference.Family] = {}
    with contextlib.suppress(TimeoutError):
        wait_for_families(stack, found, documented())
    served = {name: (one.type, frozenset(one.labels)) for name, one in found.items()}
    assert served == documented()
    assert reference.METRICS.read_text() == metrics_document(found), "run `make docs`"


def test_every_family_has_a_query() -> None:
    asked = {family for query in queries() for family, _ in selectors(query)}
    assert asked == documented().keys()


@pytest.mark.parametrize("query", queries())
def test_query(stack: Stack, query: str) -> None:
    """Prometheus answers, and finds data for each part of it; labels are those of the families."""
    found = list(selectors(query))
    assert found
    labels = PROMETHEUS_LABELS.union(*(documented()[family][1] for family, _ in found))
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
    answered(stack, query)


def answered(stack: Stack, query: str) -> None:
    try:
        stack.prometheus.query(query)
    except HTTPError as error:
        pytest.fail(f"{query}: {error.read().decode()}")


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_queries_of_other_pages(stack: Stack, path: Path) -> None:
    """Each query in their text is one, of families that there are, with labels that these have."""
    text = (PROJECT / path).read_text()
    found = re.findall(r"^```promql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found += [code for code in re.findall(r"`([^`\n]+)`", text) if is_query(code)]
    for query in found:
        labels = set(PROMETHEUS_LABELS)
        for family, _ in selectors(query):
            labels |= documented()[family][1]
        assert set(re.findall(r"[{,]\s*(\w+)\s*[=!]", query)) <= labels, query
        answered(stack, query)


def is_query(code: str) -> bool:
    """Whether it asks of a family, or of scrapes: names of tables and modules begin with celery_, too."""
    if re.search(r"\{[\w,]+\}|[…/$]|^#", code):  # a family with its labels, a path, a sample
        return False
    return code.startswith("up{") or any(family in documented() for family, _ in selectors(code))

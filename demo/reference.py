"""Writes what docs/ takes from the program: flags.md from its help, metrics-reference.md from what it serves."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from prometheus_client.parser import text_string_to_metric_families
from servers import wait_until
from stack import PROJECT, Stack, exporter_binary

FLAGS = PROJECT / "docs" / "flags.md"
METRICS = PROJECT / "docs" / "metrics-reference.md"
NOTICE = "<!-- Written by `make docs` from the program. -->"
VARIABLES = "CELERY_BEAT_EXPORTER_"
# Not settings: they have no variable and no key.
ACTIONS = ("version", "help", "config.check")
SECONDS = 60.0  # longest wait for what takes twenty


@dataclass(frozen=True)
class Family:
    type: str
    labels: tuple[str, ...]
    help: str


def main() -> int:
    FLAGS.write_text(flags_document())
    found: dict[str, Family] = {}
    with tempfile.TemporaryDirectory() as path, busy_stack(Path(path)) as stack:
        wait_for_families(stack, found, families_of_sources())
    METRICS.write_text(metrics_document(found))
    return 0


# ------------------------------------------------------------------------------------ flags


def flags_document() -> str:
    """docs/flags.md, from the program's help."""
    lines = [
        "# Flags",
        "",
        NOTICE,
        "",
        "Each setting is a flag, a variable and, under the flag's name, a key of the [configuration file](configuration.md), which also says",
        "what wins. Durations: `500ms`, `10s`, `5m`, `1h30m`. A switch has `yes` or `no` as its variable or key. What is repeatable",
        "is also a list with commas in one value.",
        "",
        "| flag | variable | default | |",
        "|---|---|---|---|",
    ]
    command = [exporter_binary(), "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    lines += [setting_row(name, text) for name, text in entries(done.stdout, "OPTIONS")]
    lines += ["", "| subcommand | |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in entries(done.stdout, "SUBCOMMANDS")]
    lines += ["", "They take the same flags, variables and file: [check.md](check.md)."]
    return "\n".join(lines) + "\n"


def entries(text: str, section: str) -> Iterator[tuple[str, str]]:
    """What a section of the help lists: the name, with what follows it, and the words about it."""
    (part,) = re.findall(rf"^{section}:\n((?:  .*\n)+)", text, re.MULTILINE)
    for entry in re.findall(r"^  \S.*\n(?:   .*\n)*", part, re.MULTILINE):
        words = " ".join(entry.split())
        match = re.match(r"((?:-h, )?\S+)(?: <\S+>)? (.*)", words)
        assert match, entry
        yield match[1], match[2]


def setting_row(name: str, text: str) -> str:
    """The table's row for a flag; of a switch, both of its flags, with a slash between."""
    names = name.removeprefix("-h, ").split("/")
    setting = names[0].removeprefix("--")
    variable = "" if setting in ACTIONS else f"`{VARIABLES}{re.sub('[.-]', '_', setting).upper()}`"
    default = ""
    match = re.search(r" \(default: (.*)\)$", text)
    if match:
        text, default = text[: match.start()], match[1]
    flags = ", ".join(f"`{name}`" for name in names)
    return f"| {flags} | {variable} | {cell(default)} | {cell(text)} |"


def cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---------------------------------------------------------------------------------- metrics


def families_of_sources() -> dict[str, str]:
    """The type of each family that the Swift sources name."""
    found: dict[str, str] = {}
    for source in (PROJECT / "Sources").rglob("*.swift"):
        for name, kind in re.findall(
            r'MetricFamily\(\s*"(\w+)".*?type: \.(\w+)\s*\)', source.read_text(), re.DOTALL
        ):
            assert name not in found, f"two families {name}"
            found[name] = kind
    return found


@contextlib.contextmanager
def busy_stack(folder: Path) -> Iterator[Stack]:
    """All of a real Celery, in which everything that the exporter tells of soon happens."""
    with Stack(folder) as stack:
        with contextlib.closing(Celery("demo", broker=stack.redis_url)) as application:
            application.send_task("shop.mail.send_newsletter", queue="mail")
            for _ in range(10):
                application.send_task("shop.orders.settle")
        yield stack


def wait_for_families(stack: Stack, found: dict[str, Family], expected: Iterable[str]) -> None:
    """Adds to `found` until all that are expected were served: some are only for a while."""
    names = set(expected)

    def are_there() -> bool:
        found.update(served(stack.exporter.text()))
        return names <= found.keys()

    wait_until(are_there, SECONDS, "every family")


def served(text: str) -> dict[str, Family]:
    """The families of an exposition that have samples."""
    found = {}
    for family in text_string_to_metric_families(text):
        sets = {tuple(name for name in sample.labels if name != "le") for sample in family.samples}
        if sets:
            (labels,) = sets
            # The parser takes the suffix of counters for no part of their names.
            suffix = "_total" if family.type == "counter" else ""
            found[family.name + suffix] = Family(family.type, labels, family.documentation)
    return found


def metrics_document(found: dict[str, Family]) -> str:
    """docs/metrics-reference.md."""
    lines = [
        "# Metrics, in one list",
        "",
        NOTICE,
        "",
        "What each means for you, and the PromQL to ask it: [metrics.md](metrics.md).",
        "",
        "| family | type | labels | help |",
        "|---|---|---|---|",
    ]
    for name, family in sorted(found.items()):
        labels = ", ".join(family.labels)
        lines.append(f"| `{name}` | {family.type} | {labels} | {cell(family.help)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())

"""What `check` says, as the tests read it: run to its end, line by line."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from stack import Exporter

CHECK_SECONDS = 300.0  # longest run of a check, with a server that hangs
WIDTH = 100  # characters of a line that can be read at a glance


class Line(NamedTuple):
    level: str
    subject: str
    text: str  # what was found, and below it, line by line, what to do


class Answer(NamedTuple):
    """What a check says, line by line, and with which status it ends."""

    status: int
    lines: list[Line]
    summary: str

    def of(self, subject: str) -> list[tuple[str, str]]:
        """Level and text of what is said of a subject."""
        return [(line.level, line.text) for line in self.lines if line.subject == subject]

    def said(self, level: str, subject: str, *words: str) -> bool:
        """Whether something of that level and subject has all these words."""
        return any(
            line.level == level and all(word in line.text for word in words)
            for line in self.lines
            if line.subject == subject
        )

    @property
    def first(self) -> str:
        """The first line: what somebody reads at 3 a.m."""
        level, subject, text = self.lines[0]
        return f"{level} {subject} {text.splitlines()[0]}"


def command(text: str) -> str:
    """The one command that a text gives."""
    (line,) = [line for line in text.splitlines() if line.startswith("run: ")]
    return line.removeprefix("run: ")


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program run to its end, which must come by itself."""
    return subprocess.run(
        [Exporter(Path(os.devnull)).command[0], *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=CHECK_SECONDS,
        check=False,
    )


def check(*flags: str, **environment: str) -> Answer:
    """What `check` says; an assertion fails unless its lines, its last line and its status agree."""
    patient = {"CELERY_BEAT_EXPORTER_COLLECT_TIMEOUT": "30s"}
    done = program("check", *flags, **patient | environment)
    print(done.stdout)  # shown when the test has failed
    assert done.stderr == ""
    *lines, summary = done.stdout.split("\n")[:-1]
    found: list[Line] = []
    columns = set()
    for line in lines:
        assert line.isprintable(), line
        if line.startswith("  "):
            text = line.lstrip()
            indent = len(line) - len(text)
            # What did not fit above is further to the right.
            join = "\n" if indent in columns else " "
            assert indent in columns or indent - 2 in columns, line
            found[-1] = found[-1]._replace(text=found[-1].text + join + text)
        else:
            assert line[4:6] == "  ", line
            subject, _, text = line[6:].partition("  ")
            found.append(Line(line[:4].rstrip(), subject, text.lstrip()))
            columns.add(len(line) - len(text.lstrip()))
        is_command = text.lstrip().startswith(("run: ", "set: "))
        assert len(line) <= WIDTH or is_command or " " not in text.strip(), line
    levels = [line.level for line in found]
    assert set(levels) <= {"ok", "warn", "FAIL"}
    assert levels == sorted(levels, key=["FAIL", "warn", "ok"].index), "the worst first"
    assert len(columns) == 1  # texts begin one below the other
    is_well = set(levels) == {"ok"}
    assert (summary == "all is well") == is_well
    assert done.returncode == (0 if is_well else 1)
    return Answer(done.returncode, found, summary)

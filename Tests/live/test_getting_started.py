"""Each section of docs/getting-started.md, done as it says: snippets into files, commands, what they show.

A block is a file (`# NAME` in its first line; more of the same file is added), commands (`sh`) or
a command with what it soon prints (`console`). Only addresses are replaced.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import Process, free_port, wait_until
from stack import PROJECT, exporter_binary

SECONDS = 60.0  # longest wait for something that normally takes a few
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What goes on until it is stopped.
ENDLESS = re.compile(r"celery -A shop (worker|beat)|celery-beat-exporter\b(?! check)")
INTRODUCTION, *SECTIONS = re.split(
    r"^## ", (PROJECT / "docs" / "getting-started.md").read_text(), flags=re.MULTILINE
)
DJANGO = """
import os
from urllib.parse import urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
SECRET_KEY = "of a test"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": url.hostname,
        "PORT": url.port,
        "NAME": url.path.lstrip("/"),
        "USER": url.username,
        "PASSWORD": url.password,
    }
}
"""
MANAGE = (
    "import sys; from django.core.management import execute_from_command_line as run; run(sys.argv)"
)


class Reader:
    """Somebody who does what the page says, in a folder of their own."""

    def __init__(self, folder: Path, redis_url: str, database_url: str) -> None:
        self._folder = folder
        self._started: list[Process] = []
        port = free_port()
        self._addresses = {
            "redis://localhost:6379/0": redis_url,
            "user:password@localhost:5432/shop": database_url.partition("://")[2],
            "http://localhost:9808": f"http://127.0.0.1:{port}",
        }
        programs = folder / "programs"
        programs.mkdir()
        (programs / "celery-beat-exporter").symlink_to(exporter_binary())
        self._environment = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CELERY_BEAT_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}",
            "CELERY_BEAT_EXPORTER_COLLECT_INTERVAL": "500ms",
        }

    def read(self, text: str) -> None:
        if "settings.py" in text:
            (self._folder / "settings.py").write_text(DJANGO)
            (self._folder / "manage.py").write_text(MANAGE)
            self._environment["DJANGO_SETTINGS_MODULE"] = "settings"
        if "celery_signals.py" in text:
            signals = self._folder / "celery_signals.py"
            signals.write_bytes((PROJECT / "recorder" / signals.name).read_bytes())
        for language, block in BLOCK.findall(text):
            for documented, real in self._addresses.items():
                block = block.replace(documented, real)
            if language == "console":
                self._see(block)
            elif language != "sh":
                name = re.match(r"# (\S+)\n", block)[1]
                with open(self._folder / name, "a") as file:
                    file.write(block)
            elif ENDLESS.match(block):
                self._start(block)
            else:
                self._run(block)

    def _run(self, block: str) -> None:
        """Variables that it sets are there for what follows."""
        done = self._bash(f"set -e\n{block}\nenv -0 >variables")
        assert done.returncode == 0, done.stdout + done.stderr
        for variable in (self._folder / "variables").read_text().split("\0"):
            name, _, value = variable.partition("=")
            if name:
                self._environment[name] = value

    def _start(self, block: str) -> None:
        (line,) = block.splitlines()
        name = f"command-{len(self._started)}"
        process = Process(
            name, self._folder, ["bash", "-c", f"exec {line}"], environment=self._environment
        )
        self._started.append(process)
        process.start()

    def _see(self, block: str) -> None:
        command, expected = re.fullmatch(r"\$ (.*?)\n(.*)", block, re.DOTALL).groups()
        printed = ""

        def is_seen() -> bool:
            nonlocal printed
            for process in self._started:
                assert process.running, process.log_tail()
            printed = self._bash(command).stdout
            return printed == expected

        try:
            wait_until(is_seen, SECONDS, command)
        except TimeoutError as error:
            pytest.fail(f"{error}\n{expected}\nbut\n{printed}")

    def _bash(self, commands: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", commands],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=5 * SECONDS,
            check=False,
        )

    def stop(self) -> None:
        for process in self._started:
            print(process.log_tail())  # shown when the test has failed
            process.kill()


@pytest.fixture
def reader(folder: Path, redis_url: str, database_url: str) -> Iterator[Reader]:
    reader = Reader(folder, redis_url, database_url)
    yield reader
    reader.stop()


@pytest.mark.parametrize(
    "section",
    [section for section in SECTIONS if BLOCK.search(section)],
    ids=lambda section: section.partition("\n")[0],
)
def test_section(reader: Reader, section: str) -> None:
    assert "```console\n" in section
    reader.read(INTRODUCTION)
    reader.read(section)


def test_coming_from_a_lock_check(reader: Reader) -> None:
    """The commands of docs/migration.md, with the RedBeat of the first section."""
    page = (PROJECT / "docs" / "migration.md").read_text()
    check = page.partition("\n## From celery-exporter")[0]

    reader.read(INTRODUCTION)
    reader.read(SECTIONS[0])
    reader.read(check)
    assert "```sh\n" in check and "```console\n" in check

"""Flags and variables count as they were given, whatever a library does before the program begins."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from redbeat_samples import clock_off
from stack import exporter_binary

SECONDS = 60.0  # longest wait for something that normally takes a moment

SETS = '#include <stdlib.h>\n__attribute__((constructor)) static void set(void) { setenv("NEW", "1", 1); }'
# Swift looks for arguments before `environ`, here amongst other texts.
MOVES = """
extern char **environ;
static char *words[] = {(char *) 1, "program", "--version", 0, "NEW=1", 0};
__attribute__((constructor)) static void move(void) { environ = words + 4; }
"""
CLEARS = "#include <stdlib.h>\n__attribute__((constructor)) static void clear(void) { clearenv(); }"


@pytest.fixture(params=[SETS, MOVES, CLEARS, None], ids=["sets", "moves", "clears", "faketime"])
def library(request: pytest.FixtureRequest, folder: Path) -> dict[str, str]:
    """The environment that has a library loaded first."""
    if request.param is None:
        return clock_off(0)
    source, library = folder / "library.c", folder / "library.so"
    source.write_text(request.param)
    subprocess.run(["clang", "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [exporter_binary(), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_flags_count(library: dict[str, str]) -> None:
    flags = ("--broker.url=redis://h", "--web.config.file=/missing/web.yml", "--config.check")
    done = run(*flags, **library)

    assert (done.returncode, done.stdout) == (2, "")
    assert "/missing/web.yml" in done.stderr
    assert run("--broker.url", "redis://h", "--config.check", **library).returncode == 0
    assert "--web.config.file" in run("--help", **library).stdout
    assert "Unknown option" in run("--web.config", "x", **library).stderr


def test_variables_count(library: dict[str, str], folder: Path) -> None:
    configuration = folder / "exporter.yml"
    configuration.write_text(json.dumps({"broker.url": "redis://h"}))
    variables = {"CELERY_BEAT_EXPORTER_CONFIG_FILE": str(configuration)}

    assert run("--config.check", **library, **variables).returncode == 0
    web = {"CELERY_BEAT_EXPORTER_WEB_CONFIG_FILE": "/missing/web.yml"}
    assert "/missing/web.yml" in run("--config.check", **library, **variables, **web).stderr


def test_the_first_of_two_variables_counts() -> None:
    """As in every program that asks `getenv`."""
    code = (
        "import ctypes, sys\n"
        "variables = (ctypes.c_char_p * 3)(b'CELERY_BROKER_URL=redis://h', b'CELERY_BROKER_URL=x', None)\n"
        "arguments = (ctypes.c_char_p * 3)(sys.argv[1].encode(), b'--config.check', None)\n"
        "ctypes.CDLL(None).execve(arguments[0], arguments, variables)\n"
    )
    done = subprocess.run(
        ["python3", "-c", code, exporter_binary()],
        timeout=SECONDS,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

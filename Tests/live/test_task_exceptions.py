"""The exceptions of failed tasks, as tracebacks, messages and results tell them."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import tables_application
from stack import Exporter
from tables_application import COLLECT, OWN, RUNS, configuration, errors, read

Exporters = Callable[..., Exporter]


def raised(error: BaseException, cause: BaseException | None = None) -> str:
    """The traceback of an error that was really raised, perhaps while another was handled."""
    try:
        if cause is None:
            raise error
        try:
            raise cause
        except BaseException:  # noqa: BLE001 - whatever a case asks for
            raise error
    except BaseException:  # noqa: BLE001
        return traceback.format_exc()


def raised_deep() -> str:
    stack = "".join(f'  File "shop.py", line {n}, in f\n    f({n})\n' for n in range(1000))
    return f"Traceback (most recent call last):\n{stack}shop.DeepError: deep\n"


TRACEBACKS = {
    "plain": (raised(ValueError("as told")), "ValueError"),
    "without a message": (raised(ValueError()), "ValueError"),
    "of a module": (raised(tables_application.OutOfStock("none")), "OutOfStock"),
    "caused by another": (raised(ValueError("x"), cause=KeyError("y")), "ValueError"),
    "message of lines": (raised(ValueError("first\nsecond line\nthird")), "ValueError"),
    "message with a colon": (raised(ValueError("first\nKeyError: no")), "ValueError"),
    "message of blank lines": (raised(ValueError("first\n\n  in\n \nout")), "ValueError"),
    "syntax": (raised(SyntaxError("bad", ("shop.py", 1, 2, "a b", 1, 3))), "SyntaxError"),
    "deep": (raised_deep(), "DeepError"),
    "long message": (raised(ValueError("x" * 5_000)), "ValueError"),
    "no traceback": ("garbage here", "unknown"),
    "blank": (" \n\n \t\n", "unknown"),
    "empty": ("", "unknown"),
    "only its head": ("Traceback (most recent call last):\n", "unknown"),
}
MESSAGES = {
    "plain": ("ValueError: as told", "ValueError"),
    "without a message": ("ValueError", "ValueError"),
    "as repr says it": ("ValueError('as told')", "ValueError"),
    "of a module": ("shop.errors.OutOfStock: none", "OutOfStock"),
    "of lines": ("ValueError: first\nKeyError: second", "ValueError"),
    "only a text": ("no luck today", "unknown"),
    "a number": ("42 is wrong", "unknown"),
    "blank": (" ", "unknown"),
    "empty": ("", "unknown"),
}


@pytest.mark.parametrize(
    ("column", "cases"),
    [("traceback", TRACEBACKS), ("error", MESSAGES)],
    ids=["tracebacks", "messages"],
)
def test_exceptions(
    folder: Path,
    database: psycopg.Connection,
    database_url: str,
    exporter: Exporters,
    column: str,
    cases: dict[str, tuple[str, str]],
) -> None:
    """Failures by class, as each text tells it; other states have none, whatever the text."""
    database.execute(RUNS + "ALTER TABLE runs ADD text text")
    flag = configuration(folder, tables=[{**OWN, column: "text"}])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO runs VALUES (%s, %s, %s, now(), now(), %s)",
            [
                (f"{state} {case}", case, state, text)
                for case, (text, _) in cases.items()
                for state in ("FAILURE", "SUCCESS", "REVOKED")
            ],
        )
    expected = {(case, exception): 1 for case, (_, exception) in cases.items()}
    assert errors(read(watcher)) == expected


def test_exceptions_of_every_column(
    folder: Path, database: psycopg.Connection, database_url: str, exporter: Exporters
) -> None:
    """What one column does not tell another may. None tells: unknown."""
    database.execute(RUNS + "ALTER TABLE runs ADD a text, ADD b text, ADD c text")
    mapping = {**OWN, "result": "a", "error": "b", "traceback": "c"}
    flag = configuration(folder, tables=[mapping])
    watcher = exporter(COLLECT, flag, DATABASE_URL=database_url)
    result = '{"exc_type": "KeyError", "exc_message": ["\\"exc_type\\": \\"No\\""]}'
    rows = [
        ("all", result, "ValueError: b", raised(OSError("c"))),
        ("two", "null", "ValueError: b", raised(OSError("c"))),
        ("one", "[1, 2", "only a text", raised(OSError("c"))),
        ("none", None, None, None),
    ]
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO runs VALUES (%s, %s, 'FAILURE', now(), now(), %s, %s, %s)",
            [(case, case, *texts) for case, *texts in rows],
        )
    assert errors(read(watcher)) == {
        ("all", "KeyError"): 1,
        ("two", "ValueError"): 1,
        ("one", "OSError"): 1,
        ("none", "unknown"): 1,
    }

"""Whether the tests of the alerts notice a change of any clause: changes each, and runs them.

    python3 alerts/tests/mutate.py [--alert NAME] [--verbose]

Every rule is changed at one place at a time: a comparison, set operator, sign or aggregation is
exchanged, a number or duration scaled by 1.5 and by 1 / 1.5 (doubled and halved where it is a
duration), an operand of a set operator, an offset, a matcher, an alternative of a matcher, a grouping
label, a function around a range or a bound left out. A change that no test notices survives, is
listed, and makes the exit code 1. None may.

First the rules must pass as they are, with the machine's promtool and a newer one (alerts/tests/run).
The changed ones are run by the machine's alone.

Needs promtool and PyYAML.
"""

from __future__ import annotations

import argparse
import copy
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

TESTS = Path(__file__).resolve().parent
RULES = TESTS.parent / "celery-beat.rules.yml"
PROMTOOL_SECONDS = 120

COMPARISONS = {"==": "!=", "!=": "==", ">": "<=", "<": ">=", ">=": "<", "<=": ">"}
SET_OPERATORS = {"and": ["unless", "or"], "unless": ["and", "or"], "or": ["and", "unless"]}
SIGNS = {"+": "-", "-": "+", "*": "/", "/": "*"}
FUNCTIONS = {
    "max": ["min"],
    "min": ["max"],
    "sum": ["max"],
    "max_over_time": ["min_over_time"],
    "min_over_time": ["max_over_time"],
    "last_over_time": ["min_over_time", "max_over_time"],
    "avg_over_time": ["min_over_time", "max_over_time"],
    "increase": ["delta"],
    "predict_linear": [],
    "count_over_time": [],
    "present_over_time": [],
    "abs": [],
    "absent": [],
}
BOUNDS = ("clamp", "clamp_min", "clamp_max")
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>"[^"]*")
    |(?P<duration>(?:\d+(?:ms|[smhd]))+)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_:]*)
    |(?P<operator>=~|!~|==|!=|>=|<=|[-+*/<>=(){}\[\],:])""",
    re.VERBOSE,
)
CLOSING = {"(": ")", "{": "}", "[": "]"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str


@dataclass(frozen=True)
class Mutant:
    """A rule with one change, and what it is."""

    alert: str
    change: str
    rules: dict


def tokens_of(expression: str) -> list[Token]:
    """The tokens without the space between them; ValueError for what is none."""
    tokens, position = [], 0
    while position < len(expression):
        match = TOKEN.match(expression, position)
        if match is None:
            raise ValueError(f"not understood: {expression[position : position + 20]!r}")
        if match.lastgroup != "space":
            tokens.append(Token(match.lastgroup or "", match.group()))
        position = match.end()
    return tokens


def text_of(tokens: list[Token]) -> str:
    return " ".join(token.text for token in tokens)


def closing(tokens: list[Token], opening: int) -> int:
    """The index of the bracket that closes the one at `opening`."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += tokens[index].text in CLOSING
        depth -= tokens[index].text in CLOSING.values()
        if depth == 0:
            return index
    raise ValueError(f"nothing closes {text_of(tokens[opening:])}")


def seconds(duration: str) -> float:
    return sum(float(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[smhd])", duration))


def milliseconds(value: float) -> str:
    return f"{round(value * 1000)}ms"


def expression_changes(expression: str) -> Iterator[tuple[str, str]]:
    """Each change of an expression: what it is, and the expression changed."""
    tokens = tokens_of(expression)
    for index, token in enumerate(tokens):
        for change, start, end, new in token_changes(tokens, index, token):
            place = f"{change} at token {index}: {text_of(tokens[max(0, index - 2) : index + 6])}"
            yield place, text_of([*tokens[:start], *new, *tokens[end:]])
    for change, start, end in operand_removals(tokens, 0, len(tokens)):
        yield change, text_of([*tokens[:start], *tokens[end:]])


def token_changes(
    tokens: list[Token], index: int, token: Token
) -> Iterator[tuple[str, int, int, list[Token]]]:
    """Each change that starts with a token: what it is, which tokens go, and what comes instead."""

    def replaced(text: str) -> tuple[str, int, int, list[Token]]:
        return f"{token.text} -> {text}", index, index + 1, [Token(token.kind, text)]

    following = tokens[index + 1].text if index + 1 < len(tokens) else ""
    if token.text in COMPARISONS:
        yield replaced(COMPARISONS[token.text])
    elif token.text in SIGNS:
        yield replaced(SIGNS[token.text])
    elif token.text in SET_OPERATORS:
        for other in SET_OPERATORS[token.text]:
            yield replaced(other)
    elif token.kind == "number":
        value = float(token.text)
        for changed in [value * 1.5, value / 1.5] if value > 1 or value % 1 else [1 - value]:
            yield replaced(f"{changed:.10g}")
    elif token.kind == "duration":
        for factor in 2, 0.5:
            yield replaced(milliseconds(seconds(token.text) * factor))
    elif token.text in FUNCTIONS:
        for other in FUNCTIONS[token.text]:
            yield replaced(other)
        if following == "(":
            yield from unwrapped(tokens, index)
    elif token.text in BOUNDS:
        yield from unwrapped(tokens, index)
    elif token.text in ("by", "on", "without"):
        yield from removals(tokens, index + 1, token.text)
    elif token.text == "{":
        yield from removals(tokens, index, "matcher")
    elif token.text == "offset":
        yield f"offset {following} left out", index, index + 2, []
    elif token.kind == "string" and "|" in token.text:
        alternatives = token.text.strip('"').split("|")
        for one in alternatives:
            yield replaced('"' + "|".join(other for other in alternatives if other != one) + '"')


def unwrapped(tokens: list[Token], index: int) -> Iterator[tuple[str, int, int, list[Token]]]:
    """`f(x[1m])` becomes `x`, and `f(x, 1)` too; not so a subquery, which is nothing without."""
    end = closing(tokens, index + 1)
    argument = tokens[index + 2 : end]
    ends = [i for i in range(len(argument)) if argument[i].text == "," and is_outer(argument, i)]
    argument = argument[: ends[0]] if ends else argument
    offset = argument[-2:] if len(argument) > 2 and argument[-2].text == "offset" else []
    argument = argument[: len(argument) - len(offset)]
    if argument[-1].text == "]":
        opening = max(i for i, token in enumerate(argument) if token.text == "[")
        if any(token.text == ":" for token in argument[opening:]):
            return
        argument = argument[:opening] + offset
    yield f"{tokens[index].text} left out", index, end + 1, argument


def is_outer(tokens: list[Token], index: int) -> bool:
    before = [token.text for token in tokens[:index]]
    return sum(before.count(opening) - before.count(end) for opening, end in CLOSING.items()) == 0


def removals(
    tokens: list[Token], opening: int, what: str
) -> Iterator[tuple[str, int, int, list[Token]]]:
    """Each item of a list in brackets left out, with the comma before or after it."""
    end = closing(tokens, opening)
    commas = [i for i in range(opening, end) if tokens[i].text == ","]
    starts = [opening, *commas]
    ends = [*commas, end]
    for start, stop in zip(starts, ends):
        item = text_of(tokens[start + 1 : stop])
        if start == opening:
            yield f"{what} {item} left out", start + 1, min(stop + 1, end), []
        else:
            yield f"{what} {item} left out", start, stop, []


def operand_removals(tokens: list[Token], start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """Each operand of a set operator, at any depth, and the operator: the tokens to leave out."""
    operators = []
    index = start
    while index < end:
        token = tokens[index]
        if token.text in CLOSING:
            stop = closing(tokens, index)
            if token.text == "(":
                yield from operand_removals(tokens, index + 1, stop)
            index = stop
        elif token.text in SET_OPERATORS:
            operators.append(index)
        index += 1
    for position, operator in enumerate(operators):
        operand = operator + 1
        if tokens[operand].text == "on":
            operand = closing(tokens, operand + 1) + 1
        stop = operators[position + 1] if position + 1 < len(operators) else end
        yield f"left out: {text_of(tokens[operator:stop])}", operator, stop
        if position == 0:
            yield f"left out: {text_of(tokens[start:operand])}", start, operand


def mutants_of(rules: dict, only: str | None) -> Iterator[Mutant]:
    for group, rule in positions(rules):
        original = rules["groups"][group]["rules"][rule]
        alert = original.get("alert") or original["record"]
        if only not in (None, alert):
            continue
        for change, expression in expression_changes(original["expr"]):
            yield Mutant(alert, change, changed(rules, group, rule, "expr", expression))
        for key in "for", "keep_firing_for":
            if key not in original:
                continue
            duration = seconds(original[key])
            for new in None, milliseconds(duration * 2), milliseconds(duration / 2):
                yield Mutant(alert, f"{key}: {new}", changed(rules, group, rule, key, new))


def positions(rules: dict) -> Iterator[tuple[int, int]]:
    for group, content in enumerate(rules["groups"]):
        for rule in range(len(content["rules"])):
            yield group, rule


def changed(rules: dict, group: int, rule: int, key: str, value: str | None) -> dict:
    """A copy of the rules with one key of one rule changed, or left out for None."""
    copied = copy.deepcopy(rules)
    target = copied["groups"][group]["rules"][rule]
    if value is None:
        del target[key]
    else:
        target[key] = value
    return copied


class Promtool:
    """Runs the tests, or the check, on changed rules, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._rules = folder / RULES.name
        self._tests = folder / TESTS.name
        self._tests.mkdir()
        self._files = [Path(shutil.copy(test, self._tests)) for test in sorted(TESTS.glob("*.yml"))]

    def accepts(self, rules: dict) -> bool:
        self._write(rules)
        return self._run("check", "rules", self._rules)

    def failing_test(self, rules: dict, alert: str | None = None) -> Path | None:
        """The first file whose tests fail. Those that name the alert come first, then the latest to fail."""
        self._write(rules)
        if alert is not None:
            self._files.sort(key=lambda test: -test.read_text().count(f"alertname: {alert}\n"))
        for test in self._files:
            if not self._run("test", "rules", test):
                self._files.remove(test)
                self._files.insert(0, test)
                return test
        return None

    def _write(self, rules: dict) -> None:
        self._rules.write_text(yaml.safe_dump(rules, sort_keys=False))

    def _run(self, *arguments: str | Path) -> bool:
        finished = subprocess.run(
            ["promtool", *arguments], capture_output=True, timeout=PROMTOOL_SECONDS, check=False
        )
        return finished.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Changes each clause of the alerts, tests each.")
    parser.add_argument("--alert", help="only this one")
    parser.add_argument("--verbose", action="store_true", help="also list what was noticed")
    arguments = parser.parse_args()

    if subprocess.run([TESTS / "run"], check=False).returncode != 0:
        return 1
    rules = yaml.safe_load(RULES.read_text())
    with tempfile.TemporaryDirectory() as folder:
        promtool = Promtool(Path(folder))
        counts = {"noticed": 0, "no rule": 0, "SURVIVED": 0}
        for mutant in mutants_of(rules, arguments.alert):
            if not promtool.accepts(mutant.rules):
                outcome = "no rule"
            elif promtool.failing_test(mutant.rules, mutant.alert) is not None:
                outcome = "noticed"
            else:
                outcome = "SURVIVED"
            counts[outcome] += 1
            if arguments.verbose or outcome == "SURVIVED":
                print(f"{outcome}: {mutant.alert}: {mutant.change}", flush=True)

    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 1 if counts["SURVIVED"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""The drawing of the house in CONTRIBUTING.md is that of Package.swift."""

from __future__ import annotations

import json
import re
import subprocess

from stack import PROJECT


def test_the_drawing_is_that_of_the_package() -> None:
    command = ["swift", "package", "dump-package"]
    package = json.loads(subprocess.check_output(command, cwd=PROJECT))
    targets = {
        target["name"]: [next(iter(one.values()))[0] for one in target["dependencies"]]
        for target in package["targets"]
        if target["type"] in ("regular", "executable") and not target.get("path")
    }
    chapter = (PROJECT / "CONTRIBUTING.md").read_text().partition("## The house")[2]
    drawing = re.sub(r",\n +", ", ", chapter.split("```")[1])
    drawn = {
        name: re.findall(r"\w+", imports)
        for name, imports in re.findall(
            r"^([\w-]+) *->((?: \w+,)*(?: \w+)?)(?: {2,}.*)?$", drawing, re.MULTILINE
        )
    }

    assert {name: sorted(imports) for name, imports in drawn.items()} == {
        name: sorted(imports) for name, imports in targets.items()
    }
    # Whoever imports stands above.
    order = list(drawn)
    for name, imports in drawn.items():
        assert all(order.index(one) > order.index(name) for one in imports if one in drawn), name

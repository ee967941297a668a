"""What the documentation names: links, flags, families, and the README in both of its languages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from checks import program
from reference import FLAGS, families_of_sources, flags_document
from stack import PROJECT

README, KOREAN = PROJECT / "README.md", PROJECT / "README.ko.md"
PAGES = [
    path.relative_to(PROJECT)
    for path in [
        *PROJECT.glob("*.md"),
        *(PROJECT / "docs").rglob("*.md"),
        *PROJECT.glob("recorder/*.md"),
    ]
]
SECONDS = 60.0
CODE = re.compile(r"^```.*?^```$|^    .*?$", re.MULTILINE | re.DOTALL)


def test_flags_are_those_of_the_program() -> None:
    assert FLAGS.read_text() == flags_document(), "run `make docs`"


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_what_a_page_links_to_is_there(path: Path) -> None:
    """Files and folders of the project, and headings in them."""
    here = PROJECT / path
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", here.read_text())):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = here.parent / name if name else here
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_flag_that_is_named_exists() -> None:
    flag = re.compile(r"(?<![\w-])--[a-z-]+\.[a-z.-]*[a-z]")
    known = set(flag.findall(program("--help").stdout))

    for path in PAGES:
        assert set(flag.findall((PROJECT / path).read_text())) <= known, path


def test_every_family_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`(celery_\w+)", README.read_text()))

    assert {"celery_beat_up", "celery_beat_tasks_total"} <= named
    assert named <= families_of_sources().keys()


def test_prometheus_takes_the_readmes_configuration(tmp_path: Path) -> None:
    (tmp_path / "celery-beat.rules.yml").symlink_to(PROJECT / "alerts" / "celery-beat.rules.yml")
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "prometheus.yml").write_text(text)

    promtool = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(promtool, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", ["beat", "tables"])
def test_the_exporter_takes_what_a_page_configures(page: str, tmp_path: Path) -> None:
    text = (PROJECT / "docs" / f"{page}.md").read_text()
    for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (tmp_path / "exporter.yml").write_text(block)
        flags = (f"--config.file={tmp_path}/exporter.yml", "--database.url=postgresql://host")
        checked = program("--config.check", *flags)
        assert (checked.returncode, checked.stderr) == (0, ""), block


def test_the_korean_readme_has_what_the_readme_has() -> None:
    """The same sections, with the same links, commands, names and rows in each."""
    english, korean = sections(README), sections(KOREAN)

    assert len(korean) == len(english) > 5
    for ours, theirs in zip(english, korean, strict=True):
        assert skeleton(theirs) == skeleton(ours), theirs.partition("\n")[0]
        assert re.search("[가-힣]", theirs)


def sections(path: Path) -> list[str]:
    return re.split(r"^#+ ", path.read_text(), flags=re.MULTILINE)[1:]


def skeleton(section: str) -> dict[str, list[str]]:
    """What does not depend on the language, in an order that does not either."""
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", section) if "README" not in link]
    text = CODE.sub("", section)
    return {
        "code": CODE.findall(section),
        "names": sorted(re.findall(r"`[^`\n]+`", text)),
        "links": sorted([*links, *re.findall(r"(?<!\()https?://[^\s)]*[\w/]", text)]),
        "rows": [row.split("|")[1].strip() for row in re.findall(r"^\| `.*$", text, re.MULTILINE)],
        "items": ["-"] * len(re.findall(r"^- ", text, re.MULTILINE)),
    }


def anchors(path: Path) -> set[str]:
    """Those that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one).strip().lower().replace(" ", "-") for one in headings}

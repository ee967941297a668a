"""The commands and SQL statements of the documentation, and the test that runs each of them.

Queries in PromQL are run by live/test_metrics_documentation.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PROJECT = TESTS.parent

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
COMMAND_FENCES = ("sh", "console", "sql")
INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
# What code within a sentence begins with when it is a command, and not only names a program.
COMMAND = re.compile(
    r"(benchmarks/\w+\.py|celery|celery-beat-exporter|chronyc|curl|date|dmesg|docker|gdb|grep|htpasswd|journalctl|kubectl"
    r"|make|podman|promtool|ps|psql|python3?|sudo|systemctl|systemd-analyze|timedatectl) ."
    r"|kill .*PID|redis-cli -u|SELECT .* FROM|GRANT .* TO|CREATE INDEX .* ON"
)

# The test that runs the blocks of these pages, and that which runs what begins so anywhere else. The first counts.
BLOCKS_OF = {
    "docs/getting-started.md": "live/test_getting_started.py::test_section",
    "docs/migration.md": "live/test_getting_started.py::test_coming_from_a_lock_check",
    "recorder/README.md": "live/test_commands.py::test_recorder",
}
BEGINNINGS = {
    "ACL SETUSER ": "live/test_redis_access.py::test_documented_rights",
    "CREATE INDEX ": "live/test_known_tables.py::test_celery_taskmeta_of_celery_5_2",
    "CREATE ROLE ": "live/test_security_documentation.py::test_rights_on_the_recorders_tables",
    "GRANT SELECT ": "live/test_security_documentation.py::test_rights_on_a_table_of_results",
    "GRANT pg_": "live/test_security_documentation.py::test_right_to_see_sessions",
    "CELERY_BROKER_URL=redis:": "live/test_commands.py::test_readme",
    "CELERY_BROKER_URL='sentinel:": "live/test_commands.py::test_sentinels",
    "celery-beat-exporter check": "live/test_check.py::test_all_is_well",
    "celery-beat-exporter healthcheck": "live/test_check.py::test_healthcheck",
    "sudo celery-beat-exporter check ": "live/test_commands.py::test_check",
    "celery-beat-exporter --config.check ": (
        "live/test_configuration_documentation.py::test_the_files_work_together"
    ),
    "promtool check web-config": "live/test_web_config.py::test_what_is_accepted",
    "redis-cli -u REDBEAT_URL DEL ": "live/test_commands.py::test_ps_and_kill",
    'redis-cli -u "$(echo "$CELERY_BROKER_URL" ': (
        "live/test_commands.py::test_redis_cli_with_a_password"
    ),
    'redis-cli -u "$REDBEAT" DEL ': "live/test_commands.py::test_ps_and_kill",
    "BROKER=": "live/test_commands.py::test_redis_cli",
    "REDBEAT=": "live/test_commands.py::test_redis_cli",
    "DATABASE=": "live/test_commands.py::test_psql",
    "redis-cli ": "live/test_commands.py::test_redis_cli",
    'psql "$DATABASE" -c "SELECT left(': (
        "live/test_known_tables.py::test_three_records_of_the_same_tasks"
    ),
    'psql "$DATABASE" -c "SELECT right(traceback, 200), count(*), max(date_done) FROM (': (
        "live/test_known_tables.py::test_three_records_of_the_same_tasks"
    ),
    'psql "$DATABASE" -c "SELECT right(': "live/test_known_tables.py::test_django_celery_results",
    "psql ": "live/test_commands.py::test_psql",
    "celery ": "live/test_commands.py::test_celery",
    "ps ": "live/test_commands.py::test_ps_and_kill",
    "curl ": "live/test_commands.py::test_exporter",
    "grep . /proc/": "live/test_commands.py::test_exporter",
    "kill -HUP ": "live/test_commands.py::test_exporter",
    "kill ": "live/test_commands.py::test_ps_and_kill",
    "date ": "live/test_commands.py::test_date",
    "make ": "live/test_commands.py::test_make",
    "benchmarks/": "live/test_commands.py::test_benchmarks",
    ".venv/bin/python benchmarks/": "live/test_commands.py::test_benchmarks",
    "python3 grafana/check.py --prometheus ": "live/test_dashboards.py::test_no_panel_is_empty",
    "python3 grafana/check.py": "live/test_commands.py::test_rules_of_dashboards",
    "kubectl ": "packaging/test_kubernetes.py::test_kubectl",
    "docker compose ": "packaging/test_compose.py::test_a_killed_beat_is_told_of",
    "docker ": "packaging/test_image.py::test_commands",
    "podman build ": "packaging/test_image.py::test_two_builds_hold_the_same_bytes",
    "sudo": "packaging/test_debian_package.py::test_commands",
    "systemd-analyze security": "packaging/test_debian_package.py::test_unit_is_confined",
    "systemctl ": "packaging/test_debian_package.py::test_commands",
    "journalctl ": "packaging/test_debian_package.py::test_commands",
    "dmesg ": "packaging/test_debian_package.py::test_commands",
    "timedatectl ": "packaging/test_debian_package.py::test_commands",
    "htpasswd ": "packaging/test_debian_package.py::test_commands",
    "chronyc ": "packaging/test_debian_package.py::test_commands",
}

# What no test runs, and why.
RUN_BY_NOBODY = {
    "swift build && .venv/bin/python Tests/with_servers.py swift test --filter RedBeatTracker": (
        "builds the program once more; `make test` runs the same without the filter"
    ),
    "CELERY_BEAT_EXPORTER_BINARY=.build/debug/celery-beat-exporter"
    " .venv/bin/python -m pytest -q Tests/live/test_redbeat.py": "the same",
}


@dataclass(frozen=True)
class Command:
    page: str
    text: str
    is_block: bool

    @property
    def test(self) -> str | None:
        """The test that runs it, as FILE::NAME; None if none does."""
        if self.is_block and self.page in BLOCKS_OF:
            return BLOCKS_OF[self.page]
        tests = (test for start, test in BEGINNINGS.items() if self.text.startswith(start))
        return next(tests, None)


def documented() -> Iterator[Command]:
    """Those of all pages: in blocks for a shell or indented, in comments, and within sentences."""
    pages = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("recorder/*.md")]
    for path in pages:
        page, text = str(path.relative_to(PROJECT)), path.read_text()
        for language, block in FENCE.findall(text):
            if language in COMMAND_FENCES:
                yield Command(page, block.rstrip(), is_block=True)
            else:
                comments = re.findall("# (.+)$", block, re.MULTILINE)
                yield from (Command(page, one, False) for one in comments if COMMAND.match(one))
        text = FENCE.sub("", text)
        for block in INDENTED.findall(text):
            for line in re.sub(r"\\\n +", "", block).splitlines():
                # After two spaces it is told what the command does.
                several = line.strip().partition("  ")[0]
                for one in re.split(r", (?=make )", several):
                    yield Command(page, one, is_block=True)
        for code in INLINE.findall(INDENTED.sub("", text)):
            if COMMAND.match(code):
                yield Command(page, code, is_block=False)


def urls() -> str:
    """The lines of the runbooks that set what their commands use as URLs, from the exporter's variables."""
    lines = {one.text for one in documented() if re.match("(BROKER|REDBEAT|DATABASE)=", one.text)}
    return "\n".join(sorted(lines))


def commands(test: str) -> set[str]:
    """What a test, FILE::NAME, has to run."""
    return {one.text for one in documented() if one.test == test}

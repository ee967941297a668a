"""The examples of docs/configuration.md, as they stand there but for addresses."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from checks import program
from contents import fill_database, fill_redis
from exporter_signs import source_up
from servers import wait_until
from stack import PROJECT, RULES, Exporter, Prometheus

SECONDS = 60.0  # longest wait for something that normally takes a few
SECRETS = "/run/secrets"
DATABASE = "postgresql://exporter@db.bank.example/bank"
ADDRESS = "localhost:9808"


@pytest.fixture
def examples() -> tuple[str, str]:
    """The exporter's file and Prometheus's."""
    text = (PROJECT / "docs" / "configuration.md").read_text()
    exporter, prometheus = re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert prometheus.count(ADDRESS) == 2
    return exporter, prometheus


def test_the_files_work_together(
    folder: Path,
    exporter: Callable[..., Exporter],
    examples: tuple[str, str],
    redis_url: str,
    database_url: str,
) -> None:
    fill_redis(redis_url)
    fill_database(database_url)
    own, scrapes = examples
    (folder / "shop-broker").write_text(redis_url)
    (folder / "shop-database").write_text(database_url)
    path = folder / "exporter.yml"
    own = own.replace(SECRETS, str(folder)).replace(DATABASE, database_url)
    path.write_text(own)
    checked = program("--config.check", f"--config.file={path}")
    assert (checked.returncode, checked.stderr) == (0, "")
    # The test's flag says where to listen.
    one = exporter(f"--config.file={path}")
    assert source_up(one.probe("shop")) == {"broker": 1, "redbeat": 1, "database": 1}

    text = scrapes.replace(ADDRESS, f"127.0.0.1:{one.port}").replace("10s", "1s")
    file = folder / "scrapes.yml"
    file.write_text(text)
    promtool = ["promtool", "check", "config", str(file)]
    done = subprocess.run(promtool, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    # As CeleryBeatExporterDown looks for it: by the names of jobs.
    scraped = re.search(r"up\{job=~[^}]+\}", RULES.read_text())
    assert scraped
    with Prometheus(folder, exporter_port=one.port, configuration=text) as prometheus:

        def found() -> set[tuple[str, str, str]]:
            labels = (one["metric"] for one in prometheus.query(f"{scraped[0]} == 1"))
            return {(one["job"], one["instance"], one.get("target", "")) for one in labels}

        instance = f"127.0.0.1:{one.port}"
        expected = {
            ("celery-beat-exporter", instance, ""),
            ("celery-beat-exporter-applications", instance, "shop"),
            ("celery-beat-exporter-applications", instance, "bank"),
        }
        wait_until(lambda: found() == expected, SECONDS, "every scrape")
        # A scrape that comes too late ends all series for a second.
        (beat,) = wait_until(
            lambda: prometheus.query('celery_beat_up{scheduler="redbeat"}'), SECONDS, "beat"
        )
        assert (beat["metric"]["target"], beat["value"][1]) == ("shop", "1")


def test_every_flag_that_is_named_exists() -> None:
    named = set(
        re.findall(r"--[a-z]+\.[a-z.-]+[a-z]", (PROJECT / "docs/configuration.md").read_text())
    )
    known = set(re.findall(r"--[a-z]+\.[a-z.-]+[a-z]", program("--help").stdout))

    assert {"--config.file", "--broker.url-file"} <= named <= known

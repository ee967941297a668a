"""The Dockerfile: built for real, and the image run as a hardened container beside a real Celery."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from container_engine import Engine
from documented_commands import commands
from exporter_image import IMAGE, build
from servers import PostgresServer, RedisServer, free_port, wait_until
from stack import beat, fetch, parse_metrics, worker

MEGABYTE = 1_000_000
SECONDS = 60.0  # longest wait for something that normally takes a moment
COMMANDS = commands("packaging/test_image.py::test_commands")


@pytest.fixture
def container(engine: Engine) -> Iterator[str]:
    """The name of a container, which is gone after the test."""
    name = "exporter-under-test"
    yield name
    print(engine("logs", name))  # shown when the test has failed
    engine("rm", "--force", "--time", "0", name)


# No right of root's, nothing writable, no way to more rights.
HARDENED = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=64m")


def test_says_how_it_is_run(engine: Engine, image: str) -> None:
    configuration = engine.inspect(image)["Config"]
    labels = configuration.pop("Labels")
    del configuration["Env"]
    program = "/usr/local/bin/celery-beat-exporter"
    health = engine.inspect(image)["Healthcheck"]
    assert configuration == {
        "User": "65534:65534",
        "ExposedPorts": {"9808/tcp": {}},
        "Entrypoint": [program],
        "StopSignal": "SIGTERM",
    }
    assert health["Test"] == ["CMD", program, "healthcheck"]
    assert labels["org.opencontainers.image.title"] == "celery-beat-exporter"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_is_small(engine: Engine, image: str) -> None:
    size = engine.inspect(image)["Size"] / MEGABYTE
    print(f"{size:.0f} MB")
    assert size < 130


def test_two_builds_hold_the_same_bytes(
    engine: Engine, lent: Mapping[Path, str], image: str
) -> None:
    """Compared by layer: Docker's image format also names the container that an image was made in."""
    again = build(engine, lent, "--no-cache", tag=f"{IMAGE}-again")
    assert engine.inspect(again)["RootFS"] == engine.inspect(image)["RootFS"]


def test_watches_a_real_celery(engine: Engine, image: str, container: str, folder: Path) -> None:
    port = free_port()
    with (
        RedisServer(folder) as redis,
        PostgresServer(folder) as postgres,
        worker(folder, broker_url=redis.url, database_url=postgres.url),
        beat(folder, broker_url=redis.url, database_url=postgres.url),
    ):
        engine(
            *("run", "--detach", "--name", container, "--network=host", *HARDENED),
            *("--env", f"CELERY_BROKER_URL={redis.url}", "--env", f"DATABASE_URL={postgres.url}"),
            *("--env", f"CELERY_BEAT_EXPORTER_WEB_LISTEN_ADDRESS=127.0.0.1:{port}", image),
        )

        def seen() -> bool:
            try:
                metrics = parse_metrics(fetch(f"http://127.0.0.1:{port}/metrics"))
            except OSError:
                return False
            return metrics.get(
                ("celery_beat_up", frozenset({("scheduler", "redbeat")}))
            ) == 1 and any(name == "celery_task_results_total" for name, _ in metrics)

        wait_until(seen, SECONDS, "the exporter to see beat and tasks")
        engine("stop", "--time", "10", container)
    assert json.loads(engine("inspect", container))[0]["State"]["ExitCode"] == 0


def test_is_healthy_while_it_answers(engine: Engine, image: str, container: str) -> None:
    engine(
        *("run", "--detach", "--name", container, "--network=none", *HARDENED),
        *("--env", "CELERY_BROKER_URL=redis://127.0.0.1:1/0", image),
    )

    def healthy() -> bool:
        try:
            engine("healthcheck", "run", container)
        except subprocess.CalledProcessError:
            return False
        return True

    wait_until(healthy, SECONDS, "the container to be healthy, its Redis being away")
    engine("kill", "--signal", "STOP", container)
    wait_until(lambda: not healthy(), SECONDS, "the container to be unhealthy, its program hanging")
    engine("kill", "--signal", "CONT", container)
    wait_until(healthy, SECONDS, "the container to be healthy again")


def test_commands(engine: Engine, lent: Mapping[Path, str], image: str, container: str) -> None:
    """Docker's of docs/install.md and docs/check.md, by podman."""
    (make,) = [one for one in COMMANDS if one.startswith("docker build ")]
    (start,) = [one for one in COMMANDS if one.startswith("docker run ")]
    (check,) = [one for one in COMMANDS if one.startswith("docker exec ")]
    assert {make, start, check} == COMMANDS
    name = "localhost/celery-beat-exporter-by-docker"
    build(engine, lent, tag=name, command=make)

    port = free_port()
    start = start.replace("-p 9808:", f"-p 127.0.0.1:{port}:")
    # Other engines of this machine may have a network of the default's addresses.
    engine("network", "create", container)
    start = start.replace("docker run", f"run --detach --name {container} --network={container}")
    # Nobody answers at these addresses, which is what it then tells.
    for theirs in ("host:6379", "@host/"):
        start = start.replace(theirs, theirs.replace("host", "127.0.0.1"))
    assert start.endswith(" celery-beat-exporter")
    engine(*shlex.split(start)[:-1], name)

    def sources() -> dict[str, float]:
        try:
            metrics = parse_metrics(fetch(f"http://127.0.0.1:{port}/metrics"))
        except OSError:
            return {}
        up = "celery_beat_exporter_source_up"
        return {
            dict(labels)["source"]: value for (one, labels), value in metrics.items() if one == up
        }

    down = {"redbeat": 0, "broker": 0, "database": 0}
    wait_until(lambda: sources() == down, SECONDS, "the exporter to have tried its sources")
    words = shlex.split(check.replace("docker ", "").replace("CONTAINER", container))
    with pytest.raises(subprocess.CalledProcessError) as failure:
        engine(*words)
    assert failure.value.returncode == 1
    told = failure.value.stdout
    assert "FAIL  broker " in told and "FAIL  database " in told

"""The Dockerfile: built for real, and the image run as a hardened container beside a real Celery.

Swift's image is a Debian with this machine's toolchain lent to it while it builds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from container_engine import PROJECT, Engine
from servers import PostgresServer, RedisServer, free_port, wait_until
from stack import beat, fetch, parse_metrics, worker

IMAGE = "localhost/celery-beat-exporter:test"
DEBIAN = "debian:bookworm-slim"
SWIFT = "swift:6.3-bookworm"
# What Swift's own image has besides the toolchain, as far as this build needs it.
SWIFT_PACKAGES = [
    "binutils",
    "ca-certificates",
    "gcc",
    "git",
    "libc6-dev",
    "libcurl4",
    "libedit2",
    "libncurses6",
    "libpython3.11",
    "libsqlite3-0",
    "libstdc++-12-dev",
    "libxml2",
    "pkg-config",
    "tzdata",
]
MEGABYTE = 1_000_000
SECONDS = 30.0  # longest wait for something that normally takes a moment


@pytest.fixture(scope="module")
def lent(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The base images, made; and what Swift's needs of this machine, by where it is seen."""
    engine.import_debian(DEBIAN)
    engine.import_debian("swift-packages", SWIFT_PACKAGES)
    toolchain = Path(shutil.which("swift")).parents[2]
    folder = tmp_path_factory.mktemp("swift")
    (folder / "Dockerfile").write_text(
        f"FROM localhost/swift-packages\nENV PATH={toolchain}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    )
    engine.build(folder, tag=f"localhost/{SWIFT}")
    # Where git is told to find packages elsewhere on this machine, it must find them there too.
    mapped = subprocess.run(
        ["git", "config", "--get-regexp", r"^url\..*\.insteadof$"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    settings = folder / "gitconfig"
    settings.touch()
    lent = {toolchain: str(toolchain), settings: "/etc/gitconfig"}
    for line in mapped.splitlines():
        key, replaced = line.split(" ", 1)
        subprocess.run(["git", "config", "--file", settings, "--add", key, replaced], check=True)
        source = Path(key.removeprefix("url.").removesuffix(".insteadof"))
        if source.is_dir():
            lent[source] = str(source)
    return lent


def build(engine: Engine, lent: dict[Path, str], tag: str, *arguments: str) -> str:
    return engine.build(PROJECT, "--timestamp=1700000000", *arguments, tag=tag, lent=lent)


@pytest.fixture(scope="module")
def image(engine: Engine, lent: dict[Path, str]) -> str:
    """The identity of the image built from this tree."""
    return build(engine, lent, IMAGE)


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
    assert size < 130, f"{size:.0f} MB"


def test_two_builds_hold_the_same_bytes(engine: Engine, lent: dict[Path, str], image: str) -> None:
    """Compared by layer: Docker's image format also names the container that an image was made in."""
    again = build(engine, lent, f"{IMAGE}-again", "--no-cache")
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

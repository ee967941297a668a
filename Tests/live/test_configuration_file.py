"""The configuration file: what it says is done, and what it says wrongly is refused with its line."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from checks import program
from readers_application import value
from servers import wait_until
from stack import Exporter
from test_configuration import SECRET, refusal, variable

SCHEDULE = """
schedule:
  - task: shop.orders.import_orders
    interval: 10s
"""
DATABASE = "database.url: postgresql://h/d\n"


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "exporter.yml"


def test_a_file_alone(path: Path, redis_url: str, exporter: Callable[..., Exporter]) -> None:
    path.write_text(
        f"""
broker:
  url: {redis_url}
  visibility-timeout: 2h
beat: {{grace: 7s, scheduler: redbeat}}
queues: [mail, reports]
queues.discover: no
"""
    )
    metrics = exporter(f"--config.file={path}").metrics()
    assert value(metrics, "celery_beat_grace_seconds", scheduler="redbeat") == 7
    assert value(metrics, "celery_beat_up", scheduler="redbeat") == 0
    assert value(metrics, "celery_unacked_visibility_timeout_seconds") == 7200
    assert value(metrics, "celery_queue_length", queue_name="mail") == 0
    assert value(metrics, "celery_queue_length", queue_name="reports") == 0

    # A variable wins over the file, a flag over both.
    told = {variable("config.file"): str(path), variable("beat.grace"): "8s"}
    metrics = exporter(**told).metrics()
    assert value(metrics, "celery_beat_grace_seconds", scheduler="redbeat") == 8
    metrics = exporter("--beat.grace=9s", **told).metrics()
    assert value(metrics, "celery_beat_grace_seconds", scheduler="redbeat") == 9


@pytest.mark.parametrize(
    ("text", "line", "right"),
    [
        (
            "broker.url: redis://h\nbeat:\n  scheduler: [redbeat, redbeat]\n",
            3,
            "an exporter of its",
        ),
        ("broker.url: redis://h\nbeat.scheduler: django\n", 2, "--database.url"),
        (f"broker.url: redis://h\n{SCHEDULE}", 4, "--database.url"),
        (f"{DATABASE}beat.scheduler: django\n{SCHEDULE}", 5, "add it there"),
        (DATABASE + SCHEDULE.replace("10s", "0s"), 5, "30s, 5m"),
        (DATABASE + SCHEDULE.replace("10s", "often"), 5, "30s, 5m"),
        (DATABASE + SCHEDULE + "    zone: UTC\n", 6, "remove it"),
        (
            DATABASE + SCHEDULE.replace("interval: 10s", "crontab: 0 4 * * *\n    zone: Mars/Base"),
            6,
            "Europe/Paris",
        ),
        (DATABASE + SCHEDULE + SCHEDULE.replace("\nschedule:", ""), 7, "entry:"),
        ("broker.url: redis://h\nbeat:\n  grcae: 2s\n", 3, "beat.grace"),
        ("broker.url: redis://h\nbeat:\n  grace: soon\n", 3, "1h30m"),
        (f"broker.url: redis://h:{SECRET}/0\n", 1, "1 to 65535"),
        (f"broker.url: 'redis://:{SECRET}@h\n", 2, "quoted scalar"),
    ],
)
def test_what_contradicts_is_refused(path: Path, text: str, line: int, right: str) -> None:
    path.write_text(text)
    told = refusal(f"--config.file={path}")
    assert told.startswith(f"celery-beat-exporter: {path}:{line}: ")
    assert right in told
    assert SECRET not in told


def test_a_file_that_cannot_be_read(path: Path) -> None:
    assert f"cannot read {path}: No such file" in refusal(f"--config.file={path}")


def test_a_file_of_many_bytes(path: Path) -> None:
    path.write_bytes(b"#" * (2 << 20))
    assert "larger than 1048576 bytes" in refusal(f"--config.file={path}")


def test_a_missing_django_that_is_expected(
    database_url: str, exporter: Callable[..., Exporter]
) -> None:
    """Whoever names a scheduler is told that it is missing; what is not named is not looked for."""
    watcher = exporter(
        "--beat.scheduler=django",
        "--beat.max-loop-interval=100ms",
        "--beat.grace=100ms",
        "--collect.interval=200ms",
        DATABASE_URL=database_url,
        CELERY_BROKER_URL="redis://127.0.0.1:1",
    )

    def is_down() -> bool:
        return value(watcher.metrics(), "celery_beat_up", scheduler="django") == 0

    wait_until(is_down, 10, "celery_beat_up 0")
    metrics = watcher.metrics()
    assert value(metrics, "celery_beat_schedule_entries", scheduler="django") == 0
    assert not [labels for _, labels in metrics if ("collector", "redbeat") in labels]


# --config.check


@contextlib.contextmanager
def nobody_calls() -> Iterator[int]:
    """A port, and an assertion fails if anybody has connected to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_right_configuration_is_said_to_be_so(path: Path) -> None:
    """And no more is done than that: nothing is connected to, nothing listens."""
    with nobody_calls() as port:
        path.write_text(
            f"""
beat.grace: 3s
web.listen-address: 127.0.0.1:{port}
targets:
  shop: {{broker.url: "redis://127.0.0.1:{port}"}}
  bank:
    database.url: postgresql://127.0.0.1:{port}/bank
    schedule: [{{task: a, interval: 1h}}]
"""
        )
        done = program(
            "--config.check",
            f"--config.file={path}",
            CELERY_BROKER_URL=f"redis://127.0.0.1:{port}",
            DATABASE_URL=f"postgresql://127.0.0.1:{port}/d",
        )

    assert (done.returncode, done.stdout, done.stderr) == (0, "The configuration is valid.\n", "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "nothing to watch: "),
        ("broker.url: nowhere\n", "PATH:1: broker.url: not a URL"),
        ("broker.url-file: /nowhere\n", "PATH:1: broker.url-file: cannot read /nowhere: No such"),
        (f"{DATABASE}beat.grase: 3s\n", "PATH:2: beat.grase is no setting; did you mean"),
        (f"{DATABASE}collect.interval: 5\n", "PATH:2: collect.interval: not a duration"),
        (f"{DATABASE}web.listen-address: '9808'\n", "PATH:2: web.listen-address: write host:port"),
        (f"{DATABASE}web.telemetry-path: /probe\n", "PATH:2: web.telemetry-path: /probe is taken"),
        (f"{DATABASE}tables: []\n", "PATH:2: tables must be a list"),
        (f"{DATABASE}schedule: [{{task: a}}]\n", "PATH:2: an entry needs interval:"),
        (f"{DATABASE}targets: {{}}\n", "PATH:2: targets must be 1 to 500"),
        ("targets: {shop: {queues: a}}\n", "PATH:1: nothing to watch; give it broker.url"),
        ("{", "PATH:"),
    ],
)
def test_a_wrong_configuration_is_refused(path: Path, text: str, told: str) -> None:
    path.write_text(text)
    line = refusal("--config.check", f"--config.file={path}")

    assert line.startswith("celery-beat-exporter: " + told.replace("PATH", str(path)))


def test_flags_and_variables_are_checked_too() -> None:
    assert "--collect.interval: " in refusal("--config.check", "--collect.interval=5")
    assert "CELERY_BROKER_URL: " in refusal("--config.check", CELERY_BROKER_URL="redis://h:x")
    assert "'--config.check'" in refusal("--config.chekc")
    missing = refusal("--config.check", "--config.file=/nowhere.yml")
    assert missing.endswith("--config.file: cannot read /nowhere.yml: No such file or directory")

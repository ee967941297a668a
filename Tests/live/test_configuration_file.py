"""The configuration file: what it says is done, and what it says wrongly is refused with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
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

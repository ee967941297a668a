"""A list of brokers, `redis://a/1;redis://b/1`, of which Celery uses the one that works."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exporter_signs import log
from readers_application import Application, collected, succeed, value
from servers import RedisServer, wait_until
from stack import Exporter
from test_configuration import SECONDS

PASSWORD = "s3cr3t"
# A broker that stands still for as long as a busy machine may let it is not left for the other.
FLAGS = ("--collect.interval=200ms", "--collect.timeout=6s", "--queues=jobs")


@pytest.fixture
def brokers(folder: Path) -> Iterator[list[RedisServer]]:
    with contextlib.ExitStack() as stack:
        servers = []
        for name in ("first", "second"):
            own = folder / name
            own.mkdir()
            server = RedisServer(own, arguments=["--requirepass", PASSWORD])
            servers.append(stack.enter_context(server))
        yield servers


def waiting(exporter: Exporter) -> float | None:
    return value(collected(exporter, "queues"), "celery_queue_length", queue_name="jobs")


def test_the_exporter_follows_celery(
    brokers: list[RedisServer],
    application: Callable[..., Application],
    exporter: Callable[..., Exporter],
) -> None:
    first, second = brokers
    url = ";".join(server.url.replace("/0", "/1") for server in brokers)
    shop = application(broker_url=url)
    shop.send(succeed, queue="jobs")
    # As a Secret has it.
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=f"{url}\n")
    assert waiting(watcher) == 1

    first.kill()
    for _ in range(2):
        shop.send(succeed, queue="jobs")
    wait_until(lambda: waiting(watcher) == 2, SECONDS, "the second broker")
    assert value(watcher.metrics(), "celery_beat_exporter_source_up", source="broker") == 1
    (advice,) = [event for event in log(watcher) if event["msg"] == "advice"]
    assert f"redis://127.0.0.1:{second.port}/1 is read" in advice["detail"]
    assert f"redis://127.0.0.1:{first.port}/1: Connection refused" in advice["detail"]

    # It came back empty, and as long as the second one answers nobody goes back.
    first.start()
    assert waiting(watcher) == 2
    second.pause()
    try:
        wait_until(lambda: waiting(watcher) == 0, SECONDS, "the first broker again")
    finally:
        second.resume()

    second.kill()
    first.kill()

    places = ";".join(f"redis://127.0.0.1:{server.port}/1" for server in brokers)
    refused = f"connect to {places}: none answers (Connection refused)"

    def is_told() -> bool:
        return any(event.get("error", "").startswith(refused) for event in log(watcher))

    wait_until(is_told, SECONDS, "word of both brokers")
    metrics = collected(watcher, "queues")
    assert value(metrics, "celery_beat_exporter_source_up", source="broker") == 0
    assert PASSWORD not in watcher.log.read_text()

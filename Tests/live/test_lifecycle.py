"""Who may have the configuration reloaded, and what becomes of log lines that nobody reads."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from exporter_signs import NOWHERE, log, logfmt, reloads
from http_requests import SECONDS, ask
from readers_application import by_label
from servers import wait_until
from stack import Exporter
from test_configuration import variable

BROKER = {"CELERY_BROKER_URL": f"redis://{NOWHERE}"}
ON = "--web.enable-lifecycle"


def test_it_is_off(exporter: Callable[..., Exporter]) -> None:
    one = exporter(**BROKER)
    answer, body = ask(one, "POST", "/-/reload")

    assert answer.status == 403
    assert body.startswith(b"Lifecycle API is not enabled.")
    assert ON.encode() in body and b"kill -HUP" in body
    assert reloads(one) == 0
    os.kill(one.pid, signal.SIGHUP)
    wait_until(lambda: reloads(one) == 1, SECONDS, "a reload by the signal")


def test_a_variable_switches_it_on(exporter: Callable[..., Exporter]) -> None:
    one = exporter(**BROKER, **{variable("web.enable-lifecycle"): "true"})

    assert ask(one, "POST", "/-/reload")[0].status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere"},
        {"Origin": "null"},
        {"Origin": ""},
        {"origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Referer": "http://elsewhere/"},
        {"Origin": "null", "Content-Type": "application/x-www-form-urlencoded"},
    ],
)
def test_no_page_may(lenient: Exporter, headers: dict[str, str]) -> None:
    """Nor one of the exporter's own, whose name another site may borrow."""
    before = reloads(lenient)
    answer, body = ask(lenient, "POST", "/-/reload", b"a=b", headers)

    assert (answer.status, body.split(b":")[0]) == (403, b"Not reloaded")
    assert reloads(lenient) == before


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with Exporter(tmp_path_factory.mktemp("lenient"), ON, environment=BROKER) as one:
        yield one


def test_a_storm_is_one_a_second(exporter: Callable[..., Exporter]) -> None:
    one = exporter(ON, **BROKER)
    start = time.monotonic()

    def storm(_: int) -> set[int]:
        return {ask(one, "POST", "/-/reload")[0].status for _ in range(50)}

    with ThreadPoolExecutor(8) as threads:
        statuses = set().union(*threads.map(storm, range(8)))
        for _ in range(100):
            os.kill(one.pid, signal.SIGHUP)
    assert statuses == {200, 429}
    wait_until(lambda: ask(one, "POST", "/-/reload")[0].status == 200, SECONDS, "another")
    wait_until(lambda: reloads(one) >= 2, SECONDS, "a line in the log")
    seconds = time.monotonic() - start
    # As many by signals.
    assert reloads(one) <= 2 * (seconds + 1)
    assert len(log(one)) < 20 + 2 * seconds


def test_it_says_when_to_come_again(exporter: Callable[..., Exporter]) -> None:
    one = exporter(ON, **BROKER)
    answers = [ask(one, "POST", "/-/reload") for _ in range(2)]
    while answers[-1][0].status == 200:
        answers.append(ask(one, "POST", "/-/reload"))

    assert (answers[-1][0].status, answers[-1][0].headers["Retry-After"]) == (429, "1")


class Unread(Exporter):
    """An exporter whose standard error is a pipe that is full from the start."""

    FILLER = b"x" * 4095 + b"\n"

    def __init__(self, folder: Path, *flags: str, environment: dict[str, str]) -> None:
        super().__init__(folder, *flags, environment=environment)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self._writer, self.FILLER)
        os.set_blocking(self._writer, True)
        # Through /proc it would be opened anew; the shell hands its own descriptor on.
        os.set_inheritable(self._writer, True)

    def start(self) -> None:
        self._child = subprocess.Popen(
            [*self._wrapper(), *self.command],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._writer,
        )
        os.close(self._writer)
        wait_until(self.answers, SECONDS, "the exporter to be ready")

    def read(self) -> list[dict[str, str]]:
        """All that it has said, until it has ended."""
        with open(self._reader, "rb") as stream:
            text = stream.read().decode()
        return logfmt(re.sub("^x*\n", "", text, flags=re.MULTILINE))


def test_nobody_reads_the_log(folder: Path, redis_url: str) -> None:
    """It serves, collects and reloads as ever, and ends when it is told to."""
    flags = (ON, "--collect.interval=100ms", "--log.level=debug")
    one = Unread(folder, *flags, environment={"CELERY_BROKER_URL": redis_url})
    one.start()
    try:
        assert ask(one, "POST", "/-/reload")[0].status == 200
        last = time.time()

        def collected() -> bool:
            name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
            return min(by_label(one.metrics(), name, "collector").values()) > last

        wait_until(collected, SECONDS, "collections")
    finally:
        os.kill(one.pid, signal.SIGTERM)
    assert one._child.wait(SECONDS) == 0


def test_what_waited_comes_in_its_order(folder: Path) -> None:
    one = Unread(folder, ON, environment=BROKER)
    one.start()
    with ThreadPoolExecutor(1) as threads:
        assert ask(one, "POST", "/-/reload")[0].status == 200
        reading = threads.submit(one.read)
        os.kill(one.pid, signal.SIGTERM)
        assert one._child.wait(SECONDS) == 0
        messages = [event["msg"] for event in reading.result()]

    assert messages[0] == "serving"
    assert messages[-1] == "stopping"
    assert "configuration reloaded" in messages

"""PostgreSQL servers that lie: whatever they send, collections end in time and the others go on."""

from __future__ import annotations

import contextlib
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Authority
from contents import TASK, fill_database
from exporter_signs import log, source_up
from lying_servers import (
    LIES,
    LyingServer,
    answering,
    encrypted,
    flooding,
    row,
    row_description,
    scram,
    silence,
)
from readers_application import value, values
from servers import wait_until
from stack import Exporter

INTERVAL = 1.0
TIMEOUT = 2.0
SECONDS = 60.0
MEGABYTES = 64.0  # above what an exporter of the same targets needs that cannot reach them
LINE_BYTES = 8192


def status(exporter: Exporter, key: str) -> int:
    lines = Path(f"/proc/{exporter.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))


def processor_seconds(exporter: Exporter) -> float:
    fields = Path(f"/proc/{exporter.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def address(server: LyingServer, parameters: str = "") -> str:
    return f"postgresql://user:password@127.0.0.1:{server.port}/database{parameters}"


@pytest.fixture
def context(authority: Authority) -> ssl.SSLContext:
    certificate = authority.issue("liar")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key)
    return context


@pytest.fixture
def watch(folder: Path, exporter: Callable[..., Exporter]) -> Iterator[Callable[..., Exporter]]:
    """Starts an exporter of databases by name: `watch(bank=url)`."""

    def start(**urls: str) -> Exporter:
        path = folder / "exporter.yml"
        targets = {name: {"database.url": url} for name, url in urls.items()}
        path.write_text(json.dumps({"targets": targets}))
        return exporter(
            f"--config.file={path}",
            f"--collect.interval={INTERVAL:g}s",
            f"--collect.timeout={TIMEOUT:g}s",
        )

    yield start


def collections(exporter: Exporter, name: str) -> dict[str, float]:
    """How long the last collections took, by collector."""
    family = "celery_beat_exporter_collector_duration_seconds"
    return {
        dict(labels)["collector"]: seconds
        for (sample, labels), seconds in exporter.probe(name).items()
        if sample == family
    }


def last_success(exporter: Exporter, name: str) -> float:
    family = "celery_beat_exporter_collector_last_success_timestamp_seconds"
    return min(values(exporter.probe(name), family))


def test_all_lies_at_once(watch: Callable[..., Exporter], database_url: str) -> None:
    fill_database(database_url)
    with contextlib.ExitStack() as liars:
        servers = [liars.enter_context(LyingServer(lie)) for lie in LIES.values()]
        urls = {
            name.replace(" ", "-"): address(one) for name, one in zip(LIES, servers, strict=True)
        }
        one = watch(honest=database_url, **urls)
        threads = status(one, "Threads")

        for name in urls:
            wait_until(
                lambda name=name: len(collections(one, name)) == 4, SECONDS, f"{name} to end"
            )
        start = time.time()
        wait_until(
            lambda: last_success(one, "honest") > start, SECONDS, "the honest one to be read"
        )

        # A busy machine may let it stand still for longer than a collection may take.
        wait_until(
            lambda: source_up(one.probe("honest")) == {"database": 1}, SECONDS, "the honest one"
        )
        wait_until(
            lambda: value(one.probe("honest"), "celery_task_in_progress", task_name=TASK) == 1,
            SECONDS,
            "its task",
        )
        wait_until(lambda: status(one, "Threads") <= threads, SECONDS, "threads to end")
        for name in urls:
            # Waiting for a free connection, connecting and each question have a timeout of their own.
            longest = max(collections(one, name).values())
            assert longest < 3 * TIMEOUT + SECONDS, f"{name} took {longest} s"
        peak = status(one, "VmHWM") / 1024

    # Nobody is left that keeps it busy: the liars are gone.
    wait_until(lambda: idles(one), SECONDS, "the exporter to have nothing to do")
    assert status(one, "Threads") <= threads
    lines = one.log.read_bytes().split(b"\n")
    assert max(map(len, lines)) <= LINE_BYTES
    assert not [line for line in lines if b"\x1b" in line or line.startswith(b"time=2026-01-01")]
    assert not [event for event in log(one) if event["msg"] == "forged"]
    memory = peak - idle_megabytes(watch, urls)
    print(f"{len(LIES)} liars at once: {memory:.0f} MB more than without")
    # Four collections of each, all at the same moment.
    assert memory < 3 * MEGABYTES


def idles(exporter: Exporter) -> bool:
    """Whether it needs less than half a core in a second."""
    before, start = processor_seconds(exporter), time.monotonic()
    time.sleep(INTERVAL)
    return processor_seconds(exporter) - before < (time.monotonic() - start) / 2


def idle_megabytes(watch: Callable[..., Exporter], urls: dict[str, str]) -> float:
    """What it needs where none of its targets is there."""
    return status(watch(**urls), "VmHWM") / 1024


@pytest.mark.parametrize("rounds", [b"2147483647", b" +00002147483647", b"4294967295"])
def test_a_login_that_costs_too_much(
    watch: Callable[..., Exporter], context: ssl.SSLContext, rounds: bytes
) -> None:
    with LyingServer(scram(rounds)) as plain, LyingServer(encrypted(scram(rounds), context)) as tls:
        one = watch(plain=address(plain), tls=address(tls, "?sslmode=require"))
        words = (
            "the server asks for more than 100000 rounds of hashing (scram_iterations) for a login"
        )

        def refused() -> list[str]:
            return [error for error in failures(one) if error.rpartition(": ")[2] == words]

        wait_until(lambda: len(refused()) >= 8, SECONDS, "all collections to fail")
        # A busy machine may let one take too long.
        others = [error for error in failures(one) if error not in refused()]
        assert all(" within " in error for error in others), others


def failures(exporter: Exporter) -> list[str]:
    return [event["error"] for event in log(exporter) if event["msg"] == "collection failed"]


def test_lies_under_tls(watch: Callable[..., Exporter], context: ssl.SSLContext) -> None:
    lies = {
        "rows": flooding(row(b"1" * 1000), row_description(1)),
        "silence": answering(silence),
        "row": LIES["a row of a gigabyte"],
        "copy": LIES["copy in"],
    }
    with contextlib.ExitStack() as liars:
        servers = {
            name: liars.enter_context(LyingServer(encrypted(lie, context)))
            for name, lie in lies.items()
        }
        one = watch(
            **{name: address(server, "?sslmode=require") for name, server in servers.items()}
        )
        wait_until(lambda: len(failures(one)) >= 4 * len(lies), SECONDS, "all collections to fail")

        for name, reason in {
            "rows": "it sends more than 4 MB of rows, and is not read further",
            "silence": "no answer within",
            "row": "it sends more than 256 kB for a row, and is not read further",
            "copy": "the server answers what it was not asked",
        }.items():
            wait_until(
                lambda name=name, reason=reason: any(
                    reason in event.get("error", "")
                    for event in log(one)
                    if event.get("target") == name
                ),
                SECONDS,
                f"{name}: {reason}",
            )
        wait_until(lambda: idles(one) or True, SECONDS, "a second")
        assert status(one, "VmHWM") / 1024 < 2 * MEGABYTES

"""The liveness probe of the Kubernetes example, on real beats with RedBeat: when it ends one, and when not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from container_engine import PROJECT
from servers import RedisServer, wait_until
from stack import CeleryProcess, beat

SCRIPT = PROJECT / "deploy" / "kubernetes" / "beat" / "beat_alive.py"
LOCK = "redbeat::lock"
# The application has an entry every 5 s, so its beat ticks as often.
MAX_INTERVAL = "6"
TICK_SECONDS = "3"
SECONDS = 60.0  # longest wait for something that takes some intervals
PROBE_SECONDS = 60.0


@pytest.fixture
def server(folder: Path) -> Iterator[RedisServer]:
    with RedisServer(folder) as server:
        yield server


@pytest.fixture
def living(folder: Path, server: RedisServer) -> Iterator[CeleryProcess]:
    """A beat that has its lock."""
    with beat(folder, broker_url=server.url) as process:
        wait_until(lambda: probe(process, server) and has_lock(server), SECONDS, "its lock")
        yield process
        process.resume()


def has_lock(server: RedisServer) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return bool(client.exists(LOCK))


def probe(process: CeleryProcess, server: RedisServer) -> bool:
    """Whether the probe lets this beat live."""
    result = subprocess.run(
        [
            *(sys.executable, SCRIPT, f"--pid={process.pid}", f"--tick-seconds={TICK_SECONDS}"),
            f"--memory={process.folder}/{process.name}-alive",
        ],
        env={"REDBEAT_REDIS_URL": server.url, "BEAT_MAX_INTERVAL": MAX_INTERVAL},
        capture_output=True,
        text=True,
        timeout=PROBE_SECONDS,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    assert (result.returncode == 1) == ("has not renewed its lock" in result.stderr)
    assert "Traceback" not in result.stderr
    return result.returncode == 0


def wait_for_renewals(server: RedisServer, process: CeleryProcess, count: int) -> None:
    """Waits until the lock has been renewed some times; the probe must be content all the while."""
    with redis.Redis.from_url(server.url) as client:
        for _ in range(count):
            before = client.pttl(LOCK)

            def renewed(before: int = before) -> bool:
                assert probe(process, server)
                return client.pttl(LOCK) > before

            wait_until(renewed, SECONDS, "a renewal of the lock")


def test_lets_a_living_beat_live(living: CeleryProcess, server: RedisServer) -> None:
    wait_for_renewals(server, living, 3)


def test_ends_a_beat_that_hangs(living: CeleryProcess, server: RedisServer) -> None:
    living.pause()
    wait_until(lambda: not probe(living, server), SECONDS, "the probe to fail")
    living.resume()
    wait_until(lambda: probe(living, server), SECONDS, "the probe to be content")


def test_lets_a_beat_wait_for_the_lock_of_a_dead_one(
    living: CeleryProcess, server: RedisServer, folder: Path
) -> None:
    living.kill()
    with beat(folder, broker_url=server.url, name="next") as waiting:
        # Long enough for it to fail if the lock were taken for this beat's own.
        memory = folder / "dead-alive"
        wait_until(
            lambda: judged_by_its_lock(server, memory), SECONDS, "the dead beat to be judged"
        )
        assert probe(waiting, server)
        assert has_lock(server)


def judged_by_its_lock(server: RedisServer, memory: Path) -> bool:
    """Whether the lock has not been renewed for longer than allowed, whoever has it."""
    result = subprocess.run(
        # The first process of this machine is older than any lock.
        [sys.executable, SCRIPT, f"--tick-seconds={TICK_SECONDS}", f"--memory={memory}"],
        env={"REDBEAT_REDIS_URL": server.url, "BEAT_MAX_INTERVAL": MAX_INTERVAL},
        capture_output=True,
        timeout=PROBE_SECONDS,
        check=False,
    )
    return result.returncode == 1


@pytest.mark.parametrize("fault", ["stopped", "hanging"])
def test_an_outage_of_redis_is_not_beats(
    living: CeleryProcess, server: RedisServer, fault: str
) -> None:
    living.pause()  # it would not outlive the outage by itself
    wait_until(lambda: not probe(living, server), SECONDS, "the probe to fail")
    server.stop() if fault == "stopped" else server.pause()
    assert probe(living, server)
    # Its time starts anew when Redis is back.
    server.start() if fault == "stopped" else server.resume()
    assert probe(living, server)


@pytest.mark.parametrize(
    "token", [b"", b"not a uuid", b"\xff" * 32, b"0" * 32, b"f" * 32, b"x" * 100_000]
)
def test_others_locks_are_no_reason(
    living: CeleryProcess, server: RedisServer, token: bytes
) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set(LOCK, token, px=100_000)
    assert probe(living, server)


def test_broken_memory_is_no_reason(living: CeleryProcess, server: RedisServer) -> None:
    memory = living.folder / f"{living.name}-alive"
    for text in ("", "one two", "token 1 2 3", "\x00", "aa nan inf", "aa 1e999 -5"):
        memory.write_text(text)
        assert probe(living, server)

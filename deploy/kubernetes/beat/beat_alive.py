"""A liveness probe for Celery beat with RedBeat: exit code 1 if beat hangs, otherwise 0.

Beat sets the expiry of its lock anew at every tick, at the latest after its loop interval. It hangs
when the lock is its own and the expiry has stayed where it was for longer than that. Whatever else
is seen is no reason to end it:

- Redis cannot be read: beat cannot help it. Its time starts again when Redis is back.
- Nobody has the lock, or a beat from before this one's start has it: this one waits for it.

So a beat that hangs while it waits is not found, nor one whose lock was lost with Redis's data; the
exporter's alerts tell of them.

From the environment: REDBEAT_REDIS_URL or CELERY_BROKER_URL; BEAT_MAX_INTERVAL, beat's
`--max-interval` or `beat_max_loop_interval` in seconds, 300 if missing; REDBEAT_LOCK_KEY if it is not
RedBeat's default. What was seen last is kept in a file.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import uuid
from pathlib import Path

from redis import Redis, RedisError

REDIS_TIMEOUT_SECONDS = 3
# What a tick may take: sending what is due, and a processor that is short.
TICK_SECONDS = 60.0
# Two looks at the same expiry differ by the time that the answers took.
SAME_SECONDS = 0.5
UUID_EPOCH_UNIX_SECONDS = -12219292800  # 15 October 1582: RFC 9562


def token_time(token: bytes) -> float | None:
    """When the lock's owner asked for it, in Unix time: redis-py's tokens are UUIDs of version 1."""
    try:
        identity = uuid.UUID(hex=token.decode())
    except ValueError:
        return None
    return identity.time / 1e7 + UUID_EPOCH_UNIX_SECONDS if identity.version == 1 else None


def start_time(pid: int) -> float:
    """When a process started, in Unix time: proc_pid_stat(5), proc_stat(5)."""
    # The name before the last bracket may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[19])
    system = Path("/proc/stat").read_text()
    boot = next(int(line.split()[1]) for line in system.splitlines() if line.startswith("btime "))
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def lock_expiry(url: str, key: str, pid: int) -> tuple[bytes, float] | None:
    """The lock's token and when it runs out, by the monotonic clock; None if it is not this beat's.

    RedisError if Redis cannot be read.
    """
    client = Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
    )
    with client, client.pipeline(transaction=False) as pipeline:
        token, milliseconds = pipeline.get(key).pttl(key).execute()
    now = time.monotonic()
    if token is None or milliseconds < 0:
        return None
    acquired = token_time(token)
    # A whole second for the rounding of the boot time.
    if acquired is None or acquired < start_time(pid) - 1:
        return None
    return token, now + milliseconds / 1000


def hangs(expiry: tuple[bytes, float] | None, memory: Path, longest: float) -> bool:
    """Whether the same expiry has been seen for `longest` seconds. The memory is a line of a file."""
    if expiry is None:
        memory.unlink(missing_ok=True)
        return False
    token, runs_out = expiry
    now = time.monotonic()
    try:
        old_token, old_runs_out, since = memory.read_text().split()
        known = float(since) <= now  # or else it is of another boot
        if known and old_token == token.hex() and runs_out <= float(old_runs_out) + SAME_SECONDS:
            return now - float(since) > longest
    except (FileNotFoundError, ValueError):
        pass
    memory.write_text(f"{token.hex()} {runs_out} {now}")
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pid", type=int, default=1, help="beat's process (default: the first)")
    parser.add_argument("--tick-seconds", type=float, default=TICK_SECONDS)
    parser.add_argument("--memory", type=Path, default=Path("/tmp/beat-alive"))
    options = parser.parse_args()
    environment = os.environ
    url = environment.get("REDBEAT_REDIS_URL") or environment["CELERY_BROKER_URL"]
    key = environment.get("REDBEAT_LOCK_KEY", "redbeat::lock")
    longest = float(environment.get("BEAT_MAX_INTERVAL", "300")) + options.tick_seconds
    try:
        expiry = lock_expiry(url, key, options.pid)
    except (RedisError, OSError) as error:
        print(f"Redis cannot be read: {type(error).__name__}")
        expiry = None
    if hangs(expiry, options.memory, longest):
        print(f"beat has not renewed its lock for more than {longest:g} s", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs a command with a private Redis and PostgreSQL, named in TEST_REDIS_URL and TEST_DATABASE_URL."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from servers import PostgresServer, RedisServer


def main() -> int:
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        with RedisServer(folder) as redis, PostgresServer(folder) as postgres:
            environment = {"TEST_REDIS_URL": redis.url, "TEST_DATABASE_URL": postgres.url}
            return subprocess.run(
                sys.argv[1:], check=False, env={**os.environ, **environment}
            ).returncode


if __name__ == "__main__":
    sys.exit(main())

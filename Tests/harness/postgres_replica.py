"""A second PostgreSQL that follows a first one, and can take its place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from servers import PostgresServer, Process, postgres_programs, wait_until

SECONDS = 60.0  # longest wait for something that normally takes one


class Replica(PostgresServer):
    """A streaming replica of a server that runs, with the same accounts; copied at the first start.

    It is made in a folder of its own, and `settings` are those of any server.
    """

    def __init__(
        self, folder: Path, primary: PostgresServer, *, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, settings=settings)
        self._primary = primary

    @property
    def url(self) -> str:
        primary = urlsplit(self._primary.url)
        host = primary.netloc.rpartition(":")[0]
        return primary._replace(netloc=f"{host}:{self.port}").geturl()

    @property
    def url_of_both(self) -> str:
        """Where clients find whichever of the two takes writes, the replica being asked first."""
        replica, primary = urlsplit(self.url), urlsplit(self._primary.url)
        return replica._replace(
            netloc=f"{replica.netloc},{primary.hostname}:{primary.port}",
            query="target_session_attrs=read-write",
        ).geturl()

    def lose_primary(self) -> None:
        """Follows it no longer. What the primary writes from now on never comes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            wait_until(
                lambda: not connection.execute("SELECT FROM pg_stat_wal_receiver").fetchall(),
                SECONDS,
                "the end of streaming",
            )

    def promote(self) -> None:
        """Makes it a primary, which takes writes when this returns."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            promoted = connection.execute(f"SELECT pg_promote(true, {SECONDS:.0f})").fetchone()
        assert promoted == (True,), self.log_tail()

    def _initialize(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        programs = postgres_programs()
        copy = Process(
            "pg_basebackup",
            self.folder,
            [programs / "pg_basebackup", "-d", self._primary.url, "-D", self.data]
            + ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            user=self.user,
        )
        copy.start()
        assert copy.wait(SECONDS) == 0, copy.log_tail()

"""The exporter's connections to a PostgreSQL: few, and encrypted where they are told to be."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from certificates import Authority
from contents import TASK, fill_database
from exporter_signs import source_up
from readers_application import value
from servers import PostgresServer, wait_until
from stack import Exporter, fetch, parse_metrics

TARGETS = 150  # each with a connection of its own while it is read
HELD = 10  # connections that the exporter has to one server
SECONDS = 120.0
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'celery-beat-exporter'"


def test_many_targets_leave_a_server_to_its_application(
    folder: Path, own_postgres: PostgresServer, exporter: Callable[..., Exporter]
) -> None:
    """Each has a database URL of its own, as each application has a role or a database of its own."""
    fill_database(own_postgres.url)
    path = folder / "exporter.yml"
    names = [f"shop{number}" for number in range(TARGETS)]
    urls = {name: f"{own_postgres.url}?connect_timeout={n + 2}" for n, name in enumerate(names)}
    path.write_text(
        json.dumps({"targets": {name: {"database.url": url} for name, url in urls.items()}})
    )
    most, end = [0], threading.Event()

    def count() -> None:
        with psycopg.connect(own_postgres.url, autocommit=True) as connection:
            while not end.wait(0.02):
                most.append(connection.execute(SESSIONS).fetchone()[0])

    counting = threading.Thread(target=count)
    counting.start()
    try:
        one = exporter(f"--config.file={path}", "--collect.interval=30s", "--collect.timeout=30s")
        wait_until(
            lambda: all(source_up(one.probe(name)) == {"database": 1} for name in names),
            SECONDS,
            "every target to be read",
        )
        # Its own share of the hundred is there, all the time.
        application = [psycopg.connect(own_postgres.url) for _ in range(80)]
        for connection in application:
            connection.close()
        assert value(one.probe(names[-1]), "celery_task_in_progress", task_name=TASK) == 1
    finally:
        end.set()
        counting.join()
    print(f"{TARGETS} targets had up to {max(most)} connections")
    # One that has just been closed may still be listed.
    assert HELD / 2 <= max(most) <= 2 * HELD


def test_who_has_no_turn_in_time_says_so(
    folder: Path, own_postgres: PostgresServer, exporter: Callable[..., Exporter]
) -> None:
    fill_database(own_postgres.url)
    path = folder / "exporter.yml"
    urls = {f"shop{n}": f"{own_postgres.url}?connect_timeout={n + 2}" for n in range(20)}
    path.write_text(
        json.dumps({"targets": {name: {"database.url": url} for name, url in urls.items()}})
    )
    one = exporter(f"--config.file={path}", "--collect.interval=1s", "--collect.timeout=2s")
    own_postgres.pause()
    try:
        wait_until(lambda: "none was free within" in one.log.read_text(), SECONDS, "the word")
    finally:
        own_postgres.resume()
    wait_until(
        lambda: all(source_up(one.probe(name)) == {"database": 1} for name in urls),
        SECONDS,
        "every target to be read",
    )


@pytest.fixture
def encrypted_postgres(folder: Path, authority: Authority) -> PostgresServer:
    server = PostgresServer(folder, settings={"ssl": "on"})
    server._initialize()
    certificate = authority.issue("postgres", "subjectAltName=IP:127.0.0.1")
    for source, name in ((certificate.file, "server.crt"), (certificate.key, "server.key")):
        there = server.data / name
        shutil.copy(source, there)
        there.chmod(0o600)
        if server.user is not None:
            shutil.chown(there, server.user, server.user)
    with server:
        yield server


def test_encrypted(
    encrypted_postgres: PostgresServer, authority: Authority, exporter: Callable[..., Exporter]
) -> None:
    """Names that make an answer longer than a record of TLS."""
    fill_database(encrypted_postgres.url, [f"{n} {'x' * 190}" for n in range(1000)])
    ca = authority.certificate.file
    one = exporter(
        "--tasks.max-names=2000",
        DATABASE_URL=f"{encrypted_postgres.url}?sslmode=verify-full&sslrootcert={ca}",
    )

    assert source_up(one.metrics()) == {"database": 1}
    with psycopg.connect(encrypted_postgres.url) as connection:
        encrypted = connection.execute(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = 'celery-beat-exporter'"
        ).fetchone()
    assert encrypted == (True,)


def test_an_application_takes_one_connection(
    own_postgres: PostgresServer, exporter: Callable[..., Exporter]
) -> None:
    """However many readers there are, and at whatever moment one looks.

    Only the search for a beat that is somewhere else, once an hour while none is found, has its own.
    """
    fill_database(own_postgres.url)
    one = exporter("--collect.interval=1s", DATABASE_URL=own_postgres.url)
    wait_until(lambda: "no beat found" in one.log.read_text(), SECONDS, "the search to end")

    def collections() -> float:
        return value(
            parse_metrics(fetch(f"{one.url}/metrics")),
            "celery_beat_exporter_collector_last_success_timestamp_seconds",
            collector="workers",
        )

    with psycopg.connect(own_postgres.url, autocommit=True) as connection:

        def sessions() -> int:
            return connection.execute(SESSIONS).fetchone()[0]

        # What has just been closed may still be listed.
        wait_until(lambda: sessions() == 1, SECONDS, "the search's session to end")
        first, counts = collections(), []
        while collections() < first + 3:
            counts.append(sessions())
    assert max(counts) == 1

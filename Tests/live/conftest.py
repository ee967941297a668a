"""Fixtures for the tests against real servers: the demo's parts, started as each test needs them.

Shared servers live for the whole run and are emptied for each test; `own_` servers belong to one
test, which may kill, pause and restart them. Nothing is skipped: what is missing is an error.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from certificates import Authority
from contents import HOSTILE_NAMES, fill_database, fill_redis
from django_beats import NEWER, Site
from exporter_signs import NOWHERE, PATIENT
from readers_application import Application
from secured_exporter import SecuredExporter
from servers import PATIENCE_SECONDS, PostgresServer, RedisServer, wait_until
from stack import Exporter

# Files that take longest, the longest first: several workers begin with them, so that none is left
# with one when the others are done.
LONGEST = (
    "test_django_outages.py",
    "test_django_faults.py",
    "test_django.py",
    "test_hostile_sizes.py",
    "test_redbeat_faults.py",
    "test_check_causes.py",
    "test_redis_cluster_tls.py",
    "test_check.py",
    "test_status_page.py",
    "test_recorder.py",
    "test_redbeat.py",
    "test_getting_started.py",
    "test_end_to_end.py",
    "test_recorder_tables.py",
    "test_commands.py",
    "test_persistent.py",
    "test_known_tables.py",
    "test_oversized_keys.py",
    "test_soak.py",
    "test_web_passwords.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Temporary files of this run alone.

    Those of all runs are in one folder otherwise, which each run closes to other users when it
    begins: a PostgreSQL of another run, which has a user of its own, would lose its data.
    """
    if config.option.basetemp is None:
        folder = tempfile.mkdtemp(prefix="celery-beat-exporter-tests-")
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Names the tests that failed in the last line, as many CIs show no more than that."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reports = [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
        if reports:
            reporter.write_line(f"failed: {' '.join(report.nodeid for report in reports)}")


@pytest.fixture(scope="session", autouse=True)
def private_servers() -> Iterator[None]:
    """The demo's stack starts servers of its own, whatever is set."""
    with pytest.MonkeyPatch.context() as environment:
        for name in ("DEMO_REDIS_URL", "DEMO_DATABASE_URL"):
            environment.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        yield server


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory() as folder, PostgresServer(Path(folder)) as server:
        yield server


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one test."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """The shared Redis, empty."""
    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis.url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def database_url(shared_postgres: PostgresServer) -> str:
    """A new database on the shared PostgreSQL."""
    name = "test"
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:

        def is_dropped() -> bool:
            # The server waits five seconds for sessions to end that it has told to.
            with contextlib.suppress(psycopg.errors.ObjectInUse):
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                return True
            return False

        wait_until(is_dropped, PATIENCE_SECONDS, "sessions to end")
        connection.execute(f"CREATE DATABASE {name}")
    return f"{shared_postgres.url.rpartition('/')[0]}/{name}"


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a new database without any table."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner_url(database_url: str) -> Iterator[str]:
    """A new database for its owner, who is no superuser: of one the exporter warns."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE owner LOGIN PASSWORD 'owner'")
        connection.execute("ALTER DATABASE test OWNER TO owner")
        yield f"postgresql://owner:owner@{database_url.rpartition('@')[2]}"
        connection.execute("ALTER DATABASE test OWNER TO celery")
        connection.execute("DROP OWNED BY owner CASCADE; DROP ROLE owner")


@pytest.fixture
def reader_url(database: psycopg.Connection, database_url: str) -> Iterator[str]:
    """The same database for a role `reader` that may read no more than it is granted."""
    database.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    try:
        yield f"postgresql://reader:reader@{database_url.rpartition('@')[2]}"
    finally:
        database.execute("DROP OWNED BY reader; DROP ROLE reader")


@pytest.fixture
def site(
    folder: Path, redis_url: str, database_url: str, request: pytest.FixtureRequest
) -> Iterator[Site]:
    """A Django site of the newer versions, unless the test says otherwise."""
    with Site(folder, redis_url, database_url, getattr(request, "param", NEWER)) as site:
        yield site


@pytest.fixture
def own_redis(folder: Path) -> Iterator[RedisServer]:
    with RedisServer(folder) as server:
        yield server


@pytest.fixture
def own_postgres(folder: Path) -> Iterator[PostgresServer]:
    with PostgresServer(folder) as server:
        yield server


@pytest.fixture
def exporter(folder: Path) -> Iterator[Callable[..., Exporter]]:
    """Starts exporters: `exporter("--collect.interval=1s", CELERY_BROKER_URL=redis_url)`.

    Each has answered /-/ready with 200. At the test's end every one that still runs is stopped, and
    must then end with status 0.
    """
    exporters: list[Exporter] = []

    def start(*flags: str, **environment: str) -> Exporter:
        name = f"exporter-{len(exporters)}"
        one = Exporter(folder, *flags, environment=PATIENT | environment, name=name)
        exporters.append(one)
        one.start()
        return one

    yield start
    for one in exporters:
        print(one.log_tail())  # shown when the test has failed
    statuses = {one.name: one.stop() for one in exporters if one.running}
    assert set(statuses.values()) <= {0}, f"exporters that did not end with 0: {statuses}"


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    shared_redis: RedisServer,
    shared_postgres: PostgresServer,
) -> Iterator[Exporter]:
    """An exporter of full sources that collects once, so that each answer shows the same moment."""
    database = "served"
    fill_redis(shared_redis.url, HOSTILE_NAMES)
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}")
        url = f"{shared_postgres.url.rpartition('/')[0]}/{database}"
        fill_database(url, HOSTILE_NAMES)
        exporter = Exporter(
            tmp_path_factory.mktemp("served"),
            "--collect.interval=1h",
            environment=PATIENT | {"CELERY_BROKER_URL": shared_redis.url, "DATABASE_URL": url},
        )
        with exporter:
            yield exporter
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.fixture
def application(folder: Path) -> Iterator[Callable[..., Application]]:
    """Makes Celery applications: `application(broker_url=redis_url, timezone="Europe/Paris")`.

    Their beats and workers end with the test; they are older ones with `python=OLDER_PYTHON`.
    """
    applications: list[Application] = []

    def make(**settings: Any) -> Application:
        applications.append(Application(folder, **settings))
        return applications[-1]

    yield make
    for one in applications:
        one.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Issues what the tests of one file need."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> Iterator[Path]:
    """A folder with the files that web configurations name: see `secured_exporter`."""
    server = authority.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    other = Authority(authority.folder, "other")
    ed25519 = authority.issue("ed25519", algorithm="ed25519")
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        for source, name in [
            (server.file, "server.crt"),
            (server.key, "server.key"),
            (other.certificate.key, "other.key"),
            (authority.certificate.file, "ca.crt"),
            (ed25519.file, "ed25519.crt"),
            (ed25519.key, "ed25519.key"),
        ]:
            shutil.copy(source, folder / name)
        (folder / "chain.crt").write_text(
            server.file.read_text() + authority.certificate.file.read_text()
        )
        (folder / "reversed.crt").write_text(
            authority.certificate.file.read_text() + server.file.read_text()
        )
        (folder / "empty").touch()
        (folder / "noise").write_bytes(bytes(range(256)))
        encrypt = ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", server.key]
        subprocess.run([*encrypt, "-out", folder / "locked.key"], check=True, capture_output=True)
        yield folder


@pytest.fixture
def secured(folder: Path) -> Iterator[Callable[..., SecuredExporter]]:
    """Starts exporters with a web configuration. They must end with status 0."""
    exporters: list[SecuredExporter] = []

    def start(configuration: Path, *flags: str, **environment: str) -> SecuredExporter:
        one = SecuredExporter(
            folder,
            f"--web.config.file={configuration}",
            *flags,
            environment={"CELERY_BROKER_URL": f"redis://{NOWHERE}"} | environment,
            name=f"secured-{len(exporters)}",
        )
        exporters.append(one)
        one.start()
        return one

    yield start
    for one in exporters:
        print(one.log_tail())
    assert {one.stop() for one in exporters if one.running} <= {0}

"""What the exporter is told: flags, environment, URLs of every form, secrets, and its own log."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest
import redis
from checks import program
from contents import QUEUE, fill_database, fill_redis
from exporter_signs import NOWHERE, errors, families, log, logfmt, problems, source_up
from redis_servers import QUEUES, documented_users
from servers import PostgresServer, RedisServer, wait_until
from stack import Exporter

if TYPE_CHECKING:
    from stack import Metrics

SECONDS = 60.0  # longest wait for something that normally takes a moment
SECRET = "s3cr3tMARK"
# What each collector reads, and one of the families that it brings.
FAMILIES = {
    "redbeat": "celery_beat_up",
    "queues": "celery_unacked_messages",
    "tasks": "celery_task_results_total",
}
FLAGS = {
    "--beat.grace",
    "--beat.max-entry-series",
    "--beat.max-loop-interval",
    "--beat.ping",
    "--beat.scheduler",
    "--broker.key-prefix",
    "--broker.sentinel-master",
    "--broker.url",
    "--broker.url-file",
    "--broker.visibility-timeout",
    "--collect.interval",
    "--collect.timeout",
    "--config.check",
    "--config.file",
    "--database.url",
    "--database.url-file",
    "--help",
    "--django.max-loop-interval",
    "--log.format",
    "--log.level",
    "--no-queues.discover",
    "--no-redis.sentinel-tls",
    "--no-redis.tls-skip-verify",
    "--no-web.enable-lifecycle",
    "--no-web.systemd-socket",
    "--queues",
    "--queues.discover",
    "--queues.priority-steps",
    "--queues.separator",
    "--redbeat.key-prefix",
    "--redbeat.lock-key",
    "--redbeat.lock-timeout",
    "--redbeat.sentinel-master",
    "--redbeat.url",
    "--redbeat.url-file",
    "--redis.allowed-nodes",
    "--redis.sentinel-password",
    "--redis.sentinel-password-file",
    "--redis.sentinel-tls",
    "--redis.sentinel-user",
    "--redis.tls-ca-file",
    "--redis.tls-cert-file",
    "--redis.tls-key-file",
    "--redis.tls-server-name",
    "--redis.tls-skip-verify",
    "--tasks.duration-buckets",
    "--tasks.exclude",
    "--tasks.include",
    "--tasks.max-exceptions",
    "--tasks.max-names",
    "--tasks.max-workers",
    "--tasks.windows",
    "--version",
    "--web.config.file",
    "--web.enable-lifecycle",
    "--web.listen-address",
    "--web.systemd-socket",
    "--web.telemetry-path",
}


def variable(flag: str) -> str:
    return "CELERY_BEAT_EXPORTER_" + flag.upper().replace(".", "_").replace("-", "_")


def refusal(*arguments: str, **environment: str) -> str:
    """The one line that the program says before it ends with status 2."""
    done = program(*arguments, **environment)
    assert (done.returncode, done.stdout) == (2, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("celery-beat-exporter: ")
    return line


# What is refused


def test_nothing_to_watch() -> None:
    line = refusal()

    assert "--broker.url" in line
    assert "--database.url" in line


@pytest.mark.parametrize(
    ("argument", "nearest"),
    [
        ("--broker.ur=redis://h", "--broker.url"),
        ("--colect.interval=5s", "--collect.interval"),
        ("--web.listen-adress=:1", "--web.listen-address"),
        ("--database-url=postgresql://h/d", "--database.url"),
    ],
)
def test_an_unknown_flag_names_the_nearest(argument: str, nearest: str) -> None:
    line = refusal(argument)

    assert argument.partition("=")[0] in line
    assert f"'{nearest}'" in line


REDIS_URL = "redis://host:6379/0"
DATABASE_URL = "postgresql://user:password@host:5432/database"
PATH = "/metrics"
ADDRESS = "127.0.0.1:9808"
MALFORMED = [
    ("broker.url", "localhost", REDIS_URL),
    ("broker.url", "redis:/localhost", REDIS_URL),
    ("broker.url", "http://localhost", REDIS_URL),
    ("broker.url", "amqp://localhost", REDIS_URL),
    ("broker.url", "rediss://localhost?ssl_cert_reqs=maybe", "required, optional or none"),
    ("broker.url", "rediss://localhost?ssl_ca_certs=/nowhere.crt", "No such file"),
    ("broker.url", "rediss://localhost?ssl_keyfile=/nowhere.key", "--redis.tls-cert-file"),
    ("broker.url", "sentinel://localhost:26379", "--broker.sentinel-master"),
    ("broker.url", "sentinel://localhost;redis://localhost", "sentinel:// before each"),
    ("broker.url", "redis-cluster://localhost", "--redbeat.url"),
    ("redbeat.url", "redis-cluster://localhost/1", "database 0"),
    ("broker.url", "redis://localhost:0", "1 to 65535"),
    ("broker.url", "redis://localhost:-1", "1 to 65535"),
    ("broker.url", "redis://localhost:65536", "1 to 65535"),
    ("broker.url", "redis://localhost:redis", "1 to 65535"),
    ("broker.url", "redis://[::1", "redis://[::1]:6379/0"),
    ("broker.url", "redis://[::1]6379", "redis://[::1]:6379/0"),
    ("broker.url", "redis://localhost/one", REDIS_URL),
    ("broker.url", "redis://localhost/-1", REDIS_URL),
    ("broker.url", "redis://localhost/0/1", REDIS_URL),
    ("broker.url", "redis://localhost/99999999999999999999", REDIS_URL),
    ("broker.url", "redis://localhost?db=one", REDIS_URL),
    ("broker.url", "redis://:50%@localhost", "%25"),
    ("broker.url", "redis://:%+f@localhost", "%25"),
    ("broker.url", "redis://:%00@localhost", "zero byte"),
    ("broker.url", "unix://redis.sock", "unix:///path/redis.sock"),
    ("broker.url", f"unix:///{'x' * 107}", "107"),
    ("redbeat.url", "localhost", REDIS_URL),
    ("redbeat.url", "postgresql://localhost/d", REDIS_URL),
    ("redbeat.lock-timeout", "soon", "10s"),
    ("redbeat.lock-timeout", "500ms", "1.0 to"),
    ("redbeat.lock-timeout", "99999999999999999999s", "10s"),
    ("redbeat.lock-timeout", "1y1d", "to 31536000.0"),
    ("beat.scheduler", "cron", "redbeat"),
    ("beat.max-loop-interval", "300", "10s"),
    ("beat.max-loop-interval", "0s", "0.1 to"),
    ("beat.grace", "-2s", "10s"),
    ("beat.max-entry-series", "-1", "0 to 20000"),
    ("beat.max-entry-series", "20001", "0 to 20000"),
    ("beat.max-entry-series", "many", "0 to 20000"),
    ("database.url", "localhost", DATABASE_URL),
    ("database.url", "mysql://localhost/d", DATABASE_URL),
    ("database.url", "db+sqlite:///results.db", DATABASE_URL),
    ("database.url", "postgresqlx://localhost/d", DATABASE_URL),
    ("database.url", "postgresql://[::1/d", DATABASE_URL),
    ("database.url", "postgresql://u:50%@localhost/d", "%"),
    ("database.url", "postgresql://localhost:65536/d", DATABASE_URL),
    ("database.url", "postgresql://localhost:five/d", DATABASE_URL),
    ("database.url", "hots=localhost dbname=d", DATABASE_URL),
    ("database.url", "host=localhost port", DATABASE_URL),
    ("queues", ",".join(f"queue{number}" for number in range(1001)), "at most 1000"),
    ("queues.priority-steps", ",", "0,3,6,9"),
    ("queues.priority-steps", "0,3,six", "0,3,6,9"),
    ("queues.priority-steps", "0,3,3", "0,3,6,9"),
    ("queues.priority-steps", "256", "0,3,6,9"),
    ("queues.priority-steps", ",".join(map(str, range(33))), "0,3,6,9"),
    ("tasks.windows", "30s", "from 1m to 6h"),
    ("tasks.windows", "7h", "from 1m to 6h"),
    ("tasks.windows", "5m,300s", "different"),
    ("tasks.duration-buckets", "1,1", "ascending"),
    ("tasks.duration-buckets", "0", "ascending"),
    ("tasks.duration-buckets", "fast", "ascending"),
    ("tasks.max-names", "10001", "0 to 10000"),
    ("collect.interval", "10", "10s"),
    ("collect.interval", "10 s", "10s"),
    ("collect.interval", "1.5s", "500ms"),
    ("collect.interval", "1m1h", "1h30m"),
    ("collect.interval", "1s1s", "10s"),
    ("collect.interval", "50ms", "0.1 to 3600.0"),
    ("collect.interval", "2h", "0.1 to 3600.0"),
    ("collect.timeout", "0", "0.1 to 600.0"),
    ("collect.timeout", "11m", "0.1 to 600.0"),
    ("web.listen-address", "9808", ADDRESS),
    ("web.listen-address", "localhost", ADDRESS),
    ("web.listen-address", "localhost:http", ADDRESS),
    ("web.listen-address", "localhost:65536", ADDRESS),
    ("web.listen-address", "localhost:-1", ADDRESS),
    ("web.listen-address", "::1:9808", "[IPv6]:port"),
    ("web.listen-address", "[::1]", "[IPv6]:port"),
    ("web.listen-address", ",", ADDRESS),
    ("web.listen-address", ",".join([":0"] * 17), "1 to 16"),
    ("web.telemetry-path", "metrics", PATH),
    ("web.telemetry-path", "/", PATH),
    ("web.telemetry-path", "/api/v1/status", PATH),
    ("web.telemetry-path", "/-/ready", PATH),
    ("web.telemetry-path", "/-/healthy", PATH),
    ("web.telemetry-path", "/my metrics", PATH),
    ("web.telemetry-path", "/metrics?all", PATH),
    ("web.telemetry-path", "/metrics#all", PATH),
    ("web.telemetry-path", "/m%65trics", PATH),
    ("web.telemetry-path", "/métrics", PATH),
    ("web.telemetry-path", '/"onclick="', PATH),
    ("log.level", "loud", "info"),
    ("log.level", "INFO", "info"),
    ("log.format", "text", "logfmt"),
]


@pytest.mark.parametrize(("flag", "value", "right"), MALFORMED)
def test_a_malformed_value_is_refused_with_what_would_be_right(
    flag: str, value: str, right: str
) -> None:
    sound = {
        variable("broker.url"): f"redis://{NOWHERE}",
        variable("web.listen-address"): "127.0.0.1:0",
    }
    by_flag = refusal(f"--{flag}={value}", **sound)
    by_variable = refusal(**{**sound, variable(flag): value})

    for line, origin in ((by_flag, f"--{flag}"), (by_variable, variable(flag))):
        assert line.startswith(f"celery-beat-exporter: {origin}: ")
        assert right in line


@pytest.mark.parametrize("flag", ["broker.url", "collect.interval", "log.level", "beat.scheduler"])
def test_a_flag_without_its_value(flag: str) -> None:
    assert f"'--{flag} <{flag}>'" in refusal(f"--{flag}")
    assert f"--{flag}" in refusal(f"--{flag}=", **{variable("database.url"): "host=h"})


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("CELERY_BROKER_URL", "redis://localhost:redis", "1 to 65535"),
        ("REDIS_URL", "redis://localhost/one", REDIS_URL),
        ("REDBEAT_REDIS_URL", "localhost", REDIS_URL),
        ("DATABASE_URL", "postgresql://[::1/d", DATABASE_URL),
        ("CELERY_RESULT_BACKEND", "db+postgresql://[::1/d", DATABASE_URL),
        (variable("queues.discover"), "maybe", "true"),
    ],
)
def test_a_malformed_variable_is_refused(name: str, value: str, right: str) -> None:
    line = refusal(**{name: value})

    assert line.startswith(f"celery-beat-exporter: {name}: ")
    assert right in line


def test_redbeat_is_not_expected_without_a_redis() -> None:
    line = refusal("--beat.scheduler=redbeat", "--database.url=host=localhost")

    assert "--beat.scheduler" in line
    assert "--redbeat.url" in line


# Help


def test_help_names_every_flag() -> None:
    done = program("--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert set(re.findall(r"(?<![\w<.])--[a-z][a-z.-]*", done.stdout)) == FLAGS


def test_version() -> None:
    done = program("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout)


# Where settings come from

ENVIRONMENT = {
    variable("broker.url"): f"redis://{NOWHERE}/2",
    "CELERY_BROKER_URL": f"redis://{NOWHERE}/3",
    "REDIS_URL": f"redis://{NOWHERE}/4",
    variable("redbeat.url"): f"redis://{NOWHERE}/6",
    "REDBEAT_REDIS_URL": f"redis://{NOWHERE}/7",
    variable("database.url"): f"postgresql://{NOWHERE}/variable",
    "DATABASE_URL": f"postgresql://{NOWHERE}/alias",
    "CELERY_RESULT_BACKEND": f"db+postgresql://{NOWHERE}/backend",
}


def without(*names: str) -> dict[str, str]:
    """ENVIRONMENT with these variables empty, as many deployments unset them."""
    return {**ENVIRONMENT, **dict.fromkeys(names, "")}


OWN = (variable("broker.url"), variable("redbeat.url"), variable("database.url"))


@pytest.mark.parametrize(
    ("flags", "environment", "queues", "beat", "tasks"),
    [
        (
            [
                f"--broker.url=redis://{NOWHERE}/1",
                f"--redbeat.url=redis://{NOWHERE}/5",
                f"--database.url=postgresql://{NOWHERE}/flag",
            ],
            ENVIRONMENT,
            "/1",
            "/5",
            "flag",
        ),
        ([], ENVIRONMENT, "/2", "/6", "variable"),
        ([], without(*OWN), "/3", "/7", "alias"),
        (
            [],
            without(*OWN, "CELERY_BROKER_URL", "REDBEAT_REDIS_URL", "DATABASE_URL"),
            "/4",
            "/4",
            "backend",
        ),
        (
            [],
            {**without(*OWN, "DATABASE_URL"), "CELERY_RESULT_BACKEND": "redis://h/5"},
            "/3",
            "/7",
            None,
        ),
    ],
    ids=["flag", "own variable", "alias", "second alias", "backend that is no database"],
)
def test_flag_before_own_variable_before_alias(
    exporter: Callable[..., Exporter],
    flags: list[str],
    environment: Mapping[str, str],
    queues: str,
    beat: str,
    tasks: str | None,
) -> None:
    told = errors(exporter(*flags, **environment))

    assert f"redis://{NOWHERE}{queues}:" in told["queues"]
    assert f"redis://{NOWHERE}{beat}:" in told["redbeat"]
    if tasks is None:
        assert "tasks" not in told
    else:
        assert f"database {tasks}:" in told["tasks"]


def test_a_broker_of_another_kind_is_left_out_with_a_warning(
    exporter: Callable[..., Exporter], database_url: str
) -> None:
    fill_database(database_url)
    url = f"amqp://user:{SECRET}@h//"
    one = exporter(CELERY_BROKER_URL=url, DATABASE_URL=database_url)

    (warning,) = [
        event["msg"]
        for event in log(one)
        # That the role of these tests is a superuser is advice.
        if event["level"] == "warn" and event["msg"] != "advice"
    ]
    assert "CELERY_BROKER_URL" in warning
    assert SECRET not in one.log.read_text()
    assert source_up(one.metrics()) == {"database": 1}
    assert "--broker.url" in refusal(CELERY_BROKER_URL=url)


# One source alone


def collected(metrics: Metrics) -> set[str]:
    return {name for name, family in FAMILIES.items() if family in families(metrics)}


def test_redis_alone(exporter: Callable[..., Exporter], redis_url: str) -> None:
    fill_redis(redis_url)
    metrics = exporter(CELERY_BROKER_URL=redis_url).metrics()

    assert source_up(metrics) == {"broker": 1, "redbeat": 1}
    assert collected(metrics) == {"redbeat", "queues"}
    assert not [name for name in families(metrics) if name.startswith("celery_task_")]


def test_database_alone(exporter: Callable[..., Exporter], database_url: str) -> None:
    fill_database(database_url)
    metrics = exporter(DATABASE_URL=database_url).metrics()

    assert source_up(metrics) == {"database": 1}
    assert collected(metrics) == {"tasks"}
    beat_and_queues = ("celery_beat_schedule", "celery_beat_up", "celery_queue", "celery_unacked")
    assert not [name for name in families(metrics) if name.startswith(beat_and_queues)]


def test_a_library_is_missed_only_where_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "libpq.so.5").touch()  # found before the real one
    searched = {"LD_LIBRARY_PATH": str(tmp_path)}

    line = refusal("--database.url=postgresql://localhost/shop", **searched)
    assert re.search(r"libpq\.so\.5.*; install .*Debian: lib", line)
    assert program("--config.check", "--broker.url=redis://localhost", **searched).returncode == 0


# Forms of URLs

PASSWORD = "p@ss:w/rd #%?&=[é"


@pytest.fixture(scope="module")
def reader(shared_postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """A user who may read one table and no more; host, port, user, password and database by name."""
    name = "configured"
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        url = f"{shared_postgres.url.rpartition('/')[0]}/{name}"
        fill_database(url)
        with psycopg.connect(url) as database:
            database.execute(f"GRANT SELECT ON task_info TO {name}")
        yield {
            "host": "127.0.0.1",
            "port": str(shared_postgres.port),
            "user": name,
            "password": PASSWORD,
            "database": name,
        }
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("form", "left_out"),
    [
        ("postgresql://{user}:{password}@{host}:{port}/{database}", None),
        ("postgres://{user}:{password}@{host}:{port}/{database}?sslmode=disable", None),
        ("postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}", None),
        ("postgresql+asyncpg://{user}:{password}@{host}:{port}/{database}?ssl=disable", None),
        ("db+postgresql://{user}:{password}@{host}:{port}/{database}", None),
        ("db+postgresql+psycopg://{user}:{password}@{host}:{port}/{database}", None),
        ("postgis://{user}:{password}@{host}:{port}/{database}", None),
        ("psql://{user}:{password}@{host}:{port}/{database}\n", None),
        ("jdbc:postgresql://{host}:{port}/{database}?user={user}&password={password}", None),
        ("pgsql://{user}:{password}@/{database}?host={host}:{port}&sslmode=prefer", None),
        (
            "postgres://{user}:{password}@{host}:{port}/{database}?currentSchema=public",
            "write options=-c%20search_path%3Dpublic",
        ),
        (
            "postgres://{user}:{password}@{host}:{port}/{database}?options=-c%20search_path%3Dpublic",
            None,
        ),
        (
            "postgres://{user}:{password}@{host}:{port}/{database}?conn_max_age=600",
            "conn_max_age",
        ),
        ("postgresql:///{database}?host={host}&port={port}&user={user}&password={password}", None),
        (
            "host={host} port={port} user={user} password='{password}' dbname={database}",
            None,
        ),
    ],
)
def test_forms_of_database_urls(
    exporter: Callable[..., Exporter], reader: dict[str, str], form: str, left_out: str | None
) -> None:
    encoded = {**reader, "password": quote(PASSWORD, safe="")}
    one = exporter(DATABASE_URL=form.format(**(encoded if "://" in form else reader)))

    metrics = one.metrics()
    assert source_up(metrics) == {"database": 1}, one.log_tail()
    assert collected(metrics) == {"tasks"}
    assert problems(metrics, "tasks") == {}
    warnings = [event["msg"] for event in log(one) if event["level"] == "warn"]
    assert [left_out in warning for warning in warnings] == ([True] if left_out else [])


@pytest.mark.parametrize(
    "form",
    [
        "postgresql://{account}@/{database}?host={folder}&port={port}",
        "postgresql://{account}@:{port}/{folder}/{database}",
        "postgis://{account}@{quoted}:{port}/{database}",
        "postgresql+pg8000://{account}@/{database}?unix_sock={folder}/.s.PGSQL.{port}",
    ],
)
def test_a_socket_where_a_host_should_stand(
    exporter: Callable[..., Exporter], cloud_socket: tuple[PostgresServer, Path], form: str
) -> None:
    server, folder = cloud_socket
    account, _, place = server.url.partition("://")[2].partition("@")
    url = form.format(
        account=account,
        port=server.port,
        folder=folder,
        quoted=quote(str(folder), safe=":"),
        database=place.partition("/")[2],
    )
    one = exporter(DATABASE_URL=url)

    assert source_up(one.metrics()) == {"database": 1}, one.log_tail()


@pytest.fixture(scope="module")
def cloud_socket() -> Iterator[tuple[PostgresServer, Path]]:
    """A PostgreSQL on a socket, in a folder named as Cloud SQL's proxy names it."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path) / "project:region:instance"
        folder.mkdir()
        folder.chmod(0o777)
        settings = {"unix_socket_directories": str(folder)}
        with PostgresServer(Path(path), settings=settings) as server:
            yield server, folder


DATABASE = 2


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with a password, a unix socket, a user `exporter` with few rights, and data."""
    folder = tmp_path_factory.mktemp("guarded")
    arguments = ["--requirepass", "plain", "--unixsocket", str(folder / "redis.sock")]
    with RedisServer(folder, arguments=arguments) as server:
        fill_redis(f"{server.url.rpartition('/')[0]}/{DATABASE}")
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", PASSWORD)
            rights = [right for _, rights in documented_users()[: QUEUES + 1] for right in rights]
            client.execute_command(
                "ACL", "SETUSER", "exporter", *rights, "+select", "resetpass", f">{PASSWORD}"
            )
        yield server


def administrator(server: RedisServer) -> redis.Redis:
    return redis.Redis(port=server.port, db=DATABASE, password=PASSWORD)


@pytest.mark.parametrize(
    "form",
    [
        "redis://:{password}@127.0.0.1:{port}/{database}",
        "redis://default:{password}@localhost:{port}/{database}",
        "redis://127.0.0.1:{port}?db={database}&password={password}",
        "redis://exporter:{password}@127.0.0.1:{port}/{database}",
        "unix://:{password}@{folder}/redis.sock?db={database}",
        "redis+socket://default:{password}@{folder}/redis.sock?virtual_host={database}",
    ],
)
def test_forms_of_redis_urls(
    exporter: Callable[..., Exporter], guarded: RedisServer, form: str
) -> None:
    url = form.format(
        password=quote(PASSWORD, safe=""),
        port=guarded.port,
        database=DATABASE,
        folder=guarded.folder,
    )
    one = exporter(f"--queues={QUEUE}", CELERY_BROKER_URL=url)

    metrics = one.metrics()
    assert source_up(metrics) == {"broker": 1, "redbeat": 1}, one.log_tail()
    assert metrics["celery_queue_length", frozenset({("queue_name", QUEUE)})] == 2
    assert collected(metrics) == {"redbeat", "queues"}


# Logging in


def test_a_wrong_redis_password_is_told_until_it_is_right(
    exporter: Callable[..., Exporter], guarded: RedisServer
) -> None:
    with administrator(guarded) as client:
        client.execute_command("ACL", "SETUSER", "late", "on", ">other", "%R~*", "+@all")
        url = f"redis://late:{SECRET}@127.0.0.1:{guarded.port}/{DATABASE}"
        one = exporter("--collect.interval=100ms", CELERY_BROKER_URL=url)

        metrics = one.metrics()
        assert source_up(metrics) == {"broker": 0, "redbeat": 0}
        assert problems(metrics, "redbeat").keys() == problems(metrics, "queues").keys()
        assert problems(metrics, "redbeat").keys() == {"authentication"}
        assert collected(metrics) == set()
        client.execute_command("ACL", "SETUSER", "late", f">{SECRET}")
        wait_until(
            lambda: source_up(one.metrics()) == {"broker": 1, "redbeat": 1},
            SECONDS,
            "the password to be accepted",
        )
        client.execute_command("ACL", "DELUSER", "late")


def test_a_wrong_database_password_is_told_until_it_is_right(
    exporter: Callable[..., Exporter], reader: dict[str, str], shared_postgres: PostgresServer
) -> None:
    url = "postgresql://{user}:{secret}@{host}:{port}/{database}".format(**reader, secret=SECRET)
    one = exporter("--collect.interval=100ms", DATABASE_URL=url)

    metrics = one.metrics()
    assert source_up(metrics) == {"database": 0}
    assert problems(metrics, "tasks").keys() == {"authentication"}
    assert collected(metrics) == set()
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {reader['user']} PASSWORD '{SECRET}'")
        try:
            wait_until(
                lambda: source_up(one.metrics()) == {"database": 1},
                SECONDS,
                "the password to be accepted",
            )
        finally:
            connection.execute(f"ALTER ROLE {reader['user']} PASSWORD '{PASSWORD}'")


# The log


@pytest.mark.parametrize("format", ["logfmt", "json"])
def test_a_log_has_one_line_an_event(
    exporter: Callable[..., Exporter], redis_url: str, format: str
) -> None:
    name = 'two\nlines "and" \\ \x1b[31m\x85\u2028 and= more'
    with redis.Redis.from_url(redis_url) as client:
        client.zadd("redbeat::schedule", {f"redbeat:{name}": 1})
        client.hset(f"redbeat:{name}", "definition", "{")
    one = exporter(f"--log.format={format}", "--log.level=debug", CELERY_BROKER_URL=redis_url)
    one.stop()

    text = one.log.read_text()
    events = (
        logfmt(text) if format == "logfmt" else [json.loads(line) for line in text.split("\n")[:-1]]
    )
    assert text.count("\n") == len(events)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), "control characters"
    assert all({"time", "level", "msg"} <= event.keys() for event in events)
    assert any(name in event.get("detail", "") for event in events)
    assert events[-1]["msg"] == "stopping"


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", {"info", "warn"}),
        ("info", {"info", "warn"}),
        ("warn", {"warn"}),
        ("error", set()),
    ],
)
def test_log_levels(exporter: Callable[..., Exporter], level: str, shown: set[str]) -> None:
    one = exporter(f"--log.level={level}", CELERY_BROKER_URL=f"redis://{NOWHERE}")

    assert {event["level"] for event in log(one)} == shown

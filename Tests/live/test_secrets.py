"""Passwords, wherever they stand and whatever goes wrong: they are told to nobody."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checks import program
from contents import fill_database
from exporter_signs import NOWHERE, errors, source_up
from http_requests import ask
from servers import PostgresServer, RedisServer, wait_until
from stack import Exporter
from test_configuration import SECRET, refusal, variable

SECONDS = 60.0  # longest wait for something that normally takes a moment

# What people forget to encode, each inside a password that would otherwise be one.
SPECIAL = "%@/#?&=:[ '\"\\"
PASSWORDS = [
    SECRET,
    *(f"{SECRET}{c}{SECRET}" for c in SPECIAL),
    *(f"1{c}{SECRET}{c}1" for c in SPECIAL),
]
# The same for YAML, where they are in no quotes.
YAML_SPECIAL = ",[]{}:#&*!|>'\"%@` \n"
YAML_PASSWORDS = [f"1{c}{blank}{SECRET}{blank}{c}1" for c in YAML_SPECIAL for blank in ("", " ")]
# The settings that hold secrets, and a form in which they are given.
URLS = {
    "broker.url": "redis://:{}@127.0.0.1:1/0",
    "redbeat.url": "unix://:{}@/nowhere/redis.sock",
    "database.url": "postgresql://user:{}@127.0.0.1:1/database",
}


def told(*flags: str, **environment: str) -> str:
    """All that the program says of a URL, until it has nothing more to say."""
    child = subprocess.Popen(
        [
            Exporter(Path(os.devnull)).command[0],
            "--web.listen-address=127.0.0.1:0",
            "--log.level=debug",
            *flags,
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(SECONDS, child.kill)
    watchdog.start()
    with child:
        lines = []
        for line in child.stdout:
            lines.append(line)
            if "collection failed" in line:
                child.terminate()
    watchdog.cancel()
    assert child.returncode in (0, 2), lines
    return "".join(lines)


def given(place: str, flag: str, value: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Flags and environment that give a setting its value in one of the places there are."""
    name = f"{abs(hash(value))}"
    if place == "flag":
        return [f"--{flag}={value}"], {}
    if place == "variable":
        return [], {variable(flag): value}
    path = folder / name
    if place in ("flag to a file", "variable to a file"):
        path.write_text(value + "\n")
        if place == "flag to a file":
            return [f"--{flag}-file={path}"], {}
        return [], {variable(flag) + "_FILE": str(path)}
    settings = {flag: value}
    path.write_text(json.dumps(settings if place == "key" else {"targets": {"shop": settings}}))
    return [f"--config.file={path}"], {}


FORMS = [
    *URLS.items(),
    ("broker.url", "redis://user:{}@127.0.0.1:1/0"),
    ("broker.url", "redis://{}@127.0.0.1:1/0"),
    ("broker.url", "redis://{}:password@127.0.0.1:1/0"),
    ("broker.url", "redis://127.0.0.1:1/0?password={}"),
    ("database.url", "postgresql://{}:password@127.0.0.1:1/database"),
    ("database.url", "db+postgresql+psycopg2://user:{}@127.0.0.1:1/database"),
    ("database.url", "postgres://127.0.0.1:1/database?user=user&password={}"),
    ("database.url", "host=127.0.0.1 port=1 user=user password={}"),
]


@pytest.mark.parametrize(
    ("place", "flag", "form"),
    [
        *((place, *form) for place in ("flag", "target") for form in FORMS),
        *(
            (place, *form)
            for place in ("variable", "flag to a file", "variable to a file", "key")
            for form in URLS.items()
        ),
    ],
)
def test_no_secret_is_told(folder: Path, place: str, flag: str, form: str) -> None:
    """Not even a part of one, whether it makes the URL malformed or another URL than was meant."""

    def leak(password: str) -> str:
        flags, environment = given(place, flag, form.format(password), folder)
        text = told(*flags, **environment)
        return text if SECRET in text else ""

    with ThreadPoolExecutor() as threads:
        leaks = dict(zip(PASSWORDS, threads.map(leak, PASSWORDS)))
    assert {password: text for password, text in leaks.items() if text} == {}


@pytest.mark.parametrize("flag", URLS)
@pytest.mark.parametrize(
    "form",
    [
        "{flag}: {url}\n",
        "{{{flag}: {url}}}\n",
        "targets:\n  shop:\n    {flag}: {url}\n",
        "targets:\n  shop: {{{flag}: {url}}}\n",
        "targets: {{shop: {{{flag}: {url}, beat.grace: 2s}}}}\n",
        "targets: {{{url}: {{beat.grace: 2s}}}}\n",
        "{url}\n",
        "- {url}\n",
        "{flag}:\n  {url}: 1\n",
        "{flag}: [{url}, {url}]\n",
        "{flag}: {url}\n{flag}: {url}\n",
    ],
)
def test_a_url_without_quotes_in_the_file_is_not_told(folder: Path, flag: str, form: str) -> None:
    """YAML ends a value where nobody meant it to end, and takes the rest for a key."""

    def leak(password: str) -> str:
        path = folder / f"{abs(hash(password))}.yml"
        path.write_text(form.format(flag=flag, url=URLS[flag].format(password)))
        done = program("--config.check", f"--config.file={path}")
        assert done.returncode in (0, 2)
        text = done.stdout + done.stderr
        return text if SECRET in text else ""

    with ThreadPoolExecutor() as threads:
        leaks = dict(zip(YAML_PASSWORDS, threads.map(leak, YAML_PASSWORDS)))
    assert {password: text for password, text in leaks.items() if text} == {}


@pytest.mark.parametrize("flag", URLS)
def test_a_url_where_a_file_is_named(flag: str) -> None:
    url = URLS[flag].format(SECRET)
    for line in (
        refusal(f"--{flag}-file={url}"),
        refusal(**{variable(flag) + "_FILE": url}),
    ):
        assert SECRET not in line
        assert "the path of a file" in line


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        ("", "must hold one line"),
        ("\n\n", "must hold one line"),
        (f"redis://:{SECRET}@h\nredis://:{SECRET}@h\n", "must hold one line"),
        (f"{SECRET}\n", "not a URL"),
        (f"redis://:{SECRET}@h:port\n", "1 to 65535"),
        (b"redis://:" + SECRET.encode() + b"\xff\xfe@h:port\n", "1 to 65535"),
        (b"redis://:" + SECRET.encode() + b"\0@h:port\n", "1 to 65535"),
        (b"x" * (2 << 20), "larger than 1048576 bytes"),
    ],
)
def test_files_that_hold_no_url(folder: Path, contents: str | bytes, told: str) -> None:
    path = folder / "url"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    name = variable("broker.url") + "_FILE"
    line = refusal(**{name: str(path)})

    assert line.startswith(f"celery-beat-exporter: {name}: ")
    assert told in line
    assert SECRET not in line


def test_files_that_cannot_be_read(folder: Path) -> None:
    missing, pipe = folder / "missing", folder / "pipe"
    os.mkfifo(pipe)

    assert refusal(f"--broker.url-file={missing}").endswith(
        f"--broker.url-file: cannot read {missing}: No such file or directory"
    )
    assert "Is a directory" in refusal(f"--broker.url-file={folder}")
    assert "must hold one line" in refusal(f"--broker.url-file={pipe}")


@pytest.mark.parametrize("name", [variable("broker.url"), "CELERY_BROKER_URL", "REDIS_URL"])
def test_a_url_beside_its_file(folder: Path, name: str) -> None:
    """Which one was meant?"""
    path = folder / "url"
    path.write_text(f"redis://:{SECRET}@h\n")
    line = refusal(**{name: f"redis://:{SECRET}@h", f"{name}_FILE": str(path)})

    assert line == f"celery-beat-exporter: {name}_FILE: {name} is given too; give one of them"


def test_files_have_the_rank_of_what_names_them(
    folder: Path, exporter: Callable[..., Exporter]
) -> None:
    """A flag's before a variable, that before an alias, and that before the configuration file."""
    files = {}
    for number, name in enumerate(["flag", "own", "alias", "key"], 1):
        files[name] = folder / name
        # Neither blanks nor an editor's line ends are part of it.
        files[name].write_text(f"redis://{NOWHERE}/{number}\r\n")
    configuration = folder / "exporter.yml"
    configuration.write_text(f"broker.url-file: {files['key']}\n")
    environment = {
        variable("config.file"): str(configuration),
        "CELERY_BROKER_URL_FILE": str(files["alias"]),
        variable("broker.url") + "_FILE": str(files["own"]),
    }

    def database(*flags: str, **changes: str) -> str:
        return errors(exporter(*flags, **{**environment, **changes}))["queues"]

    own = {variable("broker.url") + "_FILE": ""}
    alias = {**own, "CELERY_BROKER_URL_FILE": ""}
    assert f"{NOWHERE}/1:" in database(f"--broker.url-file={files['flag']}")
    assert f"{NOWHERE}/9:" in database(f"--broker.url=redis://{NOWHERE}/9")
    assert f"{NOWHERE}/2:" in database()
    assert f"{NOWHERE}/3:" in database(**own)
    assert f"{NOWHERE}/8:" in database(
        **own, CELERY_BROKER_URL=f"redis://{NOWHERE}/8", CELERY_BROKER_URL_FILE=""
    )
    assert f"{NOWHERE}/4:" in database(**alias)


def test_every_source_has_its_file(
    folder: Path, exporter: Callable[..., Exporter], redis_url: str, database_url: str
) -> None:
    fill_database(database_url)
    redis_file, database_file = folder / "redis", folder / "database"
    redis_file.write_text(redis_url)
    database_file.write_text(database_url)
    up = {"broker": 1, "redbeat": 1, "database": 1}
    for environment in (
        {"CELERY_BROKER_URL_FILE": redis_file, "DATABASE_URL_FILE": database_file},
        {
            "REDIS_URL_FILE": redis_file,
            "REDBEAT_REDIS_URL_FILE": redis_file,
            variable("database.url") + "_FILE": database_file,
        },
    ):
        assert source_up(exporter(**{k: str(v) for k, v in environment.items()}).metrics()) == up
    path = folder / "exporter.yml"
    path.write_text(
        json.dumps(
            {
                "targets": {
                    "shop": {
                        "broker": {"url-file": str(redis_file)},
                        "redbeat.url-file": str(redis_file),
                        "database.url-file": str(database_file),
                    }
                }
            }
        )
    )
    assert source_up(exporter(f"--config.file={path}").probe("shop")) == up


@pytest.mark.parametrize(
    "arguments",
    [
        [f"redis://:{SECRET}@h"],
        [f"redis://:{SECRET}/@h"],
        [f"password={SECRET}"],
        ["--database.url", "host=h", f"password={SECRET}"],
        ["--broker.url", "redis://h", f"redis://user:{SECRET}@h", "x@y"],
        ["--database.url", "postgresql://u:two", f"{SECRET}@h/d"],
        [f"--broker.urll=redis://:{SECRET}@h"],
        [f"--password={SECRET}"],
        ["--password", SECRET],
        [f"-p{SECRET}"],
    ],
)
def test_a_stray_argument_is_not_told(arguments: list[str]) -> None:
    assert SECRET not in refusal(*arguments)


def everything_told(exporter: Exporter, *targets: str) -> str:
    """All pages there are, and the log."""
    paths = [
        *("/", "/api/v1/status", "/metrics", "/-/healthy", "/-/ready", "/-/reload", "/probe"),
        "/missing",
    ]
    pages = ("/", "/api/v1/status", "/probe")
    paths += [f"{page}?target={target}" for target in targets for page in pages]
    texts = [exporter.log.read_text()]
    for path in paths:
        for accept in ("text/plain", "application/openmetrics-text"):
            answer, body = ask(exporter, "GET", path, headers={"Accept": accept})
            texts += [str(answer.headers), body.decode()]
    return "".join(texts)


@contextlib.contextmanager
def answering(shared_redis: RedisServer, shared_postgres: PostgresServer) -> Iterator[list[int]]:
    """The servers are there and refuse the password in their own words."""
    yield [shared_redis.port, shared_postgres.port]


@contextlib.contextmanager
def refusing(shared_redis: RedisServer, shared_postgres: PostgresServer) -> Iterator[list[int]]:
    """Nobody listens."""
    yield [1, 1]


@contextlib.contextmanager
def confused(shared_redis: RedisServer, shared_postgres: PostgresServer) -> Iterator[list[int]]:
    """Each is asked what the other knows."""
    yield [shared_postgres.port, shared_redis.port]


@pytest.mark.parametrize("trouble", [answering, refusing, confused])
def test_pages_and_logs_hold_no_secret(
    folder: Path,
    exporter: Callable[..., Exporter],
    shared_redis: RedisServer,
    shared_postgres: PostgresServer,
    trouble: Callable[..., contextlib.AbstractContextManager[list[int]]],
) -> None:
    with trouble(shared_redis, shared_postgres) as (redis_port, postgres_port):
        broker = f"redis://:{SECRET}@127.0.0.1:{redis_port}"
        redbeat = f"redis://{SECRET}:{SECRET}@127.0.0.1:{redis_port}"
        # PostgreSQL's own words name the user, whom the log may name too.
        database = f"postgresql://user:{SECRET}@127.0.0.1:{postgres_port}/postgres"
        path = folder / "exporter.yml"
        files = {}
        for name, url in (("broker", broker), ("redbeat", redbeat), ("database", database)):
            (folder / name).write_text(url)
            files[f"{name}.url-file"] = str(folder / name)
        values = {"broker.url": broker, "redbeat.url": redbeat, "database.url": database}
        path.write_text(json.dumps({"targets": {"shop": values, "bank": files}}))
        one = exporter(
            "--log.level=debug",
            "--collect.timeout=1s",
            f"--config.file={path}",
            f"--redbeat.url={redbeat}",
            CELERY_BROKER_URL=broker,
            DATABASE_URL=database,
        )

        failed = {"django", "pipelines", "queues", "redbeat", "tasks", "workers"}
        assert set(errors(one)) == failed
        assert SECRET not in everything_told(one, "shop", "bank")


def test_a_server_that_hangs_hears_it_alone(
    folder: Path, exporter: Callable[..., Exporter], own_redis: RedisServer
) -> None:
    own_redis.pause()
    try:
        one = exporter(
            "--log.level=debug",
            "--collect.timeout=500ms",
            CELERY_BROKER_URL=f"redis://:{SECRET}@127.0.0.1:{own_redis.port}",
        )
        assert set(errors(one)) == {"queues", "redbeat"}
        assert SECRET not in everything_told(one)
    finally:
        own_redis.resume()


def reload(exporter: Exporter) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer to a reload, as soon as there may be another."""
    return wait_until(
        lambda: (found := ask(exporter, "POST", "/-/reload"))[0].status != 429 and found,
        SECONDS,
        "time for another reload",
    )


@pytest.mark.parametrize("flag", URLS)
def test_a_reload_that_fails_tells_no_secret(
    folder: Path, exporter: Callable[..., Exporter], flag: str
) -> None:
    path, secret = folder / "exporter.yml", folder / "url"
    right = {"targets": {"shop": {"broker.url": f"redis://:{SECRET}@{NOWHERE}"}}}
    path.write_text(json.dumps(right))
    one = exporter("--log.level=debug", "--web.enable-lifecycle", f"--config.file={path}")

    secret.write_text(URLS[flag].format(SECRET).replace(":1/", ":one/"))
    malformed = {flag: "nothing://" + SECRET}
    twice = {flag: URLS[flag].format(SECRET), f"{flag}-file": str(secret)}
    for settings in (malformed, twice, {f"{flag}-file": URLS[flag].format(SECRET)}):
        for text in (json.dumps(settings), json.dumps({"targets": {"shop": settings}})):
            path.write_text(text)
            answer, body = reload(one)
            assert answer.status == 500
            assert SECRET not in body.decode()
    # What a line of the file says is not repeated, be it ever so wrong.
    for text in (
        f"{flag}: '{SECRET}",
        f"{SECRET}",
        f"- {SECRET}",
        f"{flag}: [[{SECRET}]]",
        f"x: *{SECRET}",
    ):
        path.write_text(text)
        answer, body = reload(one)
        assert answer.status == 500
        assert SECRET not in body.decode()
    assert SECRET not in everything_told(one, "shop")


def test_a_reload_that_changes_a_password_tells_neither(
    folder: Path, exporter: Callable[..., Exporter], shared_postgres: PostgresServer
) -> None:
    path = folder / "exporter.yml"

    def write(password: str) -> None:
        url = f"postgresql://user:{password}@127.0.0.1:{shared_postgres.port}/postgres"
        path.write_text(json.dumps({"targets": {"shop": {"database.url": url}}}))

    write(f"{SECRET}old")
    flags = ("--log.level=debug", "--collect.interval=100ms", "--web.enable-lifecycle")
    one = exporter(*flags, f"--config.file={path}")
    write(f"{SECRET}new")
    assert reload(one)[0].status == 200
    wait_until(lambda: source_up(one.probe("shop")) == {"database": 0}, SECONDS, "the failure")
    assert SECRET not in everything_told(one, "shop")

"""Every command of the documentation is run by some test; here by those that belong to no other.

Only addresses, and what stands for the reader's own in capitals, are replaced. Beside a command
stands a pattern of what it must print.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
from contents import TASK, fill_database
from django_beats import KEPT, Site
from documented_commands import (
    BEGINNINGS,
    BLOCKS_OF,
    RUN_BY_NOBODY,
    TESTS,
    commands,
    documented,
    urls,
)
from readers_application import Application, CeleryCommand, nap, succeed
from servers import Process, RedisServer, free_port, wait_until
from stack import PROJECT, Exporter, WebProcess, exporter_binary

SECONDS = 60.0  # longest wait for something that normally takes a few
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
LOCK = "redbeat::lock"
# An entry as Django's admin makes it.
REPORT = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask
hourly = IntervalSchedule.objects.create(every=1, period="hours")
PeriodicTask.objects.create(
    name="nightly report", task="shop.count", args="[1]", queue="reports", interval=hourly
)
"""


@dataclass(frozen=True)
class Shop:
    """An application with a beat that answers pings, a message that waits, and a busy worker that holds others."""

    application: Application
    beat: CeleryCommand
    url: str

    def send(self, queue: str) -> None:
        """Leaves a message there. Not over a pooled connection: other tests' applications close those."""
        with self.application.app.connection_for_write() as connection:
            self.application.send(succeed, queue=queue, connection=connection)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    password = ["--requirepass", "secret"]
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder), arguments=password) as server,
    ):
        report = {"task": succeed.name, "schedule": 3600.0, "options": {"queue": "reports"}}
        application = Application(
            tmp_path_factory.mktemp("shop"),
            broker_url=server.url,
            beat_schedule={"report": report},
            beat_enable_remote_control=True,
        )
        with contextlib.closing(application), redis.Redis.from_url(server.url) as client:
            client.flushall()
            for _ in range(4):  # twice as many as the worker has processes
                application.send(nap, 600, queue="busy")
            application.send(succeed, queue="reports")
            beat = application.beat()
            worker = application.worker("busy")
            wait_until(lambda: client.exists("redbeat::lock"), SECONDS, "beat to have its lock")
            # Only then do those stay that it holds: it takes a message before it notes that it has it.
            wait_until(
                lambda: (
                    (worker.log_tail().count(" received"), client.zcard("unacked_index")) == (4, 2)
                ),
                SECONDS,
                "the worker to run two tasks and to hold two",
            )
            yield Shop(application, beat, server.url)


def own(test: str) -> set[str]:
    """The commands that a test of this file has to run."""
    return commands(f"live/test_commands.py::{test}")


def filled(command: str, real: Mapping[str, str]) -> str:
    """The command with what its words in capitals stand for."""
    return re.sub(r"[A-Z_]+", lambda word: real.get(word[0], word[0]), command)


def run(
    command: str, answer: str = "", environment: Mapping[str, str] | None = None, **real: str
) -> str:
    """What a command prints, in which the pattern `answer` is found."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{urls()}\n{filled(command, real)}"],
        cwd=PROJECT,
        env={**os.environ, "PATH": PATH, **(environment or {})},
        input="yes\n",  # to what it asks
        capture_output=True,
        text=True,
        timeout=5 * SECONDS,
        check=False,
    )
    told = f"{command}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, told
    assert re.search(answer, done.stdout, re.MULTILINE), f"{answer}\n{told}"
    return done.stdout


def eventually(command: str, answer: str, environment: Mapping[str, str], **real: str) -> None:
    """Runs it until it says so: what a beat asks of its database changes from moment to moment."""

    def is_said() -> bool:
        with contextlib.suppress(AssertionError):
            run(command, answer, environment, **real)
            return True
        return False

    wait_until(is_said, SECONDS, f"{answer!r} from {command}")


def endless(
    command: str, folder: Path, environment: Mapping[str, str] | None = None, **real: str
) -> Process:
    """A command that goes on until it is stopped."""
    words = ["bash", "-c", f"{urls()}\n{filled(command, real)}"]
    return Process("command", folder, words, environment={"PATH": PATH, **(environment or {})})


def test_every_command_is_run_by_a_test() -> None:
    found = list(documented())
    assert {one.text for one in found if one.test is None} == RUN_BY_NOBODY.keys()
    tests = {*BLOCKS_OF.values(), *BEGINNINGS.values()}
    assert {one.test for one in found} - {None} == tests
    for test in tests:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (TESTS / file).read_text(), test


def test_redis_cli_with_a_password(folder: Path) -> None:
    """The URL as the application has it, with a password and without, with a user and without."""
    (command,) = own("test_redis_cli_with_a_password")
    with RedisServer(folder, arguments=["--requirepass", "secret"]) as server:
        user = server.url.replace("://:", "://default:")
        for url in (server.url, user, f"{server.url}?ssl_cert_reqs=none"):
            run(command, "^PONG$", environment={"CELERY_BROKER_URL": url})


def test_redis_cli(shop: Shop, folder: Path) -> None:
    """With a URL as Celery has it: with a password and without a user."""
    assert "redis://:secret@" in shop.url
    shop.application.store("nightly report, €", 3600.0, args=[1], options={"queue": "reports"})
    with redis.Redis.from_url(shop.url) as client:
        tag = client.zrange("unacked_index", 0, 0)[0].decode()
        client.rpush("old reports", "second", "first")
    monitor = 'redis-cli -u "$BROKER" MONITOR | grep LPUSH'
    count = """grep -oE '"task": "[^"]*"' | sort | uniq -c"""
    count = f"redis-cli -u \"$BROKER\" LRANGE 'QUEUE' -1000 -1 | {count}"
    lines = {one for one in own("test_redis_cli") if not one.startswith("redis-cli ")}
    assert len(lines) == 2
    answers = {
        'redis-cli -u "$BROKER" PING': "^PONG$",
        'redis-cli -u "$REDBEAT" PING': "^PONG$",
        'redis-cli -u "$REDBEAT" TIME': r"^\d{10}\n\d+$",
        'redis-cli -u "$BROKER" INFO server': "^redis_version:",
        'redis-cli -u "$BROKER" INFO persistence | grep loading': "^loading:0",
        'redis-cli -u "$REDBEAT" INFO stats | grep evicted_keys': "^evicted_keys:0",
        'redis-cli -u "$REDBEAT" INFO commandstats | grep flush': "^cmdstat_flushall:calls=1,",
        'redis-cli -u "$REDBEAT" EXISTS redbeat::lock': "^1$",
        'redis-cli -u "$REDBEAT" PTTL redbeat::lock': r"^1[2-5]\d{5}$",
        'redis-cli -u "$REDBEAT" ZCARD redbeat::schedule': "^2$",
        'redis-cli -u "$REDBEAT" OBJECT IDLETIME redbeat::schedule': r"^\d+$",
        "redis-cli -u \"$REDBEAT\" ZSCORE redbeat::schedule 'redbeat:ENTRY'": r"^\d{10}",
        "redis-cli -u \"$REDBEAT\" HGETALL 'redbeat:ENTRY'": '^definition\n{"name": "nightly rep',
        "redis-cli -u \"$REDBEAT\" HGET 'redbeat:ENTRY' definition": (
            r'"args": \[1\], .*"options": {"queue": "reports"}'
        ),
        'redis-cli -u "$BROKER" INFO keyspace': "^db0:keys=",
        "redis-cli -u \"$BROKER\" LRANGE 'QUEUE' -3 -1": f'"task": "{succeed.name}"',
        count: f'^ +1 "task": "{succeed.name}"$',
        "redis-cli -u \"$BROKER\" --scan --pattern 'QUEUE*'": "^reports$",
        'redis-cli -u "$BROKER" ZRANGE unacked_index 0 0 WITHSCORES': rf"^{tag}\n\d{{10}}",
        "redis-cli -u \"$BROKER\" HGET unacked 'TAG'": f'"task": "{nap.name}".*"eta": null',
    }
    # The queue is put aside, and its oldest message given back.
    rename = "redis-cli -u \"$BROKER\" RENAMENX 'QUEUE' 'QUEUE.aside'"
    give_back = "redis-cli -u \"$BROKER\" RPOPLPUSH 'QUEUE.aside' 'QUEUE'"
    assert {*answers, monitor, rename, give_back, *lines} == own("test_redis_cli")
    environment = {"CELERY_BROKER_URL": shop.url}
    real = {"ENTRY": "nightly report, €", "QUEUE": "reports", "TAG": tag}

    def ask(command: str, answer: str, **real: str) -> None:
        # -e: else an error is an answer like others.
        run(command.replace("redis-cli", "redis-cli -e", 1), answer, environment, **real)

    for command, answer in answers.items():
        ask(command, answer, **real)
    ask(rename, "^1$", QUEUE="old reports")
    ask(give_back, "^first$", QUEUE="old reports")
    # grep keeps back what it finds until it ends, unless it writes to a terminal.
    with endless(f"{monitor} --line-buffered", folder, environment) as process:

        def is_seen() -> bool:
            shop.send("reports")
            return '"LPUSH" "reports"' in process.log_tail()

        wait_until(is_seen, SECONDS, monitor)
        process.kill()


def test_psql(
    site: Site,
    database: psycopg.Connection,
    database_url: str,
    folder: Path,
) -> None:
    def wait_for(rows: str) -> None:
        wait_until(lambda: database.execute(f"SELECT 1 {rows}").fetchone(), SECONDS, rows)

    site.shell(REPORT)
    site.beat(connection_seconds=KEPT)
    # Beat adds its own entry, which it cannot once a table is locked below.
    wait_for("FROM django_celery_beat_periodictask HAVING count(*) = 2")
    wait_for(
        "FROM pg_stat_activity WHERE query LIKE '%celery_beat_periodictasks%' AND pid <> pg_backend_pid()"
    )
    beat = r"\d+ +\| 127\.0\.0\.1"
    with psycopg.connect(database_url) as holder:
        holder.execute("LOCK django_celery_beat_clockedschedule")
        answers = {
            "'SELECT 1'": r"^ +1$",
            "extract(epoch FROM clock_timestamp())": r"^ \d{10}\.\d{6}$",
            "count(*) FROM django_celery_beat_periodictask": r"^ +2$",
            "pg_blocking_pids(pid)": rf"active \| .{holder.info.backend_pid}. +\| SELECT FROM dj",
            "clock_timestamp() - query_start": rf"^ +{beat} +\| \w+ +\| 00:0\d:",
            "application_name, backend_start": rf"^ +{beat} +\| +\| 20",
            "SELECT task, args, kwargs, queue, priority": r"^ shop.count \| \[1\] +\| \{\} +\| reports \|",
            "SELECT enabled, start_time, expires": r"^ t +\| ",
        }
        found = own("test_psql")
        assert len(found) == len(answers) + 1  # the line that takes the URL
        # As applications have it, which psql does not know.
        environment = {"DATABASE_URL": f"db+postgresql+psycopg:{database_url.partition(':')[2]}"}
        waits = 'psql "$DATABASE" -c "SELECT FROM django_celery_beat_clockedschedule"'
        with endless(waits, folder, environment) as waiting:
            wait_for("FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            for words, answer in answers.items():
                (command,) = [one for one in found if words in one]
                eventually(command, answer, environment, ENTRY="nightly report")
            waiting.kill()


def test_celery(shop: Shop, folder: Path) -> None:
    environment = shop.beat.environment
    worker = "celery -A APP worker -Q 'QUEUE'"
    call = "celery -A APP call 'TASK' --args='ARGS' --kwargs='KWARGS' --queue='QUEUE'"
    answers = {
        "celery -A APP inspect ping": "^-> +celery@.*: OK",
        "celery -A APP inspect registered": re.escape(succeed.name),
        "celery -A APP inspect active_queues": "'name': 'busy'",
        "celery -A APP inspect active": re.escape(nap.name),
        call: r"^[0-9a-f-]{36}$",
        "celery -A APP control revoke ID": "^-> +celery@.*: OK",
        "celery -A APP purge -Q 'QUEUE'": "Purged 1 message from 1 known task queue",
        "celery -A shop inspect ping -d celerybeat@HOST": "^-> +celerybeat@.*: OK",
    }
    assert answers.keys() | {worker} == own("test_celery")
    shop.send("unwanted mails")
    arguments = {"ARGS": '["to all"]', "KWARGS": '{"day": 1}'}
    names = {"APP": "readers_application", "TASK": succeed.name, "HOST": socket.gethostname()}
    real = {**names, **arguments, "ID": "1f6f4e42-0000-4000-8000-000000000000"}

    def ask(command: str) -> None:
        named = command.replace("-A shop", "-A APP")
        queue = "made up for" if command == call else "unwanted mails"
        if " inspect " not in command and " control " not in command:
            run(named, answers[command], environment, QUEUE=queue, **real)
            return

        def is_answered() -> bool:
            """Celery gives those that it asks a second, which may be too little here."""
            try:
                return bool(run(named, answers[command], environment, QUEUE=queue, **real))
            except AssertionError as error:
                failures.append(str(error))
                return False

        failures: list[str] = []
        try:
            wait_until(is_answered, SECONDS, command)
        except TimeoutError:
            pytest.fail(failures[-1])

    with redis.Redis.from_url(shop.url) as client, ThreadPoolExecutor(3) as threads:
        list(threads.map(ask, answers))
        assert client.llen("unwanted mails") == 0
        message = json.loads(client.lrange("made up for", 0, -1)[0])
        assert (message["headers"]["argsrepr"], message["headers"]["kwargsrepr"]) == (
            "['to all']",
            "{'day': 1}",
        )
        with endless(worker, folder, environment, QUEUE="made up for", **real) as process:
            wait_until(lambda: client.llen("made up for") == 0, SECONDS, "the worker to take it")
            process.kill()


def test_ps_and_kill(application: Callable[..., Application], redis_url: str) -> None:
    """A beat that hangs is found, ended, and followed by another, as CeleryBeatOverdue tells."""
    ps = {
        "ps -ewwo pid,stat,etime,args | grep '[c]elery.* beat'": r"T\w* +\d\d:\d\d ",
        "ps -ewwo pid,lstart,args | grep '[c]elery.* beat'": r"\w{3} \w{3} +\d+ ",
    }
    kill, force = "kill PID", "kill -9 PID"
    delete = 'redis-cli -u "$REDBEAT" DEL redbeat::lock'
    assert {*ps, kill, force, delete} == own("test_ps_and_kill")
    one = application(broker_url=redis_url)
    with redis.Redis.from_url(redis_url) as client:

        def started() -> CeleryCommand:
            beat = one.beat()
            wait_until(lambda: client.exists("redbeat::lock"), SECONDS, "beat to have its lock")
            return beat

        beat = started()
        beat.pause()
        for command, state in ps.items():
            # As where a terminal's width is passed on, which must not cut the line.
            run(command, rf"^ *{beat.pid} {state}.*celery", {"COLUMNS": "40"})
        run(kill, PID=str(beat.pid))
        run(force, PID=str(beat.pid))
        beat.wait(SECONDS)
        run(
            delete,
            "^1$",
            {"REDBEAT_REDIS_URL": redis_url, "CELERY_BROKER_URL": "redis://elsewhere"},
        )
        started()


def test_exporter(shop: Shop, folder: Path, exporter: Callable[..., Exporter]) -> None:
    path = folder / "exporter.yml"
    path.write_text(f"targets:\n  shop:\n    broker.url: {shop.url}\n")
    flags = ("--web.enable-lifecycle", f"--config.file={path}")
    one = exporter(*flags, CELERY_BROKER_URL=shop.url)
    reloads = {
        "kill -HUP PID",
        "curl -X POST http://localhost:9808/-/reload",
    }
    answers = {
        "curl -sS --max-time 5 http://HOST:9808/-/healthy": "^Healthy",
        "curl -sS --max-time 5 'http://HOST:9808/probe?target=TARGET'": '^celery_beat_up{scheduler="redbeat"} 1$',
        "curl -s http://localhost:9808/api/v1/status | jq .beat.active": "^true$",
        "grep . /proc/PID/task/*/wchan": rf"(^/proc/{one.pid}/task/\d+/wchan:[\w.]+\n){{5,}}",
    }
    assert answers.keys() | reloads == own("test_exporter")

    def ask(command: str) -> None:
        run(re.sub(r"http://\w+:9808", one.url, command), PID=str(one.pid))

    for command, answer in answers.items():
        # A busy machine may be too slow for curl's patience.
        eventually(
            re.sub(r"http://\w+:9808", one.url, command),
            answer,
            {},
            PID=str(one.pid),
            TARGET="shop",
        )
    for count, command in enumerate(sorted(reloads), start=1):
        ask(command)
        wait_until(
            lambda count=count: one.log.read_text().count("configuration reloaded") == count,
            SECONDS,
            command,
        )


def test_check(shop: Shop, folder: Path) -> None:
    """As root, with the settings that systemd hands to the exporter; containers run what stands behind."""
    (command,) = own("test_check")
    path = folder / "celery-beat-exporter.yml"
    path.write_text(f"broker.url: {shop.url}\n")
    real = command.removeprefix("sudo ").replace("/etc/celery-beat-exporter.yml", str(path))
    real = real.replace("celery-beat-exporter", str(exporter_binary()), 1)
    run(f"{real} || true", "^ok +redbeat ")
    for page in (PROJECT / "docs" / "runbooks").glob("Celery*.md"):
        first = next(one for one in documented() if one.page == str(page.relative_to(PROJECT)))
        assert first.text == command, page


def test_readme(shop: Shop, folder: Path) -> None:
    (command,) = own("test_readme")
    port = free_port()
    real = command.replace("redis://localhost:6379/0", shop.url)
    real = real.replace(".build/release/celery-beat-exporter", f"exec {exporter_binary()}")
    environment = {"CELERY_BEAT_EXPORTER_WEB_LISTEN_ADDRESS": f"127.0.0.1:{port}"}
    bash = ["bash", "-c", real]
    with WebProcess("exporter", folder, port, bash, environment=environment) as exporter:
        eventually(f"curl -s {exporter.url}/metrics", '^celery_beat_up{scheduler="redbeat"} 1$', {})


def test_sentinels(folder: Path) -> None:
    """They are valid settings; test_redis_sentinel.py asks real ones."""
    (command,) = own("test_sentinels")
    (folder / "sentinel").write_text("password\n")
    real = command.replace("/run/secrets", str(folder))
    real = real.replace("celery-beat-exporter", f"{exporter_binary()} --config.check")
    run(real, "^The configuration is valid")


def test_recorder(database_url: str) -> None:
    """One after the other, as on the page."""
    script = "\n".join(one.text for one in documented() if one.page == "recorder/README.md")
    assert script.count("python celery_signals.py") == 3
    fill_database(database_url)
    script = re.sub(r"postgresql://\S+", database_url, script)
    printed = run(f"cd recorder\n{script}", environment={"DATABASE_URL": database_url})
    assert re.search(rf'^.*"{TASK}".*"succeeded": 1', printed, re.MULTILINE)
    assert re.search("task_info.*0", printed)


def test_date() -> None:
    answers = {"date -u": "UTC", "date -u +%s.%N": r"^\d{10}\.\d{9}$"}
    assert answers.keys() == own("test_date")
    for command, answer in answers.items():
        run(command, answer)


def test_make() -> None:
    """Each is a command of the Makefile; what it does is not done here."""
    for command in own("test_make"):
        run(command.replace("make", "make --dry-run", 1), ".")


def test_benchmarks() -> None:
    """Each takes the options of the pages; only that which tells of the machine is run."""
    for command in own("test_benchmarks"):
        program, *options = command.removeprefix(".venv/bin/").removeprefix("python ").split()
        if not options:
            run(f"python {program}", "^- .*cores of ")
        else:
            told = run(f"python {program} --help")
            flags = {option for option in options if option.startswith("--")}
            assert flags <= set(re.findall(r"--\w+", told)), command


def test_rules_of_dashboards() -> None:
    for command in own("test_rules_of_dashboards"):
        run(command)

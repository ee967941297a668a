"""Several applications on one exporter: each served by /probe under its name, none in another's way."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from contents import QUEUE, TASK, fill_database, fill_redis
from exporter_signs import NOWHERE, families, log, source_up
from http_requests import ask
from readers_application import by_label, value
from servers import RedisServer, free_port, wait_until
from stack import Exporter
from test_configuration import refusal, variable

SECONDS = 60.0  # longest wait for something that normally takes a moment
MANY = 50


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "exporter.yml"


def collectors(metrics: object) -> set[str]:
    return set(by_label(metrics, "celery_beat_exporter_collector_success", "collector"))


def last_success(metrics: object) -> dict[str, float]:
    name = "celery_beat_exporter_collector_last_success_timestamp_seconds"
    return by_label(metrics, name, "collector")


def test_each_target_is_served_by_itself(
    path: Path, exporter: Callable[..., Exporter], redis_url: str, database_url: str
) -> None:
    fill_redis(redis_url)
    fill_database(database_url)
    path.write_text(
        f"""
targets:
  shop: {{broker.url: "{redis_url}"}}
  Bank-2.eu_west:
    database:
      url: {database_url}
  gone:
    broker.url: redis://{NOWHERE}
    redbeat.url: redis://{NOWHERE}/7
    database.url: postgresql://{NOWHERE}/d
"""
    )
    one = exporter(f"--config.file={path}")

    shop, bank, gone = (one.probe(name) for name in ("shop", "Bank-2.eu_west", "gone"))
    assert source_up(shop) == {"broker": 1, "redbeat": 1}
    assert collectors(shop) == {"queues", "redbeat"}
    assert value(shop, "celery_beat_up", scheduler="redbeat") == 1
    assert value(shop, "celery_queue_length", queue_name=QUEUE) == 2
    assert source_up(bank) == {"database": 1}
    assert value(bank, "celery_task_in_progress", task_name=TASK, status="STARTED") == 1
    assert not [name for name in families(bank) if name.startswith("celery_queue")]
    assert source_up(gone) == {"broker": 0, "redbeat": 0, "database": 0}
    # The exporter is told of where the applications are not.
    own = one.metrics()
    assert collectors(own) == {"process"}
    assert source_up(own) == {}
    assert {"process_open_fds", "celery_beat_exporter_build_info"} <= families(own)
    for metrics in (shop, bank, gone):
        assert not [
            name
            for name in families(metrics)
            if name.startswith(("process_", "celery_beat_exporter_build"))
        ]
    # The log says whose collections failed.
    failed = [event for event in log(one) if event["msg"] == "collection failed"]
    assert {event["target"] for event in failed} == {"gone"}
    assert not [event for event in log(one) if event["msg"] == "serving" and "target" in event]


def test_the_application_of_the_flags_beside_those_of_the_file(
    path: Path, exporter: Callable[..., Exporter], redis_url: str, database_url: str
) -> None:
    fill_database(database_url)
    path.write_text(f"targets: {{bank: {{database.url: '{database_url}'}}}}\n")
    one = exporter(f"--config.file={path}", CELERY_BROKER_URL=redis_url)

    assert collectors(one.metrics()) == {"process", "queues", "redbeat"}
    # What the variable names is not the target's.
    assert source_up(one.probe("bank")) == {"database": 1}


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    folder = tmp_path_factory.mktemp("probed")
    path = folder / "exporter.yml"
    path.write_text(
        f"targets: {{shop: {{broker.url: 'redis://{NOWHERE}'}}, b: {{broker.url: 'redis://{NOWHERE}'}}}}"
    )
    with Exporter(folder, f"--config.file={path}") as one:
        yield one


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "?target",
        "?target=",
        "?target=missing",
        "?target=Shop",
        "?target=shop%20",
        "?target=%73hop",
        "?target=shop%00",
        "?target=shop&target=shop",
        "?target=b&target=shop",
        "?target=shop&target",
        "?Target=shop",
        "?name=shop",
        "?target=redis://127.0.0.1:6379",
        "?target=" + "x" * 4000,
        "?" + "&".join(f"target={number}" for number in range(100)),
    ],
)
def test_other_names_are_refused(probed: Exporter, query: str) -> None:
    answer, body = ask(probed, "GET", f"/probe{query}")

    assert answer.status == 400
    assert body == (
        b"Ask for /probe?target=NAME, with a name from the targets of the configuration file.\n"
    )


@pytest.mark.parametrize("query", ["?target=shop", "?module=x&target=shop", "?target=shop&x=%00"])
def test_a_probe_is_served_like_the_metrics(probed: Exporter, query: str) -> None:
    headers = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}
    head, nothing = ask(probed, "HEAD", f"/probe{query}", headers=headers)
    get, body = ask(probed, "GET", f"/probe{query}", headers=headers)

    assert (head.status, nothing) == (get.status, b"") == (200, b"")
    assert get.headers["Content-Type"].startswith("application/openmetrics-text")
    assert get.headers["Content-Encoding"] == "gzip"
    assert get.headers["Vary"] == "Accept, Accept-Encoding"
    assert int(get.headers["Content-Length"]) == len(body)
    posted, _ = ask(probed, "POST", f"/probe{query}", b"")
    assert (posted.status, posted.headers["Allow"]) == (405, "GET, HEAD")


def test_targets_inherit_all_but_addresses(
    path: Path, exporter: Callable[..., Exporter], redis_url: str, database_url: str
) -> None:
    """Also what would contradict itself where there is no server, as a scheduler to look for."""
    path.write_text(
        f"""
beat: {{grace: 7s, scheduler: redbeat}}
database.url: {database_url}
broker.url: {redis_url}
redbeat.url: {redis_url}
targets:
  inherits: {{broker.url: "{redis_url}"}}
  has-its-own: {{broker.url: "{redis_url}", beat: {{grace: 9s}}, queues: [own]}}
"""
    )
    environment = {
        "CELERY_BROKER_URL": redis_url,
        "REDBEAT_REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        variable("queues"): "everywhere",
    }
    one = exporter(f"--config.file={path}", f"--database.url={database_url}", **environment)

    def grace(metrics: object) -> float | None:
        return value(metrics, "celery_beat_grace_seconds", scheduler="redbeat")

    inherits, own = one.probe("inherits"), one.probe("has-its-own")
    assert source_up(one.metrics()) == {"broker": 1, "redbeat": 1, "database": 1}
    assert source_up(inherits) == source_up(own) == {"broker": 1, "redbeat": 1}
    assert (grace(inherits), grace(own)) == (7, 9)
    lengths = "celery_queue_length"
    assert value(inherits, lengths, queue_name="everywhere") == 0
    assert value(own, lengths, queue_name="own") == 0
    assert value(own, lengths, queue_name="everywhere") is None

    # A flag wins for all but a target that says something itself.
    path.write_text(
        path.read_text().replace(
            f"database.url: {database_url}\nbroker.url: {redis_url}\nredbeat.url: {redis_url}\n", ""
        )
    )
    alone = exporter(f"--config.file={path}", "--beat.grace=8s")
    assert collectors(alone.metrics()) == {"process"}
    assert (grace(alone.probe("inherits")), grace(alone.probe("has-its-own"))) == (8, 9)


def test_a_schedule_and_tables_are_a_targets_own(
    path: Path, exporter: Callable[..., Exporter], database: psycopg.Connection, database_url: str
) -> None:
    database.execute(
        "CREATE TABLE runs (id text PRIMARY KEY, name text, state text, ended timestamptz)"
    )
    database.execute("INSERT INTO runs VALUES ('1', 'a', 'running', NULL)")
    path.write_text(
        f"""
targets:
  jobs:
    database.url: {database_url}
    schedule:
      - {{task: a, interval: 1h}}
    tables:
      - {{table: runs, task: name, status: state, completed: ended, states: {{running: STARTED}}}}
  plain:
    database.url: {database_url}
"""
    )
    one = exporter(f"--config.file={path}")

    jobs, plain = one.probe("jobs"), one.probe("plain")
    assert value(jobs, "celery_task_in_progress", task_name="a", status="STARTED") == 1
    assert value(jobs, "celery_beat_schedule_entries", scheduler="evidence") == 1
    assert collectors(jobs) - collectors(plain) == {"evidence"}
    assert "celery_task_in_progress" not in families(plain)


BROKER = "broker.url: redis://h"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "targets:\n  shop: {" + BROKER + ", beat.grcae: 2s}",
            "2: beat.grcae is no setting; did you mean beat.grace? (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    beat:\n      grcae: 2s",
            "5: beat.grcae is no setting; did you mean beat.grace? (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    web.telemetry-path: /m",
            "4: web.telemetry-path is for the whole program; write it outside of targets (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    collect.interval: 1s",
            "4: collect.interval is for the whole program; write it outside of targets (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    log.level: debug",
            "4: log.level is for the whole program; write it outside of targets (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    targets: {a: {b: c}}",
            "4: there is no such setting; --help lists them (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    beat.grace: soon",
            "4: beat.grace: not a duration; write 500ms, 10s, 5m or 1h30m (target shop)",
        ),
        (
            "targets:\n  shop:\n    " + BROKER + "\n    tables: {}",
            "4: tables must be a list of 1 to 20 tables (target shop)",
        ),
        (
            "beat.scheduler: django\ntargets:\n  shop: {" + BROKER + "}",
            "1: beat.scheduler: django needs --database.url (target shop)",
        ),
        (
            "targets:\n  shop: {queues: mail}",
            "2: nothing to watch; give it broker.url, database.url or both (target shop)",
        ),
        (
            "targets:\n  shop: {}",
            "2: nothing to watch; give it broker.url, database.url or both (target shop)",
        ),
        (
            "targets:\n  shop:",
            "2: a target has no settings; give it broker.url, for example",
        ),
        (
            "targets:\n  shop: redis://h",
            "2: a target has no settings; give it broker.url, for example",
        ),
        ("targets:", "1: write targets as name: and below it the settings of the application"),
        (
            "targets: [shop]",
            "1: write targets as name: and below it the settings of the application",
        ),
        ("targets: {}", "1: targets must be 1 to 500 applications"),
        (
            "targets:\n" + "".join(f"  t{number}: {{{BROKER}}}\n" for number in range(501)),
            "1: targets must be 1 to 500 applications",
        ),
        (
            "targets:\n  shop: {" + BROKER + "}\n  shop: {" + BROKER + "}",
            "3: the same key stands in line 2",
        ),
        *(
            (
                f"targets:\n  {name}: {{{BROKER}}}",
                "2: a target's name has 1 to 100 letters, digits, dots, dashes and underscores, as in shop-eu",
            )
            for name in ('""', '"a b"', "a/b", "a%62", "é", "'a\"'", "a&b", "x" * 101, "'a,b'")
        ),
    ],
    ids=lambda text: re.sub(r"\W+", "-", text[:60]),
)
def test_what_is_wrong_is_refused_with_its_line(path: Path, text: str, told: str) -> None:
    path.write_text(text)

    assert (
        refusal("--config.check", f"--config.file={path}") == f"celery-beat-exporter: {path}:{told}"
    )


@pytest.mark.parametrize("name", ["x" * 100, "1", "-", ".", "..", "_", "a.b-c_D9", "true", "null"])
def test_names(path: Path, exporter: Callable[..., Exporter], name: str) -> None:
    path.write_text(f"targets:\n  '{name}': {{broker.url: 'redis://{NOWHERE}'}}\n")

    assert source_up(exporter(f"--config.file={path}").probe(name)) == {"broker": 0, "redbeat": 0}


def test_ready_waits_for_every_target(
    path: Path, folder: Path, own_redis: RedisServer, redis_url: str
) -> None:
    path.write_text(
        f"targets: {{quick: {{broker.url: '{redis_url}'}}, slow: {{broker.url: '{own_redis.url}'}}}}\n"
    )
    own_redis.pause()
    # For longer than a busy machine may let this test stand still.
    one = Exporter(folder, f"--config.file={path}", "--collect.timeout=9s")
    one.ready_path = "/-/healthy"
    with one:
        wait_until(lambda: len(source_up(one.probe("quick"))) == 2, SECONDS, "the quick one")
        assert ask(one, "GET", "/-/ready")[0].status == 503
        assert source_up(one.probe("slow")) == {}, "nothing is known yet"
        wait_until(lambda: ask(one, "GET", "/-/ready")[0].status == 200, SECONDS, "readiness")
        assert source_up(one.probe("slow")) == {"broker": 0, "redbeat": 0}
        own_redis.resume()


def status(exporter: Exporter, field: str) -> int:
    text = Path(f"/proc/{exporter.pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+)", text)[1])


def test_many_targets_do_not_feel_one_that_hangs_and_one_that_is_dead(
    path: Path,
    exporter: Callable[..., Exporter],
    own_redis: RedisServer,
    redis_url: str,
    database_url: str,
) -> None:
    fill_redis(redis_url)
    fill_database(database_url)
    targets = {f"redis{number}": {"broker.url": redis_url} for number in range(MANY - 7)}
    targets |= {
        f"both{number}": {"broker.url": redis_url, "database.url": database_url}
        for number in range(5)
    }
    path.write_text(
        json.dumps(
            {
                "targets": {
                    **targets,
                    "hung": {"broker.url": own_redis.url},
                    "dead": {"broker.url": f"redis://127.0.0.1:{free_port()}"},
                }
            }
        )
    )
    one = exporter(f"--config.file={path}", "--collect.interval=500ms", "--collect.timeout=8s")

    assert set(source_up(one.probe("dead")).values()) == {0}
    wait_until(lambda: set(source_up(one.probe("hung")).values()) == {1}, SECONDS, "its beginning")
    own_redis.pause()
    with contextlib.ExitStack() as paused:
        paused.callback(own_redis.resume)
        wait_until(lambda: set(source_up(one.probe("hung")).values()) == {0}, SECONDS, "the hang")
        now = time.time()

        def go_on() -> bool:
            """Whether each target's every collector has succeeded since; meanwhile none may fail."""
            served = {name: one.probe(name) for name in targets}
            failing = [name for name, metrics in served.items() if 0 in source_up(metrics).values()]
            assert failing == []
            return all(min(last_success(metrics).values()) > now for metrics in served.values())

        for _ in range(3):
            wait_until(go_on, SECONDS, "a collection by each")
            assert ask(one, "GET", "/probe?target=hung")[0].status == 200
            now = time.time()
        assert set(source_up(one.probe("hung")).values()) == {0}
    wait_until(lambda: set(source_up(one.probe("hung")).values()) == {1}, SECONDS, "its return")

    threads, open_files = status(one, "Threads"), len(list(Path(f"/proc/{one.pid}/fd").iterdir()))
    print(f"{MANY} targets: {status(one, 'VmRSS')} kB, {threads} threads, {open_files} descriptors")
    # A thread and a connection for each server: a Redis each, and the database of five.
    loops = MANY + 5 + 1
    assert threads <= loops + 5
    assert open_files <= loops + 20
    assert status(one, "VmRSS") < 100_000


def test_a_hundred_descriptors_are_no_bound(
    path: Path, folder: Path, redis_url: str, database_url: str
) -> None:
    """The soft limit is for others; the hard one is what there is."""
    path.write_text(
        json.dumps({"targets": {f"t{n}": {"broker.url": redis_url} for n in range(100)}})
    )
    one = Exporter(folder, f"--config.file={path}", "--collect.timeout=60s")
    one.command = ["prlimit", "--nofile=100:1000", "--", *one.command]
    with one:
        assert {min(source_up(one.probe(f"t{n}")).values()) for n in range(100)} == {1}
        assert value(one.metrics(), "process_max_fds") == 1000

"""GET /api/v1/status: the same as /metrics and as the sources have it, in a shape that stays."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis
from contents import QUEUE, TASK, fill_database, fill_redis
from exporter_signs import PATIENT
from http_requests import SECONDS, ask
from readers_application import by_label, value
from redbeat_samples import FLAGS, LONG_LOCK, SUCCEED
from servers import PostgresServer, RedisServer, wait_until
from stack import PROJECT, Exporter, fetch

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters

SECRET = "s3cr3t-w0rd"
HOSTILE_NAMES = [
    "<script>alert(1)</script>",
    "quote \" apostrophe ' backslash \\",
    "line\nbreak\x00\x1b[31m",
    "\u202etxt.exe",
    "שלום",
    "x" * 480,
]


def status(exporter: Exporter, target: str | None = None) -> dict[str, Any]:
    query = "" if target is None else "?" + urllib.parse.urlencode({"target": target})
    return json.loads(fetch(f"{exporter.url}/api/v1/status{query}"))


def active_is(exporter: Exporter, active: bool | None) -> dict[str, Any]:
    """The first status in which beat is that."""

    def found() -> dict[str, Any] | None:
        now = status(exporter)
        return now if now["beat"]["active"] is active else None

    return wait_until(found, 60, f"active {active}")


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    shared_redis: RedisServer,
    shared_postgres: PostgresServer,
) -> Iterator[Exporter]:
    """An exporter of full sources that collects once, so that each answer shows the same moment."""
    database = "served_status"
    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    fill_redis(shared_redis.url, HOSTILE_NAMES)
    with psycopg.connect(shared_postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {database}")
        url = f"{shared_postgres.url.rpartition('/')[0]}/{database}"
        fill_database(url)
        exporter = Exporter(
            tmp_path_factory.mktemp("served_status"),
            "--collect.interval=1h",
            environment=PATIENT | {"CELERY_BROKER_URL": shared_redis.url, "DATABASE_URL": url},
        )
        with exporter:
            yield exporter
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


def test_it_says_what_the_metrics_say(served: Exporter) -> None:
    told, metrics = status(served), served.metrics()

    (beat,) = told["beat"]["schedulers"]
    scheduler = beat["scheduler"]
    assert scheduler == "redbeat"
    for member, family in {
        "observed": "celery_beat_observed_timestamp_seconds",
        "heartbeat": "celery_beat_scheduler_heartbeat",
        "deadline": "celery_beat_deadline_timestamp_seconds",
        "grace": "celery_beat_grace_seconds",
        "max_loop_interval": "celery_beat_max_loop_interval_seconds",
        "instances": "celery_beat_instances",
        "entry_count": "celery_beat_schedule_entries",
        "disabled_count": "celery_beat_schedule_disabled_entries",
        "invalid_count": "celery_beat_schedule_invalid_entries",
        "next_due": "celery_beat_schedule_next_due_timestamp_seconds",
        "last_task": "celery_beat_last_task_time",
        "clock_skew": "celery_beat_clock_skew_seconds",
    }.items():
        assert beat[member] == value(metrics, family, scheduler=scheduler), member
    assert beat["up"] is told["beat"]["active"] is True
    lock = value(metrics, "celery_beat_lock_ttl_seconds", scheduler=scheduler)
    assert told["beat"]["lock_ttl"] == beat["lock"]["ttl"] == lock > 1000
    for member, family in {
        "next_due": "celery_beat_entry_next_due_timestamp_seconds",
        "overdue": "celery_beat_entry_overdue_seconds",
        "runs": "celery_beat_entry_runs_total",
    }.items():
        names = {entry["entry"]: entry[member] for entry in beat["entries"]}
        assert names == by_label(metrics, family, "entry"), member
    # The longest name is cut where all labels are.
    assert {entry["entry"] for entry in beat["entries"]} >= set(HOSTILE_NAMES[:-1])
    assert {entry["task_name"] for entry in beat["entries"]} == {TASK}

    queues = {queue["queue_name"]: queue["messages"] for queue in told["queues"]}
    assert queues == by_label(metrics, "celery_queue_length", "queue_name") != {}
    assert told["unacked"]["messages"] == value(metrics, "celery_unacked_messages")
    (task,) = told["tasks"]
    assert task == {
        "task_name": TASK,
        "success_ratios": by_label(metrics, "celery_task_success_ratio", "window"),
        "in_progress": 1,
    }
    assert task["success_ratios"] == {"5m": 1, "1h": 1}
    successes = by_label(metrics, "celery_beat_exporter_collector_success", "collector")
    assert {one["collector"]: one["success"] for one in told["collectors"]} == successes
    # Its role is that of the server's owner.
    assert ["superuser" in problem["text"] for problem in told["problems"]] == [True]
    assert told["target"] is None
    assert told["targets"] == {}


def shape(value: Any) -> Any:
    """The names of all members, and of lists that of their first element."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(member) for member in value[:1]]
    return None


def test_the_documented_shape_is_served(served: Exporter) -> None:
    text = (PROJECT / "docs" / "api.md").read_text()
    documented = shape(json.loads(re.search(r"```json\n(.*?)```", text, re.DOTALL)[1]))
    told = shape(status(served))

    def covers(example: Any, answer: Any, path: str) -> None:
        """What is empty or null in the answer has no shape of its own."""
        if isinstance(example, dict) and answer is not None:
            # Keys of these are names and windows.
            if not path.endswith((".success_ratios", ".completion_ratios", ".targets")):
                assert list(example) == list(answer), path
                for name in example:
                    covers(example[name], answer[name], f"{path}.{name}")
        elif isinstance(example, list) and answer:
            covers(example[0], answer[0], f"{path}[]")

    covers(documented, told, "")


def test_answers_are_typed_and_kept_by_nobody(served: Exporter) -> None:
    answer, body = ask(served, "GET", "/api/v1/status")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    page, _ = ask(served, "GET", "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    head, nothing = ask(served, "HEAD", "/")
    assert nothing == b""
    for one in (answer, page, head):
        assert one.headers["Cache-Control"] == "no-store"
        assert one.headers["X-Content-Type-Options"] == "nosniff"
        assert one.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in answer.headers
    packed, bytes_packed = ask(served, "GET", "/api/v1/status", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    unpacked = json.loads(gzip.decompress(bytes_packed))
    assert {**unpacked, "time": 0} == {**json.loads(body), "time": 0}


def test_the_page_allows_its_own_style_and_script_alone(served: Exporter) -> None:
    answer, body = ask(served, "GET", "/")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", body.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy[f"{tag}-src"] == f"'sha256-{digest}'", (
            f"StatusPage.swift has another hash of page.{tag}"
        )


def test_the_page_is_small(exporter: Exporters, redis_url: str, database_url: str) -> None:
    fill_redis(redis_url, [f"reports.entry-{number}" for number in range(12)])
    fill_database(database_url)
    small = exporter(CELERY_BROKER_URL=redis_url, DATABASE_URL=database_url)
    assert len(ask(small, "GET", "/")[1]) < 30_000


def test_many_viewers_share_an_answer(served: Exporter) -> None:
    """However many ask, it is put together once a second."""
    start = time.monotonic()
    for path in ("/", "/api/v1/status"):
        times = set()
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=SECONDS)
        with contextlib.closing(connection):
            for _ in range(500):
                connection.request("GET", path)
                body = connection.getresponse().read().decode()
                times.add(re.search(r'"time":([\d.]+)|<time>([^<]+)', body)[0])
        assert len(times) <= time.monotonic() - start + 2


def alerts(told: dict[str, Any]) -> list[str]:
    """Those that fire when what is wrong lasts."""
    return [problem["alert"] for problem in told["problems"] if problem["alert"]]


def test_a_beat_that_lives_and_dies(
    redis_url: str, application: Applications, exporter: Exporters
) -> None:
    shop = application(
        broker_url=redis_url,
        beat_max_loop_interval=2,
        redbeat_lock_timeout=LONG_LOCK,
        beat_schedule={"often": {"task": SUCCEED, "schedule": 1}},
    )
    watcher = exporter(*FLAGS, "--beat.max-loop-interval=2s", CELERY_BROKER_URL=redis_url)
    told = status(watcher)
    assert told["beat"]["active"] is False
    assert told["beat"]["lock_ttl"] is None
    assert alerts(told) == ["CeleryBeatLockMissing"]

    beat = shop.beat()
    told = active_is(watcher, True)
    assert 0 < told["beat"]["lock_ttl"] <= LONG_LOCK
    assert alerts(told) == []
    wait_until(
        lambda: status(watcher)["beat"]["schedulers"][0]["entries"][0]["last_run"], SECONDS, "a run"
    )

    beat.kill()
    told = active_is(watcher, False)
    assert 0 < told["beat"]["lock_ttl"] < LONG_LOCK
    assert alerts(told) == ["CeleryBeatOverdue"]
    assert told["problems"][0]["severity"] == "critical"


def test_a_dead_source_is_told_in_words(
    own_redis: RedisServer, database_url: str, exporter: Exporters
) -> None:
    fill_redis(own_redis.url)
    fill_database(database_url)
    watcher = exporter(
        "--collect.interval=200ms",
        CELERY_BROKER_URL=own_redis.url,
        DATABASE_URL=database_url,
    )
    assert status(watcher)["beat"]["active"] is True

    own_redis.kill()
    told = active_is(watcher, None)
    wait_until(lambda: status(watcher)["queues"] is None, SECONDS, "no queues")
    told = status(watcher)
    assert told["beat"]["lock_ttl"] is None
    assert [beat["up"] for beat in told["beat"]["schedulers"]] == [None]
    assert told["tasks"] != []
    failing = {one["collector"]: one for one in told["collectors"] if not one["success"]}
    assert set(failing) == {"redbeat", "queues"}
    for one in failing.values():
        assert one["reason"] in {"connect", "connection_lost"}
        assert f"127.0.0.1:{own_redis.port}" in one["error"]
        assert one["last_success"] <= one["failing_since"] <= told["time"]
    assert set(alerts(told)) == {"CeleryRedisDown"}
    page = ask(watcher, "GET", "/")[1].decode()
    assert "Nobody can tell whether beat is alive" in page
    assert "CeleryRedisDown" in page

    own_redis.start()
    fill_redis(own_redis.url)
    told = active_is(watcher, True)
    wait_until(lambda: not alerts(status(watcher)), SECONDS, "no problem")


def test_what_spoils_a_part_is_told(
    client: redis.Redis, redis_url: str, exporter: Exporters
) -> None:
    fill_redis(redis_url)
    client.set("redbeat::lock", "without an end")
    watcher = exporter(CELERY_BROKER_URL=redis_url)
    (note,) = [note for one in status(watcher)["collectors"] for note in one["notes"]]
    assert "redbeat::lock has no end" in note
    page = ask(watcher, "GET", "/")[1].decode().replace("&#39;", "'")
    for line in note.split("; "):
        assert line in page


def test_no_secret_is_told(exporter: Exporters) -> None:
    watcher = exporter(
        CELERY_BROKER_URL=f"redis://user:{SECRET}@127.0.0.1:1/0",
        DATABASE_URL=f"postgresql://user:{SECRET}@127.0.0.1:1/db",
    )
    told = status(watcher)
    assert {one["success"] for one in told["collectors"] if one["source"]} == {False}
    assert told["beat"]["active"] is None
    for path in ("/", "/api/v1/status"):
        body = ask(watcher, "GET", path)[1].decode()
        assert "127.0.0.1:1" in body
        assert SECRET not in body


def test_several_applications(
    folder: Path, redis_url: str, own_redis: RedisServer, exporter: Exporters
) -> None:
    fill_redis(redis_url)
    path = folder / "exporter.yml"
    path.write_text(
        f"targets:\n  alive:\n    broker.url: {redis_url}\n"
        f"  dead:\n    broker.url: {own_redis.url}\n    beat.scheduler: redbeat\n"
    )
    watcher = exporter(f"--config.file={path}", "--collect.interval=200ms")

    told = status(watcher)
    assert told["target"] is None
    assert told["beat"] == {
        "active": None,
        "lock_ttl": None,
        "schedulers": [],
        "search": None,
    }
    assert {name: one["active"] for name, one in told["targets"].items()} == {
        "alive": True,
        "dead": False,
    }
    assert told["targets"]["alive"]["messages"] == 2
    assert told["targets"]["dead"]["critical"] == 1
    alive, dead = status(watcher, "alive"), status(watcher, "dead")
    assert (alive["target"], alive["beat"]["active"]) == ("alive", True)
    assert alive["targets"] == {}
    assert {queue["queue_name"] for queue in alive["queues"]} >= {QUEUE}
    assert (dead["target"], dead["beat"]["active"]) == ("dead", False)

    page = ask(watcher, "GET", "/")[1].decode()
    links = re.findall(r'href="(/\?target=[^"]+)"', page)
    assert links == ["/?target=dead", "/?target=alive"], "what needs somebody comes first"
    assert "<title>✕ 2 applications, 1 whose beat was not found</title>" in page
    assert "<title>● Beat is alive: alive</title>" in ask(watcher, "GET", links[1])[1].decode()

    for wrong in ("", "unknown", "ALIVE", "%61live", "%2561live", "<script>", "alive&target=alive"):
        query = f"?target={wrong}"
        answer, body = ask(watcher, "GET", f"/api/v1/status{query}")
        assert answer.status == 400
        assert "error" in json.loads(body)
        answer, body = ask(watcher, "GET", f"/{query}")
        assert answer.status == 400
        assert b"<script>" not in body

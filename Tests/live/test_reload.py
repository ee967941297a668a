"""Reading the configuration again: what has not changed goes on, and what is wrong changes nothing."""

from __future__ import annotations

import functools
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from contents import TASK, fill_database, fill_redis
from exporter_signs import NOWHERE, log, reloads, source_up
from http_requests import ask
from readers_application import by_label, value
from servers import RedisServer, wait_until
from stack import Exporter, fetch
from watch import Watch

if TYPE_CHECKING:
    from stack import Metrics

SECONDS = 60.0  # longest wait for something that normally takes a moment
RELOADS = 40
COLLECTORS = 6  # of a target with a Redis and a database
KEPT_BYTES = 6 << 20  # of memory, after so many reloads; a target takes less than one MB
FAST = ("--collect.interval=100ms", "--collect.timeout=10s")
REDBEAT = {"scheduler": "redbeat"}
SUCCESSFUL = "celery_beat_exporter_config_last_reload_successful"
SUCCESS_TIME = "celery_beat_exporter_config_last_reload_success_timestamp_seconds"


@pytest.fixture
def exporter(exporter: Callable[..., Exporter]) -> Callable[..., Exporter]:
    """As everywhere, with reloads by POST."""
    return functools.partial(exporter, "--web.enable-lifecycle")


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "exporter.yml"


@pytest.fixture
def full_url(redis_url: str) -> str:
    """The shared Redis with a beat in it."""
    fill_redis(redis_url)
    return redis_url


class Probed:
    """A target of an exporter's, seen as if it were an exporter of its own."""

    def __init__(self, exporter: Exporter, name: str) -> None:
        self._exporter = exporter
        self._name = name

    def metrics(self) -> Metrics:
        return self._exporter.probe(self._name)


def post_once(exporter: Exporter) -> tuple[int, str]:
    answer, body = ask(exporter, "POST", "/-/reload")
    return answer.status, body.decode()


def post(exporter: Exporter) -> tuple[int, str]:
    """As soon as it may: once a second."""

    def answer() -> tuple[int, str] | None:
        found = post_once(exporter)
        return None if found[0] == 429 else found

    return wait_until(answer, SECONDS, "time for another reload")


def by_post(exporter: Exporter) -> None:
    assert post(exporter) == (200, "Reloaded.\n")


def by_signal(exporter: Exporter) -> None:
    before = reloads(exporter)
    os.kill(exporter.pid, signal.SIGHUP)
    wait_until(lambda: reloads(exporter) > before, SECONDS, "a line in the log")


def told_failures(exporter: Exporter, count: int) -> list[dict[str, str]] | None:
    """What the log says of reloads that failed, once there are so many."""
    found = [event for event in log(exporter) if event["msg"].startswith("configuration not")]
    return found if len(found) >= count else None


def grace(metrics: Metrics) -> float | None:
    return value(metrics, "celery_beat_grace_seconds", **REDBEAT)


def wait_for_grace(target: Exporter | Probed, seconds: int) -> None:
    """Returns when a target's beat is reported under a configuration that says so."""
    wait_until(lambda: grace(target.metrics()) == seconds, SECONDS, f"{seconds} s of grace")


def wait_for_sources(target: Exporter | Probed, up: dict[str, int]) -> None:
    wait_until(lambda: source_up(target.metrics()) == up, SECONDS, f"the sources to be {up}")


def results(metrics: Metrics) -> float | None:
    return value(metrics, "celery_task_results_total", task_name=TASK, status="SUCCESS")


def is_successful(exporter: Exporter, number: int) -> bool:
    return value(exporter.metrics(), SUCCESSFUL) == number


@pytest.mark.parametrize("reload", [by_post, by_signal])
def test_what_has_not_changed_goes_on(
    path: Path,
    exporter: Callable[..., Exporter],
    full_url: str,
    database_url: str,
    reload: Callable[[Exporter], None],
) -> None:
    fill_database(database_url)
    same = f"""
  same: {{broker.url: "{full_url}", database.url: "{database_url}"}}
"""
    path.write_text(f"targets:{same}  other: {{broker.url: '{full_url}', beat.grace: 3s}}\n")
    one = exporter(*FAST, f"--config.file={path}", DATABASE_URL=database_url)
    with psycopg.connect(database_url, autocommit=True) as database:

        def finish(number: int) -> None:
            database.execute(
                "INSERT INTO task_info (task_id, task_name, status, completed_time)"
                " VALUES (%s, %s, 'SUCCESS', now())",
                (f"finished {number}", TASK),
            )

        def counted(metrics: Callable[[], Metrics], number: float) -> None:
            wait_until(lambda: results(metrics()) == number, SECONDS, f"{number} results")

        same_target, other_target = Probed(one, "same"), Probed(one, "other")
        own, same_before = results(one.metrics()), results(same_target.metrics())
        assert own == same_before == 0, "what was there before the start is not counted"
        finish(1)
        counted(one.metrics, 1)
        counted(same_target.metrics, 1)
        assert grace(other_target.metrics()) == 3
        entry = {"task_name": TASK, **REDBEAT}
        sent = value(same_target.metrics(), "celery_beat_tasks_total", **entry)
        client = redis.Redis.from_url(full_url)
        connections = client.info("stats")["total_connections_received"]
        with Watch(same_target) as watch, Watch(one) as own_watch:
            path.write_text(path.read_text().replace("3s", "4s"))
            reload(one)
            wait_for_grace(other_target, 4)
            finish(2)
            counted(one.metrics, 2)
            counted(same_target.metrics, 2)
        client.hset("redbeat:every minute", "meta", '{"last_run_at": null, "total_run_count": 7}')
        client.zadd("redbeat::schedule", {"redbeat:every minute": time.time() + 60})

        def counts_on() -> bool:
            now = value(same_target.metrics(), "celery_beat_tasks_total", **entry)
            return sent is not None and now is not None and now > sent

        wait_until(counts_on, SECONDS, "tasks that were sent")
    for samples in (watch.samples, own_watch.samples):
        assert all(set(source_up(metrics).values()) == {1} for metrics in samples)
    watch.assert_no_counter_fell()
    own_watch.assert_no_counter_fell()
    # The changed target's two are all that were opened.
    opened = client.info("stats")["total_connections_received"] - connections
    assert opened == 1, client.client_list()
    client.close()


def test_a_changed_target_starts_anew(
    path: Path, exporter: Callable[..., Exporter], database_url: str
) -> None:
    fill_database(database_url)
    path.write_text(f"targets: {{bank: {{database.url: '{database_url}'}}}}\n")
    one = exporter(*FAST, f"--config.file={path}")
    bank = Probed(one, "bank")
    with psycopg.connect(database_url) as database:
        database.execute(
            "INSERT INTO task_info (task_id, task_name, status, completed_time)"
            " VALUES ('finished', %s, 'SUCCESS', now())",
            (TASK,),
        )
    wait_until(lambda: results(bank.metrics()) == 1, SECONDS, "the task to be counted")
    path.write_text(path.read_text().replace("}}", ", tasks.windows: 10m}}"))
    by_post(one)

    def ratios() -> set[str]:
        name = "celery_task_success_ratio"
        return {dict(labels)["window"] for sample, labels in bank.metrics() if sample == name}

    wait_until(lambda: ratios() == {"10m"}, SECONDS, "the new window")
    assert results(bank.metrics()) == 0


def test_the_application_of_the_flags_may_change_too(
    path: Path, exporter: Callable[..., Exporter], full_url: str
) -> None:
    path.write_text(f"beat.grace: 3s\ntargets: {{shop: {{broker.url: '{full_url}'}}}}\n")
    one = exporter(*FAST, f"--config.file={path}", CELERY_BROKER_URL=full_url)
    assert (grace(one.metrics()), grace(one.probe("shop"))) == (3, 3)
    path.write_text(path.read_text().replace("3s", "4s"))
    by_post(one)

    wait_for_grace(one, 4)
    wait_for_grace(Probed(one, "shop"), 4)
    # What a flag says stays: the program's arguments are what they are.
    flagged = exporter(
        *FAST, f"--config.file={path}", "--beat.grace=9s", CELERY_BROKER_URL=full_url
    )
    path.write_text("beat.grace: 5s\n")
    by_post(flagged)
    assert grace(flagged.metrics()) == 9


def connections(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return sum(one["name"] == "celery-beat-exporter" for one in client.client_list())


def test_a_target_comes_and_goes(
    path: Path, exporter: Callable[..., Exporter], full_url: str, own_redis: RedisServer
) -> None:
    stays = f"targets:\n  stays: {{broker.url: '{full_url}'}}\n"
    path.write_text(stays)
    one = exporter(*FAST, f"--config.file={path}")
    assert ask(one, "GET", "/probe?target=comes")[0].status == 400

    path.write_text(stays + f"  comes: {{broker.url: '{own_redis.url}'}}\n")
    by_post(one)
    wait_until(
        lambda: source_up(one.probe("comes")) == {"broker": 1, "redbeat": 1}, SECONDS, "the new one"
    )
    assert connections(own_redis) == 1

    path.write_text(stays)
    by_post(one)
    assert ask(one, "GET", "/probe?target=comes")[0].status == 400
    wait_until(lambda: connections(own_redis) == 0, SECONDS, "its connections to be closed")
    assert source_up(one.probe("stays")) == {"broker": 1, "redbeat": 1}


def test_a_wrong_file_changes_nothing(
    path: Path, exporter: Callable[..., Exporter], full_url: str
) -> None:
    right = f"beat.grace: 3s\ntargets:\n  shop: {{broker.url: '{full_url}'}}\n"
    path.write_text(right)
    started = time.time()
    one = exporter(*FAST, f"--config.file={path}")
    assert is_successful(one, 1)
    since = value(one.metrics(), SUCCESS_TIME)
    assert started - 1 <= since <= time.time()

    wrong = {
        right.replace("3s", "soon"): f"{path}:1: beat.grace: not a duration; write 500ms",
        right
        + "  bank: {database.ulr: x}\n": f"{path}:4: database.ulr is no setting; did you mean",
        "targets: [": f"{path}:2: ",
        "beat.grace: 3s\n": "nothing to watch: ",
    }
    for count, (text, told) in enumerate(wrong.items(), 1):
        path.write_text(text)
        status, body = post(one)
        assert status == 500
        assert body.startswith(f"Not reloaded: {told}")
        assert body.count("\n") == 1
        failures = wait_until(lambda count=count: told_failures(one, count), SECONDS, "the log")
        assert len(failures) == count
        assert failures[-1]["level"] == "error"
        assert failures[-1]["error"] == body.removeprefix("Not reloaded: ").rstrip("\n")
        wait_until(lambda: is_successful(one, 0), SECONDS, "the failure to be told")
        assert value(one.metrics(), SUCCESS_TIME) == since
        assert grace(one.probe("shop")) == 3
        assert source_up(one.probe("shop")) == {"broker": 1, "redbeat": 1}
        assert ask(one, "GET", "/probe?target=bank")[0].status == 400

    path.unlink()
    assert post(one) == (
        500,
        f"Not reloaded: --config.file: cannot read {path}: No such file or directory\n",
    )
    # A signal tells nobody but the log.
    told = len(log(one))
    os.kill(one.pid, signal.SIGHUP)
    wait_until(lambda: len(log(one)) > told, SECONDS, "a line in the log")
    assert log(one)[-1]["msg"] == "configuration not reloaded; the old one goes on"
    assert grace(one.probe("shop")) == 3

    path.write_text(right.replace("3s", "4s"))
    by_post(one)
    wait_until(lambda: is_successful(one, 1), SECONDS, "the success to be told")
    wait_for_grace(Probed(one, "shop"), 4)
    assert value(one.metrics(), SUCCESS_TIME) >= since


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_a_post_reloads(exporter: Callable[..., Exporter], full_url: str, method: str) -> None:
    one = exporter(CELERY_BROKER_URL=full_url)
    answer, _ = ask(one, method, "/-/reload")

    assert answer.status == 405
    # Other methods do not come as far as the paths.
    assert answer.headers["Allow"] == ("POST" if method in ("GET", "HEAD") else "GET, HEAD")
    assert reloads(one) == 0
    # There is something to read again also without a file.
    by_post(one)


@pytest.mark.parametrize("body", [b"", b"x" * 1000, b"{}" * (1 << 19)])
def test_the_body_of_a_post_is_left_out(
    exporter: Callable[..., Exporter], full_url: str, body: bytes
) -> None:
    one = exporter(CELERY_BROKER_URL=full_url)
    try:
        assert ask(one, "POST", "/-/reload", body)[0].status == 200
    except ConnectionError:
        pass  # the answer came before the body was sent
    wait_until(lambda: reloads(one) == 1, SECONDS, "a line in the log")


def test_reloads_at_once(path: Path, exporter: Callable[..., Exporter], full_url: str) -> None:
    path.write_text(f"beat.grace: 3s\ntargets: {{shop: {{broker.url: '{full_url}'}}}}\n")
    one = exporter(*FAST, f"--config.file={path}")
    with ThreadPoolExecutor(8) as threads:
        for number in range(4, 8):
            path.write_text(re.sub(r"\ds\n", f"{number}s\n", path.read_text()))
            asked = [threads.submit(post_once, one) for _ in range(20)]
            for _ in range(20):
                os.kill(one.pid, signal.SIGHUP)
            assert {each.result()[0] for each in asked} <= {200, 429}
            by_post(one)
            wait_for_grace(Probed(one, "shop"), number)
    assert source_up(one.probe("shop")) == {"broker": 1, "redbeat": 1}


def test_a_source_that_hangs_holds_no_reload_up(
    path: Path, exporter: Callable[..., Exporter], full_url: str, own_redis: RedisServer
) -> None:
    """Not even where it is the one that leaves."""
    stays = f"targets:\n  stays: {{broker.url: '{full_url}'}}\n"
    path.write_text(stays + f"  hangs: {{broker.url: '{own_redis.url}'}}\n")
    one = exporter("--collect.interval=100ms", "--collect.timeout=10m", f"--config.file={path}")
    own_redis.pause()
    try:
        last = time.time()
        name = "celery_beat_exporter_collector_last_success_timestamp_seconds"

        def goes_on() -> bool:
            metrics = one.probe("stays")
            return min(value(metrics, name, collector=c) for c in ("redbeat", "queues")) > last

        wait_until(goes_on, SECONDS, "collections while the other hangs")
        path.write_text(stays.replace("}", ", beat.grace: 4s}"))
        by_post(one)  # within seconds, and the deadline is ten minutes
        wait_for_grace(Probed(one, "stays"), 4)
        assert ask(one, "GET", "/probe?target=hangs")[0].status == 400
        wait_until(lambda: ask(one, "GET", "/-/ready")[0].status == 200, SECONDS, "readiness")
    finally:
        own_redis.resume()
    wait_until(lambda: connections(own_redis) == 0, SECONDS, "its connections to be closed")


def test_what_takes_a_restart(path: Path, exporter: Callable[..., Exporter], full_url: str) -> None:
    path.write_text(f"broker.url: {full_url}\n")
    one = exporter(f"--config.file={path}")
    path.write_text(f"broker.url: {full_url}\nweb.telemetry-path: /other\nlog.level: error\n")
    by_post(one)

    assert "celery_beat_exporter_build_info" in fetch(f"{one.url}/metrics")

    def warnings() -> list[str]:
        return [event["msg"] for event in log(one) if event["level"] == "warn"]

    wait_until(warnings, SECONDS, "a warning")
    assert warnings() == ["web.* and log.* have changed; that takes a restart"]


@pytest.fixture
def locked_redis(folder: Path) -> Iterator[RedisServer]:
    with RedisServer(folder, arguments=["--requirepass", "first"]) as server:
        yield server


def test_a_password_that_was_changed(
    folder: Path, exporter: Callable[..., Exporter], locked_redis: RedisServer
) -> None:
    """It stands in a file of its own; another such file, which stays the same, is a target's."""
    secret, path = folder / "url", folder / "exporter.yml"
    secret.write_text(locked_redis.url + "\n")
    path.write_text(f"targets: {{shop: {{broker.url-file: {secret}}}}}\n")
    one = exporter(*FAST, f"--config.file={path}", CELERY_BROKER_URL_FILE=str(secret))
    up = {"broker": 1, "redbeat": 1}
    assert source_up(one.metrics()) == source_up(one.probe("shop")) == up
    with redis.Redis.from_url(locked_redis.url) as client:
        client.config_set("requirepass", "second")
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    down = {"broker": 0, "redbeat": 0}
    for target in (one, Probed(one, "shop")):
        wait_for_sources(target, down)
    by_post(one)  # with the old one still in the file
    assert source_up(one.metrics()) == down
    secret.write_text(locked_redis.url.replace("first", "second") + "\n")
    by_post(one)
    for target in (one, Probed(one, "shop")):
        wait_for_sources(target, up)


def test_reloads_leave_nothing_behind(
    path: Path, exporter: Callable[..., Exporter], full_url: str, database_url: str
) -> None:
    """Neither descriptors nor threads nor memory, though each starts everything anew."""
    fill_database(database_url)

    def write(number: int) -> None:
        both = f"broker.url: '{full_url}', database.url: '{database_url}'"
        dead = f"broker.url: 'redis://{NOWHERE}'"
        path.write_text(f"beat.grace: {number}s\ntargets: {{both: {{{both}}}, dead: {{{dead}}}}}\n")

    def reload(number: int) -> None:
        write(number)
        by_post(one)
        wait_for_grace(Probed(one, "both"), number)

    def held() -> tuple[int, int]:
        """Descriptors and threads."""
        process = Path(f"/proc/{one.pid}")
        return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))

    def resident() -> int:
        text = Path(f"/proc/{one.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024

    write(1)
    one = exporter("--collect.interval=1s", f"--config.file={path}", CELERY_BROKER_URL=full_url)
    # The allocator has then seen what a change takes.
    for number in range(2, 10):
        reload(number)

    def settled() -> bool:
        """Whether nothing ends any more: what runs has collected again, and holds as much as before."""
        before = held()
        last = time.time()
        name = "celery_beat_exporter_collector_last_success_timestamp_seconds"

        def all_collected() -> bool:
            found = by_label(one.probe("both"), name, "collector")
            return len(found) == COLLECTORS and min(found.values()) > last

        wait_until(all_collected, SECONDS, "a collection by each")
        return held() == before

    wait_until(settled, SECONDS, "what was replaced to end")
    files, threads = held()
    memory = resident()
    for number in range(10, 10 + RELOADS):
        reload(number)
    # Collectors share connections to PostgreSQL, of three descriptors each: how many there are depends
    # on how many of them ever asked at the same moment.
    spare = 3 * COLLECTORS
    wait_until(
        lambda: held()[0] <= files + spare and held()[1] <= threads,
        SECONDS,
        "what was replaced to end",
    )
    print(f"after {RELOADS} reloads {(resident() - memory) >> 10} kB more than {memory >> 10} kB")
    assert resident() < memory + KEPT_BYTES
    wait_for_sources(Probed(one, "both"), {"broker": 1, "redbeat": 1, "database": 1})

"""The whole stack on loopback: a real Celery application, the exporter, Prometheus, Alertmanager.

Every part can be started alone, in a folder that the caller gives and removes; `Stack` wires them
together and ends them in reverse order.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import http.server
import json
import os
import re
import shutil
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families
from servers import (
    PATIENCE_SECONDS,
    POLL_SECONDS,
    PostgresServer,
    Process,
    RedisServer,
    free_port,
    wait_until,
)

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

    Metrics = Mapping[tuple[str, frozenset[tuple[str, str]]], float]

PROJECT = Path(__file__).resolve().parents[2]
RULES = PROJECT / "alerts" / "celery-beat.rules.yml"
ALERT_BODY_BYTES = 1 << 20
ALERTS_KEPT = 1000
SHUTDOWN_POLL_SECONDS = 0.05

# Loopback needs no proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fetch(url: str) -> str:
    """The body of a 200 answer; OSError for any other and for none in time."""
    try:
        with _opener.open(url, timeout=PATIENCE_SECONDS) as answer:
            return answer.read().decode()
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error


def parse_metrics(text: str) -> Metrics:
    """Samples by name and labels; ValueError for a text that is not an exposition or repeats one."""
    metrics = {}
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        series, _, number = line.rpartition(" ")
        key = _series(series)
        if key in metrics:
            raise ValueError(f"two samples of {series}")
        metrics[key] = float(number)
    return metrics


@functools.lru_cache(maxsize=100_000)
def _series(text: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """A sample's name and labels. They are the same in each answer, and slow to read."""
    [family] = text_string_to_metric_families(f"{text} 0\n")
    [sample] = family.samples
    return sample.name, frozenset(sample.labels.items())


class WebProcess(Process):
    """A process that answers `ready_path` with 200 once it is ready."""

    ready_path = "/-/ready"

    def __init__(
        self,
        name: str,
        folder: Path,
        port: int,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(name, folder, command, environment=environment)

    def answers(self) -> bool:
        try:
            fetch(self.url + self.ready_path)
        except OSError:
            return False
        return True


# What a beat prints once it runs.
BEAT_STARTS = "beat: Starting..."
# Longest wait for a beat to sleep: one that hangs never does.
SLEEP_SECONDS = 10.0


class CeleryProcess(Process):
    """`celery -A shop.celery ARGUMENTS`, ready when it has printed `ready_words` since its start."""

    def __init__(
        self,
        name: str,
        folder: Path,
        arguments: Sequence[str],
        ready_words: str,
        *,
        broker_url: str,
        redbeat_url: str | None = None,
        database_url: str | None = None,
    ) -> None:
        environment = {
            "CELERY_BROKER_URL": broker_url,
            "PYTHONPATH": f"{PROJECT}/demo/application:{PROJECT}/recorder",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if redbeat_url is not None:
            environment["REDBEAT_REDIS_URL"] = redbeat_url
        if database_url is not None:
            environment["CELERY_SIGNALS_DATABASE_URL"] = database_url
            # All that the recorder knows, so that no part of the exporter and its dashboards is idle.
            environment["CELERY_SIGNALS_TABLES"] = "both"
        command = [sys.executable, "-m", "celery", "-A", "shop.celery", *arguments]
        super().__init__(name, folder, command, environment=environment)
        self._ready_words = ready_words
        self._log_start = 0

    def start(self) -> None:
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        super().start()

    def answers(self) -> bool:
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return self._ready_words.encode() in log.read()

    def stop(self) -> int | None:
        """As every process; a beat between two ticks.

        Celery's signal handler releases RedBeat's lock, which the tick that it interrupts then misses, and
        stores Django's schedule, for which it waits for the connection that it has interrupted.
        """
        if self.running and self._ready_words == BEAT_STARTS:
            self.resume()
            end = time.monotonic() + SLEEP_SECONDS
            while not self._sleeps() and time.monotonic() < end:
                time.sleep(POLL_SECONDS)
        return super().stop()

    def _sleeps(self) -> bool:
        """Between two ticks, or ended."""
        try:
            return Path(f"/proc/{self.pid}/wchan").read_text() == "hrtimer_nanosleep"
        except (FileNotFoundError, ProcessLookupError):
            return True

    def said(self, words: str) -> list[float]:
        """When it said so, in Unix time, by its log."""
        line = rf"\[(\S+ \S+),(\d{{3}}): .*{re.escape(words)}"
        return [
            datetime.strptime(second, "%Y-%m-%d %H:%M:%S").timestamp() + int(milliseconds) / 1000
            for second, milliseconds in re.findall(line, self.log.read_text())
        ]


def worker(
    folder: Path, *, broker_url: str, database_url: str | None = None, name: str = "worker"
) -> CeleryProcess:
    """A worker of the shop on all its queues; it records its tasks if a database is given."""
    return CeleryProcess(
        name,
        folder,
        ["worker", "-n", f"{name}@%h", "-Q", "celery,mail,reports", "--loglevel", "info"],
        " ready.",
        broker_url=broker_url,
        database_url=database_url,
    )


def beat(
    folder: Path,
    *,
    broker_url: str,
    redbeat_url: str | None = None,
    database_url: str | None = None,
    name: str = "beat",
) -> CeleryProcess:
    """A beat of the shop. It counts as started while it still waits for another beat's lock."""
    return CeleryProcess(
        name,
        folder,
        ["beat", "--loglevel", "info"],
        BEAT_STARTS,
        broker_url=broker_url,
        redbeat_url=redbeat_url,
        database_url=database_url,
    )


def exporter_binary() -> Path:
    """CELERY_BEAT_EXPORTER_BINARY, or the release build; FileNotFoundError when it is not there."""
    release = PROJECT / ".build" / "release" / "celery-beat-exporter"
    binary = Path(os.environ.get("CELERY_BEAT_EXPORTER_BINARY", release)).absolute()
    if not binary.exists():
        raise FileNotFoundError(f"{binary} does not exist: run `make build`")
    return binary


class Exporter(WebProcess):
    """The exporter: CELERY_BEAT_EXPORTER_BINARY, or the release build."""

    def __init__(
        self,
        folder: Path,
        *flags: str,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
        name: str = "exporter",
    ) -> None:
        """FileNotFoundError when there is no such binary."""
        binary = exporter_binary()
        port = port or free_port()
        command = [binary, f"--web.listen-address=127.0.0.1:{port}", *flags]
        super().__init__(name, folder, port, command, environment=environment)

    def text(self) -> str:
        """What /metrics serves; OSError when it does not."""
        return fetch(self.url + "/metrics")

    def metrics(self) -> Metrics:
        return parse_metrics(self.text())

    def probe(self, name: str) -> Metrics:
        """What /probe serves of a target of the configuration file; OSError when it does not."""
        return parse_metrics(fetch(f"{self.url}/probe?target={name}"))


class Prometheus(WebProcess):
    """A Prometheus that scrapes one exporter as `job="celery-beat-exporter"`, unless told otherwise."""

    def __init__(
        self,
        folder: Path,
        *,
        exporter_port: int,
        alertmanager_port: int | None = None,
        rules: Path | None = None,
        interval: str = "1s",
        targets: Sequence[Mapping[str, str]] = ({},),
        port: int | None = None,
        configuration: str | None = None,
    ) -> None:
        """`interval` is that of scrapes and of rule evaluations; `targets` are the labels that the
        exporter's series get: with several it stands for as many exporters. `configuration` is the
        text of its file, and then nothing else counts.
        """
        port = port or free_port()
        self._text = configuration
        self._configuration = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
            },
            "rule_files": [] if rules is None else [str(rules)],
            "scrape_configs": [
                {
                    "job_name": "celery-beat-exporter",
                    "static_configs": [
                        {"targets": [f"127.0.0.1:{exporter_port}"], "labels": dict(labels)}
                        for labels in targets
                    ],
                }
            ],
        }
        if alertmanager_port is not None:
            self._configuration["alerting"] = {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}
                ]
            }
        command = [
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/prometheus",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        super().__init__("prometheus", folder, port, command)

    def start(self) -> None:
        path = self.folder / "prometheus.yml"
        if self._text is None:
            write_json(path, self._configuration)
        else:
            path.write_text(self._text)
        super().start()

    def query(self, expression: str) -> list[dict]:
        """The result of an instant query, as the HTTP API gives it."""
        parameters = urllib.parse.urlencode({"query": expression})
        return json.loads(fetch(f"{self.url}/api/v1/query?{parameters}"))["data"]["result"]

    def refused_scrapes(self) -> list[dict]:
        """Targets of which a scrape failed in the last minutes, though not for its time, a second.

        A busy machine may let that pass. What Prometheus does not take it refuses at once.
        """
        return self.query("max_over_time((up == 0 and scrape_duration_seconds < 1)[5m:1s])")


class Alertmanager(WebProcess):
    """An Alertmanager that hands each alert to a webhook at once."""

    def __init__(self, folder: Path, *, webhook_url: str, port: int | None = None) -> None:
        port = port or free_port()
        self._configuration = {
            "route": {
                "receiver": "webhook",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
            },
            "receivers": [
                {"name": "webhook", "webhook_configs": [{"url": webhook_url}]},
            ],
        }
        command = [
            # Debian's name, since `alertmanager` is upstream's.
            shutil.which("prometheus-alertmanager") or "alertmanager",
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        super().__init__("alertmanager", folder, port, command)

    def start(self) -> None:
        write_json(self.folder / "alertmanager.yml", self._configuration)
        super().start()


@dataclass(frozen=True)
class Alert:
    """One notice that arrived at the webhook."""

    name: str
    status: str  # firing or resolved
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    arrived: float = field(default_factory=time.time)  # Unix time


class Webhook:
    """The receiver at the end of the chain: keeps the latest ALERTS_KEPT alerts, in a thread."""

    name = "webhook"

    def __init__(self, on_alert: Callable[[Alert], None] = lambda alert: None) -> None:
        """`on_alert` is called in the receiver's threads."""
        self.alerts: deque[Alert] = deque(maxlen=ALERTS_KEPT)
        self._on_alert = on_alert
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = PATIENCE_SECONDS

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                if length > ALERT_BODY_BYTES:
                    self.send_error(413)
                    return
                webhook._receive(json.loads(self.rfile.read(length)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Says nothing: the alerts speak."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def wait_for(self, name: str, timeout: float, status: str = "firing") -> Alert:
        """The first alert `name` with that status; TimeoutError when none comes."""

        def arrived() -> Alert | None:
            for alert in list(self.alerts):
                if (alert.name, alert.status) == (name, status):
                    return alert
            return None

        return wait_until(arrived, timeout, f"alert {name} {status}")

    def _receive(self, notice: dict) -> None:
        for one in notice["alerts"]:
            labels = one["labels"]
            alert = Alert(labels["alertname"], one["status"], labels, one["annotations"])
            self.alerts.append(alert)
            self._on_alert(alert)


class Stack:
    """All parts, wired: `with Stack(folder) as stack:` starts them, and stops them at its end.

    A DEMO_REDIS_URL or DEMO_DATABASE_URL in the environment is used, and what is
    written there stays there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        collect_interval: str = "1s",
        scrape_interval: str = "1s",
        exporter_port: int | None = None,
        prometheus_port: int | None = None,
        rules: Path = RULES,
        on_alert: Callable[[Alert], None] = lambda alert: None,
        on_start: Callable[[str], None] = lambda name: None,
    ) -> None:
        """`on_start` hears the name of each part before it is started."""
        self._on_start = on_start
        self._started = contextlib.ExitStack()
        self.redis = self.postgres = None
        self.redis_url = os.environ.get("DEMO_REDIS_URL")
        if self.redis_url is None:
            self.redis = RedisServer(folder)
            self.redis_url = self.redis.url
        self.database_url = os.environ.get("DEMO_DATABASE_URL")
        if self.database_url is None:
            self.postgres = PostgresServer(folder)
            self.database_url = self.postgres.url
        sources = {"broker_url": self.redis_url, "database_url": self.database_url}
        self.worker = worker(folder, **sources)
        self.beat = beat(folder, **sources)
        self.exporter = Exporter(
            folder,
            f"--collect.interval={collect_interval}",
            "--beat.max-loop-interval=10s",  # as the application has it
            port=exporter_port,
            # Not in the flags, where every user of the machine could read the passwords.
            environment={"CELERY_BROKER_URL": self.redis_url, "DATABASE_URL": self.database_url},
        )
        self.webhook = Webhook(on_alert)
        self.alertmanager = Alertmanager(folder, webhook_url=self.webhook.url)
        self.prometheus = Prometheus(
            folder,
            exporter_port=self.exporter.port,
            alertmanager_port=self.alertmanager.port,
            rules=rules,
            interval=scrape_interval,
            port=prometheus_port,
        )

    @property
    def processes(self) -> list[Process]:
        """The child processes, in the order of their start."""
        servers = [server for server in (self.redis, self.postgres) if server is not None]
        application = [self.worker, self.beat, self.exporter]
        return [*servers, *application, self.alertmanager, self.prometheus]

    def start(self) -> None:
        """Starts every part; TimeoutError, which names the part, when one does not answer."""
        try:
            for part in [self.webhook, *self.processes]:
                self._on_start(part.name)
                self._started.callback(part.stop)
                part.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops what runs, last started first. Harmless when nothing does."""
        self._started.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def write_json(path: Path, value: object) -> None:
    """JSON is YAML, and quotes by itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2))

"""compose.yaml, run for real by podman-compose, up to the page for a killed beat.

Images of other projects are stood in for by Debian's packages of the same programs, started as those
images start them. Grafana has no such package and is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from container_engine import PROJECT, Engine, run
from servers import free_port, wait_until
from stack import fetch, parse_metrics

COMPOSE = PROJECT / "compose.yaml"
WITHOUT_GRAFANA = [
    *("redis", "postgres", "worker", "beat", "exporter", "prometheus", "alertmanager"),
]
PROGRAMS = [
    *("postgresql", "prometheus", "prometheus-alertmanager", "redis-server"),
    *("python-is-python3", "python3-pip"),
]
SECONDS = 120.0  # longest wait for something that takes some scrapes
PORTS = {
    "exporter": "EXPORTER_PORT",
    "prometheus": "PROMETHEUS_PORT",
    "alertmanager": "ALERTMANAGER_PORT",
}
START_POSTGRES = """#!/bin/sh
set -e
programs=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
password=$(mktemp)
echo "$POSTGRES_PASSWORD" >$password
$programs/initdb -D $data --username "$POSTGRES_USER" --pwfile $password --auth scram-sha-256
echo "host all all all scram-sha-256" >>$data/pg_hba.conf
echo "CREATE DATABASE $POSTGRES_DB" | $programs/postgres --single -D $data postgres
exec $programs/postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
# What is run in images that stand in for others, by the names that compose.yaml has without versions.
STAND_INS = {
    # That image's Redis is built without protected mode.
    "redis": 'ENTRYPOINT ["redis-server", "--protected-mode", "no"]',
    "postgres": 'COPY start /start\nUSER postgres\nENTRYPOINT ["/bin/sh", "/start"]',
    "prom/prometheus": (
        "USER nobody\nWORKDIR /tmp\n"
        'ENTRYPOINT ["prometheus", "--storage.tsdb.path=/tmp/prometheus"]\n'
        'CMD ["--config.file=/etc/prometheus/prometheus.yml"]'
    ),
    "prom/alertmanager": "RUN ln -s prometheus-alertmanager /usr/bin/alertmanager\nUSER nobody",
    "python": "ENV PIP_BREAK_SYSTEM_PACKAGES=1",
}


@pytest.fixture(scope="module")
def urls(
    engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Where the services of the running composition are reached."""
    folder = tmp_path_factory.mktemp("compose")
    engine.import_debian("programs", PROGRAMS)
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    wanted = {service["image"] for service in services.values()}
    base = (PROJECT / "demo" / "Dockerfile").read_text().split("FROM ")[1].split()[0]
    for name in [*wanted, base]:
        if lines := STAND_INS.get(name.partition(":")[0]):
            (folder / "Dockerfile").write_text(f"FROM localhost/programs\n{lines}\n")
            (folder / "start").write_text(START_POSTGRES)
            engine.build(folder, tag=f"localhost/{name}")
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    lent = {certificates: str(certificates)} if certificates.exists() else {}
    engine.build(PROJECT / "demo", tag="localhost/celery-beat-exporter-shop", lent=lent)
    engine("tag", image, "localhost/celery-beat-exporter")

    ports = {service: free_port() for service in PORTS}
    environment = {
        **engine.environment,
        **{PORTS[service]: str(port) for service, port in ports.items()},
    }
    compose = [sys.executable, "-m", "podman_compose", "--file", COMPOSE]
    try:
        run(
            *(*compose, "--no-ansi", "up", "--detach", "--no-build", *WITHOUT_GRAFANA),
            environment=environment,
            timeout=300,
        )
        yield {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
    finally:
        # Shown when the test has failed.
        logs = (*compose, "logs", "--tail", "20", *WITHOUT_GRAFANA)
        print(run(*logs, environment=environment, timeout=60))
        run(*compose, "down", "--timeout", "5", environment=environment, timeout=300)


def answer(url: str) -> str | None:
    try:
        return fetch(url)
    except OSError:
        return None


def test_a_killed_beat_is_told_of(engine: Engine, urls: dict[str, str]) -> None:
    def metric(name: str, **labels: str) -> float | None:
        text = answer(urls["exporter"] + "/metrics")
        return text and parse_metrics(text).get((name, frozenset(labels.items())))

    def is_scraped() -> bool:
        text = answer(urls["prometheus"] + "/api/v1/targets?state=active")
        return text is not None and '"health":"up"' in text

    def alerts() -> set[str]:
        text = answer(urls["alertmanager"] + "/api/v2/alerts") or "[]"
        return {one["labels"]["alertname"] for one in json.loads(text)}

    wait_until(lambda: metric("celery_beat_up", scheduler="redbeat") == 1, SECONDS, "beat to be up")
    succeeded = {"task_name": "shop.orders.settle", "status": "SUCCESS"}
    wait_until(
        lambda: metric("celery_task_results_total", **succeeded), SECONDS, "a task's success"
    )
    wait_until(is_scraped, SECONDS, "Prometheus to scrape")
    settings = json.loads(fetch(urls["alertmanager"] + "/api/v2/status"))["config"]["original"]
    assert "CeleryRedisDown" in settings
    assert alerts() == set()
    (beat,) = [
        one for one in engine("ps", "--format", "{{.Names}}").split() if one.endswith("beat_1")
    ]
    engine("kill", beat)
    wait_until(lambda: "CeleryBeatOverdue" in alerts(), SECONDS, "the page")

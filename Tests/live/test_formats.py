"""The two formats of the metrics, plain and compressed, and how a client comes to each."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from contents import fill_database
from http_requests import answers, ask, connected
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from servers import wait_until
from stack import Exporter, Prometheus, fetch

SECONDS = 60.0  # longest wait for something that normally takes a few
TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
# What Prometheus 2.42 sends, and 3 in essence.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)

Content = dict[str, tuple[str, str, dict[tuple[str, frozenset[tuple[str, str]]], float]]]


def body(exporter: Exporter, accept: str, encoding: str = "identity") -> bytes:
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    return ask(exporter, "GET", "/metrics", headers=headers)[1]


def content(families: list[Metric]) -> Content:
    """Type, help and samples of each family, without what only one of the formats has."""
    found: Content = {}
    for family in families:
        samples = {}
        for sample in family.samples:
            labels = dict(sample.labels)
            if "le" in labels:
                labels["le"] = str(float(labels["le"]))
            samples[sample.name, frozenset(labels.items())] = sample.value
        assert len(samples) == len(family.samples), family.name
        name = family.name.removesuffix("_total") if family.type == "counter" else family.name
        assert name not in found
        found[name] = (family.type, family.documentation, samples)
    return found


def parsed(text: str) -> list[Metric]:
    """The families of an OpenMetrics text, which must follow the standard in all that is checked."""
    return list(openmetrics.text_string_to_metric_families(text))


def test_both_formats_say_the_same(served: Exporter) -> None:
    text = body(served, "text/plain").decode()
    open_metrics = body(served, PROMETHEUS).decode()

    told = content(parsed(open_metrics))
    assert told == content(list(text_string_to_metric_families(text)))
    # One of every kind of family, so that the comparison saw it all.
    assert {kind for kind, _, _ in told.values()} == {"gauge", "counter", "histogram"}
    assert "celery_task_results" in told
    buckets = told["celery_task_duration_seconds"][2]
    assert {dict(labels).get("le") for _, labels in buckets} >= {"0.005", "10.0", "inf"}


def test_openmetrics_is_written_as_its_standard_wants(served: Exporter) -> None:
    text = body(served, PROMETHEUS).decode()

    assert text.endswith("\n# EOF\n")
    lines = text.split("\n")[:-1]
    assert lines.count("# EOF") == 1
    assert "" not in lines
    types = dict(line.split()[2:4] for line in lines if line.startswith("# TYPE "))
    assert not [n for n, kind in types.items() if kind == "counter" and n.endswith("_total")]
    units = dict(line.split()[2:4] for line in lines if line.startswith("# UNIT "))
    assert set(units.values()) == {"seconds", "bytes"}
    assert not [name for name, unit in units.items() if not name.endswith(f"_{unit}")]
    # Each family's lines stand together, its samples named as its type wants them.
    suffixes = {"gauge": {""}, "counter": {"_total"}, "histogram": {"_bucket", "_sum", "_count"}}
    family = ""
    for line in lines[:-1]:
        if line.startswith("# HELP "):
            assert (family := line.split()[2]) in types
        elif line.startswith("# "):
            assert line.split()[2] == family
        else:
            name = re.match(r"\w+", line)[0]
            assert name.removeprefix(family) in suffixes[types[family]], line
    # Bounds are floating-point numbers, whatever they look like in text.
    bounds = re.findall(r'\ble="([^"]+)"', text)
    assert bounds
    assert not [bound for bound in bounds if bound != "+Inf" and not re.search(r"[.e]", bound)]


def test_unusual_bounds_are_the_same_in_both(
    exporter: Callable[..., Exporter], database_url: str
) -> None:
    fill_database(database_url)
    one = exporter(
        "--collect.interval=1h",
        "--tasks.duration-buckets=0.00001,0.5,1,2.50,1e3,99999999,1.5e8",
        DATABASE_URL=database_url,
    )
    text = content(list(text_string_to_metric_families(body(one, TEXT).decode())))

    assert content(parsed(body(one, OPENMETRICS).decode())) == text
    bounds = {dict(labels).get("le") for _, labels in text["celery_task_duration_seconds"][2]}
    seconds = {0.00001, 0.5, 1.0, 2.5, 1000.0, 99999999.0, 1.5e8, float("inf")}
    assert {float(bound) for bound in bounds if bound} == seconds


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/json", TEXT),
        ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;q=0", TEXT),
        ("application/openmetrics-text;q=0.1,text/plain", TEXT),
        (PROMETHEUS, OPENMETRICS),
    ],
)
@pytest.mark.parametrize(
    ("accept_encoding", "encoding"),
    [
        (None, None),
        ("gzip", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0, identity", None),
        ("gzip;q=0.001, br", "gzip"),
        ("br, deflate", None),
    ],
)
def test_negotiation(
    served: Exporter,
    accept: str | None,
    content_type: str,
    accept_encoding: str | None,
    encoding: str | None,
) -> None:
    lines = [b"Host: h"]
    if accept is not None:
        lines.append(b"Accept: " + accept.encode())
    if accept_encoding is not None:
        lines.append(b"Accept-Encoding: " + accept_encoding.encode())

    def answer(method: bytes) -> tuple[int, dict[str, str], bytes]:
        with connected(served) as connection, connection.makefile("rb") as stream:
            head = [method + b" /metrics HTTP/1.1", *lines, b"Connection: close", b"", b""]
            connection.sendall(b"\r\n".join(head))
            first, _, rest = stream.read().partition(b"\r\n\r\n")
        status, *fields = first.decode().split("\r\n")
        headers = dict(field.split(": ", 1) for field in fields)
        headers.pop("Date")
        return int(status.split()[1]), headers, rest

    status, headers, sent = answer(b"GET")
    assert status == 200
    assert headers["Content-Type"] == content_type
    assert headers["Vary"] == "Accept, Accept-Encoding"
    assert headers.get("Content-Encoding") == encoding
    assert int(headers["Content-Length"]) == len(sent)
    plain = gzip.decompress(sent) if encoding else sent
    assert plain == body(served, content_type)
    assert answer(b"HEAD") == (status, headers, b"")


def test_compression_is_worth_it(served: Exporter) -> None:
    for accept in (TEXT, OPENMETRICS):
        assert len(body(served, accept, "gzip")) < len(body(served, accept)) / 4


@pytest.mark.parametrize(
    "value",
    [
        b"," * 15_000,
        b";" * 15_000,
        b"a," * 7_000,
        b"application/openmetrics-text;q=1e-400",
        b"application/openmetrics-text;q=nan",
        b"application/openmetrics-text;q=-inf",
        b"application/openmetrics-text;q=" + b"9" * 10_000,
        b'application/openmetrics-text;version="',
        b'"' * 10_000,
        b"=;=,;q" * 2_000,
        b"\xff\xfe\x80" * 4_000,
        "e\u0301".encode() * 3_000,
    ],
    ids=lambda value: repr(value[:40])[2:-1],
)
def test_hostile_headers_get_the_text_format(served: Exporter, value: bytes) -> None:
    """And the connection goes on."""
    with connected(served) as connection:
        for name in (b"Accept", b"Accept-Encoding"):
            request = b"GET /metrics HTTP/1.1\r\nHost: h\r\n" + name + b": " + value + b"\r\n\r\n"
            connection.sendall(request)
            assert answers(connection, 1) == [(200, body(served, TEXT))]


def test_headers_that_are_too_long_are_refused(served: Exporter) -> None:
    with connected(served) as connection:
        # It may answer and close before all is sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\nAccept: " + b"," * 16_384)
            connection.sendall(b"\r\n\r\n")
        assert [status for status, _ in answers(connection, 1)] == [431]
    assert ask(served, "GET", "/-/healthy")[0].status == 200


def test_prometheus_stores_every_sample(served: Exporter, folder: Path) -> None:
    """It asks for OpenMetrics, compressed."""
    samples = sum(len(family.samples) for family in parsed(body(served, OPENMETRICS).decode()))
    with Prometheus(folder, exporter_port=served.port) as prometheus:
        wait_until(lambda: prometheus.query("up == 1"), SECONDS, "a scrape")

        # Units are told in OpenMetrics alone.
        told = json.loads(fetch(f"{prometheus.url}/api/v1/targets/metadata"))["data"]
        units = {one["metric"]: one["unit"] for one in told}
        assert units["process_resident_memory_bytes"] == "bytes"
        count = 'count({job="celery-beat-exporter", __name__!~"up|scrape_.*"})'
        # A scrape that comes too late has none, and ends all series for a second.
        for query in ("scrape_samples_scraped", count):
            wait_until(
                lambda query=query: prometheus.query(f"{query} == {samples}"), SECONDS, query
            )
        assert prometheus.refused_scrapes() == []

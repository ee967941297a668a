"""TLS by the web configuration: versions, ciphers, curves, clients' certificates, and who comes through."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority, Certificate
from checks import program
from secured_exporter import PASSWORD, SECONDS, TLS, USER, USERS, SecuredExporter, ask, trusting
from servers import wait_until
from stack import Exporter, Prometheus


def versions(exporter: Exporter, authority: Authority) -> set[str]:
    """The versions of TLS that it speaks."""
    found = set()
    for version in ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"):
        context = trusting(authority)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        try:
            ask(exporter, tls=context)
        except OSError:
            continue
        found.add(version)
    return found


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize(
    ("settings", "spoken"),
    [
        ("", {"TLSv1_2", "TLSv1_3"}),
        ("  min_version: TLS13\n", {"TLSv1_3"}),
        ("  max_version: TLS12\n", {"TLSv1_2"}),
        ("  min_version: TLS11\n", {"TLSv1_1", "TLSv1_2", "TLSv1_3"}),
        ("  min_version: TLS10\n  max_version: TLS11\n", {"TLSv1", "TLSv1_1"}),
    ],
)
def test_versions(
    secured: Callable[[Path], SecuredExporter],
    files: Path,
    authority: Authority,
    settings: str,
    spoken: set[str],
) -> None:
    file = files / "web.yml"
    file.write_text(TLS + settings)
    exporter = secured(file)

    assert versions(exporter, authority) == spoken
    assert exporter.events("serving")[0]["tls"] == "true"
    with pytest.raises(OSError):
        ask(exporter)  # plain HTTP


def cipher(exporter: Exporter, context: ssl.SSLContext) -> str:
    """The cipher suite that is agreed on."""
    with (
        socket.create_connection(("127.0.0.1", exporter.port), timeout=SECONDS) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as stream,
    ):
        return stream.cipher()[0]


def test_cipher_suites(
    secured: Callable[[Path], SecuredExporter], files: Path, authority: Authority
) -> None:
    file = files / "web.yml"
    file.write_text(
        TLS + "  max_version: TLS12\n  cipher_suites:\n"
        "    - TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256\n"
        "    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"
    )
    exporter = secured(file)
    ours = {"ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"}

    found = set()
    for suite in trusting(authority).get_ciphers():
        if suite["protocol"] == "TLSv1.3":
            continue
        context = trusting(authority)
        context.set_ciphers(suite["name"])
        try:
            found.add(cipher(exporter, context))
        except ssl.SSLError:
            continue
    assert found == ours
    # The order is ours.
    context = trusting(authority)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305")
    assert cipher(exporter, context) == "ECDHE-RSA-CHACHA20-POLY1305"


def test_the_order_of_cipher_suites_can_be_the_clients(
    secured: Callable[[Path], SecuredExporter], files: Path, authority: Authority
) -> None:
    file = files / "web.yml"
    file.write_text(TLS + "  max_version: TLS12\n  prefer_server_cipher_suites: false\n")
    exporter = secured(file)

    for name in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"):
        context = trusting(authority)
        context.set_ciphers(f"{name}:ECDHE-RSA-CHACHA20-POLY1305")
        assert cipher(exporter, context) == name
    context.set_ciphers("AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA:DHE-RSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        cipher(exporter, context)  # not amongst those that are spoken where none are listed


def test_curves(
    secured: Callable[[Path], SecuredExporter], files: Path, authority: Authority
) -> None:
    file = files / "web.yml"
    file.write_text(TLS + "  curve_preferences: [CurveP384]\n")
    exporter = secured(file)

    for curve, accepted in {"secp384r1": True, "prime256v1": False, "X25519": False}.items():
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(authority, maximum_version=version)
            context.set_ecdh_curve(curve)
            try:
                ask(exporter, tls=context)
            except ssl.SSLError:
                assert not accepted
            else:
                assert accepted


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("NoClientCert", {"none", "known", "named", "stranger", "server", "expired"}),
        ("RequestClientCert", {"none", "known", "named", "stranger", "server", "expired"}),
        ("RequireAnyClientCert", {"known", "named", "stranger", "server", "expired"}),
        ("VerifyClientCertIfGiven", {"none", "known", "named"}),
        ("RequireAndVerifyClientCert", {"known", "named"}),
        (
            "RequireAndVerifyClientCert\n  client_allowed_sans: [prometheus.example, 10.1.2.3]",
            {"named"},
        ),
        (
            "RequireAndVerifyClientCert\n  client_allowed_sans: ['2001:db8::1', other]",
            {"named"},
        ),
        ("RequireAndVerifyClientCert\n  client_allowed_sans: ['spiffe://x/y']", {"named"}),
        ("RequireAndVerifyClientCert\n  client_allowed_sans: [someone@example.org]", {"named"}),
        ("RequireAndVerifyClientCert\n  client_allowed_sans: [named]", set()),
        ("RequireAndVerifyClientCert\n  client_allowed_sans: []", set()),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificates_of_clients(
    secured: Callable[[Path], SecuredExporter],
    files: Path,
    authority: Authority,
    clients: dict[str, Certificate | None],
    policy: str,
    served: set[str],
    version: ssl.TLSVersion,
) -> None:
    file = files / "web.yml"
    authorities = "" if policy == "NoClientCert" else "  client_ca_file: ca.crt\n"
    file.write_text(TLS + f"  client_auth_type: {policy}\n" + authorities)
    exporter = secured(file)

    found = set()
    for name, client in clients.items():
        try:
            answer = ask(exporter, tls=trusting(authority, client, maximum_version=version))
        except OSError:
            continue
        assert answer.status == 200
        found.add(name)
    assert found == served


@pytest.fixture(scope="module")
def clients(authority: Authority) -> dict[str, Certificate | None]:
    names = (
        "DNS:prometheus.example,IP:10.1.2.3,IP:2001:db8::1,"
        "URI:spiffe://x/y,email:someone@example.org"
    )
    return {
        "none": None,
        "known": authority.issue("known", "extendedKeyUsage=clientAuth"),
        "named": authority.issue(
            "named", f"subjectAltName={names}", "ec -pkeyopt ec_paramgen_curve:P-256"
        ),
        "stranger": Authority(authority.folder, "strangers").issue("stranger"),
        "server": authority.issue("serving", "extendedKeyUsage=serverAuth"),
        "expired": authority.issue("expired", days=-1),
    }


@pytest.mark.parametrize(
    "text",
    [
        USERS,
        TLS,
        TLS + "  min_version: TLS13\n" + USERS,
        TLS + "  min_version: TLS10\n  max_version: TLS10\n",
        TLS + "  client_auth_type: RequireAnyClientCert\n",
        TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n",
        TLS + "  max_version: TLS12\n  client_auth_type: RequireAndVerifyClientCert\n"
        "  client_ca_file: ca.crt\n",
    ],
)
def test_its_health_needs_no_password_and_no_certificate(
    secured: Callable[[Path], SecuredExporter], files: Path, text: str
) -> None:
    file = files / "web.yml"
    file.write_text(text)
    exporter = secured(file)
    wait_until(lambda: reaches(exporter.port), SECONDS, "its socket")

    done = program("healthcheck", f"--web.listen-address=127.0.0.1:{exporter.port}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def reaches(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_prometheus_scrapes_it(
    secured: Callable[[Path], SecuredExporter],
    folder: Path,
    files: Path,
    authority: Authority,
    clients: dict[str, Certificate | None],
) -> None:
    file = files / "web.yml"
    file.write_text(
        TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n" + USERS
    )
    exporter = secured(file)
    client = clients["known"]
    configuration = f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: celery-beat-exporter
    scheme: https
    tls_config:
      ca_file: {authority.certificate.file}
      cert_file: {client.file}
      key_file: {client.key}
    basic_auth: {{username: {USER}, password: "{PASSWORD}"}}
    static_configs: [{{targets: ["127.0.0.1:{exporter.port}"]}}]
"""
    with Prometheus(folder, exporter_port=exporter.port, configuration=configuration) as prometheus:
        wait_until(
            lambda: [sample["value"][1] for sample in prometheus.query("up")] == ["1"],
            3 * SECONDS,
            "a scrape",
        )
        # A scrape that comes too late ends all series for a second.
        info = "celery_beat_exporter_build_info"
        wait_until(lambda: prometheus.query(info), SECONDS, info)

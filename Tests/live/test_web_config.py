"""The web configuration: what is accepted and refused, TLS, clients' certificates, passwords, headers, changes."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from certificates import Authority, Certificate
from servers import wait_until
from stack import Exporter, Prometheus
from test_configuration import NOWHERE, logfmt, refusal, run

SECONDS = 10.0  # longest wait for something that normally takes a moment
PASSWORD, HASH = "wörd:of pass", ""  # the hash is filled in below
USER = "prometheus"


def bcrypt(password: str, cost: int = 5) -> str:
    """A bcrypt hash, by the system's crypt."""
    program = "$r = crypt($ARGV[0], $ARGV[1]); print $r"
    setting = f"$2b${cost:02}$" + "abcdefghijklmnopqrstuu"
    command = ["perl", "-e", program, password, setting]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


HASH = bcrypt(PASSWORD)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certificate:
    return authority.issue("server", "subjectAltName=DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="module")
def files(authority: Authority, server: Certificate) -> Iterator[Path]:
    """A folder with the files that configurations name."""
    other = Authority(authority.folder, "other")
    ed25519 = authority.issue("ed25519", algorithm="ed25519")
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        for source, name in [
            (server.file, "server.crt"),
            (server.key, "server.key"),
            (other.certificate.key, "other.key"),
            (authority.certificate.file, "ca.crt"),
            (ed25519.file, "ed25519.crt"),
            (ed25519.key, "ed25519.key"),
        ]:
            shutil.copy(source, folder / name)
        (folder / "chain.crt").write_text(
            server.file.read_text() + authority.certificate.file.read_text()
        )
        (folder / "reversed.crt").write_text(
            authority.certificate.file.read_text() + server.file.read_text()
        )
        (folder / "empty").touch()
        (folder / "noise").write_bytes(bytes(range(256)))
        encrypt = ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", server.key]
        subprocess.run([*encrypt, "-out", folder / "locked.key"], check=True, capture_output=True)
        yield folder


class SecuredExporter(Exporter):
    """An exporter that has started when it says so: it need not answer everyone."""

    def answers(self) -> bool:
        return self.log.exists() and "msg=serving" in self.log.read_text()

    def events(self, message: str) -> list[dict[str, str]]:
        return [event for event in logfmt(self.log.read_text()) if event["msg"] == message]


@pytest.fixture
def secured(folder: Path) -> Iterator[Callable[[Path], SecuredExporter]]:
    """Starts exporters with a web configuration. They must end with status 0."""
    exporters: list[SecuredExporter] = []

    def start(configuration: Path) -> SecuredExporter:
        one = SecuredExporter(
            folder,
            f"--web.config.file={configuration}",
            environment={"CELERY_BROKER_URL": f"redis://{NOWHERE}"},
            name=f"secured-{len(exporters)}",
        )
        exporters.append(one)
        one.start()
        return one

    yield start
    for one in exporters:
        print(one.log_tail())
    assert {one.stop() for one in exporters if one.running} <= {0}


def trusting(
    authority: Authority, client: Certificate | None = None, **settings: object
) -> ssl.SSLContext:
    """How a client speaks TLS that trusts the authority, and is itself `client`."""
    context = ssl.create_default_context(cafile=authority.certificate.file)
    if client is not None:
        context.load_cert_chain(client.file, client.key)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def ask(
    exporter: Exporter,
    path: str = "/-/healthy",
    *,
    tls: ssl.SSLContext | None = None,
    user: str | None = None,
    password: str = PASSWORD,
    method: str = "GET",
    source: str = "127.0.0.1",
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """The answer to one request, with its body read; OSError for none."""
    arguments: dict = {"timeout": SECONDS, "source_address": (source, 0)}
    if tls is None:
        connection = http.client.HTTPConnection("127.0.0.1", exporter.port, **arguments)
    else:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", exporter.port, context=tls, **arguments
        )
    headers = dict(headers or {})
    if user is not None:
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    with closing(connection):
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.body = answer.read()
        except http.client.HTTPException as error:
            raise OSError(repr(error)) from error
        return answer


# What is accepted, and what is refused

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
USERS = f"basic_auth_users:\n  {USER}: {HASH}\n"
YES, NO = True, False
DEPENDS = None  # on promtool's version

CONFIGURATIONS: list[tuple[str, bool | None, str | None]] = [
    # The file, whether promtool accepts it, and words of our refusal; None if we accept it too.
    ("", YES, None),
    ("# nothing\n", YES, None),
    ("{}", YES, None),
    ("~", YES, None),
    (TLS, YES, None),
    (TLS + USERS, YES, None),
    (USERS, YES, None),
    ("tls_server_config:\n", YES, None),
    ("tls_server_config: {}\n", YES, None),
    ("basic_auth_users: {}\nhttp_server_config:\n", YES, None),
    (TLS.replace("server.crt", "chain.crt"), YES, None),
    (TLS.replace("server.", "ed25519."), YES, None),
    (TLS + "  min_version: TLS13\n", YES, None),
    (TLS + "  min_version: TLS10\n  max_version: TLS12\n", YES, None),
    (TLS + "  client_auth_type: RequestClientCert\n", YES, None),
    (TLS + "  client_auth_type: RequireAnyClientCert\n", YES, None),
    (TLS + "  client_auth_type: RequireClientCert\n", YES, None),
    (TLS + "  client_auth_type: NoClientCert\n", YES, None),
    (TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n", YES, None),
    (TLS + "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt\n", YES, None),
    (TLS + "  client_auth_type: RequestClientCert\n  client_ca_file: ca.crt\n", YES, None),
    (TLS + "  cipher_suites: []\n  curve_preferences: []\n", YES, None),
    (
        TLS + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n",
        YES,
        None,
    ),
    (TLS + "  curve_preferences: [X25519, CurveP521, CurveP384, CurveP256]\n", YES, None),
    (TLS + "  prefer_server_cipher_suites: false\n", YES, None),
    (TLS + "http_server_config: {http2: false}\n", YES, None),
    ("http_server_config: {http2: On}\n", YES, None),
    (
        (
            "http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=31536000\n"
            "    X-Content-Type-Options: nosniff\n    X-Frame-Options: sameorigin\n"
            "    X-XSS-Protection: '0'\n    Content-Security-Policy: default-src 'none'\n"
        ),
        YES,
        None,
    ),
    (
        f"basic_auth_users: {{{USER}: '{HASH}', 'two words': '{HASH.replace('$2b', '$2y')}'}}",
        YES,
        None,
    ),
    (
        TLS + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
        "  client_allowed_sans: [prometheus.example]\n",
        DEPENDS,
        None,
    ),
    # What promtool refuses
    ("words", NO, ":1: the file must hold settings"),
    ("- a list\n", NO, ":1: the file must hold settings"),
    ("a: [", NO, ":2:"),
    ("tls_server_config:\n\tcert_file: x\n", NO, ":2:"),
    ("tls_config: {}\n", NO, "tls_config is nothing that the file may hold"),
    (
        "basic_auth_user: {}\n",
        NO,
        ":1: basic_auth_user is nothing that the file may hold; did you mean basic_auth_users?",
    ),
    (
        TLS + "  cert_filse: x\n",
        NO,
        ":4: cert_filse is nothing that tls_server_config may hold; did you mean cert_file?",
    ),
    (TLS + TLS, NO, ":4: the same key stands in line 1"),
    (TLS + "  key_file: server.key\n", NO, ":4: the same key stands in line 3"),
    ("http_server_config: {http3: true}\n", NO, "did you mean http2?"),
    ("http_server_config: {http2: 1}\n", NO, "http2 must be true or false"),
    ("http_server_config: {http2: 'true'}\n", NO, "http2 must be true or false"),
    ("http_server_config: {http2: !!str true}\n", NO, "tags"),
    ("http_server_config: [headers]\n", NO, "http_server_config must hold settings"),
    (
        "http_server_config: {headers: {Content-Type: text/html}}\n",
        NO,
        "Content-Type is nothing that headers may hold",
    ),
    (
        "http_server_config: {headers: {x-frame-options: deny}}\n",
        NO,
        "did you mean X-Frame-Options?",
    ),
    (
        "http_server_config: {headers: {X-Frame-Options: foo}}\n",
        NO,
        "X-Frame-Options must be deny or sameorigin",
    ),
    ("http_server_config: {headers: {X-Frame-Options: ''}}\n", NO, "X-Frame-Options has no value"),
    ("http_server_config: {headers: {X-Content-Type-Options: sniff}}\n", NO, "must be nosniff"),
    ("http_server_config: {headers: {X-XSS-Protection: [1]}}\n", NO, "must be a single value"),
    ("tls_server_config: {cert_file: server.crt}\n", NO, "key_file is missing"),
    ("tls_server_config: {key_file: server.key}\n", NO, "cert_file is missing"),
    ("tls_server_config: {client_ca_file: ca.crt}\n", NO, "cert_file is missing"),
    ("tls_server_config: {client_auth_type: RequestClientCert}\n", NO, "cert_file is missing"),
    (TLS.replace("server.crt", "missing.crt"), NO, ":2: cert_file: cannot read"),
    (TLS.replace("server.key", "missing.key"), NO, ":3: key_file: cannot read"),
    (TLS.replace("server.key", "."), NO, ":3: key_file: cannot read"),
    (TLS.replace("server.key", "other.key"), NO, ":3: key_file does not fit cert_file"),
    (TLS.replace("server.key", "locked.key"), NO, "are no certificate and key"),
    (TLS.replace("server.key", "server.crt"), NO, "are no certificate and key"),
    (TLS.replace("server.crt", "server.key"), NO, "are no certificate and key"),
    (TLS.replace("server.crt", "reversed.crt"), NO, ":3: key_file does not fit cert_file"),
    (TLS.replace("server.crt", "empty"), NO, "are no certificate and key"),
    (TLS.replace("server.crt", "noise"), NO, "are no certificate and key"),
    (TLS.replace("server.crt", "[server.crt]"), NO, ":2: cert_file must be a single value"),
    (TLS + "  client_auth_type: RequireCert\n", NO, ":4: client_auth_type knows no RequireCert"),
    (TLS + "  client_auth_type: requestclientcert\n", NO, ":4: client_auth_type knows no"),
    (
        TLS + "  client_ca_file: ca.crt\n",
        NO,
        ":4: client_ca_file has no effect without client_auth_type",
    ),
    (
        TLS + "  client_auth_type: RequestClientCert\n  client_ca_file: missing\n",
        NO,
        ":5: client_ca_file: cannot read",
    ),
    (TLS + "  min_version: TLS111\n", NO, ":4: min_version knows no TLS111; did you mean TLS11?"),
    (TLS + "  max_version: 1.3\n", NO, ":4: max_version knows no 1.3"),
    (TLS + "  min_version: [TLS12]\n", NO, ":4: min_version must be a single value"),
    (TLS + "  cipher_suites: [TLS_INVENTED]\n", NO, ":4: cipher_suites knows no TLS_INVENTED"),
    (TLS + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n", NO, ":4: cipher_suites knows no"),
    (TLS + "  cipher_suites: TLS_AES_128_GCM_SHA256\n", NO, ":4: cipher_suites must be a list"),
    (TLS + "  cipher_suites: {a: b}\n", NO, ":4: cipher_suites must be a list"),
    (TLS + "  curve_preferences: [CurveP257]\n", NO, ":4: curve_preferences knows no CurveP257"),
    (
        TLS + "  prefer_server_cipher_suites: maybe\n",
        NO,
        ":4: prefer_server_cipher_suites must be true",
    ),
    ("basic_auth_users: {a: }\n", NO, ":1: the password of a is no bcrypt hash"),
    ("basic_auth_users: {a: plain}\n", NO, ":1: the password of a is no bcrypt hash"),
    (f"basic_auth_users: {{a: '{HASH[:40]}'}}\n", NO, "no bcrypt hash"),
    (f"basic_auth_users: {{a: '{HASH.replace('$05$', '$03$')}'}}\n", NO, "no bcrypt hash"),
    (f"basic_auth_users: {{a: '{HASH.replace('$05$', '$32$')}'}}\n", NO, "no bcrypt hash"),
    (f"basic_auth_users: {{a: '{HASH.replace('$2b', '$6b')}'}}\n", NO, "no bcrypt hash"),
    (f"basic_auth_users: {{a: ['{HASH}']}}\n", NO, "no bcrypt hash"),
    (f"basic_auth_users: [{{a: '{HASH}'}}]\n", NO, "basic_auth_users must hold names"),
    ("basic_auth_users: ''\n", NO, "basic_auth_users must hold names"),
    (
        f"basic_auth_users:\n  a: {HASH}\n  a: {HASH}\n",
        NO,
        ":3: the same key stands in line 2",
    ),
    # What it accepts and we refuse
    ("tls_server_config: {min_version: TLS13}\n", YES, "cert_file is missing"),
    ("tls_server_config: {cert_file: '', key_file: ''}\n", YES, "cert_file has no value"),
    (TLS + "  min_version:\n", YES, ":4: min_version has no value"),
    (TLS + "  min_version: TLS13\n  max_version: TLS12\n", YES, ":5: no version is left"),
    (TLS + "  max_version: TLS11\n", YES, ":4: no version is left"),
    (
        TLS + "  client_auth_type: RequireAndVerifyClientCert\n",
        YES,
        ":4: client_auth_type RequireAndVerifyClientCert needs client_ca_file",
    ),
    (TLS + "  client_auth_type: VerifyClientCertIfGiven\n", YES, "needs client_ca_file"),
    (
        TLS + "  client_auth_type: RequestClientCert\n  client_ca_file: empty\n",
        YES,
        ":5: client_ca_file: ",
    ),
    (
        TLS
        + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_256_GCM_SHA384]\n",
        DEPENDS,
        ":4: cipher_suites would also allow TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    ),
    (
        "http_server_config: {headers: {X-XSS-Protection: ''}}\n",
        YES,
        "X-XSS-Protection has no value",
    ),
    ('http_server_config: {headers: {X-XSS-Protection: "1\\nX: y"}}\n', YES, "control characters"),
    (f"basic_auth_users: {{a: '{HASH.replace('$05$', '$17$')}'}}\n", YES, "of cost 4 to 16"),
    (f"basic_auth_users: {{a: '{HASH.replace('$2b', '$2x')}'}}\n", YES, "no bcrypt hash"),
    (f"basic_auth_users: {{a: '{HASH[:-1]}é'}}\n", YES, "no bcrypt hash"),
    (f"basic_auth_users: {{'a:b': '{HASH}'}}\n", YES, "a colon cannot be sent"),
    (f"basic_auth_users: {{a: &hash '{HASH}', b: *hash}}\n", YES, "aliases"),
    (USERS + "---\nwords\n", YES, "a second document begins"),
    (
        TLS + "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]\n",
        DEPENDS,
        ":5: client_allowed_sans needs client_auth_type RequireAndVerifyClientCert",
    ),
]


@pytest.mark.parametrize(("text", "promtool", "words"), CONFIGURATIONS)
def test_what_is_accepted(files: Path, text: str, promtool: bool | None, words: str | None) -> None:
    file = files / "web.yml"
    file.write_text(text)
    command = ["promtool", "check", "web-config", file]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    if promtool is not DEPENDS:
        assert (checked.returncode == 0) == promtool, checked

    # With nothing to watch it ends by itself; of that it speaks once the web configuration is read.
    line = refusal(f"--web.config.file={file}")

    if words is None:
        assert "nothing to watch" in line
    else:
        assert line.startswith(f"celery-beat-exporter: {file}:") and words in line
    assert HASH not in line


def test_a_configuration_that_is_not_there(files: Path) -> None:
    line = refusal(f"--web.config.file={files}/nowhere.yml")

    assert f"--web.config.file: cannot read {files}/nowhere.yml: No such file or directory" in line


# TLS


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


# Passwords


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredExporter]:
    """An exporter with two users and headers, without TLS."""
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "web.yml"
    file.write_text(
        USERS + f"  other: {bcrypt('x' * 72, 4)}\n"
        "http_server_config:\n  headers: {X-Frame-Options: deny, X-XSS-Protection: '0'}\n"
    )
    one = SecuredExporter(
        folder,
        f"--web.config.file={file}",
        environment={"CELERY_BROKER_URL": f"redis://{NOWHERE}"},
    )
    with one:
        yield one


PATHS = ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/status", "/probe?target=x", "/unknown"]
STATUSES = {"/unknown": 404, "/probe?target=x": 400}


@pytest.mark.parametrize("path", PATHS)
def test_every_path_wants_a_password(guarded: SecuredExporter, path: str) -> None:
    refused = ask(guarded, path)
    served = ask(guarded, path, user=USER)

    assert (refused.status, refused.body) == (401, b"Unauthorized.\n")
    assert refused.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert served.status == STATUSES.get(path, 200)
    for answer in (refused, served, ask(guarded, path, user=USER, method="HEAD")):
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["X-XSS-Protection"] == "0"
        assert len(answer.headers.get_all("Content-Type")) == 1


def test_a_reload_wants_a_password(
    secured: Callable[[Path], SecuredExporter], folder: Path
) -> None:
    """Its body, if any, is never read, whether or not the password is known already."""
    file = folder / "web.yml"
    file.write_text(USERS)
    exporter = secured(file)

    def reload(**login: str) -> int:
        return ask(exporter, "/-/reload", method="POST", **login).status

    assert reload() == reload(user=USER, password="wrong") == 401
    assert not exporter.events("configuration reloaded")
    assert reload(user=USER) == reload(user=USER) == 200
    assert len(exporter.events("configuration reloaded")) == 2
    for password, status in {PASSWORD: b"200", "wrong": b"401"}.items():
        login = base64.b64encode(f"{USER}:{password}".encode())
        with socket.create_connection(("127.0.0.1", exporter.port), timeout=SECONDS) as connection:
            head = b"POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n"
            connection.sendall(head + b"Authorization: Basic " + login + b"\r\n\r\nx")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 " + status)
    # A body where there should be none.
    with socket.create_connection(("127.0.0.1", exporter.port), timeout=SECONDS) as connection:
        head = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n"
        connection.sendall(head + b"Authorization: Basic " + login + b"\r\n\r\n123456789")
        assert connection.recv(1 << 16) == b""


def test_passwords(guarded: SecuredExporter) -> None:
    def status(user: str, password: str) -> int:
        return ask(guarded, user=user, password=password).status

    for _ in range(2):
        assert status(USER, PASSWORD) == 200
        assert status(USER, PASSWORD + " ") == 401
        assert status(USER, PASSWORD + "\0") == 401
        assert status(USER, "") == 401
        assert status("", PASSWORD) == 401
        assert status(USER.upper(), PASSWORD) == 401
        assert status("nobody", PASSWORD) == 401
        assert status("other", PASSWORD) == 401
        # bcrypt sees 72 bytes.
        assert status("other", "x" * 72) == status("other", "x" * 2000) == 200
        assert status("other", "x" * 71) == 401


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic " + base64.b64encode(USER.encode()).decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:\x80").decode(),
        "Bearer " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
        "Basic " + "QUFB" * 2000,
    ],
)
def test_what_is_no_login(guarded: SecuredExporter, header: str) -> None:
    assert ask(guarded, headers={"Authorization": header}).status == 401


def test_the_scheme_has_no_case(guarded: SecuredExporter) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    assert ask(guarded, headers={"Authorization": f"bAsIc {login}"}).status == 200


def test_a_connection_that_logs_in_goes_on(guarded: SecuredExporter) -> None:
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    request = f"GET /-/healthy HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {login}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=SECONDS) as connection:
        stream = connection.makefile("rb")
        for count in (1, 3):
            connection.sendall(request * count)
            for _ in range(count):
                assert stream.readline().startswith(b"HTTP/1.1 200")
                headers = http.client.parse_headers(stream)
                assert stream.read(int(headers["Content-Length"])) == b"Healthy.\n"


def test_guesses_leave_room_for_others(
    secured: Callable[[Path], SecuredExporter], folder: Path
) -> None:
    """Passwords are verified one by one, and few may wait: others are told to come again."""
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users: {{{USER}: '{bcrypt(PASSWORD, 9)}'}}\n")
    exporter = secured(file)
    stopped = False
    statuses = set()

    def guess(number: int) -> None:
        for attempt in itertools.count():
            if stopped:
                return
            answer = ask(exporter, user=USER, password=f"{number} {attempt}", source="127.0.0.2")
            statuses.add(answer.status)

    with ThreadPoolExecutor(16) as threads:
        guesses = [threads.submit(guess, number) for number in range(16)]
        try:
            wait_until(lambda: statuses == {401, 503}, SECONDS, "guesses that are turned away")
            for _ in range(5):
                assert ask(exporter, user=USER).status == 200
        finally:
            stopped = True
        for one in guesses:
            one.result()
    # From that address too, once the guesses have ended.
    assert ask(exporter, user=USER, source="127.0.0.2").status == 200


def test_it_ends_while_passwords_wait(
    secured: Callable[[Path], SecuredExporter], folder: Path
) -> None:
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users: {{{USER}: '{HASH.replace('$05$', '$15$')}'}}\n")
    exporter = secured(file)
    login = base64.b64encode(b"a:b").decode()
    request = f"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {login}\r\n\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", exporter.port)) for _ in range(5)]
    for connection in connections:
        connection.sendall(request)
    # The next finds the queue of its address full, so the others are waiting.
    wait_until(lambda: ask(exporter, user="a").status == 503, SECONDS, "a full queue")

    assert exporter.stop() == 0
    for connection in connections:
        connection.close()


# Changes


def serial(exporter: Exporter) -> int:
    """The serial number of the certificate that it shows to new connections."""
    text = ssl.get_server_certificate(("127.0.0.1", exporter.port), timeout=SECONDS)
    command = ["openssl", "x509", "-noout", "-serial"]
    shown = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    return int(shown.partition("=")[2], 16)


def test_changes_count_without_a_restart(
    secured: Callable[[Path], SecuredExporter], folder: Path, authority: Authority
) -> None:
    first, second = (
        authority.issue(name, "subjectAltName=IP:127.0.0.1") for name in ("first", "second")
    )
    certificate, key, file = folder / "web.crt", folder / "web.key", folder / "web.yml"

    def install(issued: Certificate) -> None:
        shutil.copy(issued.file, certificate)
        shutil.copy(issued.key, key)

    def configure(user: str, password: str, header: str) -> None:
        file.write_text(
            "tls_server_config: {cert_file: web.crt, key_file: web.key}\n"
            f"http_server_config: {{headers: {{X-Frame-Options: {header}}}}}\n"
            f"basic_auth_users: {{{user}: '{bcrypt(password, 4)}'}}\n"
        )

    def ask_as(user: str, password: str) -> http.client.HTTPResponse:
        return ask(exporter, tls=trusting(authority), user=user, password=password)

    install(first)
    configure("a", "old", "deny")
    exporter = secured(file)
    assert serial(exporter) == first.serial
    assert ask_as("a", "old").status == 200

    # Another certificate. A connection that is open goes on.
    connection = http.client.HTTPSConnection(
        "127.0.0.1", exporter.port, context=trusting(authority), timeout=SECONDS
    )
    connection.request("GET", "/-/healthy")
    connection.getresponse().read()
    install(second)
    wait_until(lambda: serial(exporter) == second.serial, SECONDS, "the new certificate")
    connection.request("GET", "/-/healthy")
    assert connection.getresponse().status == 401
    connection.close()

    # Another password, another user, another header.
    configure("a", "new", "deny")
    wait_until(lambda: ask_as("a", "new").status == 200, SECONDS, "the new password")
    assert ask_as("a", "old").status == 401
    configure("b", "new", "sameorigin")
    wait_until(lambda: ask_as("b", "new").status == 200, SECONDS, "the new user")
    assert ask_as("a", "new").status == 401
    assert ask_as("b", "new").headers["X-Frame-Options"] == "sameorigin"
    assert len(exporter.events("web configuration read again")) == 3

    # Mistakes change nothing, and each is told once.
    def problems() -> list[str]:
        return [event["error"] for event in exporter.events("web configuration stays as it was")]

    mistakes = {
        "nonsense": "the file must hold settings",
        "": "TLS would be switched off",
        "basic_auth_users: {a: b}": "no bcrypt hash",
        f"basic_auth_users: {{c: '{HASH}'}}": "TLS would be switched off",
        "tls_server_config: {cert_file: web.crt, key_file: web.key}": "passwords would be switched off",
        "tls_server_config: {cert_file: web.crt, key_file: gone.key}": "gone.key: No such file",
    }
    good = file.read_text()
    for number, (text, words) in enumerate(mistakes.items(), start=1):
        file.write_text(text)
        wait_until(lambda number=number: len(problems()) == number, SECONDS, words)
        assert words in problems()[-1]
        assert ask_as("b", "new").status == 200
        assert serial(exporter) == second.serial
    file.unlink()
    wait_until(lambda: len(problems()) == len(mistakes) + 1, SECONDS, "a missing file")

    # Files take each other's place, as in Kubernetes.
    install(first)
    replacement = folder / "next.yml"
    replacement.write_text(good.replace("b:", "c:"))
    replacement.rename(file)
    wait_until(lambda: ask_as("c", "new").status == 200, SECONDS, "the file that came back")
    wait_until(lambda: serial(exporter) == first.serial, SECONDS, "its certificate")
    assert len(problems()) == len(mistakes) + 1


def test_half_of_a_change_does_not_count(
    secured: Callable[[Path], SecuredExporter], folder: Path, authority: Authority
) -> None:
    """A certificate and its key cannot be replaced at one moment; nor is a file written in one."""
    first, second = (
        authority.issue(name, "subjectAltName=IP:127.0.0.1") for name in ("third", "fourth")
    )
    certificate, key, file = folder / "web.crt", folder / "web.key", folder / "web.yml"
    shutil.copy(first.file, certificate)
    shutil.copy(first.key, key)
    file.write_text("tls_server_config: {cert_file: web.crt, key_file: web.key}\n")
    exporter = secured(file)

    shutil.copy(second.file, certificate)
    wait_until(
        lambda: exporter.events("web configuration stays as it was"), SECONDS, "the mismatch"
    )
    assert serial(exporter) == first.serial
    shutil.copy(second.key, key)
    wait_until(lambda: serial(exporter) == second.serial, SECONDS, "the new certificate")


# The truth


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

    done = run("healthcheck", f"--web.listen-address=127.0.0.1:{exporter.port}")
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
        assert prometheus.query("celery_beat_exporter_build_info")

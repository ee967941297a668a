"""The web configuration: what is accepted and what is refused, beside promtool."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from secured_exporter import HASH, TLS, USER, USERS
from test_configuration import refusal

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

"""Changes of the web configuration and its files, which count without a restart."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

from certificates import Authority, Certificate
from secured_exporter import HASH, SECONDS, SecuredExporter, ask, bcrypt, trusting
from servers import wait_until
from stack import Exporter


def serial(exporter: Exporter) -> int:
    """The serial number of the certificate that it shows to new connections."""
    text = ssl.get_server_certificate(("127.0.0.1", exporter.port), timeout=SECONDS)
    command = ["openssl", "x509", "-noout", "-serial"]
    shown = subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
    return int(shown.partition("=")[2], 16)


def write(file: Path, text: str) -> None:
    """Puts a file in the place of another, which at no moment is there in part."""
    whole = file.with_suffix(".whole")
    whole.write_text(text)
    whole.replace(file)


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
        write(
            file,
            "tls_server_config: {cert_file: web.crt, key_file: web.key}\n"
            f"http_server_config: {{headers: {{X-Frame-Options: {header}}}}}\n"
            f"basic_auth_users: {{{user}: '{bcrypt(password, 4)}'}}\n",
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

    def is_new() -> bool:
        """Keeps the connection in use, since an idle one ends."""
        connection.request("GET", "/-/healthy")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 401
        return serial(exporter) == second.serial

    is_new()
    install(second)
    wait_until(is_new, SECONDS, "the new certificate")
    is_new()
    connection.close()

    # Another password, another user, another header.
    configure("a", "new", "deny")
    wait_until(lambda: ask_as("a", "new").status == 200, SECONDS, "the new password")
    assert ask_as("a", "old").status == 401
    configure("b", "new", "sameorigin")
    wait_until(lambda: ask_as("b", "new").status == 200, SECONDS, "the new user")
    assert ask_as("a", "new").status == 401
    assert ask_as("b", "new").headers["X-Frame-Options"] == "sameorigin"
    again = "web configuration read again"
    wait_until(lambda: len(exporter.events(again)) >= 3, SECONDS, "the log to tell of it")
    assert len(exporter.events(again)) == 3

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
    # A certificate that was there without its key for a moment may have been told.
    before = len(problems())
    for number, (text, words) in enumerate(mistakes.items(), start=before + 1):
        write(file, text)
        wait_until(lambda number=number: len(problems()) == number, SECONDS, words)
        assert words in problems()[-1]
        assert ask_as("b", "new").status == 200
        assert serial(exporter) == second.serial
    file.unlink()
    after = before + len(mistakes) + 1
    wait_until(lambda: len(problems()) == after, SECONDS, "a missing file")

    # Files take each other's place, as in Kubernetes.
    install(first)
    replacement = folder / "next.yml"
    replacement.write_text(good.replace("b:", "c:"))
    replacement.rename(file)
    wait_until(lambda: ask_as("c", "new").status == 200, SECONDS, "the file that came back")
    wait_until(lambda: serial(exporter) == first.serial, SECONDS, "its certificate")
    assert len(problems()) == after


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

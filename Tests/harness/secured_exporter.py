"""Exporters with a web configuration, and clients that log in and speak TLS."""

from __future__ import annotations

import base64
import http.client
import ssl
import subprocess
from contextlib import closing

from certificates import Authority, Certificate
from exporter_signs import logfmt
from stack import Exporter

SECONDS = 60.0  # longest wait for something that normally takes a moment
PASSWORD = "wörd:of pass"
USER = "prometheus"


def bcrypt(password: str, cost: int = 5) -> str:
    """A bcrypt hash, by the system's crypt."""
    program = "$r = crypt($ARGV[0], $ARGV[1]); print $r"
    setting = f"$2b${cost:02}$" + "abcdefghijklmnopqrstuu"
    command = ["perl", "-e", program, password, setting]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


HASH = bcrypt(PASSWORD)

# Parts of web configurations. The files are those of the fixture `files`.
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
USERS = f"basic_auth_users:\n  {USER}: {HASH}\n"


class SecuredExporter(Exporter):
    """An exporter that has started when it says so: it need not answer everyone."""

    def answers(self) -> bool:
        return self.log.exists() and "msg=serving" in self.log.read_text()

    def events(self, message: str) -> list[dict[str, str]]:
        return [event for event in logfmt(self.log.read_text()) if event["msg"] == message]


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

"""Redis with TLS: the application's own URL, every reason to refuse, renewed certificates."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from certificates import Authority, Certificate
from checks import program
from contents import fill_redis
from readers_application import collected, value
from redbeat_samples import FLAGS, SUCCEED, beat, beat_is
from redis_servers import MASTER, TLSRedis, TLSSentinel, plain
from servers import PATIENCE_SECONDS, wait_until

if TYPE_CHECKING:
    from redbeat_samples import Applications, Exporters
    from stack import Exporter

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with tempfile.TemporaryDirectory() as folder:
        yield Authority(Path(folder))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    """What clients show."""
    return authority.issue("client")


@pytest.fixture(scope="module")
def good(authority: Authority) -> Certificate:
    """What the server shows."""
    return authority.issue("server", NAMES)


@pytest.fixture(scope="module")
def shared_server(authority: Authority, good: Certificate) -> Iterator[TLSRedis]:
    with tempfile.TemporaryDirectory() as folder, TLSRedis(Path(folder), authority, good) as server:
        yield server


@pytest.fixture
def server(shared_server: TLSRedis, authority: Authority, good: Certificate) -> TLSRedis:
    """An empty Redis that shows a good certificate."""
    with plain(shared_server) as client:
        client.flushall()
    shared_server.show(authority, good)
    return shared_server


def flags(trusted: Authority, own: Certificate | None) -> list[str]:
    """Those of an exporter that trusts this authority and shows this certificate."""
    flags = [*FLAGS, f"--redis.tls-ca-file={trusted.certificate.file}"]
    if own:
        flags += [f"--redis.tls-cert-file={own.file}", f"--redis.tls-key-file={own.key}"]
    return flags


def source_up(exporter: Exporter) -> float | None:
    metrics = collected(exporter, "redbeat")
    return value(metrics, "celery_beat_exporter_source_up", source="redbeat")


def says(exporter: Exporter, words: str) -> None:
    """Returns when its log has these words: one collection may fail for another reason than the next."""
    wait_until(lambda: words in exporter.log.read_text(), PATIENCE_SECONDS, words)


def test_the_url_of_the_application(
    server: TLSRedis,
    authority: Authority,
    own: Certificate,
    application: Applications,
    exporter: Exporters,
) -> None:
    url = server.tls_url(
        ssl_cert_reqs="required",
        ssl_ca_certs=authority.certificate.file,
        ssl_certfile=own.file,
        ssl_keyfile=own.key,
    )
    shop = application(broker_url=url, beat_schedule={"often": {"task": SUCCEED, "schedule": 1}})
    watcher = exporter(*FLAGS, CELERY_BROKER_URL=url)
    shop.beat()
    beat_is(watcher, 1, 10)
    wait_until(
        lambda: value(watcher.metrics(), "celery_queue_length", queue_name="celery"), 5, "a task"
    )
    assert beat(watcher.metrics(), "schedule_entries") == 1


TRUSTED = "--redis.tls-ca-file={folder}/authority.crt"
OTHER = "--redis.tls-ca-file={folder}/other.crt"
# The host, the URL's parameters and the flags of an exporter, and its words; None where all is well.
TRUST = {
    "a file": ("localhost", {}, [TRUSTED], None),
    "an address": ("127.0.0.1", {}, [TRUSTED], None),
    "a folder": ("localhost", {"ssl_ca_path": "{folder}/hashed"}, [], None),
    "a folder without hashes": (
        "localhost",
        {"ssl_ca_path": "{folder}"},
        [],
        "no CA that is trusted here",
    ),
    "no CA": ("localhost", {}, [], "no CA that is trusted here"),
    "another CA": ("localhost", {}, [OTHER], "no CA that is trusted here"),
    "another host": ("127.0.0.2", {}, [TRUSTED], "is for another name"),
    "the name told": (
        "127.0.0.2",
        {},
        [TRUSTED, "--redis.tls-server-name=localhost"],
        None,
    ),
    "another name told": (
        "localhost",
        {},
        [TRUSTED, "--redis.tls-server-name=redis.example"],
        "is for another name",
    ),
    "any name": (
        "127.0.0.2",
        {"ssl_check_hostname": "false"},
        [TRUSTED],
        None,
    ),
    "any name of another CA": (
        "127.0.0.2",
        {"ssl_check_hostname": "false"},
        [OTHER],
        "no CA that is trusted here",
    ),
    "anything": ("127.0.0.2", {"ssl_cert_reqs": "none"}, [], None),
    "anything, by flag": ("127.0.0.2", {}, ["--redis.tls-skip-verify"], None),
    "by flag not anything": (
        "localhost",
        {"ssl_cert_reqs": "none"},
        [OTHER, "--no-redis.tls-skip-verify"],
        "no CA that is trusted here",
    ),
}


@pytest.mark.parametrize("case", TRUST)
def test_whom_it_trusts(
    folder: Path,
    server: TLSRedis,
    authority: Authority,
    own: Certificate,
    exporter: Exporters,
    case: str,
) -> None:
    host, parameters, tls, words = TRUST[case]
    shutil.copy(authority.certificate.file, folder / "authority.crt")
    Authority(folder, "other")
    (folder / "hashed").mkdir()
    shutil.copy(authority.certificate.file, folder / "hashed")
    subprocess.run(["openssl", "rehash", folder / "hashed"], check=True, timeout=60)
    url = server.tls_url(
        host,
        ssl_certfile=own.file,
        ssl_keyfile=own.key,
        **{name: text.format(folder=folder) for name, text in parameters.items()},
    )
    given = [flag.format(folder=folder) for flag in tls]
    watcher = exporter(*FLAGS, *given, CELERY_BROKER_URL=url)
    assert source_up(watcher) == (0 if words else 1), watcher.log_tail()
    log = watcher.log.read_text()
    assert (words or "") in log
    assert ("any certificate is taken" in log) == case.startswith("anything")


@pytest.mark.parametrize(
    ("start", "words"), [("-3 days", "has expired"), ("+3 days", "is not valid yet")]
)
def test_a_certificate_of_another_time(
    server: TLSRedis,
    authority: Authority,
    own: Certificate,
    exporter: Exporters,
    start: str,
    words: str,
) -> None:
    server.show(authority, authority.issue("other time", NAMES, days=2, start=start))
    watcher = exporter(*flags(authority, own), CELERY_BROKER_URL=server.tls_url())
    assert source_up(watcher) == 0
    assert f"the server's certificate {words}" in watcher.log.read_text()


@pytest.mark.parametrize("names", ["subjectAltName=DNS:127.0.0.1", ""], ids=["name", "subject"])
def test_a_name_that_reads_like_an_address(
    server: TLSRedis, authority: Authority, own: Certificate, exporter: Exporters, names: str
) -> None:
    """Only an address of the certificate is one."""
    server.show(authority, authority.issue("127.0.0.1", names))
    url = server.tls_url("127.0.0.1")
    watcher = exporter(*flags(authority, own), CELERY_BROKER_URL=url)
    assert source_up(watcher) == 0
    says(watcher, "is for another name")


def test_a_certificate_that_is_not_for_servers(
    server: TLSRedis, authority: Authority, own: Certificate, exporter: Exporters
) -> None:
    extensions = f"{NAMES}\nextendedKeyUsage=clientAuth"
    server.show(authority, authority.issue("for clients", extensions))
    watcher = exporter(*flags(authority, own), CELERY_BROKER_URL=server.tls_url())
    assert source_up(watcher) == 0
    says(watcher, "the server's certificate is not for servers")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_is_another_sees_no_certificate(
    folder: Path,
    authority: Authority,
    own: Certificate,
    exporter: Exporters,
    version: ssl.TLSVersion,
) -> None:
    """It is turned away before we show ours."""
    shown = Authority(folder, "other").issue("other server", NAMES)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.file, shown.key)
    context.load_verify_locations(authority.certificate.file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):

        def serve() -> None:
            client, _ = server.accept()
            with client:
                context.wrap_socket(client, server_side=True)

        serving = pool.submit(serve)
        url = f"rediss://localhost:{server.getsockname()[1]}"
        # Whoever connects after the first is not answered.
        watcher = exporter(*flags(authority, own), "--collect.timeout=3s", CELERY_BROKER_URL=url)
        with pytest.raises(ssl.SSLError, match="bad certificate"):
            serving.result()
        says(watcher, "no CA that is trusted here")


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_each_version(
    server: TLSRedis, authority: Authority, own: Certificate, exporter: Exporters, version: str
) -> None:
    """Both with a certificate of ours that the server asks for, and with answers of many records."""
    with plain(server) as client:
        client.config_set("tls-protocols", version)
        try:
            fill_redis(server.url, [f"{'x' * 200}{number}" for number in range(500)])
            watcher = exporter(*flags(authority, own), CELERY_BROKER_URL=server.tls_url())
            assert source_up(watcher) == 1, watcher.log_tail()
            assert beat(watcher.metrics(), "schedule_entries") == 500
            watcher = exporter(*flags(authority, None), CELERY_BROKER_URL=server.tls_url())
            assert source_up(watcher) == 0
            says(watcher, "client certificate")
        finally:
            client.config_set("tls-protocols", "")


def test_a_key_with_a_password(folder: Path, authority: Authority, own: Certificate) -> None:
    """It is refused at once: nobody is asked for the password."""
    locked = folder / "locked.key"
    encrypt = ["openssl", "rsa", "-aes128", "-passout", "pass:x", "-in", own.key, "-out", locked]
    subprocess.run(encrypt, check=True, capture_output=True)
    done = program(
        "--config.check",
        f"--redis.tls-cert-file={own.file}",
        f"--redis.tls-key-file={locked}",
        CELERY_BROKER_URL="rediss://localhost",
    )
    assert done.returncode == 2
    assert f"cannot use the client certificate's key, {locked}: " in done.stderr


@pytest.mark.parametrize("case", ["none", "expired", "of another CA"])
def test_a_client_certificate_that_is_refused(
    folder: Path, server: TLSRedis, authority: Authority, exporter: Exporters, case: str
) -> None:
    own = {
        "none": lambda: None,
        "expired": lambda: authority.issue("expired client", days=2, start="-3 days"),
        "of another CA": lambda: Authority(folder, "other").issue("other client"),
    }[case]()
    watcher = exporter(*flags(authority, own), CELERY_BROKER_URL=server.tls_url())
    assert source_up(watcher) == 0
    assert "client certificate" in watcher.log.read_text()


def test_the_wrong_scheme_for_the_port(
    server: TLSRedis, authority: Authority, own: Certificate, exporter: Exporters
) -> None:
    plain_port = f"rediss://localhost:{server.port}"
    short = (*flags(authority, own), "--collect.timeout=3s")
    watcher = exporter(*short, CELERY_BROKER_URL=plain_port)
    assert source_up(watcher) == 0
    says(watcher, "no TLS on this port")

    tls_port = f"redis://localhost:{server.tls_port}"
    watcher = exporter(*short, CELERY_BROKER_URL=tls_port)
    assert source_up(watcher) == 0
    says(watcher, "if it speaks TLS write rediss://")
    says(watcher, "goes without TLS although --redis.tls-ca-file is given")


def test_renewed_certificates(
    folder: Path, server: TLSRedis, authority: Authority, exporter: Exporters
) -> None:
    """Both sides change to another CA. The exporter is not started again."""
    trusted, shown, key = folder / "trusted.crt", folder / "shown.crt", folder / "shown.key"

    def place(authority: Authority, own: Certificate) -> None:
        for source, target in {
            authority.certificate.file: trusted,
            own.file: shown,
            own.key: key,
        }.items():
            shutil.copy(source, target)

    place(authority, authority.issue("first client"))
    watcher = exporter(
        *FLAGS,
        f"--redis.tls-ca-file={trusted}",
        f"--redis.tls-cert-file={shown}",
        f"--redis.tls-key-file={key}",
        CELERY_BROKER_URL=server.tls_url(),
    )
    assert source_up(watcher) == 1
    other = Authority(folder, "next")
    server.show(other, other.issue("next server", NAMES))
    assert source_up(watcher) == 0
    next_client = other.issue("next client")
    place(other, next_client)
    assert source_up(watcher) == 1

    # Files that are gone at a bad moment are an error like any other.
    trusted.unlink()
    with plain(server) as client:
        client.client_kill_filter(_type="normal", skipme=True)
    assert source_up(watcher) == 0
    assert f"cannot use the CA certificates, {trusted}: No such file" in watcher.log.read_text()
    place(other, next_client)
    assert source_up(watcher) == 1


@pytest.mark.parametrize("sentinel_tls", [True, False])
def test_sentinels(
    folder: Path,
    server: TLSRedis,
    authority: Authority,
    own: Certificate,
    exporter: Exporters,
    sentinel_tls: bool,
) -> None:
    """They speak TLS as the master does, or not although it does."""
    with TLSSentinel(folder / "sentinel", server, authority, own) as sentinel:
        port = sentinel.tls_port if sentinel_tls else sentinel.port
        given = flags(authority, own)
        # The sentinel shows a certificate without names.
        given += [] if sentinel_tls else ["--no-redis.sentinel-tls"]
        checks = "&ssl_check_hostname=false" if sentinel_tls else ""
        watcher = exporter(
            *given,
            f"--broker.sentinel-master={MASTER}",
            CELERY_BROKER_URL=f"sentinel://127.0.0.1:{port}/0?ssl_cert_reqs=required{checks}",
        )
        assert source_up(watcher) == 1, watcher.log_tail()


def test_a_server_that_hangs(
    server: TLSRedis, authority: Authority, own: Certificate, exporter: Exporters
) -> None:
    """With a session, and without one."""
    watcher = exporter(
        *flags(authority, own), "--collect.timeout=3s", CELERY_BROKER_URL=server.tls_url()
    )
    wait_until(lambda: source_up(watcher) == 1, PATIENCE_SECONDS, "its beginning")
    server.pause()
    try:
        assert source_up(watcher) == 0
        says(watcher, "no answer within 3.0 seconds")
        says(watcher, "no answer to the handshake in time")
    finally:
        server.resume()
    wait_until(lambda: source_up(watcher) == 1, PATIENCE_SECONDS, "its return")

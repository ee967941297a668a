"""Redis as it is run: with TLS, watched by sentinels, as a cluster. All on loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import redis
from certificates import Authority, Certificate
from servers import Process, RedisServer, free_port, wait_until
from stack import PROJECT

MASTER = "mymaster"
# Places in the list of documented users.
LOCKED, UNLOCKED, QUEUES, PING = range(4)


def listens(port: int) -> bool:
    """Whether somebody on loopback takes connections, be it that he answers none."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class TLSRedis(RedisServer):
    """A Redis with TLS on a second port, where it asks for a client certificate."""

    def __init__(self, folder: Path, authority: Authority, certificate: Certificate) -> None:
        self.tls_port = free_port()
        options = ["--bind", "127.0.0.1", "127.0.0.2", "--tls-port", str(self.tls_port)]
        super().__init__(folder, arguments=[*options, *self._options(authority, certificate)])

    def tls_url(self, host: str = "localhost", **parameters: str | Path) -> str:
        query = urlencode({name: str(value) for name, value in parameters.items()})
        return f"rediss://{host}:{self.tls_port}/0{'?' + query if query else ''}"

    def show(self, authority: Authority, certificate: Certificate) -> None:
        """Shows another certificate from now on, and trusts clients of that authority; all connections end."""
        options = self._options(authority, certificate)
        with redis.Redis.from_url(self.url) as client:
            settings = [option.removeprefix("--") for option in options]
            client.execute_command("CONFIG SET", *settings)
            client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")

    @staticmethod
    def _options(authority: Authority, certificate: Certificate) -> list[str]:
        options = ["--tls-ca-cert-file", str(authority.certificate.file)]
        options += ["--tls-cert-file", str(certificate.file)]
        return [*options, "--tls-key-file", str(certificate.key)]


class Sentinel(Process):
    """A sentinel that watches `master` and calls it MASTER."""

    def __init__(self, folder: Path, master: RedisServer, password: str, own_password: str) -> None:
        self.port = free_port()
        self.own_password = own_password
        configuration = folder / "sentinel.conf"
        folder.mkdir(parents=True)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"requirepass {own_password}",
            f"sentinel monitor {MASTER} 127.0.0.1 {master.port} 2",
            f"sentinel auth-pass {MASTER} {password}",
            # A master that stands still for a moment, as a busy machine may let it, is not down.
            f"sentinel down-after-milliseconds {MASTER} 4000",
            f"sentinel failover-timeout {MASTER} 6000",
        ]
        configuration.write_text("\n".join(lines) + "\n")
        super().__init__("sentinel", folder, ["redis-server", configuration, "--sentinel"])

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.own_password, decode_responses=True)

    def answers(self) -> bool:
        with self.client() as client, contextlib.suppress(redis.RedisError):
            return client.ping()
        return False


class Watched:
    """A master, its replica, and three sentinels that know of each other."""

    PASSWORD, SENTINEL_PASSWORD = "p@ss/word", "sentinels-only"

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        arguments = ["--requirepass", self.PASSWORD, "--masterauth", self.PASSWORD]
        self.first = stack.enter_context(RedisServer(folder / "first", arguments=arguments))
        arguments += ["--replicaof", f"127.0.0.1 {self.first.port}"]
        self.second = stack.enter_context(RedisServer(folder / "second", arguments=arguments))
        self.sentinels = [
            stack.enter_context(
                Sentinel(
                    folder / f"sentinel-{number}",
                    self.first,
                    self.PASSWORD,
                    self.SENTINEL_PASSWORD,
                )
            )
            for number in range(3)
        ]
        wait_until(lambda: all(map(self._knows_all, self.sentinels)), 20, "sentinels to meet")

    @staticmethod
    def _knows_all(sentinel: Sentinel) -> bool:
        with sentinel.client() as client:
            master = client.sentinel_master(MASTER)
            return (master["num-slaves"], master["num-other-sentinels"]) == (1, 2)

    def is_master(self, server: RedisServer) -> bool:
        client = redis.Redis(port=server.port, password=self.PASSWORD)
        with client, contextlib.suppress(redis.RedisError):
            return client.role()[0] == b"master"
        return False


class TLSSentinel(Process):
    """A sentinel alone, with a port for TLS and one without, that watches a server by TLS."""

    def __init__(
        self, folder: Path, master: TLSRedis, authority: Authority, certificate: Certificate
    ) -> None:
        self.port, self.tls_port = free_port(), free_port()
        folder.mkdir(parents=True)
        configuration = folder / "sentinel.conf"
        lines = [
            f"port {self.port}",
            f"tls-port {self.tls_port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"tls-ca-cert-file {authority.certificate.file}",
            f"tls-cert-file {certificate.file}",
            f"tls-key-file {certificate.key}",
            "tls-replication yes",
            f"sentinel monitor {MASTER} 127.0.0.1 {master.tls_port} 1",
        ]
        configuration.write_text("\n".join(lines) + "\n")
        super().__init__("sentinel", folder, ["redis-server", configuration, "--sentinel"])

    def answers(self) -> bool:
        with redis.Redis(port=self.port) as client, contextlib.suppress(redis.RedisError):
            return client.ping()
        return False


class Cluster:
    """Masters, and a replica of each if so wanted, that form a Redis Cluster."""

    # Flags of an exporter; what redis-py is told of the connection, and redis-cli; what URLs end with.
    flags: Sequence[str] = ()
    client_options: Mapping[str, object] = {}
    _command_line_options: Sequence[str] = ()
    _parameters = ""

    def __init__(self, folder: Path, stack: contextlib.ExitStack, *, replicas: int = 0) -> None:
        # A node that stands still for as long as a busy machine may let it is not dead; where there is a
        # replica a test waits for it to take over.
        timeout = "7000" if replicas else "15000"
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", timeout]
        # Without a number the bus takes one that somebody else may have.
        buses = [free_port() for _ in range(3 * (1 + replicas))]
        self.nodes = [
            stack.enter_context(
                self._node(folder / f"node-{number}", [*options, "--cluster-port", str(bus)])
            )
            for number, bus in enumerate(buses)
        ]
        places = [f"127.0.0.1:{node.port}@{bus}" for node, bus in zip(self.nodes, buses)]
        create = ["redis-cli", *self._command_line_options, "--cluster", "create", *places]
        create += ["--cluster-replicas", str(replicas), "--cluster-yes"]
        done = subprocess.run(create, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(create)}: {done.stdout}{done.stderr}")
        wait_until(lambda: all(map(self._is_ready, self.nodes)), 20, "the cluster to be whole")

    def _node(self, folder: Path, options: Sequence[str]) -> RedisServer:
        return RedisServer(folder, arguments=options)

    def _is_ready(self, node: RedisServer) -> bool:
        with self.plain(node) as client:
            known = client.execute_command("CLUSTER INFO")
            replicas = len(self.nodes) - 3
            told = client.execute_command("CLUSTER NODES").values()
            return (
                known["cluster_state"] == "ok"
                and known["cluster_known_nodes"] == str(len(self.nodes))
                and sum("slave" in node["flags"] for node in told) == replicas
            )

    @property
    def url(self) -> str:
        return self.url_of(*self.nodes)

    def url_of(self, *nodes: RedisServer, account: str = "", host: str = "127.0.0.1") -> str:
        """What the exporter is told; `account` as in `user:password@`."""
        places = ",".join(f"{host}:{node.port}" for node in nodes)
        return f"redis-cluster://{account}{places}{self._parameters}"

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster(host="127.0.0.1", port=self.nodes[0].port, **self.client_options)

    def plain(self, node: RedisServer) -> redis.Redis:
        """A connection to one node alone."""
        return redis.Redis(port=node.port, decode_responses=True, **self.client_options)

    def redirections(self, node: RedisServer) -> int:
        """How often the node has said MOVED."""
        with self.plain(node) as client:
            return client.info("errorstats").get("errorstat_MOVED", {}).get("count", 0)

    def celery_settings(self) -> dict[str, object]:
        """What an application is told to keep RedBeat's keys here."""
        scheme = "rediss" if self.client_options else "redis"
        options = {"cluster": True, "decode_responses": True, **self.client_options}
        options.pop("ssl", None)
        return {
            "redbeat_redis_url": f"{scheme}://127.0.0.1:{self.nodes[0].port}",
            "redbeat_redis_options": options,
        }

    def move(self, key: str, target: RedisServer) -> None:
        """Gives the key's slot with all that is in it to another master."""
        source = self.owner(key)
        with self.plain(source) as old, self.plain(target) as new:
            slot = old.execute_command("CLUSTER KEYSLOT", key)
            name = new.execute_command("CLUSTER MYID")
            new.execute_command(
                "CLUSTER SETSLOT", slot, "IMPORTING", old.execute_command("CLUSTER MYID")
            )
            old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", name)
            keys = old.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000)
            if keys:
                old.migrate("127.0.0.1", target.port, keys, 0, 60_000)
            for node in (new, old):
                node.execute_command("CLUSTER SETSLOT", slot, "NODE", name)

    def owner(self, key: str) -> RedisServer:
        """The master that has the key's slot."""
        for node in self.nodes:
            with self.plain(node) as client, contextlib.suppress(redis.ResponseError):
                client.exists(key)
                return node
        raise LookupError(f"no node has the slot of {key}")


class TLSNode(RedisServer):
    """A node that speaks TLS alone, with other nodes too, and asks for client certificates.

    It listens on 127.0.0.1, which is `localhost`, and on 127.0.0.2.
    """

    def __init__(
        self, folder: Path, options: Sequence[str], trusted: Path, certificate: Certificate
    ) -> None:
        port = free_port()
        options = [*options, "--bind", "127.0.0.1", "127.0.0.2", "--tls-port", str(port)]
        options += ["--tls-cluster", "yes", "--tls-replication", "yes"]
        options += ["--tls-ca-cert-file", str(trusted)]
        options += ["--tls-cert-file", str(certificate.file)]
        options += ["--tls-key-file", str(certificate.key)]
        # The last one counts.
        super().__init__(folder, port=port, arguments=["--port", "0", *options])

    def answers(self) -> bool:
        return listens(self.port)  # which needs no handshake


class TLSCluster(Cluster):
    """Masters that speak TLS alone and trust the certificates of these authorities."""

    def __init__(
        self,
        folder: Path,
        stack: contextlib.ExitStack,
        authorities: Sequence[Authority],
        shown: Certificate,
        own: Certificate,
    ) -> None:
        """`shown` is what all nodes show, `own` what clients do; exporters trust the first authority alone."""
        self._trusted = folder / "trusted.crt"
        texts = [authority.certificate.file.read_text() for authority in authorities]
        self._trusted.write_text("".join(texts))
        self._shown = shown
        self.flags = [f"--redis.tls-ca-file={authorities[0].certificate.file}"]
        self.flags += [f"--redis.tls-cert-file={own.file}", f"--redis.tls-key-file={own.key}"]
        self._parameters = "?ssl_cert_reqs=required"
        self.client_options = {
            "ssl": True,
            "ssl_ca_certs": str(self._trusted),
            "ssl_certfile": str(own.file),
            "ssl_keyfile": str(own.key),
            "ssl_check_hostname": False,
        }
        self._command_line_options = ["--tls", "--cacert", str(self._trusted)]
        self._command_line_options += ["--cert", str(own.file), "--key", str(own.key)]
        super().__init__(folder, stack)

    def _node(self, folder: Path, options: Sequence[str]) -> TLSNode:
        return TLSNode(folder, options, self._trusted, self._shown)

    def show(self, certificate: Certificate, nodes: Sequence[RedisServer] = ()) -> None:
        """All nodes, or these, show another certificate from now on; clients must connect again."""
        for node in nodes or self.nodes:
            with self.plain(node) as client:
                client.execute_command(
                    *("CONFIG SET", "tls-cert-file", str(certificate.file)),
                    *("tls-key-file", str(certificate.key)),
                )
                client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")

    def announce(self, **settings: str) -> None:
        """Sets how nodes call each other; returns when all do so.

        `cluster_announce_ip="127.0.0.2"` and its like.
        """
        for node in self.nodes:
            with self.plain(node) as client:
                for name, text in settings.items():
                    client.config_set(name.replace("_", "-"), text)
        wait_until(self._agrees, 20, "the nodes to call each other as they are told to")

    def _agrees(self) -> bool:
        """Whether all nodes have the same words for all of them."""
        answers = set()
        for node in self.nodes:
            with self.plain(node) as client:
                client.set_response_callback("CLUSTER SLOTS", lambda reply, **_: reply)
                answers.add(str(client.execute_command("CLUSTER SLOTS")))
        return len(answers) == 1


@contextlib.contextmanager
def plain(server: RedisServer) -> Iterator[redis.Redis]:
    """A connection to one server alone, whatever it belongs to."""
    with redis.Redis(port=server.port, decode_responses=True) as client:
        yield client


def documented_users() -> list[tuple[str, list[str]]]:
    """The users that docs/redis.md makes, by name and rights; their password is `password`."""
    command = "    ACL SETUSER "
    lines = (PROJECT / "docs" / "redis.md").read_text().splitlines()
    users = [line.removeprefix(command).split() for line in lines if line.startswith(command)]
    return [(name, rights) for name, *rights in users]

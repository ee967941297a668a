"""Redis as it is run: with TLS, watched by sentinels, as a cluster. All on loopback."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import redis
from certificates import Authority, Certificate
from servers import Process, RedisServer, free_port, wait_until
from stack import PROJECT

MASTER = "mymaster"
# Places in the list of documented users.
LOCKED, UNLOCKED, QUEUES, PING = range(4)


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
            f"sentinel down-after-milliseconds {MASTER} 1000",
            f"sentinel failover-timeout {MASTER} 3000",
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

    def __init__(self, folder: Path, stack: contextlib.ExitStack, *, replicas: int = 0) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"]
        # Without a number the bus takes one that somebody else may have.
        buses = [free_port() for _ in range(3 * (1 + replicas))]
        self.nodes = [
            stack.enter_context(
                RedisServer(
                    folder / f"node-{number}", arguments=[*options, "--cluster-port", str(bus)]
                )
            )
            for number, bus in enumerate(buses)
        ]
        places = [f"127.0.0.1:{node.port}@{bus}" for node, bus in zip(self.nodes, buses)]
        create = ["redis-cli", "--cluster", "create", *places, "--cluster-replicas", str(replicas)]
        done = subprocess.run(
            [*create, "--cluster-yes"], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(create)}: {done.stdout}{done.stderr}")
        wait_until(lambda: all(map(self._is_ready, self.nodes)), 20, "the cluster to be whole")

    def _is_ready(self, node: RedisServer) -> bool:
        with redis.Redis(port=node.port, decode_responses=True) as client:
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
        return "redis-cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self) -> redis.RedisCluster:
        return redis.RedisCluster(host="127.0.0.1", port=self.nodes[0].port)

    def owner(self, key: str) -> RedisServer:
        """The master that has the key's slot."""
        with self.client() as client:
            port = client.get_node_from_key(key).port
        return next(node for node in self.nodes if node.port == port)


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

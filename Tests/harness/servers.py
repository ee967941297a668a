"""Private Redis and PostgreSQL servers, and the child processes that everything here is made of.

Servers listen on loopback only, on a port of their own, and keep their data in a folder that the
caller gives and removes. A child ends with the thread that started it, even when that is killed: the
kernel then sends it its own stop signal (`setpriv --pdeathsig`). Linux only.
"""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from typing import Self  # Python 3.11

Answer = TypeVar("Answer")

LOG_TAIL_BYTES = 2000
POLL_SECONDS = 0.05
# Longest wait for whatever is bound to come. It ends what would hang for ever, and says nothing of
# how long a thing may take: that is the affair of benchmarks, on a machine that does nothing else.
PATIENCE_SECONDS = 60.0

# What a child sees of our environment. The rest (a CELERY_BROKER_URL, say) is the user's own affair.
# Sanitizers are told by it what to do when they have found something.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "TSAN_OPTIONS", "ASAN_OPTIONS")

# Below the range that Linux gives to outgoing connections (net.ipv4.ip_local_port_range starts at
# 32768): while a server is down nobody is given its port, and a client that tries to reconnect to
# it cannot be connected to itself.
PORTS = range(20000, 32000)
PORT_ATTEMPTS = 100
PORTS_HELD = 200


# Sockets that hold ports, the latest ones.
_holders: deque[socket.socket] = deque()


def free_port(preferred: int | None = None) -> int:
    """A port for a server of ours, or for none: `preferred` if that is free, else a random one.

    Nobody else is given it while this process runs, or until PORTS_HELD more were asked for: by then
    the servers that stay listen on theirs, and the others are gone.
    """
    candidates = [] if preferred is None else [preferred]
    candidates += random.sample(PORTS, PORT_ATTEMPTS)
    for port in candidates:
        try:
            _holders.append(_holder(port))
        except OSError:
            continue
        if len(_holders) > PORTS_HELD:
            _holders.popleft().close()
        return port
    raise OSError(f"no free port in {PORT_ATTEMPTS} attempts")


def _holder(port: int) -> socket.socket:
    """A socket that is bound and does not listen; OSError when somebody has the port.

    It binds alone, so that the port was nobody's, and allows others beside it only then
    (SO_REUSEADDR). Servers, which all allow that too, listen on the port, end and come back, and it
    is theirs all the time. While none of them is up, clients are refused.
    """
    dual = socket.has_dualstack_ipv6()
    holder = socket.socket(socket.AF_INET6 if dual else socket.AF_INET)
    try:
        if dual:
            holder.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        holder.bind(("", port))
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        holder.close()
        raise
    return holder


def wait_until(condition: Callable[[], Answer], timeout: float, what: str) -> Answer:
    """The first true value of `condition`; TimeoutError naming `what` when it does not come.

    That is after `timeout` seconds, and not before PATIENCE_SECONDS: a machine may be busy.
    """
    timeout = max(timeout, PATIENCE_SECONDS)
    deadline = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(POLL_SECONDS)


class Process:
    """One child process, its own session, with everything it prints in `FOLDER/NAME.log`.

    Start it from a thread that outlives it. A restart (`stop()` or `kill()`, then `start()`) runs
    the same command and appends to the same log.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        """`environment` is added to what is INHERITED of ours; `user` is whom to run as, ourselves when None."""
        self.name = name
        self.folder = Path(folder)
        self.command = [str(word) for word in command]
        self.environment = dict(environment or {})
        self.user = user
        self.stop_signal = stop_signal
        self.log = self.folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    def answers(self) -> bool:
        """Whether the child is ready for its clients; subclasses ask it."""
        return self.running

    @property
    def running(self) -> bool:
        """Whether the child has been started and has not ended, by itself or otherwise."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The child's process id; RuntimeError with the tail of its log when it does not run."""
        if self._child is None or not self.running:
            raise RuntimeError(f"{self.name} does not run\n{self.log_tail()}")
        return self._child.pid

    def start(self) -> None:
        """Returns when the child answers; TimeoutError with the tail of its log when it does not."""
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        self.folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        with open(self.log, "ab") as log:
            self._child = subprocess.Popen(
                [*self._wrapper(), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**inherited, **self.environment},
                # A Ctrl-C in the terminal is for us, who end the children in order.
                start_new_session=True,
            )
        try:
            wait_until(lambda: not self.running or self.answers(), PATIENCE_SECONDS, "it to answer")
            if not self.running:
                raise TimeoutError(f"it ended with status {self._child.returncode}")
        except TimeoutError as error:
            self.kill()
            raise TimeoutError(f"{self.name} did not start: {error}\n{self.log_tail()}") from None
        except BaseException:
            self.kill()
            raise

    def stop(self) -> int | None:
        """Ends the child gracefully, and by force after PATIENCE_SECONDS. Harmless when it is down.

        Its exit status, negative for a signal as in `subprocess`; None when it was down already.
        """
        child = self._child
        if child is None:
            return None
        if self.running:
            self.resume()
            child.send_signal(self.stop_signal)
            try:
                child.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        self.kill()
        return child.returncode

    def wait(self, timeout: float) -> int:
        """The exit status of a started child, once it ends by itself; else TimeoutError."""
        wait_until(lambda: not self.running, timeout, f"{self.name} to end")
        return self._child.returncode

    def kill(self) -> None:
        """SIGKILL to the child and all its descendants, also to those that outlived it.

        Returns when all are dead. Harmless when it is down.
        """
        if self._child is None:
            return
        # Stopped first, so that nobody forks between the listing and the kill.
        pids = self._signal_all(signal.SIGSTOP)
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self._child.wait()
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        # A server's own children hold its shared memory until they are gone.
        wait_until(lambda: not any(map(_lives, pids)), PATIENCE_SECONDS, f"{self.name} to be dead")
        self._child = None

    def pause(self) -> None:
        """SIGSTOP to the child and all its descendants. Returns when all stand still."""
        pids = self._signal_all(signal.SIGSTOP)
        what = f"{self.name} to stand still"
        wait_until(lambda: all(map(_stands_still, pids)), PATIENCE_SECONDS, what)

    def resume(self) -> None:
        """SIGCONT to the child and all its descendants."""
        self._signal_all(signal.SIGCONT)

    def log_tail(self) -> str:
        """The last LOG_TAIL_BYTES of what the child printed."""
        if not self.log.exists():
            return ""
        with open(self.log, "rb") as log:
            log.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            return log.read().decode(errors="replace")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _wrapper(self) -> list[str]:
        """A command that prepares the process and then becomes the child, with the same id."""
        wrapper = ["setpriv", "--pdeathsig", self.stop_signal.name[len("SIG") :]]
        if self.user is not None:
            wrapper += ["--reuid", self.user, "--regid", self.user, "--init-groups"]
        return [*wrapper, "--"]

    def _signal_all(self, number: signal.Signals) -> list[int]:
        """Signals the child and then its descendants, parents first; their process ids."""
        if not self.running:
            return []
        signalled = [self.pid]
        for pid in signalled:  # grows while it is walked
            _signal(pid, number)
            signalled += _children(pid)
        return signalled


class RedisServer(Process):
    """A private Redis without persistence, unless `arguments` (for redis-server) say otherwise."""

    def __init__(
        self, folder: Path, *, port: int | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self.port = port or free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port)]
        command += ["--dir", str(folder), "--save", "", "--daemonize", "no", *arguments]
        super().__init__("redis", folder, command)
        self._password = ""
        if "--requirepass" in arguments:
            self._password = arguments[list(arguments).index("--requirepass") + 1]

    @property
    def url(self) -> str:
        """Database 0, with the password when `--requirepass` is among the arguments."""
        account = f":{self._password}@" if self._password else ""
        return f"redis://{account}127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


class PostgresServer(Process):
    """A private PostgreSQL whose only user, `celery`, owns everything and has a password.

    `settings` are server settings by name (`{"TimeZone": "America/New_York"}`). PostgreSQL refuses
    to run as root; for root the server runs as the user `postgres`, which Debian's package makes.
    """

    USER = "celery"
    DATABASE = "postgres"

    def __init__(
        self, folder: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.port = port or free_port()
        self.data = Path(folder) / "postgresql"
        self._programs = postgres_programs()
        self._password = secrets.token_hex(8)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            # The data outlives a killed server, and need not outlive a crashed machine.
            "fsync": "off",
            **(settings or {}),
        }
        command: list[str | Path] = [self._programs / "postgres", "-D", self.data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is the "fast" shutdown; SIGTERM would wait for the clients to leave.
        super().__init__(
            "postgresql",
            folder,
            command,
            user="postgres" if os.geteuid() == 0 else None,
            stop_signal=signal.SIGINT,
        )

    @property
    def url(self) -> str:
        return f"postgresql://{self.USER}:{self._password}@127.0.0.1:{self.port}/{self.DATABASE}"

    def start(self) -> None:
        if not self.data.exists():
            self._initialize()
        super().start()

    def answers(self) -> bool:
        command = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        command += ["-d", self.DATABASE]
        return subprocess.run(command, check=False, timeout=PATIENCE_SECONDS).returncode == 0

    def _initialize(self) -> None:
        """Makes the data folder; RuntimeError with initdb's words when that fails."""
        self.data.mkdir(mode=0o700, parents=True)
        with tempfile.NamedTemporaryFile("w", prefix="password-") as password:
            password.write(self._password)
            password.flush()
            if self.user is not None:
                shutil.chown(self.data, self.user, self.user)
                shutil.chown(password.name, self.user)
                _make_reachable(self.data.parent)
            command: list[str | Path] = [self._programs / "initdb", "-D", self.data]
            command += ["--username", self.USER, f"--pwfile={password.name}"]
            command += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--no-locale", "--no-sync"]
            initdb = Process("initdb", self.folder, command, user=self.user)
            try:
                initdb.start()
                status = initdb.wait(PATIENCE_SECONDS)
            finally:
                initdb.kill()
        if status != 0:
            shutil.rmtree(self.data)
            raise RuntimeError(f"initdb ended with status {status}\n{initdb.log_tail()}")


def postgres_programs() -> Path:
    """The folder with PostgreSQL's newest programs; FileNotFoundError when there is none.

    Debian keeps them apart by major version and off the PATH.
    """
    found = list(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return max(found, key=lambda program: float(program.parent.parent.name)).parent
    program = shutil.which("postgres")
    if program is None:
        raise FileNotFoundError("no PostgreSQL server is installed: run demo/install")
    return Path(program).parent


def _make_reachable(folder: Path) -> None:
    """Lets other users pass through `folder` and its parents that are ours (not list them).

    Temporary folders are closed to others, and the server runs as another user.
    """
    for step in [folder, *folder.parents]:
        status = step.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & 0o001:
            step.chmod(status.st_mode & 0o7777 | 0o001)


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in text.split()]


def _lives(pid: int) -> bool:
    """Whether the process exists and is more than a zombie."""
    return _state(Path(f"/proc/{pid}")) not in "ZX"


def _stands_still(pid: int) -> bool:
    """Whether none of a process's threads runs, or will before it hears of its SIGSTOP."""
    return all(_state(thread) in "TtDZX" for thread in Path(f"/proc/{pid}/task").glob("*"))


def _state(process: Path) -> str:
    """The letter that /proc has for the state of a process or thread; X for one that is gone."""
    try:
        status = (process / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return status.rpartition(")")[2].split()[0]


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass

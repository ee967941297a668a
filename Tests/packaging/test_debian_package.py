"""The Debian package and the systemd unit: installed, run and purged in a Debian with a real systemd.

The Debian is a container in which systemd is the first process.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from container_engine import PROJECT, Engine, run
from documented_commands import commands
from servers import wait_until
from stack import parse_metrics

if TYPE_CHECKING:
    from stack import Metrics

UNIT = "celery-beat-exporter.service"
UNIT_FILE = PROJECT / "deploy" / "systemd" / UNIT
SETTINGS = "/etc/celery-beat-exporter.yml"
MACHINE = "debian-with-systemd"
MACHINE_PACKAGES = ("systemd-sysv", "dbus", "redis-server", "curl")
# What the documentation's commands are run with besides, and on.
MORE_PACKAGES = ("apache2-utils", "celery", "chrony", "python3-redis", "sudo")
PASSWORD = r"printf 'password\npassword\n' |"  # to what it asks
BEAT = "celerybeat"
BEAT_UNIT = """
[Service]
ExecStart=celery -b redis://localhost:6379/0 beat --loglevel info -s /run/schedule --pidfile=
"""
BEAT_CONFIGURATION = """
beat_schedule = {"report": {"task": "reports.make", "schedule": 1.0}}
"""
SECONDS = 60.0  # longest wait for something that normally takes a moment
EXPOSURE_TENTHS = 11  # docs/install.md tells it
# Where a running machine writes by itself, and dpkg its lists.
CHANGING = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/log", "/var/cache")
CHANGING += ("/var/lib/dpkg", "/var/lib/redis", "/var/lib/systemd")


@pytest.fixture(scope="module")
def make_package(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Builds the package of the release build, or of CELERY_BEAT_EXPORTER_BINARY, each time anew."""
    release = PROJECT / ".build" / "release" / "celery-beat-exporter"
    program = Path(os.environ.get("CELERY_BEAT_EXPORTER_BINARY", release)).absolute()

    def make() -> Path:
        folder = tmp_path_factory.mktemp("package")
        return Path(run(PROJECT / "deploy" / "debian" / "build", program, folder, timeout=120))

    return make


@pytest.fixture(scope="module")
def package(make_package: Callable[[], Path]) -> Path:
    return make_package()


def test_is_what_debian_expects(package: Path) -> None:
    run("lintian", "--allow-root", "--fail-on=warning", "--info", package, timeout=300)


def test_two_builds_are_one_package(package: Path, make_package: Callable[[], Path]) -> None:
    assert make_package().read_bytes() == package.read_bytes()


def test_unit_is_confined() -> None:
    threshold = f"--threshold={EXPOSURE_TENTHS}"
    run("systemd-analyze", "security", "--offline=yes", threshold, UNIT_FILE, timeout=60)


class Machine:
    """A running Debian in which the package's dependencies are installed, and Redis."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, *command: str) -> str:
        """What a command prints there; CalledProcessError when it fails."""
        return self._engine("exec", MACHINE, *command)

    def shows(self, name: str) -> str:
        """A property that systemd knows of the unit."""
        return self("systemctl", "show", f"--property={name}", "--value", UNIT)

    def files(self) -> set[str]:
        """All files but those that CHANGE."""
        prune = " -o ".join(f"-path {path}" for path in CHANGING)
        return set(self("sh", "-c", f"find / \\( {prune} \\) -prune -o -print").splitlines())

    def install(self, package: Path) -> str:
        """What installing says."""
        self._engine("cp", package, f"{MACHINE}:/tmp/package.deb")
        return self("dpkg", "--install", "/tmp/package.deb")

    def write(self, path: str, text: str) -> None:
        """Into the file that is there, which keeps its mode, or a new one."""
        self("sh", "-c", f"cat >{path} <<'END'\n{text}\nEND")

    def write_settings(self, text: str) -> None:
        self.write(SETTINGS, text)

    def metrics(self) -> Metrics | None:
        """What the exporter there serves, None while it does not."""
        try:
            return parse_metrics(
                self("curl", "--silent", "--fail", "http://localhost:9808/metrics")
            )
        except subprocess.CalledProcessError:
            return None


@contextlib.contextmanager
def started(
    engine: Engine, package: Path, more_packages: Sequence[str] = (), options: Sequence[str] = ()
) -> Iterator[Machine]:
    """A machine that is up. `options` are podman's."""
    depends = run("dpkg-deb", "--field", package, "Depends", timeout=60)
    libraries = [one.split()[0] for one in depends.split(",")]
    engine.import_debian(MACHINE, [*MACHINE_PACKAGES, *libraries, *more_packages])
    engine(
        *("run", "--detach", "--name", MACHINE, "--systemd=always", "--privileged"),
        *(*options, f"localhost/{MACHINE}", "/sbin/init"),
    )
    machine = Machine(engine)

    def is_up() -> bool:
        try:
            return machine("systemctl", "is-active", "redis-server") == "active"
        except subprocess.CalledProcessError:
            return False

    try:
        wait_until(is_up, SECONDS, "the machine to be up")
        # As on a machine that is no container; systemd hands credentials to services through it.
        machine("mount", "--make-rshared", "/")
        yield machine
        print(machine("journalctl", "--no-pager"))  # shown when the test has failed
    finally:
        engine("rm", "--force", "--time", "0", MACHINE)


@pytest.fixture
def machine(engine: Engine, package: Path) -> Iterator[Machine]:
    with started(engine, package) as machine:
        yield machine


@pytest.fixture
def machine_with_celery(engine: Engine, package: Path, tmp_path: Path) -> Iterator[Machine]:
    """A machine with a beat in a unit, as many people run it."""
    chrony = tmp_path / "chrony"
    chrony.write_text('DAEMON_OPTS="-F 1 -x"\n')  # -x: it has no clock of its own to set
    options = ("--volume", f"{chrony}:/etc/default/chrony:ro")
    with started(engine, package, MORE_PACKAGES, options) as machine:
        machine.write(f"/etc/systemd/system/{BEAT}.service", BEAT_UNIT)
        machine.write("/celeryconfig.py", BEAT_CONFIGURATION)
        machine("systemctl", "daemon-reload")
        machine("systemctl", "start", BEAT)
        yield machine


def test_life_of_an_installation(machine: Machine, package: Path) -> None:
    before = machine.files()

    # Without settings there is nothing to watch: it says what to do, and starts with the next boot.
    assert f"Set broker.url or database.url in {SETTINGS}" in machine.install(package)
    assert machine("systemctl", "is-enabled", UNIT) == "enabled"
    assert machine.shows("ActiveState") == "inactive"
    assert machine("stat", "--format=%a %U", SETTINGS) == "600 root"

    # With settings it runs, as nobody that this machine knows, and can read them.
    machine.write_settings("broker.url: redis://localhost:6379/0\nqueues: celery")
    machine("systemctl", "restart", UNIT)

    def serves() -> bool:
        metrics = machine.metrics() or {}
        return metrics.get(("celery_queue_length", frozenset({("queue_name", "celery")}))) == 0

    wait_until(serves, SECONDS, "the queue to be served")
    names = {name for name, _ in machine.metrics()}
    assert {
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_open_fds",
    } <= names
    pid = machine.shows("MainPID")
    status = dict(
        line.split(":\t", 1) for line in machine("cat", f"/proc/{pid}/status").splitlines()
    )
    assert int(status["Uid"].split()[0]) >= 61184  # where systemd's dynamic users begin
    assert (status["CapEff"], status["CapBnd"]) == ("0" * 16, "0" * 16)
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")

    # An upgrade keeps the settings and has it running again.
    machine.install(package)
    wait_until(serves, SECONDS, "the upgraded exporter to serve")
    assert machine.shows("MainPID") != pid

    # What is loaded only when needed is there, too.
    machine("celery-beat-exporter", "--config.check", "--database.url=postgresql://localhost/shop")
    machine("celery-beat-exporter", "--config.check", "--broker.url=rediss://localhost")

    # Asked to stop, it does; wrong settings stop it once and for all.
    machine("systemctl", "stop", UNIT)
    assert (machine.shows("ExecMainStatus"), machine.shows("Result")) == ("0", "success")
    machine.write_settings("broker.url: nonsense")
    machine("systemctl", "start", UNIT)
    wait_until(lambda: machine.shows("ActiveState") == "failed", SECONDS, "the exporter to refuse")
    assert (machine.shows("ExecMainStatus"), machine.shows("NRestarts")) == ("2", "0")

    # Killed, it comes back.
    machine.write_settings("broker.url: redis://localhost:6379/0\nqueues: celery")
    machine("systemctl", "restart", UNIT)
    wait_until(serves, SECONDS, "the exporter to serve")
    machine("systemctl", "kill", "--signal=KILL", UNIT)
    wait_until(lambda: machine.shows("NRestarts") == "1" and serves(), SECONDS, "its return")

    # Removed it is not running, and purged it leaves nothing.
    machine("dpkg", "--remove", "celery-beat-exporter")
    assert machine.metrics() is None
    machine("dpkg", "--purge", "celery-beat-exporter")
    assert machine.files() == before


def test_commands(machine_with_celery: Machine, engine: Engine, package: Path) -> None:
    """Those of the documentation that need systemd: installing as docs/install.md tells, then looking around."""
    machine = machine_with_celery
    install, edit, restart = (
        "sudo apt install ./.build/celery-beat-exporter_*.deb",
        f"sudoedit {SETTINGS}",
        "sudo systemctl restart celery-beat-exporter",
    )
    answers = {
        "systemctl status celery-beat-exporter": r"Active: active \(running\)",
        "journalctl -u celery-beat-exporter -n 50": "msg=serving",
        "systemctl restart celery-beat-exporter": "",
        "systemctl status celerybeat": r"Active: active \(running\)",
        "journalctl -u celerybeat -n 50": "Sending due task report",
        "journalctl -u celerybeat -n 100": "Sending due task report",
        "journalctl -u celerybeat | grep -F 'ENTRY'": r"Sending due task report \(reports.make\)",
        "systemctl restart chrony": "",
        "chronyc tracking": "System time +: ",
        "htpasswd -nBC 10 prometheus": r"^prometheus:\$2y\$10\$",
        "timedatectl status": "System clock synchronized: ",
        "dmesg -T | grep -i 'killed process'": r"Killed process 7 \(celery\)",
    }
    found = commands("packaging/test_debian_package.py::test_commands")
    assert found == {install, edit, restart, *answers}

    machine("mkdir", "/.build")
    engine("cp", package, f"{MACHINE}:/.build/{package.name}")
    machine.write("/edit", "#!/bin/sh\necho broker.url: redis://localhost:6379/0 >$1")
    machine("chmod", "755", "/edit")
    for command in (install, f"SUDO_EDITOR=/edit {edit}", restart):
        machine("sh", "-c", command)
    wait_until(machine.metrics, SECONDS, "the exporter to serve")
    # As Linux tells of it. A process that really takes all memory would take this machine's.
    killed = "Memory cgroup out of memory: Killed process 7 (celery) total-vm:2415914kB"
    machine("sh", "-c", f"echo '{killed}' >/dev/kmsg")
    wait_until(
        lambda: "Sending due task" in machine("journalctl", "-u", BEAT), SECONDS, "beat to send"
    )
    for command, answer in answers.items():
        command = command.replace("ENTRY", "report").replace("htpasswd", f"{PASSWORD} htpasswd")
        printed = machine("bash", "-o", "pipefail", "-c", command)
        assert re.search(answer, printed), f"{command}\n{printed}"

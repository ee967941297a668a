"""Builds the image of the Dockerfile, without asking a registry for its base images.

Swift's image is a Debian with this machine's toolchain lent to it while it builds.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from container_engine import BUILD_SECONDS, PROJECT, Engine, run
from documented_commands import commands

IMAGE = "localhost/celery-beat-exporter:test"
DEBIAN = "debian:bookworm-slim"
SWIFT = "swift:6.3-bookworm"
# What Swift's own image has besides the toolchain, as far as this build needs it.
SWIFT_PACKAGES = [
    *(
        "binutils",
        "ca-certificates",
        "gcc",
        "git",
        "libc6-dev",
        "libcurl4",
        "libedit2",
        "libncurses6",
    ),
    *("libpython3.11", "libsqlite3-0", "libstdc++-12-dev", "libxml2", "pkg-config", "tzdata"),
]


def make_base_images(engine: Engine, folder: Path) -> Mapping[Path, str]:
    """Makes both; what Swift's needs of this machine, by where it is seen. `folder` is kept by it."""
    engine.import_debian(DEBIAN)
    engine.import_debian("swift-packages", SWIFT_PACKAGES)
    swift = shutil.which("swift")
    if swift is None:
        raise FileNotFoundError("swift is not on the PATH")
    toolchain = Path(swift).parents[2]
    (folder / "Dockerfile").write_text(
        "FROM localhost/swift-packages\n"
        f"ENV PATH={toolchain}/usr/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    )
    engine.build(folder, tag=f"localhost/{SWIFT}")
    settings = folder / "gitconfig"
    settings.touch()
    return {toolchain: str(toolchain), settings: "/etc/gitconfig", **mirrors(settings)}


def mirrors(settings: Path) -> Mapping[Path, str]:
    """Folders in which this machine's git finds what others fetch, if so; `settings` then say it too."""
    listing = subprocess.run(
        ["git", "config", "--get-regexp", r"^url\..*\.insteadof$"],
        capture_output=True,
        text=True,
        check=False,
    )
    folders = {}
    for line in listing.stdout.splitlines():
        key, replaced = line.split(" ", 1)
        subprocess.run(["git", "config", "--file", settings, "--add", key, replaced], check=True)
        source = Path(key.removeprefix("url.").removesuffix(".insteadof"))
        if source.is_dir():
            folders[source] = str(source)
    return folders


def build(
    engine: Engine,
    lent: Mapping[Path, str],
    *arguments: str,
    tag: str = IMAGE,
    command: str | None = None,
) -> str:
    """Builds this tree's image, by docs/install.md's reproducible command or by another; its identity."""
    if command is None:
        (command,) = commands("packaging/test_image.py::test_two_builds_hold_the_same_bytes")
    for page, ours in (
        ("docker build", "podman build --format docker"),
        ("swift@sha256:...", f"localhost/{SWIFT}"),
        ("debian@sha256:...", f"localhost/{DEBIAN}"),
        ("-t celery-beat-exporter", f"-t {tag}"),
    ):
        command = command.replace(page, ours)
    volumes = [f"--volume={path}:{seen_as}:ro" for path, seen_as in lent.items()]
    ours = " ".join(["--isolation=chroot", "--pull=never", "--quiet", *volumes, *arguments])
    command = command.replace("podman build", f"cd {PROJECT}; podman build {ours}")
    run("bash", "-c", command, environment=engine.environment, timeout=BUILD_SECONDS)
    return engine.inspect(tag)["Id"]

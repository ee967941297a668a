"""Builds the image of the Dockerfile, without asking a registry for its base images.

Swift's image is a Debian with this machine's toolchain lent to it while it builds.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from container_engine import PROJECT, Engine

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


def build(engine: Engine, lent: Mapping[Path, str], *arguments: str, tag: str = IMAGE) -> str:
    """Builds this tree's image; its identity."""
    return engine.build(PROJECT, "--timestamp=1700000000", *arguments, tag=tag, lent=lent)

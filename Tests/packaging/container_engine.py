"""Podman for the tests of images, with storage of its own and base images made of Debian's packages.

No image registry is asked: `debian:bookworm-slim` and its like are made here by mmdebstrap. Needs
root.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers import INHERITED

PROJECT = Path(__file__).resolve().parents[2]
# Kept between runs; delete them to have newer packages.
ARCHIVES = PROJECT / ".build" / "base-images"
RELEASE = "bookworm"
# Debian's own slim image has neither these nor packages once they are unpacked.
SLIM_EXCLUDES = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")
APT_KEEPS_NOTHING = (
    'DPkg::Post-Invoke {"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true";};'
    'Dir::Cache::pkgcache "";Dir::Cache::srcpkgcache "";'
)
ARCHIVE_SECONDS = 600
BUILD_SECONDS = 1800
COMMAND_SECONDS = 180


class Engine:
    """Podman with storage, networks and limits of its own, all in one folder."""

    def __init__(self, folder: Path) -> None:
        self.environment = {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "CONTAINERS_CONF": str(folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        }
        # Limits below those podman would set: a root without CAP_SYS_RESOURCE cannot raise its own.
        # runc takes every arrangement of control groups; cgroupfs works without systemd.
        (folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
        )
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n'
        )
        (folder / "networks").mkdir()

    def __call__(self, *arguments: str | Path, timeout: float = COMMAND_SECONDS) -> str:
        """What `podman ARGUMENTS` prints; CalledProcessError when it fails."""
        return run("podman", *arguments, environment=self.environment, timeout=timeout)

    def inspect(self, image: str) -> dict:
        """What podman knows of an image."""
        return json.loads(self("image", "inspect", image))[0]

    def import_debian(self, name: str, packages: Sequence[str] = ()) -> None:
        """Makes `localhost/NAME`: a minimal Debian with `packages`."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        archive = debian_archive(packages)
        self("import", "--quiet", "--change", f"ENV {path}", archive, f"localhost/{name}")

    def build(
        self,
        context: Path,
        *arguments: str | Path,
        tag: str,
        lent: Mapping[Path, str] | None = None,
    ) -> str:
        """Builds a Dockerfile; the image's identity. `lent` paths are seen by its RUN steps alone."""
        volumes = [f"--volume={path}:{seen_as}:ro" for path, seen_as in (lent or {}).items()]
        self(
            *("build", "--isolation=chroot", "--format=docker", "--pull=never", "--quiet"),
            *(*volumes, *arguments, "--tag", tag, context),
            timeout=BUILD_SECONDS,
        )
        return self.inspect(tag)["Id"]

    def close(self) -> None:
        """Ends all containers, so that nothing is mounted in the folder any more."""
        self("rm", "--all", "--force", "--time", "0")


def run(*command: str | Path, environment: Mapping[str, str] | None = None, timeout: float) -> str:
    """What a command prints; CalledProcessError when it fails, and then we print its words."""
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if result.returncode != 0:
        print(result.stdout, result.stderr)
    result.check_returncode()
    return result.stdout.strip()


def debian_archive(packages: Sequence[str] = ()) -> Path:
    """The files of a minimal Debian with `packages`, as a tar archive."""
    kind = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    archive = ARCHIVES / f"{RELEASE}-{kind}.tar"
    if archive.exists():
        return archive
    ARCHIVES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ARCHIVES) as folder:
        new = Path(folder) / "new.tar"
        apt = Path(folder) / "apt.conf"
        apt.write_text(APT_KEEPS_NOTHING)
        options = [f"--dpkgopt=path-exclude={path}" for path in SLIM_EXCLUDES]
        options.append(f"--customize-hook=copy-in {apt} /etc/apt/apt.conf.d/")
        # Last, and here: mmdebstrap itself needs the packages that apt then keeps no longer.
        options.append(
            "--customize-hook=rm -rf $1/var/cache/apt/*.bin $1/var/cache/apt/archives/*.deb"
        )
        # Without this pair Debian 12 would merge /usr by a program that brings the whole of Perl.
        options.append("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
        options.append(f"--include={','.join(['usr-is-merged', *packages])}")
        command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", *options]
        run(*command, RELEASE, new, timeout=ARCHIVE_SECONDS)
        new.rename(archive)
    return archive

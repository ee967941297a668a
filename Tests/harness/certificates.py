"""Certificates for tests, made with the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, in PEM files."""

    file: Path
    key: Path

    @property
    def serial(self) -> int:
        command = ["openssl", "x509", "-in", self.file, "-noout", "-serial"]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return int(shown.partition("=")[2], 16)


class Authority:
    """Issues certificates, in a folder that the caller gives."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self.certificate = Certificate(folder / f"{name}.crt", folder / f"{name}.key")
        _openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30",
            *("-subj", f"/CN={name}"),
            *("-out", self.certificate.file, "-keyout", self.certificate.key),
        )

    def issue(
        self,
        name: str,
        extensions: str = "",
        algorithm: str = "rsa:2048",
        days: int = 30,
        start: str | None = None,
    ) -> Certificate:
        """`extensions` as openssl's configuration has them: `subjectAltName=DNS:localhost`.

        It is valid from now on, or from `start`, as faketime understands it: `-3 days`.
        """
        issued = Certificate(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        request, settings = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        settings.write_text(extensions + "\n")
        _openssl(
            f"req -nodes -newkey {algorithm}",
            *("-subj", f"/CN={name}", "-out", request, "-keyout", issued.key),
        )
        _openssl(
            f"x509 -req -CAcreateserial -days {days}",
            *("-in", request, "-out", issued.file, "-extfile", settings),
            *("-CA", self.certificate.file, "-CAkey", self.certificate.key),
            start=start,
        )
        return issued


def _openssl(options: str, *arguments: str | Path, start: str | None = None) -> None:
    clock = ["faketime", start] if start else []
    command = [*clock, "openssl", *options.split(), *arguments]
    subprocess.run(command, check=True, capture_output=True)

"""What the tests of images, packages and manifests share: a container engine and a folder."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))

from container_engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="celery-beat-exporter-") as folder:
        engine = Engine(Path(folder))
        yield engine
        engine.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one test."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)

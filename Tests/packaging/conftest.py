"""What the tests of images, packages and manifests share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import exporter_image
import pytest
from container_engine import Engine


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for one test."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory(prefix="celery-beat-exporter-") as folder:
        engine = Engine(Path(folder))
        yield engine
        engine.close()


@pytest.fixture(scope="session")
def lent(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Mapping[Path, str]:
    """What the build of the image needs of this machine; its base images are there then."""
    return exporter_image.make_base_images(engine, tmp_path_factory.mktemp("swift"))


@pytest.fixture(scope="session")
def image(engine: Engine, lent: Mapping[Path, str]) -> str:
    """The identity of the image built from this tree."""
    return exporter_image.build(engine, lent)

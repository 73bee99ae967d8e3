"""Fixtures that every room shares."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smolmix.storage import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session", autouse=True)
def _ray_ends_with_the_tests() -> Iterator[None]:
    yield
    import sys

    if "ray" in sys.modules:
        from smolmix import cluster

        cluster.stop()

"""Fixtures that every room shares."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from smolmix.workspace import Workspace

# A shared machine stalls: how long one example takes says nothing about the property.
settings.register_profile("smolmix", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("smolmix")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="session", autouse=True)
def _ray_ends_with_the_tests() -> Iterator[None]:
    yield

    if "ray" in sys.modules:
        from smolmix.engine import ray_pool

        ray_pool.stop()


@pytest.fixture(autouse=True)
def _the_command_line_leaves_the_tests_process_as_it_was() -> Iterator[None]:
    """`main` sets what holds for a process of its own: where modules and children are searched."""
    path, safe = sys.path[:], os.environ.get("PYTHONSAFEPATH")
    yield
    sys.path[:] = path
    if safe is None:
        os.environ.pop("PYTHONSAFEPATH", None)

"""Fixtures of several files of tests below."""

from collections.abc import Iterator

import pytest
from tests.support import sequences
from tests.support.sequences import Document, documents_of_every_modality
from tests.support.toy import answered_workspace

from smolmix.workspace import Workspace


@pytest.fixture
def documents() -> list[Document]:
    return documents_of_every_modality()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A held-out corpus, and two checkpoints that are right about some of it."""
    return answered_workspace(tmp_path_factory.mktemp("answered"))


@pytest.fixture
def ray_here() -> Iterator[None]:
    """A local Ray of three CPUs whose workers need not find the tests."""
    import ray
    from ray import cloudpickle

    from smolmix.engine import ray_pool

    ray.shutdown()
    ray_pool.start(3, None)
    cloudpickle.register_pickle_by_value(sequences)  # type: ignore[no-untyped-call]  # without types
    yield
    cloudpickle.unregister_pickle_by_value(sequences)  # type: ignore[no-untyped-call]  # without types
    ray.shutdown()

"""Fixtures: the nano profile, a small workspace, and its mixture tokenized."""

import pytest
from tests.support.small_workspace import fill

from smolmix.engine.stage import RunOptions
from smolmix.pipelines.pretokenize.run import Tokenized, tokenize_mixture
from smolmix.profiles import Profile, profile
from smolmix.workspace import Workspace


@pytest.fixture
def nano() -> Profile:
    return profile("nano", style="inference")


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    return fill(workspace)


@pytest.fixture
def tokenized(filled: Workspace, nano: Profile) -> Tokenized:
    return tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))

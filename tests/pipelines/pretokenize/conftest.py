"""The profile and the small workspace that these tests tokenize."""

import pytest
from tests.support.small_workspace import fill

from smolmix.profiles import Profile, profile
from smolmix.workspace import Workspace


@pytest.fixture
def nano() -> Profile:
    return profile("nano", style="inference")


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    return fill(workspace)

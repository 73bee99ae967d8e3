"""Specs that a solver once called infeasible, though single constraints of them are loose."""

from pathlib import Path

import pytest
from tests.mixtures.plan.test_plan import CATALOGUE

from smolmix.mixtures.plan.plan import make_plan
from smolmix.mixtures.spec.load import read_spec

SPECS = sorted((Path(__file__).parent / "feasible").glob("*.yaml"))


def test_all_of_them_are_tried() -> None:
    assert len(SPECS) == 11


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_it_is_planned_and_keeps_its_shares(path: Path) -> None:
    plan = make_plan(read_spec(path), workspace=None, catalogue=CATALOGUE)
    assert plan.samples.value
    checked = 0
    for achieved in plan.achieved:
        assert achieved.error <= max(1e-3, achieved.within), achieved.key
        checked += 1
    assert checked >= 1

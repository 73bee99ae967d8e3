import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from tests.support.strata import declared, measured

from smolmix.mixtures.candidates.strata import Candidates
from smolmix.mixtures.solve.constraints import Constraint, Kind
from smolmix.mixtures.solve.linear_program import proven_infeasible, solve
from smolmix.mixtures.solve.order import place_capped
from smolmix.mixtures.solve.rounding import is_valid
from smolmix.mixtures.solve.whole_samples import search

COSTS = [[100, 100, 100], [10, 190, 100]]  # first texts cost less than the mean of 100


def constraint(
    kind: Kind, members: Sequence[bool], low: float, high: float, unit: str = "samples"
) -> Constraint:
    return Constraint(key=kind, kind=kind, members=np.array(members), unit=unit, low=low, high=high)


def test_first_samples_count_at_what_they_cost_not_at_the_mean() -> None:
    candidates = measured(COSTS)
    wanted = [
        constraint("share", [False, True], 0.0, 10 / 110, "tokens"),  # half, at the mean
        constraint("total", [True, True], 2, 2),
    ]
    found = search(candidates, wanted, np.array([1.0, 1.0]), "tokens")
    assert found.drawn is not None
    assert found.drawn.tolist() == [1, 1]


def test_what_only_the_first_samples_allow_is_solved() -> None:
    candidates = measured(COSTS)
    wanted = [
        constraint("share", [False, True], 10 / 310, 10 / 310, "tokens"),
        constraint("share", [True, False], 300 / 310, 300 / 310, "tokens"),
        constraint("total", [True, True], 310, 310, "tokens"),
        constraint("mean", [True, True], 77.4, 77.6, "tokens"),
    ]
    assert not proven_infeasible(candidates, wanted, "tokens")
    assert solve(candidates, wanted, "tokens").drawn.tolist() == pytest.approx([3, 1])


@pytest.mark.parametrize(("share", "possible"), [(0.5, True), (0.9, False)])
def test_a_search_of_every_count_is_certain(share: float, possible: bool) -> None:
    candidates = Candidates(strata=[declared("a", 4), declared("b", 4)])
    wanted = [
        constraint("share", [False, True], share, share),
        constraint("total", [True, True], 8, 8),
    ]
    found = search(candidates, wanted, np.array([4.0, 4.0]), "samples")
    every = itertools.product(range(5), repeat=2)
    assert possible == any(is_valid(candidates, wanted, np.array(n)) for n in every)
    assert (found.drawn is not None) == possible
    assert found.certain


def test_counts_of_large_strata_are_not_all_tried() -> None:
    candidates = Candidates(strata=[declared("a", 9000), declared("b", 9000)])
    wanted = [
        constraint("share", [False, True], 0.6, 0.6),
        constraint("total", [True, True], 17_000, 17_000),
    ]
    found = search(candidates, wanted, np.array([8000.0, 9000.0]), "samples")
    assert found.drawn is None
    assert not found.certain


def test_samples_under_two_caps_have_an_order() -> None:
    candidates = Candidates(
        strata=[declared("a", 50), declared("b", 50, cot="declared"), declared("c", 50)]
    )
    wanted = [
        constraint("cap", [False, True, False], 0.0, 0.5),
        constraint("cap", [False, False, True], 0.0, 0.5),
        constraint("total", [True, True, True], 20, 20),
    ]
    found = search(candidates, wanted, np.array([0.0, 10.0, 10.0]), "samples")
    assert found.drawn is not None
    assert found.drawn.sum() == 20
    placed = place_capped([int(n) for n in found.drawn[1:]], [0.5, 0.5], 20)
    assert len(set(np.concatenate(placed).tolist())) == int(found.drawn[1:].sum())

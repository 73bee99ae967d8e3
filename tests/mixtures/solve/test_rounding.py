import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strata import declared

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.strata import Candidates
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.rounding import achieved_by, check, round_to_samples


def constraint(members: list[bool], kind: str, low: float, high: float) -> Constraint:
    return Constraint(
        key=kind,
        kind=kind,  # type: ignore[arg-type]  # any text, not a literal
        members=np.array(members),
        unit="samples",
        low=low,
        high=high,
    )


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 1 << 20))
def test_a_total_is_met_exactly_and_no_stratum_moves_by_more_than_one(
    sizes: list[int], seed: int
) -> None:
    candidates = Candidates(strata=[declared(f"c{i}", n) for i, n in enumerate(sizes)])
    part = np.random.default_rng(seed).uniform(0, 1, len(sizes)) * sizes
    wanted = int(np.floor(part.sum()))
    drawn = part * (wanted / part.sum())
    total = constraint([True] * len(sizes), "total", wanted, wanted)
    found = round_to_samples(candidates, [total], drawn)
    assert found.sum() == wanted
    assert np.all(np.abs(found - drawn) < 1 + 1e-3)
    assert np.all(found <= sizes)


def test_a_cap_is_rounded_down() -> None:
    candidates = Candidates(strata=[declared("a", 100), declared("b", 10, cot="declared")])
    cap = constraint([False, True], "cap", 0.0, 0.025)
    found = round_to_samples(candidates, [cap], np.array([97.5, 2.5]))
    assert found[1] == 2
    assert found[1] <= 0.025 * found.sum()


def test_a_share_that_whole_samples_cannot_meet_is_refused() -> None:
    candidates = Candidates(strata=[declared("a", 20, fixed=20), declared("b", 10, fixed=10)])
    share = constraint([False, True], "share", 0.5, 0.5)
    with pytest.raises(InfeasibleError, match=r"share is 0\.333333, the target is 0\.5 to 0\.5"):
        round_to_samples(candidates, [share], np.array([20.0, 10.0]))


@pytest.mark.parametrize(("texts", "missed"), [(200, 0), (201, 0), (202, 1)])
def test_a_share_may_miss_by_a_tenth_of_a_percentage_point(texts: int, missed: int) -> None:
    candidates = Candidates(strata=[declared("a", 1000), declared("b", 1000)])
    share = constraint([False, True], "share", 0.2, 0.2)
    values = achieved_by(candidates, [share], np.array([1000 - texts, texts]))
    assert len(check(values)) == missed

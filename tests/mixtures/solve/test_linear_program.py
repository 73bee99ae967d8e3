import numpy as np
import pytest
from tests.support.strata import declared, measured

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.strata import Candidates
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.linear_program import optimise, program, solve

TWO = Candidates(strata=[declared("a", 900, modality="image"), declared("b", 100, modality="text")])


def share(
    candidates: Candidates, value: str, low: float, high: float, unit: str = "samples"
) -> Constraint:
    return Constraint(
        key=f"shares.modality.{value}",
        kind="share",
        members=candidates.members("modality", value),
        unit=unit,
        low=low,
        high=high,
    )


def total(candidates: Candidates, count: float) -> Constraint:
    everything = np.ones(len(candidates.strata), np.bool_)
    return Constraint(
        key="total", kind="total", members=everything, unit="samples", low=count, high=count
    )


def test_without_constraints_every_sample_is_used() -> None:
    assert solve(TWO, [], "samples").drawn.tolist() == pytest.approx([900, 100])


def test_the_largest_mixture_is_limited_by_the_scarce_component() -> None:
    found = solve(TWO, [share(TWO, "text", 0.2, 0.2)], "samples")
    assert found.drawn.tolist() == pytest.approx([400, 100])
    assert list(found.binding) == ["shares.modality.text"]
    assert found.shadow_prices == {"b": pytest.approx(5.0)}  # one more text allows four images


def test_a_target_total_is_divided_evenly() -> None:
    found = solve(TWO, [total(TWO, 500)], "samples")
    assert found.drawn.tolist() == pytest.approx([450, 50], abs=1)
    assert (list(found.binding), found.shadow_prices) == ([], {})


def test_a_fixed_stratum_gives_exactly_what_it_takes() -> None:
    candidates = Candidates(strata=[declared("a", 900), declared("b", 100, fixed=30)])
    assert solve(candidates, [], "samples").drawn.tolist() == pytest.approx([900, 30])


def test_more_than_is_available_is_infeasible() -> None:
    with pytest.raises(InfeasibleError):
        solve(TWO, [total(TWO, 1001)], "samples")
    with pytest.raises(InfeasibleError):
        solve(TWO, [share(TWO, "video", 0.1, 1.0)], "samples")


def test_shares_of_tokens_follow_the_samples_drawn_not_the_mean_of_the_stratum() -> None:
    costs = np.random.default_rng(0).gamma(0.3, 300, 400).astype(int) + 1
    candidates = measured([[100] * 500, costs.tolist()])
    found = solve(candidates, [share(candidates, "text", 0.2, 0.2, "tokens")], "tokens")
    image, text = candidates.total("tokens", found.drawn)
    assert text / (image + text) == pytest.approx(0.2, abs=1e-4)
    assert found.drawn[1] * costs.mean() != pytest.approx(text, rel=0.01)


def test_a_program_in_very_different_sizes_is_solved() -> None:
    candidates = Candidates(
        strata=[
            declared("a", 1 << 40, modality="image"),
            declared("b", 7, modality="text"),
            declared("c", 3_000_000, modality="video"),
        ]
    )
    found = solve(candidates, [share(candidates, "text", 0.3, 0.3)], "samples")
    assert found.drawn.sum() == pytest.approx(7 / 0.3, rel=1e-4)
    assert found.drawn[1] / found.drawn.sum() == pytest.approx(0.3, rel=1e-4)


def test_rows_have_the_key_of_their_constraint() -> None:
    p = program(TWO, [share(TWO, "text", 0.1, 0.3), total(TWO, 10)], {"samples": np.ones(2)})
    assert list(p.keys) == ["shares.modality.text", "shares.modality.text", "total"]
    answer = optimise(p, np.zeros(2))
    assert answer.drawn is not None
    values = p.matrix @ answer.drawn
    assert np.all(values <= p.high + 1e-6)
    assert np.all(values >= p.low - 1e-6)

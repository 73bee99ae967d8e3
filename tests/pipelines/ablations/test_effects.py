"""Intervals against scipy's, and when a claim is decided."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from smolmix.errors import UsageError
from smolmix.pipelines.ablations.effects import ablation_result
from smolmix.pipelines.ablations.plan import AblationPlan, load_plan
from smolmix.pipelines.ablations.table import figure, lines

Written = Callable[..., Path]
CLAIM = {"arm": "longer", "than": "as-it-is", "measure": "worked-sums", "source": "us"}


def _plan(written: Written, claim: str, **changes: Any) -> AblationPlan:
    return load_plan(written(expect=[{**CLAIM, "is": claim}], **changes))


def _results(scores: dict[str, list[float]]) -> dict[tuple[str, int], dict[str, Any]]:
    cost = {"steps": 3, "tokens": 10, "supervised": 5, "tiles": 0}
    return {
        (arm, seed): {
            "cost": cost,
            "scores": {
                "worked-sums": {
                    "overall": {"score": s, "baseline": 0.1, "questions": 40},
                    "by_subset": {"plain": {"score": s / 2, "baseline": 0.1, "questions": 20}},
                }
            },
        }
        for arm, values in scores.items()
        for seed, s in enumerate(values)
    }


def test_one_seed_has_no_interval_and_the_table_says_so(written: Written) -> None:
    plan = _plan(written, "better", seeds=[0])
    found = ablation_result(plan, _results({"as-it-is": [0.3], "longer": [0.4]}))
    text = "\n".join(lines(plan, found))
    assert "nan" not in text
    assert "| 40.0 (+10.0) |" in text
    assert "**undecided**" in text
    assert "+10.0 points (one seed: no interval)" in text


def test_the_interval_of_two_arms_is_that_of_the_pooled_t_test(written: Written) -> None:
    a, b = [0.30, 0.36, 0.33], [0.41, 0.39, 0.46]
    found = ablation_result(_plan(written, "better"), _results({"as-it-is": a, "longer": b}))
    reference = stats.ttest_ind(b, a)
    low, high = reference.confidence_interval(0.95)
    (effect,) = found.effects
    assert effect.difference == pytest.approx(np.mean(b) - np.mean(a))
    assert (effect.low, effect.high) == pytest.approx((low, high))
    assert effect.p == pytest.approx(reference.pvalue)


@pytest.mark.parametrize(
    ("claim", "b", "result"),
    [
        ("better", [0.41, 0.39, 0.46], "agreed"),
        ("worse", [0.41, 0.39, 0.46], "disagreed"),
        ("better", [0.31, 0.30, 0.37], "undecided"),
        ("worse", [0.11, 0.10, 0.12], "agreed"),
    ],
)
def test_a_claim_is_decided_only_where_the_interval_excludes_zero(
    written: Written, claim: str, b: list[float], result: str
) -> None:
    results = _results({"as-it-is": [0.30, 0.36, 0.33], "longer": b})
    (found,) = ablation_result(_plan(written, claim), results).claims
    assert found.result == result


def test_groups_are_measures_too_and_unknown_ones_are_refused(written: Written) -> None:
    results = _results({"as-it-is": [0.2] * 3, "longer": [0.4] * 3})
    plan = _plan(written, "better", measures=["worked-sums/subset/plain"])
    cell = next(c for c in ablation_result(plan, results).cells if c.measure.endswith("plain"))
    assert cell.mean == pytest.approx(0.1)
    assert cell.questions == 20
    with pytest.raises(UsageError, match=r"it has .*subset/plain"):
        ablation_result(_plan(written, "better", measures=["worked-sums/subset/none"]), results)


def test_one_seed_gives_means_without_intervals(written: Written) -> None:
    plan = _plan(written, "better", seeds=[0])
    found = ablation_result(plan, _results({"as-it-is": [0.2], "longer": [0.4]}))
    assert np.isnan(found.effects[0].low)
    assert found.claims[0].result == "undecided"
    assert found.to_json()["effects"][0]["low"] is None
    assert figure(plan, found).startswith("<svg")


def test_table_and_figure_show_every_arm(written: Written) -> None:
    plan = _plan(written, "better")
    found = ablation_result(
        plan, _results({"as-it-is": [0.30, 0.36, 0.33], "longer": [0.41, 0.39, 0.46]})
    )
    text = "\n".join(lines(plan, found))
    assert "| longer | 42.0 ± 5.3 (+9.0) | 10 | 5 | 0 |" in text
    assert "**agreed**: longer is better than as-it-is on worked-sums (us): +9.0 points" in text
    drawn = figure(plan, found)
    assert drawn.startswith("<svg")
    assert all(arm in drawn for arm in plan.arms)

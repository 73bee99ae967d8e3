"""Specs at the edge of what is feasible: what is tolerated, what is refused, and how."""

from typing import Any

import numpy as np
import pytest
from tests.support.synthetic import pool_of

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.candidates.grouping import stratify
from smolmix.mixtures.solve.solve import Mix, arrange, solve_spec
from smolmix.mixtures.spec.load import parse_spec

IMAGES = {"rows": 100, "modality": "image", "text_tokens": 30}
TEXTS = {"rows": 100, "modality": "text", "text_tokens": 30}


def solve(columns: dict[str, dict[str, Any]], **constraints: Any) -> Mix:
    constraints.setdefault("components", {name: {"corpus": name} for name in columns})
    spec = parse_spec({"name": "t", **constraints}, "t.yaml").spec
    return solve_spec(spec, stratify(spec, pool_of(spec, columns), "t.yaml")[0], "t.yaml")


@pytest.mark.parametrize("thirds", [["33.33 %"] * 3, ["33.34 %"] * 3, ["33.3 %"] * 3])
def test_thirds_as_they_are_written_make_a_whole(thirds: list[str]) -> None:
    columns = {"a": IMAGES, "b": TEXTS, "c": IMAGES}
    parts = {n: {"corpus": n, "share": s} for n, s in zip(columns, thirds, strict=True)}
    assert solve(columns, components=parts).drawn.tolist() == [100, 100, 100]
    shares = {"component": dict(zip(columns, thirds, strict=True))}
    assert solve(columns, shares=shares, total=90).drawn.tolist() == [30, 30, 30]


def test_shares_that_leave_a_part_unasked_are_not_stretched() -> None:
    found = solve({"a": IMAGES, "b": TEXTS}, shares={"component": {"a": 0.9995}}, total=100)
    assert found.drawn.tolist() == [100, 0]
    with pytest.raises(InfeasibleError, match="40 % of samples becomes 50 %"):
        solve({"a": IMAGES, "b": TEXTS}, shares={"component": {"a": 0.5, "b": 0.4}})


def test_the_nearest_share_counts_what_may_still_be_added() -> None:
    parts = {"a": {"corpus": "a"}, "b": {"corpus": "b", "take": "all"}}
    with pytest.raises(InfeasibleError, match="text = 14 % of samples becomes 50 %"):
        solve({"a": IMAGES, "b": TEXTS}, components=parts, shares={"modality": {"text": 0.14}})


@pytest.mark.parametrize(
    ("clips", "says"),
    [
        ({}, "no sample is a video"),
        ({"clips": {"rows": 9, "modality": "video", "duration_s": 10.0}}, "last 10 to 10 s"),
    ],
)
def test_a_mean_length_that_no_video_allows_is_refused_as_that(
    clips: dict[str, dict[str, Any]], says: str
) -> None:
    with pytest.raises(InfeasibleError, match=rf"caps\.duration_s\.mean.*{says}"):
        solve({"b": TEXTS, **clips}, caps={"duration_s": {"mean": 200}})


def test_a_cap_spread_over_strata_is_used_to_its_last_sample() -> None:
    columns = {
        "a": {"rows": 3, "modality": "text", "cot": ["none", "none", "declared"]},
        "b": {"rows": 6, "modality": "video", "cot": ["none"] * 4 + ["declared"] * 2},
    }
    found = solve(columns, caps={"cot": 0.25})
    declared = [s.tags["cot"] == "declared" for s in found.candidates.strata]
    assert (found.drawn.sum(), found.drawn[declared].sum()) == (8, 2)


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"modality": {"txt": {"max": 0.2}}}, r"shares\.modality\.txt: no such modality.*'text'"),
        ({"cot": {"declred": {"max": 0.2}}}, r"shares\.cot\.declred: no such cot.*'declared'"),
    ],
)
def test_a_misspelt_upper_bound_is_not_passed_over(shares: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        solve({"a": IMAGES, "b": TEXTS}, shares=shares)


def _capped(found: Mix, constraints: dict[str, Any]) -> list[str]:
    spec = parse_spec({"name": "t", "components": {"a": {"corpus": "a"}}, **constraints}, "t").spec
    stratum, _ = arrange(spec, found)
    return [found.candidates.strata[s].tags["cot"] for s in stratum]


@pytest.mark.parametrize(
    ("cot", "constraints", "size"),
    [
        # One capped group at its cap, the other empty: it ended a draw too soon.
        ({"none": 8, "detected": 2}, {"caps": {"cot": 0.1, "cot_detected": 0.2}}, 10),
        # Both at their caps: both would have the last place, and of 9 the caps let in 2 and 1.
        ({"none": 5, "detected": 2, "declared": 3}, {"caps": {"cot": 0.3, "cot_detected": 0.2}}, 8),
        # All that is there is needed, and the caps are not in each other's way.
        (
            {"none": 17, "detected": 4, "declared": 9},
            {"caps": {"cot": 0.3, "cot_detected": 0.2}, "total": 30},
            30,
        ),
        (
            {"none": 7, "detected": 2, "declared": 1},
            {"caps": {"cot": 0.1, "cot_detected": 0.3}},
            10,
        ),
    ],
)
def test_two_caps_hold_at_every_prefix_and_cost_nothing_that_need_not_be(
    cot: dict[str, int], constraints: dict[str, Any], size: int
) -> None:
    kinds = [kind for kind, count in cot.items() for _ in range(count)]
    found = solve({"a": {"rows": len(kinds), "modality": "image", "cot": kinds}}, **constraints)
    order = _capped(found, constraints)
    for kind, cap in zip(("declared", "detected"), constraints["caps"].values(), strict=True):
        for length in range(1, len(order) + 1):
            assert order[:length].count(kind) <= cap * length + 1e-9, (kind, length)
    assert len(order) == size


def test_a_total_is_reached_where_rounding_took_from_two_caps() -> None:
    rng = np.random.default_rng(0)
    columns = {
        name: {"rows": rows, "modality": "image", "text_tokens": rng.integers(5, 90, rows).tolist(),
               "cot": ["declared"] * a + ["detected"] * b + ["none"] * (rows - a - b)}
        for name, rows, a, b in (("a", 7, 2, 1), ("b", 27, 6, 8))
    }  # fmt: skip
    caps = {"cot": 0.1, "cot_detected": 0.2, "epochs": 1}
    for total in range(10, 24):  # 17 without a mark, at most 2 declared and 4 detected
        found = solve(columns, caps=caps, total=total, unit="text_tokens")
        assert found.drawn.sum() == total

"""Wishes at the edge of what can be: what is tolerated, what is refused, and what is said then."""

from typing import Any

import pytest

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.reading import parse_spec
from smolmix.mixtures.solving import Mix, solve_spec
from smolmix.mixtures.strata import stratify
from smolmix.mixtures.synthetic import pool_of

IMAGES = {"rows": 100, "modality": "image", "text_tokens": 30}
TEXTS = {"rows": 100, "modality": "text", "text_tokens": 30}


def solve(columns: dict[str, dict[str, Any]], **wishes: Any) -> Mix:
    wishes.setdefault("components", {name: {"corpus": name} for name in columns})
    spec = parse_spec({"name": "t", **wishes}, "t.yaml").spec
    return solve_spec(spec, stratify(spec, pool_of(spec, columns), "t.yaml")[0], "t.yaml")


@pytest.mark.parametrize("thirds", [["33.33 %"] * 3, ["33.34 %"] * 3, ["33.3 %"] * 3])
def test_thirds_as_they_are_written_make_a_whole(thirds: list[str]) -> None:
    columns = {"a": IMAGES, "b": TEXTS, "c": IMAGES}
    parts = {n: {"corpus": n, "share": s} for n, s in zip(columns, thirds, strict=True)}
    assert solve(columns, components=parts).draws.tolist() == [100, 100, 100]
    shares = {"component": dict(zip(columns, thirds, strict=True))}
    assert solve(columns, shares=shares, total=90).draws.tolist() == [30, 30, 30]


def test_shares_that_leave_a_part_unasked_are_not_stretched() -> None:
    found = solve({"a": IMAGES, "b": TEXTS}, shares={"component": {"a": 0.9995}}, total=100)
    assert found.draws.tolist() == [100, 0]
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
    declared = [s.tags["cot"] == "declared" for s in found.supply.strata]
    assert (found.draws.sum(), found.draws[declared].sum()) == (8, 2)


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

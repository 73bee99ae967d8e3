"""Plans: what a change means, and what is refused before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smolmix.errors import UsageError
from smolmix.pipelines.ablations.plan import PLANS, load_plan

Written = Callable[..., Path]


@pytest.mark.parametrize("path", sorted(PLANS.glob("[a-z]*.yaml")), ids=lambda p: p.stem)
def test_every_plan_that_comes_with_smolmix_is_valid(path: Path) -> None:
    plan = load_plan(path.stem)
    assert plan.name == path.stem
    assert len(plan.seeds) >= 3
    assert len(plan.trials) == len(plan.arms) * len(plan.seeds)
    for trial in plan.trials:
        assert trial.readings.keys() == {stage.mixture for stage in trial.recipe.stages}
        for reading in trial.readings.values():
            assert reading.spec.profile.profile() == trial.recipe.full_profile()


def test_seeds_reach_recipe_and_spec_and_equal_mixtures_share_a_name(written: Written) -> None:
    plan = load_plan(written(seeds=[3, 4]))
    by_name = {t.name: t for t in plan.trials}
    assert sorted(by_name) == ["as-it-is.s3", "as-it-is.s4", "longer.s3", "longer.s4"]
    one, other = by_name["as-it-is.s3"], by_name["longer.s3"]
    assert (one.recipe.seed, *(r.spec.seed for r in one.readings.values())) == (3, 3)
    assert one.readings.keys() == other.readings.keys() != by_name["longer.s4"].readings.keys()
    assert [t.recipe.stages[0].steps for t in (one, other)] == [3, 4]


def test_profile_changes_reach_recipe_and_spec(written: Written) -> None:
    arms = {"split": {}, "whole": {"profile.pixel.split": False}}
    trials = load_plan(written(arms=arms)).trials
    assert {t.arm for t in trials} == {"split", "whole"}
    for trial in trials:
        (reading,) = trial.readings.values()
        assert reading.spec.profile.profile().pixel.split is (trial.arm == "split")
        assert trial.recipe.full_profile().pixel.split is (trial.arm == "split")


def test_a_grid_is_every_combination(written: Written) -> None:
    grid = {"recipe.stages.0.steps": [3, 4], "profile.chat.loss": ["completion", "full"]}
    plan = load_plan(written(arms={}, grid=grid))
    assert list(plan.arms) == [
        "steps-3-loss-completion",
        "steps-3-loss-full",
        "steps-4-loss-completion",
        "steps-4-loss-full",
    ]


def test_the_arms_of_a_grid_get_names_that_files_can_have(written: Written) -> None:
    notes = {"recipe.stages.0.note": ["out/a", "../B c"]}
    assert list(load_plan(written(arms={}, grid=notes)).arms) == ["note-out-a", "note-..-bc"]
    with pytest.raises(UsageError, match="two arms get the name 'note-out-a'"):
        load_plan(written(arms={}, grid={"recipe.stages.0.note": ["out/a", "out a", "out-a"]}))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": {"a": {"recpie.seed": 1}}}, "did you mean 'recipe'"),
        ({"arms": {"a": {"recipe.stages.2.steps": 1}}}, "'2' is not an index into a list of 1"),
        ({"arms": {"a": {"recipe.stages.0.stepz": 1}}}, "did you mean 'steps'"),
        ({"arms": {"a": {"spec.caps.cots": 1}}}, "did you mean 'cot'"),
        ({"arms": {"a": {"profile.pixel.splitt": 1}}}, "did you mean 'split'"),
        ({"arms": {"a": {"policy": "defualt"}}}, "did you mean 'default'"),
        ({"arms": {"a": {}, "b": {}}}, "arms a and b are equal"),
        ({"baseline": "as-it-was"}, "did you mean 'as-it-is'"),
        ({"measures": ["worked-sum"]}, "CORPUS is one of worked-sums"),
        ({"grid": {"recipe.seed": [1]}}, "either arms or a grid"),
        ({"specs": {"main": {}}}, "give one spec for each stage"),
        ({"sets": {}}, "did you mean 'set'"),
    ],
)
def test_a_wrong_plan_is_refused_with_what_is_allowed(
    written: Written, changes: dict[str, Any], says: str
) -> None:
    path = written(**changes)
    with pytest.raises(UsageError, match=says) as caught:
        load_plan(path)
    assert str(path) in str(caught.value) or "--policy" in str(caught.value)


def test_a_missing_plan_names_the_available_ones() -> None:
    with pytest.raises(UsageError, match="did you mean 'image-splitting'"):
        load_plan("image-spliting")

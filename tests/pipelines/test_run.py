"""A recipe and its mixtures are checked against each other before any work."""

from pathlib import Path

import pytest

from smolmix.errors import UsageError
from smolmix.mixtures.built.run import spec_profile
from smolmix.model.train.recipe import RECIPES
from smolmix.pipelines.journey import plan_journey
from smolmix.workspace import Workspace

RECIPE = """
name: small
profile: {preset: nano, style: inference, pixel: {split: false}}
model: {preset: nano}
stages:
  - name: one
    mixture: FOLDER/mix.yaml
    sequence_tokens: 512
    sequences_per_step: 1
    steps: 3
    learning_rate: {vision: 1.0e-3, connector: 1.0e-3, lm: 1.0e-3}
"""
MIXTURE = "name: mix\ncomponents: {a: {corpus: easy-vqa}}\n"


@pytest.mark.parametrize("name", sorted(p.stem for p in RECIPES.glob("*.yaml")))
def test_every_shipped_recipe_can_set_out(name: str, workspace: Workspace) -> None:
    journey = plan_journey(name, workspace, partial=True)
    assert {s.mixture for s in journey.recipe.stages} == set(journey.readings)
    assert journey.mixed


def test_what_was_never_published_is_said_before_anything_is_fetched(
    tmp_path: Path, workspace: Workspace
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.replace("FOLDER", str(tmp_path)))
    lost = "b: {corpus: tile-patterns, take: all, unpublished: on a disk of theirs}"
    (tmp_path / "mix.yaml").write_text(
        f"name: mix\ncomponents: {{a: {{corpus: easy-vqa}}, {lost}}}\n"
    )
    with pytest.raises(UsageError, match=r"never published:\n  b: on a disk of theirs\n--partial"):
        plan_journey(str(recipe), workspace)
    assert plan_journey(str(recipe), workspace, partial=True).corpora == ["easy-vqa"]


def test_a_mixture_without_a_profile_is_solved_under_the_recipes(
    tmp_path: Path, workspace: Workspace
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.replace("FOLDER", str(tmp_path)))
    (tmp_path / "mix.yaml").write_text(MIXTURE)
    journey = plan_journey(str(recipe), workspace)
    (reading,) = journey.readings.values()
    assert spec_profile(reading.spec) == journey.recipe.full_profile()
    assert reading.raw["profile"]["pixel"] == {"split": False}  # so a lock says it too
    (tmp_path / "mix.yaml").write_text(MIXTURE + "profile: 256m\n")
    with pytest.raises(UsageError, match=r"mix\.yaml: profile is 256m-.*write the same profile"):
        plan_journey(str(recipe), workspace)


@pytest.mark.parametrize("mixture", ["FOLDER/mix.yaml", "mix"])
def test_a_stage_names_its_mixture_by_file_or_by_the_name_of_a_file_next_to_the_recipe(
    tmp_path: Path, workspace: Workspace, mixture: str
) -> None:
    recipe = tmp_path / "small.yaml"
    recipe.write_text(RECIPE.replace("FOLDER/mix.yaml", mixture.replace("FOLDER", str(tmp_path))))
    (tmp_path / "mix.yaml").write_text(MIXTURE)
    journey = plan_journey(str(recipe), workspace)
    # Built, tokenized and trained under the spec's name, as the single verbs do it.
    assert [stage.mixture for stage in journey.recipe.stages] == ["mix"] == list(journey.readings)


def test_two_mixtures_of_one_name_are_refused(tmp_path: Path, workspace: Workspace) -> None:
    recipe = tmp_path / "small.yaml"
    again = RECIPE[RECIPE.index("  - name") :].replace("one", "two").replace("mix.y", "other.y")
    recipe.write_text((RECIPE + again).replace("FOLDER", str(tmp_path)))
    for name in ("mix", "other"):
        (tmp_path / f"{name}.yaml").write_text(MIXTURE)
    with pytest.raises(UsageError, match=r"give the two mixtures different names"):
        plan_journey(str(recipe), workspace)

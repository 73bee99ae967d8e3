from pathlib import Path

import pytest

from smolmix.errors import UsageError
from smolmix.mixtures.spec.load import read_spec
from smolmix.model.train.recipe import RECIPES, StageSpec, load_recipe, parse_recipe

GOOD = """
name: small
profile: nano
model: {preset: nano}
stages:
  - name: one
    mixture: demo
    sequence_tokens: 512
    sequences_per_step: 1
    steps: 3
    learning_rate: {vision: 1.0e-3, connector: 1.0e-3, lm: 1.0e-3}
"""


def test_every_shipped_recipe_is_valid_and_has_sources() -> None:
    seen = 0
    for path in sorted(RECIPES.glob("*.yaml")):
        recipe = load_recipe(path)
        assert recipe.name == path.stem
        assert recipe.full_profile().name.startswith(recipe.profile.preset)
        for stage in recipe.stages:
            assert stage.note or recipe.name == "demo", f"{path.name}: {stage.name} has no source"
            seen += 1
    assert seen >= 11


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_mixtures_of_a_shipped_recipe_ship_too(path: Path) -> None:
    stages = load_recipe(path).stages
    assert stages
    for stage in stages:
        assert read_spec(stage.mixture).spec.name == stage.mixture


def test_vision_stages_have_the_batch_of_the_release() -> None:
    for size in ("256m", "500m", "2.2b"):
        vision = load_recipe(f"paper-{size}").stages[1]
        assert vision.sequences_per_step is not None
        tokens = vision.sequences_per_step * vision.sequence_tokens
        assert tokens == pytest.approx(2048 * 1000, rel=0.05), size  # samples x tokens of one


def test_a_recipe_is_found_by_its_name() -> None:
    assert load_recipe("demo").name == "demo"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("steps: 3", "stepz: 3"), "did you mean 'steps'"),
        (("steps: 3", "epochs: 1\n    steps: 3"), "either steps or epochs"),
        (("preset: nano", "preset: nanoo"), "did you mean 'nano'"),
        (("profile: nano", "profile: 255m"), "did you mean '256m'"),
        (("preset: nano", "vision: siglip-nano"), "give one of"),
        (("vision: 1.0e-3", "vision: -1"), "greater than or equal to 0"),
    ],
)
def test_a_wrong_recipe_is_refused_with_the_key_and_what_is_allowed(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(UsageError, match=says) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_a_missing_recipe_is_answered_with_the_shipped_ones() -> None:
    with pytest.raises(UsageError, match="did you mean 'demo'"):
        load_recipe("demoo")


def _stage(**fields: object) -> dict[str, object]:
    rates = {"vision": 1e-3, "connector": 1e-3, "lm": 1e-3}
    return {
        "name": "one", "mixture": "m", "sequence_tokens": 8, "sequences_per_step": 1,
        "learning_rate": rates, **fields,
    }  # fmt: skip


@pytest.mark.parametrize("hundredths", [1, 29, 57, 58, 100, 113, 250])
def test_a_share_of_an_epoch_is_not_lost_to_rounding(hundredths: int) -> None:
    stage = StageSpec.model_validate(_stage(epochs=hundredths / 100))
    assert stage.total_steps(100) == hundredths


def test_rates_and_betas_that_no_optimizer_takes_are_refused_by_name() -> None:
    for fields, named in (
        ({"betas": [0.9, 1.5]}, "betas"),
        ({"learning_rate": {"vision": float("inf"), "connector": 0, "lm": 0}}, "learning_rate"),
    ):
        value = {
            "name": "a", "profile": "nano", "model": {"preset": "nano"},
            "stages": [_stage(steps=1, **fields)],
        }  # fmt: skip
        with pytest.raises(UsageError, match=named):
            parse_recipe(value, "a.yaml")

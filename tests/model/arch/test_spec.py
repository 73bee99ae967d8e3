"""Where first weights come from, and that reading it costs no import of torch."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from pydantic import ValidationError

from smolmix.errors import UsageError
from smolmix.model.arch.presets import PRESETS
from smolmix.model.arch.spec import ModelSpec

PAIR = {"vision": "siglip-nano", "lm": "smollm2-nano", "shuffle": 2}


def test_exactly_one_origin_is_accepted() -> None:
    accepted = 0
    for preset, checkpoint, pair in product((False, True), repeat=3):
        keys = ({"preset": "nano"} if preset else {}) | (PAIR if pair else {})
        keys |= {"checkpoint": "somewhere"} if checkpoint else {}
        if preset + checkpoint + pair == 1:
            ModelSpec.model_validate(keys)
            accepted += 1
        else:
            with pytest.raises(ValidationError, match="give one of"):
                ModelSpec.model_validate(keys)
    assert accepted == 3


@pytest.mark.parametrize("missing", sorted(PAIR))
def test_a_pairing_needs_both_towers_and_the_shuffle(missing: str) -> None:
    with pytest.raises(ValidationError, match="give one of"):
        ModelSpec.model_validate({k: v for k, v in PAIR.items() if k != missing})


@pytest.mark.parametrize(
    ("key", "name", "near"),
    [("preset", "256", "256m"), ("vision", "siglip-b16", "siglip-b16-512"),
     ("lm", "smollm-135m", "smollm2-135m")],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest(key: str, name: str, near: str) -> None:
    with pytest.raises(ValidationError, match=f"did you mean '{near}'"):
        ModelSpec.model_validate({**PAIR, key: name})


def test_sizes_are_those_of_the_preset_or_the_pairing_and_unknown_for_a_checkpoint() -> None:
    assert ModelSpec(preset="2.2b").sizes() == PRESETS["2.2b"]
    nano = ModelSpec.model_validate(PAIR).sizes()
    assert nano is not None
    assert (nano.vision, nano.lm, nano.tied) == (PRESETS["nano"].vision, PRESETS["nano"].lm, True)
    assert ModelSpec(checkpoint="somewhere").sizes() is None


def test_a_shuffle_that_does_not_divide_the_patches_names_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"siglip-nano's 4 patches per edge; allowed: 1, 2, 4"):
        ModelSpec.model_validate({**PAIR, "shuffle": 3}).sizes()


def test_the_origin_changes_with_the_bytes_of_local_weights(tmp_path: Path) -> None:
    spec = ModelSpec(checkpoint=str(tmp_path))
    (tmp_path / "README.md").write_text("not weights")
    origins = [spec.origin()]
    for content in (b"one", b"two", b"one"):
        (tmp_path / "model.safetensors").write_bytes(content)
        origins.append(spec.origin())
    assert origins[0]["weights"] == []
    assert origins[1] == origins[3] != origins[2]


def test_recipes_and_run_records_are_read_without_torch() -> None:
    code = (
        "import sys; import smolmix.model.train.recipe as r, smolmix.model.train.run_record; "
        "r.load_recipe('demo'); print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

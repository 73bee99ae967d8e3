from typing import Any

import pytest

from smolmix.errors import UsageError
from smolmix.model.arch.build import config, parameters
from smolmix.model.arch.presets import EOS_ID, IMAGE_ID, PRESETS, preset
from smolmix.profiles import PIXEL_PRESETS


@pytest.mark.parametrize(
    ("name", "total"), [("256m", 256_484_928), ("500m", 507_482_304), ("2.2b", 2_246_784_880)]
)
def test_parameters_are_exactly_those_of_the_released_checkpoint(name: str, total: int) -> None:
    assert parameters(PRESETS[name])["total"] == total


def test_nano_is_small_despite_its_full_vocabulary() -> None:
    assert 7e6 < parameters(PRESETS["nano"])["total"] < 10e6


@pytest.mark.parametrize("name", ["nano", "256m", "500m", "2.2b"])
def test_preset_agrees_with_the_pixel_profile(name: str) -> None:
    pixel = PIXEL_PRESETS[name]
    assert PRESETS[name].vision.image_px == pixel.tile_px
    assert PRESETS[name].tokens_per_tile == pixel.tokens_per_tile


@pytest.mark.parametrize(
    ("name", "base", "shuffle"), [("256m", 1e5, 4), ("500m", 1e5, 4), ("2.2b", 273_768, 3)]
)
def test_config_has_the_released_ids_rope_base_and_shuffle(
    name: str, base: float, shuffle: int
) -> None:
    made: Any = config(PRESETS[name])
    text = made.text_config
    assert text.rope_parameters["rope_theta"] == base
    assert (text.vocab_size, text.bos_token_id, text.pad_token_id) == (49_280, 1, 2)
    assert (made.image_token_id, text.eos_token_id) == (49_190, 49_279) == (IMAGE_ID, EOS_ID)
    assert made.scale_factor == shuffle
    assert not made.tie_word_embeddings


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean '256m'"):
        preset("256")

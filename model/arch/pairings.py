"""All pairings of the paper's towers: parameters, balance, tokens of an image; and building one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from smolmix import cost
from smolmix.errors import UsageError
from smolmix.model.arch.build import build, count_parameters, parameters
from smolmix.model.arch.checkpoint import save
from smolmix.model.arch.presets import (
    SIGLIP_B,
    SIGLIP_SO400M,
    SMOLLM2_1_7B,
    SMOLLM2_135M,
    SMOLLM2_360M,
    ModelPreset,
)
from smolmix.model.arch.spec import ModelSpec
from smolmix.profiles import PIXEL_PRESETS, PixelProfile, Profile, chat_profile

_IMAGE = (1600, 1200)  # width and height of the image that `tokens_per_image` is of

# Source: arXiv 2504.05299, findings 1 and 3, and the released configs.
_WHY = {
    ("siglip-b16-512", "smollm2-135m", 4): "released 256M: a larger encoder lowers scores",
    ("siglip-b16-512", "smollm2-360m", 4): "released 500M: SO400M gives +11.6 % for +66 % size",
    ("siglip-so400m-14-384", "smollm2-1.7b", 3): "released 2.2B: the encoder adds only ~10-20 %",
}


def pairing_table() -> list[dict[str, Any]]:
    """Return a row for each vision tower, language model and pixel shuffle of 2, 3 or 4.

    Returns:
        `vision`, `lm` and `shuffle`; `parameters` in total; `vision_share` of those of both towers;
        `tokens_per_tile`; `tokens_per_image` of an image of 1600 × 1200; and a `note`.
    """
    rows = []
    for vision in (SIGLIP_B, SIGLIP_SO400M):
        for lm in (SMOLLM2_135M, SMOLLM2_360M, SMOLLM2_1_7B):
            side = vision.patches_per_edge
            first = next(r for r in (2, 3) if side % r == 0)
            counts = parameters(ModelPreset(name="", vision=vision, lm=lm, shuffle=first))
            for shuffle in (2, 3, 4):
                if side % shuffle:
                    continue
                connector = vision.hidden * shuffle**2 * lm.hidden
                tokens = (side // shuffle) ** 2
                rows.append(
                    {
                        "vision": vision.name,
                        "lm": lm.name,
                        "shuffle": shuffle,
                        "parameters": counts["vision"] + counts["lm"] + connector,
                        "vision_share": counts["vision"] / (counts["vision"] + counts["lm"]),
                        "tokens_per_tile": tokens,
                        "tokens_per_image": _image_tokens(vision.image_px, tokens),
                        "note": _WHY.get((vision.name, lm.name, shuffle), ""),
                    }
                )
    return rows


def _image_tokens(tile_px: int, tokens: int) -> int:
    pixel = PixelProfile(
        name="", tile_px=tile_px, longest_edge_px=4 * tile_px, tokens_per_tile=tokens
    )
    return cost.image_grid(*_IMAGE, pixel).tokens(tokens)


def build_to(
    out: str,
    *,
    preset: str | None,
    vision: str | None,
    lm: str | None,
    shuffle: int | None,
    vision_weights: str | None,
    lm_weights: str | None,
    position_tokens: str,
    frame_average: int,
    seed: int,
) -> dict[str, Any]:
    """Build a model into a folder that `train` and transformers open.

    Args:
        out: the folder; new or empty.
        preset: a preset's name, in place of `vision`, `lm` and `shuffle`.
        vision: a vision tower's name.
        lm: a language model's name.
        shuffle: patches merged along each edge.
        vision_weights: SigLIP folder or hub id; None for random weights.
        lm_weights: SmolLM2 folder or hub id, or `gguf`; None for random weights.
        position_tokens: `learned` or `string`.
        frame_average: consecutive frames averaged into one.
        seed: of random weights.

    Returns:
        `folder`, `parameters` (in total), and those of `vision`, `connector` and `lm`.

    Raises:
        UsageError: the parts do not fit together, or the folder is not empty.
    """
    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "not empty" if folder.is_dir() else "a file"
        raise UsageError(f"{out}: {what}; name a new folder")
    try:
        spec = ModelSpec.model_validate(
            {
                "preset": preset, "vision": vision, "lm": lm, "shuffle": shuffle,
                "vision_weights": vision_weights, "lm_weights": lm_weights,
            }
        )  # fmt: skip
    except ValidationError as error:
        raise UsageError(
            f"build: {error.errors()[0]['msg'].removeprefix('Value error, ')}"
        ) from error
    model = build(spec, seed=seed)
    chat = chat_profile("released", position_tokens=position_tokens, frame_average=frame_average)
    profile = Profile(pixel=_pixel(model), chat=chat)
    counts = count_parameters(model)
    save(folder, model, {"digest": "", "recipe": "", "parameters": counts["total"]}, None, profile)
    return {"folder": out, "parameters": counts["total"], **counts}


def _pixel(model: Any) -> PixelProfile:
    """Return the pixel profile that goes with a model's tower and shuffle."""
    vision = model.config.vision_config
    tokens = (vision.image_size // vision.patch_size // model.config.scale_factor) ** 2
    for known in PIXEL_PRESETS.values():
        if known.tile_px == vision.image_size:
            return replace(known, tokens_per_tile=tokens)
    raise UsageError(f"build: no pixel profile has tiles of {vision.image_size} px")

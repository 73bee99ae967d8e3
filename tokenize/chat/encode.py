"""Token ids and loss spans of samples.

The texts of a batch are tokenized in one call; the ids of visual blocks come from a table.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from smolmix import cost
from smolmix.cost import Grid
from smolmix.profiles import Profile
from smolmix.sample import Media, Sample
from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.render import Piece, TextPiece, VisualBlock, media_order, render
from smolmix.tokenize.chat.tokenizer import Vocabulary

IGNORE = -100
_BATCH = 512
_SHORT = 20  # characters; template words, frame labels and short answers repeat and are cached


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One sample as a model reads it."""

    input_ids: NDArray[np.uint16]  # (tokens,)
    spans: tuple[tuple[int, int], ...]  # supervised [start, stop), ascending, not adjacent
    media: tuple[int, ...]  # indices into the sample's media, in the order of their blocks
    tiles: tuple[int, ...]  # number of tiles of each of these media

    @property
    def supervised(self) -> int:
        """Number of tokens that count in the loss."""
        return sum(stop - start for start, stop in self.spans)

    def labels(self) -> NDArray[np.int64]:
        """Return (tokens,) int64: the ids where supervised, -100 elsewhere; not shifted."""
        return labels(self.input_ids, self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What a sample costs: the lengths of what `encode` returns."""

    tokens: int
    visual_tokens: int
    supervised_tokens: int
    tiles: int
    frames: int

    @property
    def text_tokens(self) -> int:
        """Number of tokens outside visual blocks."""
        return self.tokens - self.visual_tokens


def labels(input_ids: NDArray[np.uint16], spans: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return (tokens,) int64: the ids inside the spans, -100 elsewhere.

    Args:
        input_ids: (tokens,).
        spans: supervised [start, stop).
    """
    out = np.full(len(input_ids), IGNORE, dtype=np.int64)
    for start, stop in spans:
        out[start:stop] = input_ids[start:stop]
    return out


def encode(
    samples: Sequence[Sample], profile: Profile, vocabulary: Vocabulary
) -> Iterator[Encoded]:
    """Yield the ids and loss spans of each sample, in order."""
    for start in range(0, len(samples), _BATCH):
        batch = samples[start : start + _BATCH]
        rendered = [render(s, profile) for s in batch]
        texts = [
            p.text
            for pieces in rendered
            for p in pieces
            if isinstance(p, TextPiece) and len(p.text) > _SHORT
        ]
        ids = iter(vocabulary.encode_batch(texts))
        for sample, pieces in zip(batch, rendered, strict=True):
            yield _assemble(sample, pieces, ids, profile, vocabulary)


def count(samples: Sequence[Sample], profile: Profile, vocabulary: Vocabulary) -> Iterator[Count]:
    """Yield the count of each sample, in order; it equals what `encode` returns for it."""
    for sample, encoded in zip(samples, encode(samples, profile, vocabulary), strict=True):
        shown = [sample.media[i] for i in encoded.media]
        yield Count(
            tokens=len(encoded.input_ids),
            visual_tokens=cost.visual_tokens(
                shown, profile.pixel, frame_average=profile.chat.frame_average
            ),
            supervised_tokens=encoded.supervised,
            tiles=sum(encoded.tiles),
            frames=sum(
                tiles
                for medium, tiles in zip(shown, encoded.tiles, strict=True)
                if medium.kind != "image"
            ),
        )


def planned_tiles(medium: Media, profile: Profile) -> int:
    """Return the number of tiles that the medium will be cut into."""
    return cost.media_tiles([medium], profile.pixel)


def _assemble(
    sample: Sample,
    pieces: Sequence[Piece],
    texts: Iterator[list[int]],
    profile: Profile,
    vocabulary: Vocabulary,
) -> Encoded:
    parts: list[NDArray[np.uint16]] = []
    run: list[int] = []  # ids since the last block
    spans: list[tuple[int, int]] = []
    at = 0
    for piece in pieces:
        if isinstance(piece, VisualBlock):
            ids = block_ids(piece.grid, profile, vocabulary)
            parts += (np.array(run, dtype=np.uint16), ids)
            run = []
            at += len(ids)
            continue
        if not isinstance(piece, TextPiece):
            run.append(special.SPECIAL[piece.token])
            stop = at + 1
        else:
            short = len(piece.text) <= _SHORT
            found = vocabulary.encode_cached(piece.text) if short else next(texts)
            run += found
            stop = at + len(found)
        if piece.supervised and stop > at:
            if spans and spans[-1][1] == at:
                spans[-1] = (spans[-1][0], stop)
            else:
                spans.append((at, stop))
        at = stop
    parts.append(np.array(run, dtype=np.uint16))
    media = tuple(media_order(sample))
    return Encoded(
        input_ids=np.concatenate(parts),
        spans=tuple(spans),
        media=media,
        tiles=tuple(planned_tiles(sample.media[i], profile) for i in media),
    )


def block_ids(grid: Grid, profile: Profile, vocabulary: Vocabulary) -> NDArray[np.uint16]:
    """Return (tokens,) uint16, read-only: the ids of a visual block.

    Its position tokens are single learned tokens or spelled out, as the profile says.
    """
    return _block_ids(
        grid, profile.pixel.tokens_per_tile, profile.chat.position_tokens == "learned", vocabulary
    )


@lru_cache(maxsize=1024)
def _block_ids(
    grid: Grid, tokens_per_tile: int, learned: bool, vocabulary: Vocabulary
) -> NDArray[np.uint16]:
    image = [special.IMAGE_ID] * tokens_per_tile

    def marker(token: str) -> list[int]:
        # Beyond 6 × 6 there is no learned token; transformers spells the position out too.
        if learned and token in special.SPECIAL:
            return [special.SPECIAL[token]]
        return list(vocabulary.encode_cached(token))

    ids: list[int] = []
    for row in range(1, grid.rows + 1):
        for col in range(1, grid.cols + 1):
            ids += [special.FAKE_ID, *marker(special.position(row, col)), *image]
        # The last row's line break and the one before the global tile are encoded together.
        ids += vocabulary.encode_cached("\n\n" if row == grid.rows else "\n")
    ids += [special.FAKE_ID, *marker(special.GLOBAL_IMAGE), *image, special.FAKE_ID]
    out = np.array(ids, dtype=np.uint16)
    out.flags.writeable = False
    return out

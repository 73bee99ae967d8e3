"""The nearest neighbours of each of many pictures by descriptor, in bounded memory.

Up to `WINDOW` pictures are compared all with all, by matrix products. More are ordered along the
direction in which they differ most and taken in windows that overlap by half: near pictures are
near in that order too, and time grows with their number, not its square.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolmix.pipelines.curate.measure.descriptors import Descriptors

WINDOW = 4096
_BLOCK = 512  # rows at once: 8 MB a plane

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Pairs of pictures by their numbers, each with what it was found by."""

    one: Indices
    other: Indices
    mirrored: NDArray[np.bool_]
    rank: NDArray[np.uint8]  # 0: the nearest


def windows(own: Descriptors, window: int = WINDOW) -> Iterator[Indices]:
    """Yield the numbers of the pictures to compare with one another."""
    if len(own) <= window:
        yield np.arange(len(own))
        return
    spread = own.astype(np.float64) - own.mean(axis=0, dtype=np.float64)
    direction = np.linalg.eigh(spread.T @ spread)[1][:, -1]
    direction *= np.sign(direction[np.argmax(np.abs(direction))])
    order = np.argsort(np.round(spread @ direction, 2), kind="stable")
    half = window // 2
    for start in range(0, len(own) - half, half):
        yield order[start : start + window]


def nearest(
    own: Descriptors,
    variants: Callable[[Indices], tuple[Descriptors, Descriptors]],
    allowed: Callable[[Indices, Indices], NDArray[np.bool_]],
    count: int,
    window: int = WINDOW,
) -> Iterator[Neighbours]:
    """Yield, window by window, the pairs of a picture and its nearest by any of their variants.

    Args:
        own: (pictures, size) descriptors that are looked for.
        variants: of these pictures, plain and mirrored (pictures, variants, size) descriptors that
            are looked among.
        allowed: of (rows,) and (columns,) numbers of pictures, which pairs count: (rows, columns).
        count: how many neighbours of each.
        window: how many pictures are compared all with all.
    """
    for members in windows(own, window):
        plain, mirrored = variants(members)
        for at in range(0, len(members), _BLOCK):
            rows = members[at : at + _BLOCK]
            best = np.full((len(rows), len(members)), np.inf, np.float32)
            turned = np.zeros(best.shape, np.bool_)
            for variants_of, flipped in ((plain, False), (mirrored, True)):
                for variant in range(variants_of.shape[1]):
                    among = variants_of[:, variant].astype(np.float32)
                    apart = own[rows].astype(np.float32) @ among.T
                    apart *= -2
                    apart += np.square(among).sum(axis=1)
                    nearer = apart < best
                    np.copyto(best, apart, where=nearer)
                    turned[nearer] = flipped
            best[~allowed(rows, members)] = np.inf
            yield _first(rows, members, best, turned, count)


def _first(
    rows: Indices,
    members: Indices,
    apart: NDArray[np.float32],
    turned: NDArray[np.bool_],
    count: int,
) -> Neighbours:
    """Return the `count` nearest of each row."""
    count = min(count, len(members))
    columns = np.argpartition(apart, count - 1, axis=1)[:, :count]
    distances = np.take_along_axis(apart, columns, axis=1)
    order = np.lexsort((columns, distances), axis=1)
    columns = np.take_along_axis(columns, order, axis=1)
    there = np.isfinite(np.take_along_axis(distances, order, axis=1))
    ranks = np.broadcast_to(np.arange(count, dtype=np.uint8), columns.shape)
    return Neighbours(
        one=np.repeat(rows, count).reshape(columns.shape)[there],
        other=members[columns][there],
        mirrored=np.take_along_axis(turned, columns, axis=1)[there],
        rank=ranks[there],
    )

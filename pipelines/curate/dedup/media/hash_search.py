"""Pairs of media whose hashes are close, a bounded number for each medium.

Media with equal hashes are one entry, so a thousand pictures of one flat colour cost one search.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from smolmix.pipelines.curate.dedup.media import hamming
from smolmix.pipelines.curate.dedup.media.hamming import Hashes, Indices

Digests = NDArray[np.bytes_]  # of 32 characters: a fourth of what Unicode takes
_HELD = 4_000_000  # pairs of hashes kept from counting to writing; more are searched twice
_Near = tuple[Indices, Indices, NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Media of one kind."""

    digests: Digests
    hashes: Hashes  # (media, variants)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One variant's hashes, each once, and the media that have it."""

    digests: Digests
    hashes: Hashes
    order: Indices  # media by their hash
    starts: Indices  # where each hash's media start in `order`
    counts: Indices

    @classmethod
    def of(cls, table: Table, variant: int) -> Self:
        """Return a variant of a table."""
        if not len(table.digests):
            none = np.zeros(0, np.int64)
            empty = np.zeros(0, np.uint64)
            return cls(digests=table.digests, hashes=empty, order=none, starts=none, counts=none)
        hashes, at, counts = np.unique(
            table.hashes[:, variant], return_inverse=True, return_counts=True
        )
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        order = np.argsort(at, kind="stable")
        return cls(digests=table.digests, hashes=hashes, order=order, starts=starts, counts=counts)

    def media(self, chosen: NDArray[np.bool_]) -> Digests:
        """Return the digests of the media that have one of the chosen hashes."""
        return self.digests[self.order[np.repeat(chosen, self.counts)]]


class Search:
    """One band's pairs of two columns; counted on construction, written afterwards."""

    def __init__(self, one: Column, other: Column, *, band: int, max_bits: int, limit: int):
        """Count with how many media each hash pairs its own.

        Args:
            one: hashes searched for.
            other: hashes searched in; the same column gives each pair once.
            band: which of `hamming.bands_for(max_bits)`.
            max_bits: the largest distance.
            limit: a hash close to those of more media than this is dense.
        """
        self._one, self._other = one, other
        self._band, self._max_bits = band, max_bits
        self._within = one is other
        near = np.zeros(len(one.hashes), np.int64), np.zeros(len(other.hashes), np.int64)
        held: list[_Near] | None = []
        size = 0
        for u, v, bits in self._near():
            np.add.at(near[0], u, other.counts[v])
            np.add.at(near[1], v, one.counts[u])
            size += len(u)
            held = None if held is None or size > _HELD else [*held, (u, v, bits)]
        if self._within:  # either end of a pair is a hash of the one column
            total = near[0] + near[1]
            if band == 0:
                total -= one.counts  # a hash with itself was counted at both ends, with itself
            near = total, total
        self._held = held
        self._dense = near[0] > limit, near[1] > limit
        self.not_compared = sum(
            int(self._sizes(u, v)[self._both(u, v)].sum()) for u, v, _ in self._found()
        )

    def _near(self) -> Iterator[_Near]:
        if not (len(self._one.hashes) and len(self._other.hashes)):
            return
        if self._within and self._band == 0:
            every = np.arange(len(self._one.hashes))
            yield every, every, np.zeros(len(every), np.uint8)
        yield from hamming.near_in_band(
            self._one.hashes, self._other.hashes, band=self._band, max_bits=self._max_bits
        )

    def _found(self) -> Iterator[_Near]:
        yield from self._near() if self._held is None else self._held

    def _both(self, u: Indices, v: Indices) -> NDArray[np.bool_]:
        return self._dense[0][u] & self._dense[1][v]

    def _sizes(self, u: Indices, v: Indices) -> Indices:
        """Return how many pairs of media each pair of hashes is."""
        a, b = self._one.counts[u], self._other.counts[v]
        return np.where(u == v, a * (a - 1) // 2, a * b) if self._within else a * b

    def dense(self) -> set[str]:
        """Return the digests of media with a dense hash."""
        columns = (self._one, self._other)
        found = (c.media(x) for c, x in zip(columns, self._dense, strict=True))
        return {str(name) for names in found for name in names.astype(str)}

    def pairs(self) -> Iterator[tuple[Digests, Digests, NDArray[np.uint8]]]:
        """Yield (digests, digests, bits apart) of all pairs but those of two dense hashes."""
        for u, v, bits in self._found():
            alone = ~self._both(u, v)
            u, v, bits = u[alone], v[alone], bits[alone]
            wide = self._other.counts[v]
            sizes = self._one.counts[u] * wide
            pair = np.repeat(np.arange(len(u)), sizes)
            place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            i, j = place // wide[pair], place % wide[pair]
            once = (i < j) | (u[pair] != v[pair]) if self._within else np.ones(len(pair), bool)
            pair, i, j = pair[once], i[once], j[once]
            a = self._one.digests[self._one.order[self._one.starts[u[pair]] + i]]
            b = self._other.digests[self._other.order[self._other.starts[v[pair]] + j]]
            apart = a != b
            if apart.any():
                yield a[apart], b[apart], bits[pair][apart]

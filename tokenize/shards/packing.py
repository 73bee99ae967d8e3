"""Packing: which samples form which training sequence, decided by their lengths alone.

Best-fit decreasing within windows of the mixture's order. Sequences are nearly as full as if the
mixture were packed at once, and any prefix of the sequences still holds the same prefix of the
mixture, up to one window. Samples in sequences that are not full move to the next window. The
sequences of a window are then shuffled, so that sequences of long and short samples alternate.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import UsageError

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceBudget:
    """What one training sequence may hold."""

    tokens: int = 8192
    tiles: int = 0  # 0: no bound
    window: int = 4096  # consecutive samples of the mixture that are packed together
    full: float = 0.999  # the samples of a sequence at least this full stay in their window


@dataclass(frozen=True, slots=True)
class Slice:
    """A document of a sequence: a sample, or a part of a text longer than a sequence."""

    sample: int  # index in the mixture's order
    start: int  # tokens [start, stop) of the sample
    stop: int

    @property
    def tokens(self) -> int:
        """Length in tokens."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Sequences, and the samples that fit into none."""

    sequences: tuple[tuple[Slice, ...], ...]
    too_long: tuple[int, ...]  # samples with media beyond the budget, which cannot be split

    def fill(self, budget: SequenceBudget) -> float:
        """Return the used share of the token budget, 0 to 1."""
        used = sum(s.tokens for sequence in self.sequences for s in sequence)
        return used / max(1, len(self.sequences) * budget.tokens)


_CAPS = (1.05, 1.1, 1.2)  # bounds tried, as multiples of the mean tiles of a full sequence
_FILL_LOSS = 0.0025  # of `fill`: what a bound on tiles may cost


def pack_evenly(
    lengths: Sequence[int] | Ints, tiles: Sequence[int] | Ints, tokens: int, *, seed: int = 0
) -> tuple[Packing, SequenceBudget]:
    """Return a packing with the tightest bound on tiles that costs almost no fill, and its budget.

    On the published mixture that bound is 5 % above the mean: sequences are 99.79 % full instead of
    99.91 %, and the time that 8 ranks wait for the one with the most tiles falls from 15 % to 5 %.

    Args:
        lengths: (samples,) tokens of each sample, in the mixture's order.
        tiles: (samples,) tiles of each sample.
        tokens: of a sequence.
        seed: of the order of sequences within a window.
    """
    unbounded = SequenceBudget(tokens=tokens)
    without = pack(lengths, tiles, unbounded, seed=seed)
    mean = float(np.sum(tiles)) * tokens / max(1, int(np.sum(lengths)))
    largest = max((int(t) for n, t in zip(lengths, tiles, strict=True) if n <= tokens), default=0)
    for factor in _CAPS:
        cap = max(int(np.ceil(factor * mean)), largest)
        budget = SequenceBudget(tokens=tokens, tiles=cap)
        even = pack(lengths, tiles, budget, seed=seed)
        if cap and even.fill(budget) >= without.fill(unbounded) - _FILL_LOSS:
            return even, budget
    return without, unbounded


@dataclass(slots=True)
class _Bin:
    slices: list[Slice]
    space: int
    tiles: int


def pack(
    lengths: Sequence[int] | Ints,
    tiles: Sequence[int] | Ints,
    budget: SequenceBudget,
    *,
    seed: int = 0,
) -> Packing:
    """Return sequences that hold each sample once and keep to the budget.

    Args:
        lengths: (samples,) tokens of each sample, in the mixture's order.
        tiles: (samples,) tiles of each sample; a sample without tiles may be split.
        budget: bounds of a sequence.
        seed: of the order of sequences within a window.

    Raises:
        UsageError: the budget is not positive.
    """
    if budget.tokens <= 0 or budget.window <= 0:
        raise UsageError(
            f"budget of {budget.tokens} tokens, window of {budget.window} samples: both must be "
            "at least 1"
        )
    rng = np.random.default_rng(seed)
    done: list[tuple[Slice, ...]] = []
    too_long: list[int] = []
    carried: list[Slice] = []
    count = len(lengths)
    for start in range(0, count, budget.window):
        stop = min(start + budget.window, count)
        fresh: list[Slice] = []
        for sample in range(start, stop):
            pieces = _pieces(sample, int(lengths[sample]), int(tiles[sample]), budget)
            if pieces is None:
                too_long.append(sample)
            else:
                fresh += pieces
        bins = _best_fit(carried + fresh, tiles, budget)
        carried = []
        if stop < count:
            enough = (1 - budget.full) * budget.tokens
            # Only samples of this window are carried, so that none is carried twice.
            unfilled = [b for b in bins if b.space > enough and min(_samples(b)) >= start]
            carried = [s for b in unfilled for s in b.slices]
            moved = set(map(id, unfilled))
            bins = [b for b in bins if id(b) not in moved]
        order = rng.permutation(len(bins))
        done += [tuple(sorted(bins[i].slices, key=_place)) for i in order]
    return Packing(sequences=tuple(done), too_long=tuple(too_long))


def _samples(one: _Bin) -> list[int]:
    return [s.sample for s in one.slices]


def _place(piece: Slice) -> tuple[int, int]:
    return piece.sample, piece.start


def _pieces(sample: int, length: int, tiles: int, budget: SequenceBudget) -> list[Slice] | None:
    over = length > budget.tokens or bool(budget.tiles and tiles > budget.tiles)
    if over and tiles:
        return None
    edges = [*range(0, length, budget.tokens), length]
    return [Slice(sample, a, b) for a, b in pairwise(edges) if b > a]


def _best_fit(
    slices: list[Slice], tiles: Sequence[int] | Ints, budget: SequenceBudget
) -> list[_Bin]:
    """Return bins; each slice, longest first, goes where it fits and leaves the least space."""
    bins: list[_Bin] = []
    open_bins: list[tuple[int, int]] = []  # (space, bin), ascending
    for piece in sorted(slices, key=lambda s: (-s.tokens, -int(tiles[s.sample]), _place(s))):
        need, cost = piece.tokens, int(tiles[piece.sample])
        at = bisect_left(open_bins, (need, -1))
        while at < len(open_bins):
            space, index = open_bins[at]
            if not budget.tiles or bins[index].tiles + cost <= budget.tiles:
                open_bins.pop(at)
                break
            at += 1
        else:
            space, index = budget.tokens, len(bins)
            bins.append(_Bin([], space, 0))
        chosen = bins[index]
        chosen.slices.append(piece)
        chosen.space = space - need
        chosen.tiles += cost
        if chosen.space:
            insort(open_bins, (chosen.space, index))
    return bins

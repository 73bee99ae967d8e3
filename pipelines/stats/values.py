"""A column as distinct values and how often each occurs: exact quantiles and bins at any size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

QUANTILES: tuple[float, ...] = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_COUNT_DIRECTLY_BELOW = 1 << 24  # a table of this many int64 is 128 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCounts:
    """Distinct values, ascending, and their counts."""

    values: NDArray[Any]
    counts: NDArray[np.int64]

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return int(self.counts.sum())

    @property
    def sum(self) -> float:
        """The sum of all numbers."""
        return float((self.values.astype(np.float64) * self.counts).sum())

    @property
    def mean(self) -> float:
        """The mean, or 0 of nothing."""
        return self.sum / self.total if self.total else 0.0

    def quantile(self, q: float) -> float:
        """Return the number at rank `floor(q * (n - 1))`, as polars' "lower" interpolation does."""
        if not self.total:
            return 0.0
        rank = int(q * (self.total - 1))
        return float(self.values[np.searchsorted(np.cumsum(self.counts), rank, side="right")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Counts between edges; a bin holds its lower edge and, the last one alone, its upper edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    log: bool  # edges grow by a factor, not by a step


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """What one numeric column looks like."""

    count: int
    mean: float
    quantiles: Mapping[str, float]  # "p0", "p5", ... "p100"
    histogram: Histogram


def value_counts(column: pl.Series) -> ValueCounts:
    """Return the distinct values of a numeric column; nulls, NaN and infinities are left out."""
    column = column.drop_nulls()
    if column.dtype.is_float():
        column = column.filter(column.is_finite())
    numbers = column.to_numpy()
    if len(numbers) == 0:
        return ValueCounts(values=np.zeros(0), counts=np.zeros(0, dtype=np.int64))
    if column.dtype.is_integer() and numbers.min() >= 0 and numbers.max() < _COUNT_DIRECTLY_BELOW:
        table = np.bincount(numbers.astype(np.int64, copy=False))
        values = np.flatnonzero(table)
        return ValueCounts(values=values, counts=table[values].astype(np.int64))
    values, counts = np.unique(numbers, return_counts=True)
    return ValueCounts(values=values, counts=counts.astype(np.int64))


def merged(parts: Sequence[ValueCounts]) -> ValueCounts:
    """Return the counts of several sets of numbers together."""
    if not parts:
        return value_counts(pl.Series([], dtype=pl.Int64))
    values, place = np.unique(np.concatenate([p.values for p in parts]), return_inverse=True)
    weights = np.concatenate([p.counts for p in parts])
    counts = np.zeros(len(values), dtype=np.int64)
    np.add.at(counts, place, weights)
    return ValueCounts(values=values, counts=counts)


def nice_edges(
    low: float, high: float, bins: int, *, whole: bool
) -> tuple[tuple[float, ...], bool]:
    """Return round bin edges covering low to high, and whether they grow by a factor.

    Numbers that span more than a factor of 20 and are not negative get edges at
    0 and at 1, 2, 5 times powers of ten; others get equal steps of 1, 2 or 5 times a power
    of ten. Whole numbers never get a step below 1.
    """
    if low >= 0 and high > 20 * max(low, 1.0):
        top = 10.0 ** np.ceil(np.log10(high))
        steps = [m * 10.0**e for e in range(int(np.log10(top)) + 1) for m in (1, 2, 5)]
        edges = [0.0] + [s for s in steps if s <= top]
        while len(edges) > 2 and edges[-2] > high:
            edges.pop()
        while len(edges) > 2 and edges[1] <= low:
            edges.pop(0)
        return tuple(edges), True
    span = max(high - low, 1e-6, 1e-6 * abs(low))  # of one value, something to divide
    raw = span / bins
    magnitude = 10.0 ** np.floor(np.log10(raw))
    step = float(next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw))
    step = max(step, 1.0) if whole else step
    first = float(np.floor(low / step) * step)
    edges = [first]
    while edges[-1] <= high:
        edges.append(first + step * len(edges))
    return tuple(round(e, 9) for e in edges), False


def histogram(counted: ValueCounts, edges: tuple[float, ...], *, log: bool) -> Histogram:
    """Return how many numbers fall between the edges."""
    place = np.searchsorted(np.asarray(edges), counted.values, side="right") - 1
    place = np.clip(place, 0, len(edges) - 2)
    table = np.bincount(place, weights=counted.counts, minlength=len(edges) - 1)
    return Histogram(edges=edges, counts=tuple(int(c) for c in table), log=log)


def distribution(counted: ValueCounts, *, bins: int = 12) -> Distribution:
    """Return count, mean, quantiles and a histogram with round edges."""
    quantiles = {f"p{round(q * 100)}": counted.quantile(q) for q in QUANTILES}
    whole = bool(np.all(counted.values == np.floor(counted.values)))
    edges, log = nice_edges(quantiles["p0"], quantiles["p100"], bins, whole=whole)
    return Distribution(
        count=counted.total,
        mean=counted.mean,
        quantiles=quantiles,
        histogram=histogram(counted, edges, log=log),
    )

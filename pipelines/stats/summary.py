"""Totals, groups and distributions of samples: what `stats` prints and the report shows.

A column is held as its distinct values and their counts, which gives exact quantiles and bins
whatever the number of samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from smolmix.errors import UsageError, nearest
from smolmix.pipelines.stats.samples import FACETS, Measures, with_tag
from smolmix.schema import COUNT_COLUMNS

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
    """Return the distinct values of a numeric column; nulls, NaN and infinities are ignored."""
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


_SUMS = (*COUNT_COLUMNS, "images", "videos", "bytes", "n_turns", "text_chars", "duration_s")
_DRAWN = ("tokens", "text_tokens", "visual_tokens", "tiles", "n_turns", "answer_chars")
_COUNTED = ("samples", "cot_samples")
_MAX_GROUPS = 200
_BATCH = 200_000  # rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers of one corpus, mixture or workspace."""

    title: str
    totals: Mapping[str, float]
    by: str
    groups: tuple[Mapping[str, Any], ...]  # the column's value and the same totals
    facets: Mapping[str, Mapping[str, Mapping[str, float]]]  # column -> value -> samples, tokens
    distributions: Mapping[str, Distribution]
    info: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def _totals(row: Mapping[str, Any]) -> dict[str, float]:
    out: dict[str, float] = {"samples": row["samples"]}
    out |= {n: row[f"sum_{n}"] for n in _SUMS if f"sum_{n}" in row}
    if "n_turns" in out:
        out["turns"] = out.pop("n_turns")
    if "duration_s" in out:
        out["video_hours"] = round(out.pop("duration_s") / 3600, 6)
    out["cot_samples"] = row["cot_samples"]
    out["cot_share"] = row["cot_samples"] / row["samples"] if row["samples"] else 0.0
    return out


def _add_up(grouped: pl.DataFrame, key: str | None = None) -> pl.DataFrame:
    """Return the groups' sums, over all or by one of their keys."""
    numbers = [c for c in grouped.columns if c in _COUNTED or c.startswith("sum_")]
    if key is None:
        return grouped.select(pl.col(numbers).sum())
    table = grouped.group_by(key).agg(pl.col(numbers).sum())
    return table.sort("samples", key, descending=[True, False])


def summarise(measures: Measures, *, title: str, by: str = "corpus") -> Summary:
    """Return the summary of a frame of samples.

    Args:
        measures: what `scan` or `scan_selection` gave.
        title: what the summary is called.
        by: the column to group by: any of the frame's, or `tags.KEY`.

    Raises:
        UsageError: there is no such column.
    """
    frame = with_tag(measures.frame, by)
    columns = frame.collect_schema().names()
    if by not in columns:
        known = [c for c in columns if c not in ("id", "tags", "at")]
        raise UsageError(
            f"--by {by}: no such column; columns are {', '.join(known)} and tags.KEY"
            f"{nearest(by, known)}"
        )
    sums = [c for c in _SUMS if c in columns]
    grouped, counted = _fold(frame, list(dict.fromkeys([*FACETS, by])), sums)
    groups = _add_up(grouped, by)
    if by.startswith("tags.") and groups[by].null_count() == len(groups) > 0:
        tags = frame.select(pl.col("tags").map.keys().explode().drop_nulls().unique().sort())
        there = [f"tags.{key}" for key in tags.collect()["tags"]]
        raise UsageError(
            f"--by {by}: no sample has this tag; tags are {', '.join(there) or 'none'}"
            f"{nearest(by, there)}"
        )
    weight = "tokens" if "tokens" in sums else "text_tokens"
    facets: dict[str, dict[str, dict[str, float]]] = {}
    for name in FACETS:
        table = _add_up(grouped, name)
        facets[name] = {
            str(r[name]): {"samples": r["samples"], "tokens": r[f"sum_{weight}"]}
            for r in table.head(_MAX_GROUPS).iter_rows(named=True)
        }
    return Summary(
        title=title,
        totals=_totals(_add_up(grouped).row(0, named=True)),
        by=by,
        groups=tuple(
            {by: r[by]} | _totals(r) | {by: r[by]}
            for r in groups.head(_MAX_GROUPS).iter_rows(named=True)
        ),
        facets=facets,
        distributions={n: distribution(c) for n, c in counted.items() if c.total},
        info={"profile": measures.profile, "groups": groups.height},
        notes=measures.notes,
    )


def _fold(
    frame: pl.LazyFrame, keys: list[str], sums: list[str]
) -> tuple[pl.DataFrame, dict[str, ValueCounts]]:
    """Return sums by every combination of keys, and the values of the measures that are drawn.

    One pass over the files, a batch of rows at a time.
    """
    drawn = [c for c in _DRAWN if c in frame.collect_schema().names()]
    cot = (pl.col("cot") != "none").sum().cast(pl.Int64).alias("cot_samples")
    kinds = {c: pl.Float64 if c == "duration_s" else pl.Int64 for c in sums}
    adding = [pl.col(c).sum().cast(kinds[c]).alias(f"sum_{c}") for c in sums]
    grouped: list[pl.DataFrame] = []
    seen: dict[str, list[ValueCounts]] = {n: [] for n in (*drawn, "duration_s")}
    columns = list(dict.fromkeys([*keys, *sums, *drawn, "duration_s"]))
    # In order: sums of floats come out the same each time.
    batches = frame.select(columns).collect_batches(chunk_size=_BATCH, maintain_order=True)
    for batch in batches:
        counting = pl.len().cast(pl.Int64).alias("samples")
        grouped.append(batch.group_by(keys).agg(counting, cot, *adding))
        for name in drawn:
            seen[name].append(value_counts(batch[name]))
        seconds = batch["duration_s"]
        seen["duration_s"].append(value_counts(seconds.filter(seconds > 0)))
    if not grouped:
        empty = frame.select(columns).collect()
        grouped = [empty.group_by(keys).agg(pl.len().cast(pl.Int64).alias("samples"), cot, *adding)]
    return pl.concat(grouped), {name: merged(parts) for name, parts in seen.items()}

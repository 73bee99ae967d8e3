"""Totals, groups and distributions of samples: what `stats` prints and the report draws."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from smolmix.errors import UsageError, nearest
from smolmix.pipelines.stats.measures import FACETS, Measures, with_tag
from smolmix.pipelines.stats.values import (
    Distribution,
    ValueCounts,
    distribution,
    merged,
    value_counts,
)
from smolmix.schema import COUNT_COLUMNS

_SUMS = (*COUNT_COLUMNS, "images", "videos", "bytes", "n_turns", "text_chars", "duration_s")
_DRAWN = ("tokens", "text_tokens", "visual_tokens", "tiles", "n_turns", "answer_chars")
_COUNTED = ("samples", "cot_samples")
_MAX_GROUPS = 200
_BATCH = 200_000  # rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One place in numbers."""

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
            f"--by {by}: no such column; there are {', '.join(known)} and tags.KEY"
            f"{nearest(by, known)}"
        )
    sums = [c for c in _SUMS if c in columns]
    grouped, counted = _fold(frame, list(dict.fromkeys([*FACETS, by])), sums)
    groups = _add_up(grouped, by)
    if by.startswith("tags.") and groups[by].null_count() == len(groups) > 0:
        tags = frame.select(pl.col("tags").map.keys().explode().drop_nulls().unique().sort())
        there = [f"tags.{key}" for key in tags.collect()["tags"]]
        raise UsageError(
            f"--by {by}: no sample has that tag; there are {', '.join(there) or 'none'}"
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

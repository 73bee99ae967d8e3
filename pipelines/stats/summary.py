"""Totals, groups and distributions of samples: what `stats` prints and the report draws."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from smolmix.errors import UsageError, nearest
from smolmix.pipelines.stats.measures import COUNTS, FACETS, Measures, with_tag
from smolmix.pipelines.stats.values import Distribution, distribution, value_counts

_SUMS = (*COUNTS, "images", "videos", "bytes", "n_turns", "text_chars", "duration_s")
_DRAWN = ("tokens", "text_tokens", "visual_tokens", "tiles", "n_turns", "answer_chars")
_COUNTED = ("samples", "cot_samples")
_MAX_GROUPS = 200


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
    """Return the summary of a frame of samples or picks.

    Args:
        measures: what `scan` or `scan_picks` gave.
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
    cot = (pl.col("cot") != "none").sum().cast(pl.Int64).alias("cot_samples")
    whole = {c: pl.Float64 if c == "duration_s" else pl.Int64 for c in sums}
    grouped = (
        frame.group_by(list(dict.fromkeys([*FACETS, by])))
        .agg(
            pl.len().cast(pl.Int64).alias("samples"),
            cot,
            *(pl.col(c).sum().cast(whole[c]).alias(f"sum_{c}") for c in sums),
        )
        .collect(engine="streaming")
    )
    groups = _add_up(grouped, by)
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
        distributions=distributions(frame),
        info={"profile": measures.profile, "groups": groups.height},
        notes=measures.notes,
    )


def distributions(frame: pl.LazyFrame) -> dict[str, Distribution]:
    """Return the distributions of the frame's numeric measures; durations of samples with video."""
    present = frame.collect_schema().names()
    names = [c for c in _DRAWN if c in present]
    wanted = [pl.col(c).cast(pl.UInt32, strict=False) for c in names]
    table = frame.select(*wanted, "duration_s").collect(engine="streaming")
    out = {name: distribution(value_counts(table[name])) for name in names}
    seconds = table["duration_s"]
    out["duration_s"] = distribution(value_counts(seconds.filter(seconds > 0)))
    return {name: d for name, d in out.items() if d.count}

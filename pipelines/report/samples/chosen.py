"""Which samples the report shows: a seeded draw of kept and dropped, and pairs of duplicates."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash

from smolmix.pipelines.report.samples.rows import SampleRows
from smolmix.pipelines.stats.dropped import scan_dropped
from smolmix.sample import Dropped
from smolmix.workspace import Workspace

_PAIRED = ("dedup", "decontaminate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many samples of a corpus are shown."""

    kept: int = 24
    dropped_a_reason: int = 4
    pairs_a_reason: int = 6


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, xxhash.xxh3_64_intdigest(name.encode())])


def kept_rows(rows: SampleRows, corpus: str, seed: int, count: int) -> list[int]:
    """Return rows of a corpus drawn evenly over category, CoT and split, ascending.

    Every combination that is there is shown at least once while `count` lasts.
    """
    if count >= len(rows):
        return list(range(len(rows)))
    keys = ["category", "cot", "split"]
    frame = rows.scan(keys).collect(engine="streaming")
    order = _rng(seed, corpus).permutation(len(rows))
    drawn = frame[order].with_columns(pl.int_range(pl.len()).over(keys).alias("rank"))
    drawn = drawn.with_row_index("tie").sort("rank", *keys, "tie").head(count)
    return sorted(drawn["at"].to_list())


def some_of(found: list[Dropped], corpus: str, seed: int, count: int) -> list[Dropped]:
    """Return at most `count` of each reason, by a seeded draw."""
    chosen: list[Dropped] = []
    for reason in sorted({d.reason for d in found}):
        mine = [d for d in found if d.reason == reason]
        rng = _rng(seed, f"{corpus}/{reason}")
        at = sorted(rng.choice(len(mine), min(count, len(mine)), replace=False).tolist())
        chosen += [mine[i] for i in at]
    return chosen


def dropped_of(workspace: Workspace, corpus: str, seed: int, budget: Budget) -> list[Dropped]:
    """Return some of what left the corpus for each stage and reason, by a seeded draw."""
    frame = scan_dropped(workspace, [corpus]).drop("corpus")
    chosen: list[Dropped] = []
    for stage, reason in _reasons(frame):
        one = frame.filter((pl.col("stage") == stage) & (pl.col("reason") == reason))
        count = budget.pairs_a_reason if stage in _PAIRED else budget.dropped_a_reason
        total = int(one.select(pl.len()).collect().item())
        rng = _rng(seed, f"{corpus}/{stage}/{reason}")
        at = sorted(rng.choice(total, min(count, total), replace=False).tolist())
        picked = one.with_row_index("nth").filter(pl.col("nth").is_in(at)).drop("nth").collect()
        chosen += [Dropped(**row) for row in picked.to_dicts()]
    return chosen


def _reasons(frame: pl.LazyFrame) -> list[tuple[str, str]]:
    table = frame.select("stage", "reason").unique().sort("stage", "reason").collect()
    return [(s, r) for s, r in table.iter_rows()]

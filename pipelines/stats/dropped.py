"""What was dropped from a corpus, by stage and reason, with examples."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from smolmix import curated
from smolmix.errors import UsageError, nearest
from smolmix.schema import DROPPED_SCHEMA
from smolmix.workspace import STAGE_FILE, Workspace


def scan_dropped(workspace: Workspace, corpora: Sequence[str]) -> pl.LazyFrame:
    """Return what measuring and curating dropped from the corpora, with a `corpus` column."""
    frames = []
    for corpus in corpora:
        for folder in (workspace.measured(corpus), workspace.curated(corpus)):
            if not folder.exists(STAGE_FILE):
                continue
            frames.append(curated.scan_dropped(folder).with_columns(corpus=pl.lit(corpus)))
    if frames:
        return pl.concat(frames)
    text = dict.fromkeys((*DROPPED_SCHEMA.names, "corpus"), pl.String)
    return pl.LazyFrame(schema={**text, "source_row": pl.Int64, "rows": pl.Int32})


def reasons(frame: pl.LazyFrame, by: Sequence[str] = ("stage", "reason")) -> pl.DataFrame:
    """Return how many rows and samples were dropped for each reason, the commonest first."""
    whole_row = pl.col("rows") > 0
    return (
        frame.group_by(by)
        .agg(
            whole_row.sum().cast(pl.Int64).alias("rows"),
            (~whole_row).sum().cast(pl.Int64).alias("samples"),
        )
        .sort(pl.col("rows") + pl.col("samples"), *by, descending=[True, *[False] * len(by)])
        .collect(engine="streaming")
    )


def examples(frame: pl.LazyFrame, reason: str, limit: int) -> list[dict[str, Any]]:
    """Return the first `limit` rows and samples that were dropped for a reason, by id.

    Raises:
        UsageError: nothing was dropped for that reason.
    """
    found = frame.filter(pl.col("reason") == reason).sort("id").head(limit).collect()
    if found.is_empty():
        known = frame.select(pl.col("reason").unique().sort()).collect()["reason"].to_list()
        raise UsageError(
            f"--reason {reason}: nothing was dropped for this reason; reasons are "
            f"{', '.join(known) or 'none'}{nearest(reason, known)}"
        )
    return found.to_dicts()

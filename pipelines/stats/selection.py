"""A mixture's selection joined with the measures of its samples."""

from collections.abc import Sequence
from itertools import accumulate

import polars as pl

from smolmix import curated
from smolmix.errors import DataError
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.stats.measures import Measures, scan
from smolmix.workspace import Workspace


def selected_rows(workspace: Workspace, corpus: str, samples: pl.DataFrame) -> pl.DataFrame:
    """Return a selection's samples of the corpus with `at`, the row over all curated parts.

    Raises:
        DataError: the selection names a part or row that does not exist.
    """
    folder = workspace.curated(corpus)
    counts = curated.row_counts(folder)
    starts = pl.DataFrame(
        {
            "part": list(counts),
            "start": [0, *accumulate(counts.values())][:-1],
            "rows": list(counts.values()),
        },
        schema={"part": pl.String, "start": pl.Int64, "rows": pl.Int64},
    )
    mine = samples.filter(pl.col("corpus") == corpus).join(
        starts, on="part", how="left", maintain_order="left"
    )
    lost = mine.filter(pl.col("start").is_null() | (pl.col("row") >= pl.col("rows")))
    if lost.height:
        raise DataError(
            f"{folder.url}: the selected sample {lost['id'][0]!r} is row {lost['row'][0]} of "
            f"{lost['part'][0]}, which does not exist; run `smolmix mix build` again"
        )
    return mine.with_columns((pl.col("start") + pl.col("row")).cast(pl.UInt32).alias("at"))


def scan_selection(
    workspace: Workspace, name: str, *, profile: str | None = None, media: bool = True
) -> Measures:
    """Return one row for each sample drawn, copies included, with its measures and counts.

    Args:
        workspace: where the mixture lies.
        name: the mixture's name.
        profile: counts to use, as for `scan`.
        media: add `images`, `videos` and `bytes`.
    """
    samples = current_selection(workspace, name).samples
    corpora: Sequence[str] = sorted(samples["corpus"].unique().to_list())
    if not corpora:
        return scan(workspace, "curated", (), profile=profile)
    frames: list[pl.LazyFrame] = []
    base: Measures | None = None
    chosen = scan(workspace, "curated", corpora, profile=profile, media=False)
    for corpus in corpora:
        base = scan(workspace, "curated", [corpus], profile=chosen.profile, media=media)
        wanted = selected_rows(workspace, corpus, samples).select("at", "repeat").lazy()
        frames.append(base.frame.with_row_index("at").join(wanted, on="at").drop("at"))
    assert base is not None
    return Measures(
        frame=pl.concat(frames, how="vertical"),
        profile=chosen.profile,
        sizes=base.sizes.clear(),
        notes=chosen.notes,
    )

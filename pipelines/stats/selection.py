"""A mixture's picks beside the measures of the samples they pick."""

from collections.abc import Sequence

import polars as pl

from smolmix.errors import DataError
from smolmix.mixtures.selection.lock import LOCK_FILE, read_lock
from smolmix.pipelines.stats.measures import Measures, row_counts, scan
from smolmix.workspace import Workspace, part_files, stage_record


def read_picks(workspace: Workspace, name: str) -> pl.DataFrame:
    """Return the picks of a mixture in its order: id, corpus, part, row, repeat.

    Raises:
        DataError: the mixture was not built, or a corpus was curated again since.
    """
    folder = workspace.mixture(name)
    if not folder.exists("picks.parquet"):
        raise DataError(f"{folder.url}: no picks.parquet; run `smolmix mix build` first")
    locked = read_lock(folder).corpora if folder.exists(LOCK_FILE) else {}
    for corpus, then in locked.items():
        if stage_record(workspace.curated(corpus)).digest != then.curated:
            raise DataError(
                f"{folder.url}: picks rows of {corpus}, which was curated again since: run "
                "`smolmix mix build`"
            )
    with folder.open("picks.parquet") as stream:
        picks = pl.read_parquet(stream)
    return picks.with_columns(pl.col("corpus", "part").cast(pl.String))


def picked_rows(workspace: Workspace, corpus: str, picks: pl.DataFrame) -> pl.DataFrame:
    """Return the corpus's picks with `at`, the row's place over all curated parts in order.

    Raises:
        DataError: a pick names a part or row that is not there.
    """
    folder = workspace.curated(corpus)
    names = part_files(folder)
    rows = row_counts(folder, names)
    starts = pl.DataFrame(
        {
            "part": [n.removesuffix(".parquet") for n in names],
            "start": [sum(rows[:i]) for i in range(len(rows))],
            "rows": rows,
        },
        schema={"part": pl.String, "start": pl.Int64, "rows": pl.Int64},
    )
    mine = picks.filter(pl.col("corpus") == corpus).join(
        starts, on="part", how="left", maintain_order="left"
    )
    lost = mine.filter(pl.col("start").is_null() | (pl.col("row") >= pl.col("rows")))
    if lost.height:
        raise DataError(
            f"{folder.url}: pick {lost['id'][0]!r} names {lost['part'][0]} row {lost['row'][0]}, "
            "which is not there; the corpus was curated again since: run `smolmix mix build`"
        )
    return mine.with_columns((pl.col("start") + pl.col("row")).cast(pl.UInt32).alias("at"))


def scan_picks(
    workspace: Workspace, name: str, *, profile: str | None = None, media: bool = True
) -> Measures:
    """Return one row for each pick, repeats included, with its sample's measures and counts.

    Args:
        workspace: where the mixture lies.
        name: the mixture's name.
        profile: counts to use, as for `scan`.
        media: add `images`, `videos` and `bytes`.
    """
    picks = read_picks(workspace, name)
    corpora: Sequence[str] = sorted(picks["corpus"].unique().to_list())
    if not corpora:
        return scan(workspace, "curated", (), profile=profile)
    frames: list[pl.LazyFrame] = []
    base: Measures | None = None
    chosen = scan(workspace, "curated", corpora, profile=profile, media=False)
    for corpus in corpora:
        base = scan(workspace, "curated", [corpus], profile=chosen.profile, media=media)
        wanted = picked_rows(workspace, corpus, picks).select("at", "repeat").lazy()
        frames.append(base.frame.with_row_index("at").join(wanted, on="at").drop("at"))
    assert base is not None
    return Measures(
        frame=pl.concat(frames, how="vertical"),
        profile=chosen.profile,
        sizes=base.sizes.clear(),
        notes=chosen.notes,
    )

"""Measures and counts of samples as one lazy frame: of corpora, or of a mixture's selection.

No turns or media are opened. `counts/` holds one row for each curated row, in the same order, so
the two are put next to each other instead of being joined.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smolmix import curated
from smolmix.counted import profiles_counted, scan_counts
from smolmix.curated import sources
from smolmix.errors import DataError, UsageError, nearest
from smolmix.machine import available_cpus
from smolmix.mixtures.selection.reader import current_selection
from smolmix.schema import COUNT_COLUMNS
from smolmix.storage import Folder
from smolmix.workspace import STAGE_FILE, Workspace, manifests, part_files

FACETS = ("corpus", "subset", "split", "modality", "category", "cot", "licence", "language")
SAMPLE_NUMBERS = ("text_chars", "answer_chars", "n_turns", "n_media", "duration_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The lazy frame, and notes on what is missing from it."""

    frame: pl.LazyFrame
    profile: str | None  # the counts' profile; None: samples were not counted
    sizes: pl.DataFrame  # distinct width, height of images, and how many
    notes: tuple[str, ...] = ()


def choose_profile(
    workspace: Workspace, corpora: Sequence[str], wanted: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """Return the profile whose counts to use, and notes on the choice.

    Raises:
        UsageError: `wanted` names no profile, or several, that the corpora were counted for.
    """
    known = profiles_counted(workspace, corpora)
    if wanted is not None:
        matches = [n for n in known if n == wanted or n.startswith(f"{wanted}-")]
        if len(matches) != 1:
            raise UsageError(
                f"--counted-for {wanted}: {len(matches)} counted profiles match; counted are "
                f"{', '.join(known) or 'none'}{nearest(wanted, known)}"
            )
        return matches[0], ()
    if not known:
        note = (
            "not counted yet: tokens are those of the text alone, tiles are unknown; "
            "`smolmix mix build` counts"
        )
        return None, (note,)
    if len(known) > 1:
        return known[0], (
            f"counted for {', '.join(known)}; shown is {known[0]}, --counted-for chooses another",
        )
    return known[0], ()


def _media_of_part(source: Any, sizes: bool) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    leaves = ("kind", "bytes_on_disk", *(("width", "height") if sizes else ()))
    file = pq.ParquetFile(source)
    table = file.read([f"media.list.element.{n}" for n in leaves], use_threads=False)
    media = table.column(0).combine_chunks()
    count = len(media)
    parents = pc.list_parent_indices(media).to_numpy()
    flat = pc.list_flatten(media)
    image = pc.equal(flat.field("kind"), "image").to_numpy(zero_copy_only=False)
    weight = flat.field("bytes_on_disk").to_numpy(zero_copy_only=False)
    rows = pl.DataFrame(
        {
            "images": np.bincount(parents[image], minlength=count).astype(np.int32),
            "videos": np.bincount(parents[~image], minlength=count).astype(np.int32),
            "bytes": np.bincount(parents, weights=weight, minlength=count).astype(np.int64),
        }
    )
    if not sizes:
        return rows, None
    edges = {
        n: flat.field(n).to_numpy(zero_copy_only=False)[image].astype(np.int64)
        for n in ("width", "height")
    }
    return rows, pl.DataFrame(edges).group_by("width", "height").agg(_count())


def _count() -> pl.Expr:
    return pl.len().cast(pl.Int64).alias("count")


def media_columns(
    folder: Folder, names: Sequence[str], *, sizes: bool = False
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return images, videos and media bytes of each row, and the distinct image sizes.

    Reads two or four leaves of the nested `media` column, not their references.

    Args:
        folder: of a finished stage.
        names: its parts.
        sizes: read widths and heights too; without, no sizes are returned.
    """
    schema = {"images": pl.Int32, "videos": pl.Int32, "bytes": pl.Int64}
    with ThreadPoolExecutor(max_workers=min(8, available_cpus())) as pool:
        parts = list(pool.map(partial(_media_of_part, sizes=sizes), sources(folder, names)))
    if not parts:
        return pl.DataFrame(schema=schema), _no_sizes()
    seen = [s for _, s in parts if s is not None]
    rows = pl.concat([r for r, _ in parts])
    if not seen:
        return rows, _no_sizes()
    return rows, pl.concat(seen).group_by("width", "height").agg(pl.col("count").sum())


def _empty(stage: str) -> pl.LazyFrame:
    text = dict.fromkeys(("id", *FACETS), pl.String)
    numbers = dict.fromkeys(
        (*SAMPLE_NUMBERS, *COUNT_COLUMNS, "images", "videos", "bytes"), pl.Int64
    )
    schema: dict[str, Any] = {**text, **numbers, "duration_s": pl.Float64}
    return pl.LazyFrame(schema=schema)


def _samples(
    workspace: Workspace,
    stage: str,
    corpus: str,
    profile: str | None,
    *,
    media: bool,
    sizes: bool,
) -> tuple[pl.LazyFrame, pl.DataFrame] | None:
    folder = workspace.child(stage, corpus)
    names = part_files(folder)
    if not names:
        return None
    columns = ["id", *FACETS, *SAMPLE_NUMBERS, "tags"]
    counted_columns: list[pl.LazyFrame] = []
    seen = _no_sizes()
    if profile is None:
        columns.append("text_tokens")
    else:
        counted_columns.append(scan_counts(workspace, profile, corpus, COUNT_COLUMNS))
    if media:
        extra, seen = media_columns(folder, names, sizes=sizes)
        counted_columns.append(extra.lazy())
    # A folder holds one corpus: its name need not be read for every row.
    scanned = curated.scan(folder, [c for c in columns if c != "corpus"])
    frame = scanned.with_columns(pl.lit(corpus).alias("corpus"))
    if counted_columns:
        frame = pl.concat([frame, *counted_columns], how="horizontal")
    return frame, seen


def scan(
    workspace: Workspace,
    stage: str,
    corpora: Sequence[str],
    *,
    profile: str | None = None,
    media: bool = True,
    sizes: bool = False,
) -> Measures:
    """Return the measures of the corpora at one stage.

    Args:
        workspace: holds them.
        stage: `measured` or `curated`; only curated samples have counts.
        corpora: their ids.
        profile: counts to use: a profile's full name or its preset's; None takes the first one.
        media: add `images`, `videos` and `bytes`, for which one nested column is read.
        sizes: with `media`, also find the distinct image sizes.

    Raises:
        IncompleteError: a corpus has not finished that stage.
        StaleError: a corpus was curated again after it was counted.
        UsageError: `profile` names no counted profile.
    """
    chosen: str | None = None
    notes: tuple[str, ...] = ("tokens and tiles are counted after curate",)
    if stage == "curated":
        chosen, notes = choose_profile(workspace, corpora, profile)
    notes = (*notes, *_not_fetched(workspace, corpora))
    frames: list[pl.LazyFrame] = []
    seen: list[pl.DataFrame] = []
    for corpus in corpora:
        one = _samples(workspace, stage, corpus, chosen, media=media, sizes=sizes)
        if one is not None:
            frames.append(one[0])
            seen.append(one[1])
    if not frames:
        return Measures(frame=_empty(stage), profile=chosen, sizes=_no_sizes(), notes=notes)
    merged = pl.concat(seen).group_by("width", "height").agg(pl.col("count").sum())
    return Measures(
        frame=pl.concat(frames, how="vertical"),
        profile=chosen,
        sizes=merged.sort("width", "height"),
        notes=notes,
    )


def _not_fetched(workspace: Workspace, corpora: Sequence[str]) -> list[str]:
    """Return a note for each corpus with media that are not fetched."""
    found = []
    for corpus in corpora:
        measured = workspace.measured(corpus)
        if measured.exists(STAGE_FILE):
            count = sum(int(m.stats.get("not_fetched", 0)) for m in manifests(measured))
            if count:
                found.append(
                    f"{corpus}: media of {count:,} measured samples are not fetched; their tokens, "
                    "tiles, lengths and bytes are not included"
                )
    return found


def _no_sizes() -> pl.DataFrame:
    return pl.DataFrame(schema={"width": pl.Int64, "height": pl.Int64, "count": pl.Int64})


def with_tag(frame: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """Add the column `tags.KEY` where `column` names a key of the samples' tags."""
    if not column.startswith("tags."):
        return frame
    key = column.removeprefix("tags.")
    return frame.with_columns(pl.col("tags").map.get(key).alias(column))


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
        workspace: holds the mixture.
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

"""Samples' measures and counts as one lazy frame, without opening turns or media.

`counts/` holds one row for each curated row, in the same order, so the two are laid side by side
instead of being joined.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smolmix.errors import DataError, UsageError, nearest
from smolmix.storage import Folder, Workspace, part_files

FACETS = ("corpus", "subset", "split", "modality", "category", "cot", "licence", "language")
SAMPLE_NUMBERS = ("text_chars", "answer_chars", "n_turns", "n_media", "duration_s")
COUNTS = ("tokens", "text_tokens", "visual_tokens", "supervised_tokens", "tiles", "frames")
_LEAVES = tuple(f"media.list.element.{n}" for n in ("kind", "width", "height", "bytes_on_disk"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """The lazy frame and what it could not have."""

    frame: pl.LazyFrame
    profile: str | None  # the counts' profile; None: samples were not counted
    sizes: pl.DataFrame  # distinct width, height of images, and how many
    notes: tuple[str, ...] = ()


def sources(folder: Folder, names: Sequence[str]) -> list[Any]:
    """Return what polars can scan for these files: local paths, or bytes from a remote store."""
    if folder.is_local:
        return [folder.local(n) for n in names]
    return [io.BytesIO(folder.read_bytes(n)) for n in names]


def profiles_counted(workspace: Workspace, corpora: Sequence[str]) -> list[str]:
    """Return the profiles for which every one of the corpora has whole counts."""
    here = workspace.child("counts")
    if not corpora or not here.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in here.fs.ls(here.path, False))
    return [n for n in names if all(workspace.counts(n, c).exists("stage.json") for c in corpora)]


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
                f"--profile {wanted}: {len(matches)} counted profiles match; counted are "
                f"{', '.join(known) or 'none'}{nearest(wanted, known)}"
            )
        return matches[0], ()
    if not known:
        note = "no counts yet: tokens are the text's own, tiles unknown; `smolmix mix build` counts"
        return None, (note,)
    if len(known) > 1:
        return known[0], (f"counted for {', '.join(known)}; --profile chooses, this is {known[0]}",)
    return known[0], ()


def media_columns(folder: Folder, names: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return images, videos and media bytes of each row, and the distinct image sizes.

    Reads four leaves of the nested `media` column, not their references.
    """
    rows: list[pl.DataFrame] = []
    seen: list[pl.DataFrame] = []
    for source in sources(folder, names):
        file = pq.ParquetFile(source)
        media = file.read(columns=list(_LEAVES)).column(0).combine_chunks()
        count = len(media)
        parents = pc.list_parent_indices(media).to_numpy()
        flat = pc.list_flatten(media)
        image = pc.equal(flat.field("kind"), "image").to_numpy(zero_copy_only=False)
        size = flat.field("bytes_on_disk").to_numpy(zero_copy_only=False)
        rows.append(
            pl.DataFrame(
                {
                    "images": np.bincount(parents[image], minlength=count).astype(np.int32),
                    "videos": np.bincount(parents[~image], minlength=count).astype(np.int32),
                    "bytes": np.bincount(parents, weights=size, minlength=count).astype(np.int64),
                }
            )
        )
        wide = flat.field("width").to_numpy(zero_copy_only=False)[image]
        high = flat.field("height").to_numpy(zero_copy_only=False)[image]
        pairs = pl.DataFrame({"width": wide.astype(np.int64), "height": high.astype(np.int64)})
        seen.append(pairs.group_by("width", "height").agg(pl.len().cast(pl.Int64).alias("count")))
    schema = {"images": pl.Int32, "videos": pl.Int32, "bytes": pl.Int64}
    if not rows:
        return pl.DataFrame(schema=schema), _no_sizes()
    sizes = pl.concat(seen).group_by("width", "height").agg(pl.col("count").sum())
    return pl.concat(rows), sizes


def row_counts(folder: Folder, names: Sequence[str]) -> list[int]:
    """Return the rows of each parquet file, from its footer."""
    return [pq.read_metadata(s).num_rows for s in sources(folder, names)]


def _empty(stage: str) -> pl.LazyFrame:
    text = dict.fromkeys(("id", *FACETS), pl.String)
    numbers = dict.fromkeys((*SAMPLE_NUMBERS, *COUNTS, "images", "videos", "bytes"), pl.Int64)
    schema: dict[str, Any] = {**text, **numbers, "duration_s": pl.Float64}
    return pl.LazyFrame(schema=schema)


def _samples(
    workspace: Workspace, stage: str, corpus: str, profile: str | None, *, media: bool
) -> tuple[pl.LazyFrame, pl.DataFrame] | None:
    folder = workspace.child(stage, corpus)
    names = part_files(folder)
    if not names:
        return None
    columns = ["id", *FACETS, *SAMPLE_NUMBERS, "tags"]
    beside: list[pl.LazyFrame] = []
    sizes = _no_sizes()
    if profile is None:
        columns.append("text_tokens")
    else:
        counts = workspace.counts(profile, corpus)
        counted = part_files(counts)
        if row_counts(counts, counted) != row_counts(folder, names):
            raise DataError(
                f"{counts.url}: its rows are not those of {folder.url}; the corpus was curated "
                "again since; run `smolmix mix build` or `smolmix tokenize` to count it again"
            )
        beside.append(pl.scan_parquet(sources(counts, counted)).select(COUNTS))
    if media:
        extra, sizes = media_columns(folder, names)
        beside.append(extra.lazy())
    frame = pl.scan_parquet(sources(folder, names)).select(columns)
    if beside:
        frame = pl.concat([frame, *beside], how="horizontal")
    return frame, sizes


def scan(
    workspace: Workspace,
    stage: str,
    corpora: Sequence[str],
    *,
    profile: str | None = None,
    media: bool = True,
) -> Measures:
    """Return the measures of the corpora at one stage.

    Args:
        workspace: where they lie.
        stage: `measured` or `curated`; only curated samples have counts.
        corpora: their ids.
        profile: counts to use: a profile's full name or its preset's; None takes the first whole.
        media: add `images`, `videos` and `bytes`, for which one nested column is read.

    Raises:
        IncompleteError: a corpus is not whole at that stage.
        DataError: counts do not belong to the curated rows.
        UsageError: `profile` names no counted profile.
    """
    chosen: str | None = None
    notes: tuple[str, ...] = ("tokens and tiles are counted after curate",)
    if stage == "curated":
        chosen, notes = choose_profile(workspace, corpora, profile)
    frames: list[pl.LazyFrame] = []
    sizes: list[pl.DataFrame] = []
    for corpus in corpora:
        one = _samples(workspace, stage, corpus, chosen, media=media)
        if one is not None:
            frames.append(one[0])
            sizes.append(one[1])
    if not frames:
        return Measures(frame=_empty(stage), profile=chosen, sizes=_no_sizes(), notes=notes)
    merged = pl.concat(sizes).group_by("width", "height").agg(pl.col("count").sum())
    return Measures(
        frame=pl.concat(frames, how="vertical"),
        profile=chosen,
        sizes=merged.sort("width", "height"),
        notes=notes,
    )


def _no_sizes() -> pl.DataFrame:
    return pl.DataFrame(schema={"width": pl.Int64, "height": pl.Int64, "count": pl.Int64})


def with_tag(frame: pl.LazyFrame, column: str) -> pl.LazyFrame:
    """Add the column `tags.KEY` where `column` names a key of the samples' tags."""
    if not column.startswith("tags."):
        return frame
    key = column.removeprefix("tags.")
    return frame.with_columns(pl.col("tags").map.get(key).alias(column))

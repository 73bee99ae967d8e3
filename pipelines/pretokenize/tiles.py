"""The tiles of curated media: `tiles/<pixel profile>/<corpus>` and the stage that writes it.

This module alone knows the folder and its index. The folder is a cache of generations
(`smolmix.tokenize.shards.cache`). Each unit of a generation has a shard of tiles (`TILES_SCHEMA`),
an index with one row for each row of the shard, and a table of the media that could not be cut.
A medium is stored once in a corpus, however many samples show it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from smolmix import curated
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.pipelines.pretokenize.generation import run_generation, withdraw_damaged
from smolmix.profiles import PixelProfile
from smolmix.sample import Dropped, Media, MediaRef
from smolmix.schema import MEDIA_FACTS_VERSION, dropped_table
from smolmix.storage import Folder, digest_json
from smolmix.tokenize.shards import cache, shards
from smolmix.tokenize.tiles.cutting import CUT_ERRORS, cut, stored_bytes
from smolmix.workspace import Workspace

_VERSION = 2  # 2: `resize: fast` is one exact step
_BYTES_PER_UNIT = 256 << 20
_UNREADABLE = "media-missing"  # the only reason for which a medium is tried again

_INDEX: dict[str, Any] = {
    "digest": pl.String,  # of the medium's bytes
    "kind": pl.String,
    "grid_rows": pl.Int32,
    "grid_cols": pl.Int32,
    "tiles": pl.Int32,
    "bytes": pl.Int64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CutInput:
    """The media that a unit cuts."""

    workspace: str
    corpus: str
    part: str
    media: tuple[tuple[int, int], ...]  # (row of the part, index into its sample's media)
    pixel: PixelProfile


def tiles_folder(workspace: Workspace, pixel: PixelProfile, corpus: str) -> Folder:
    """Return `tiles/<pixel profile>/<corpus>`."""
    return workspace.child("tiles", f"{pixel.name}-{pixel.digest()}", corpus)


def _recorded() -> dict[str, Any]:
    """Return what a generation must record for its tiles to be those of this version."""
    return {"version": _VERSION, "facts": MEDIA_FACTS_VERSION}


def tiles_row(media: Media, blobs: Sequence[bytes], pixel: PixelProfile) -> shards.TilesRow:
    """Return the row of a tile shard that holds the medium's tiles.

    Args:
        media: as measured at curation.
        blobs: the bytes of each of its references.
        pixel: sizes, frame sampling and codec.

    Raises:
        ImageError: an image cannot be decoded, or is not of the measured size.
        VideoError: a clip cannot be decoded, or has fewer frames than measured.
    """
    stored = cut(media, blobs, pixel)
    return shards.TilesRow(
        digest=media.digest,
        kind=media.kind,
        rows=stored.grid.rows,
        cols=stored.grid.cols,
        tiles=stored.tiles,
        codec=stored.codec,
        blobs=stored.blobs,
    )


def tiles_index(workspace: Workspace, pixel: PixelProfile, corpus: str) -> pl.DataFrame:
    """Return the cut media of a corpus, each once.

    Returns:
        `digest`, `kind`, `grid_rows`, `grid_cols`, `tiles`, `bytes`, and the place of the tiles:
        `shard` (path below the workspace) and `row`.
    """
    folder = tiles_folder(workspace, pixel, corpus)
    found = cache.frames(folder, cache.INDEX_SUFFIX, **_recorded())
    if found.is_empty():
        return pl.DataFrame(schema={**_INDEX, "shard": pl.String, "row": pl.Int32})
    return found.unique("digest", keep="first", maintain_order=True)


def failed_media(workspace: Workspace, pixel: PixelProfile, corpus: str) -> pl.DataFrame:
    """Return the attempts to cut media of a corpus that failed: `digest`, `reason`, `detail`.

    A medium that was tried again has a row for each attempt.
    """
    folder = tiles_folder(workspace, pixel, corpus)
    found = cache.frames(folder, cache.DROPPED_SUFFIX, **_recorded())
    if found.is_empty():
        return pl.DataFrame(schema=dict.fromkeys(("digest", "reason", "detail"), pl.String))
    return found.select(pl.col("id").alias("digest"), "reason", "detail")


def ensure_tiles(
    workspace: Workspace,
    corpus: str,
    wanted: pl.DataFrame,
    pixel: PixelProfile,
    options: RunOptions,
) -> RowAccounting:
    """Cut the wanted samples' media whose tiles are not cached; return their accounting.

    Args:
        workspace: holds the curated corpus; gets `tiles/<pixel profile>/<corpus>`.
        corpus: its name.
        wanted: `part` and `row` of each sample, without repeats.
        pixel: sizes, frame sampling and codec.
        options: workers, and how much is printed.

    Raises:
        DataError: a unit failed; the others are kept.
    """
    folder, recorded = tiles_folder(workspace, pixel, corpus), _recorded()
    withdraw_damaged(folder, options)
    return run_generation(
        STAGE,
        _missing(workspace, corpus, wanted, pixel),
        folder,
        versions=recorded,
        info=recorded | {"pixel": asdict(pixel), "corpus": corpus},
        options=options,
    )


def _missing(
    workspace: Workspace, corpus: str, wanted: pl.DataFrame, pixel: PixelProfile
) -> list[Unit[CutInput]]:
    known, attempts = _known(workspace, pixel, corpus)
    reader = MediaReader(workspace)
    work: list[tuple[str, list[tuple[int, int]], list[str]]] = []  # part, media, their names
    for (part,), group in wanted.sort("part", "row").group_by("part", maintain_order=True):
        size = _BYTES_PER_UNIT + 1
        rows = curated.read_rows(workspace.curated(corpus), str(part), ["media"])[group["row"]]
        for row, media in rows.iter_rows():
            for place, medium in enumerate(media):
                digest = medium["digest"]
                if digest in known:
                    continue
                known.add(digest)
                if digest in attempts and not _is_readable(reader, medium):
                    continue
                if size > _BYTES_PER_UNIT:
                    size = 0
                    work.append((str(part), [], []))
                size += stored_bytes(_media(medium), pixel)
                work[-1][1].append((row, place))
                work[-1][2].append(
                    f"{digest} again {attempts[digest]}" if digest in attempts else digest
                )
    return [
        Unit(
            name=f"{part}-{number:05d}",
            inputs={"media": digest_json(names)},
            params={"pixel": pixel.digest()},
            payload=CutInput(
                workspace=workspace.url, corpus=corpus, part=part, media=tuple(media), pixel=pixel
            ),
        )
        for number, (part, media, names) in enumerate(work)
    ]


def _known(
    workspace: Workspace, pixel: PixelProfile, corpus: str
) -> tuple[set[str], dict[str, int]]:
    """Return the media that are not to be cut again, and failed attempts to read any others."""
    failed = failed_media(workspace, pixel, corpus)
    unreadable = failed.filter(pl.col("reason") == _UNREADABLE)["digest"].value_counts()
    known = set(tiles_index(workspace, pixel, corpus)["digest"])
    known |= set(failed.filter(pl.col("reason") != _UNREADABLE)["digest"])
    return known, {digest: n for digest, n in unreadable.iter_rows() if digest not in known}


def _is_readable(reader: MediaReader, medium: Mapping[str, Any]) -> bool:
    """Return whether a medium that could not be read before can be read now."""
    try:
        for ref in medium["refs"]:
            reader.read(MediaRef(**ref))
    except (DataError, OSError):
        return False
    return True


def _media(value: Mapping[str, Any]) -> Media:
    return Media(**{k: v for k, v in value.items() if k != "refs"}, refs=())


def _cut(unit: Unit[CutInput], context: UnitContext) -> Result:
    """Write the unit's shard of tiles, its index, and the media that could not be cut."""
    payload = unit.payload
    workspace = Workspace(payload.workspace)
    reader, pixel = MediaReader(workspace), payload.pixel
    accounting = RowAccounting(samples=len(payload.media))
    index = list[dict[str, Any]]()
    dropped = list[Dropped]()

    def drop(medium: Media, reason: str, detail: str) -> None:
        dropped.append(Dropped(id=medium.digest, stage="tokenize", reason=reason, detail=detail))
        accounting.drop(dropped[-1])

    def rows() -> Iterator[shards.TilesRow]:
        for number, medium in enumerate(_read_media(workspace, payload)):
            if context.rows is not None and number not in context.rows:
                continue
            if number in context.poison:
                drop(medium, "worker-killed", "decoding it killed a worker or did not end")
                continue
            try:
                row = tiles_row(medium, reader.read_all(medium), pixel)
            except CUT_ERRORS as error:
                drop(medium, error.reason, error.detail)
                continue
            except (DataError, OSError) as error:
                drop(medium, _UNREADABLE, str(error))
                continue
            index.append(
                {
                    "digest": row.digest,
                    "kind": row.kind,
                    "grid_rows": row.rows,
                    "grid_cols": row.cols,
                    "tiles": row.tiles,
                    "bytes": row.nbytes,
                }
            )
            yield row

    info = {"pixel": pixel.digest(), "pixel_name": pixel.name}
    accounting.kept = shards.write(
        context.out / f"{unit.name}.arrow", rows(), shards.TILES_SCHEMA, info
    )
    cache.write_index(context.out, unit.name, pl.DataFrame(index, schema=_INDEX))
    path = context.out / f"{unit.name}{cache.DROPPED_SUFFIX}"
    pq.write_table(dropped_table(dropped), path, compression="zstd")
    stats = {"tiles": sum(r["tiles"] for r in index), "bytes": sum(r["bytes"] for r in index)}
    return Result(accounting=accounting, stats=stats)


def _read_media(workspace: Workspace, payload: CutInput) -> Iterator[Media]:
    """Yield the unit's media in order."""
    places = dict[int, list[int]]()
    for row, place in payload.media:
        places.setdefault(row, []).append(place)
    folder = workspace.curated(payload.corpus)
    for row, sample in curated.read_samples_at(folder, payload.part, sorted(places)):
        for place in places[row]:
            yield sample.media[place]


def _count_media(unit: Unit[CutInput]) -> int:
    return len(unit.payload.media)


STAGE = Stage(name="tokenize-tiles", version=_VERSION, run=_cut, count_rows=_count_media)

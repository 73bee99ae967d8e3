"""The units that fill the token caches: what is missing, and how one unit makes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.pipelines.curate.measure.media import FACTS_VERSION
from smolmix.pipelines.pretokenize.tiles import tiles_row
from smolmix.profiles import Profile
from smolmix.sample import Dropped, Media, MediaRef, Sample
from smolmix.schema import SAMPLE_SCHEMA, dropped_table, from_table
from smolmix.storage import Folder, digest_json
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.tokenize.shards import cache, shards
from smolmix.tokenize.tiles import cutting
from smolmix.workspace import Workspace

_IDS_PER_UNIT = 20_000
_TILES_BYTES_PER_UNIT = 256 << 20
_ABSENT = "media-missing"  # the only reason that may pass
_IDS_VERSION = 1
_TILES_VERSION = 2  # 2: `resize: fast` is one exact step


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload:
    workspace: str
    corpus: str
    part: str
    profile: Profile
    rows: tuple[int, ...]  # of the part
    media: tuple[tuple[int, int], ...] = ()  # (row, index of the medium), for tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a cache lacks: a new generation of it."""

    folder: Folder
    units: tuple[Unit[_Payload], ...]
    info: Mapping[str, Any]


def curated_rows(workspace: Workspace, corpus: str, part: str, columns: list[str]) -> pl.DataFrame:
    """Return columns of a curated part, with `row` before them."""
    with workspace.curated(corpus).open(f"{part}.parquet") as stream:
        return pl.read_parquet(stream.read(), columns=columns).with_row_index("row")


def ids_units(workspace: Workspace, corpus: str, wanted: pl.DataFrame, profile: Profile) -> Missing:
    """Return the units that tokenize the wanted rows whose ids are not in the cache.

    Args:
        workspace: holds the corpus.
        corpus: its name.
        wanted: columns `part` and `row`, without repeats.
        profile: its chat half, and the sizes that decide the visual tokens.
    """
    vocabulary = tokenizer.load(profile.chat.tokenizer).digest
    store = workspace.child("ids", profile.name, corpus)
    known = cache.frames(store, cache.INDEX_SUFFIX, **ids_info(vocabulary))
    had = set(known.select("part", "part_row", "id", "digest").iter_rows()) if len(known) else set()
    work: list[tuple[str, tuple[int, ...], str]] = []
    for part, group in _by_part(wanted):
        rows = curated_rows(workspace, corpus, part, ["id", "digest"])[group]
        lacking = [
            (row, key, digest)
            for row, key, digest in rows.iter_rows()
            if (part, row, key, digest) not in had
        ]
        for start in range(0, len(lacking), _IDS_PER_UNIT):
            chunk = lacking[start : start + _IDS_PER_UNIT]
            work.append((part, tuple(r for r, _, _ in chunk), digest_json(chunk)))
    params = {"profile": profile.digest(), "vocabulary": vocabulary}
    units = [
        Unit(
            name=f"{part}-{number:05d}",
            inputs={"samples": digest},
            params=params,
            payload=_Payload(
                workspace=workspace.url, corpus=corpus, part=part, profile=profile, rows=rows
            ),
        )
        for number, (part, rows, digest) in enumerate(work)
    ]
    return _missing(store, units, ids_info(vocabulary) | {"profile": asdict(profile)})


def ids_info(vocabulary: str) -> dict[str, Any]:
    """Return what a generation of ids must say of itself to be one that is used."""
    return {"vocabulary": vocabulary, "version": _IDS_VERSION, "facts": FACTS_VERSION}


def tiles_info() -> dict[str, Any]:
    """Return what a generation of tiles must say of itself to be one that is used."""
    return {"version": _TILES_VERSION, "facts": FACTS_VERSION}


def _missing(store: Folder, units: list[Unit[_Payload]], info: dict[str, Any]) -> Missing:
    named = {k: info[k] for k in ("version", "facts")}
    name = digest_json([named, [[u.name, dict(u.inputs), dict(u.params)] for u in units]])[:16]
    return Missing(folder=store.child(name), units=tuple(units), info=info)


def _by_part(wanted: pl.DataFrame) -> Iterator[tuple[str, list[int]]]:
    for (part,), group in sorted(wanted.group_by("part"), key=lambda item: str(item[0][0])):
        yield str(part), sorted(group["row"].to_list())


def curated_samples(
    workspace: Workspace, corpus: str, part: str, rows: Sequence[int]
) -> Iterator[tuple[int, Sample]]:
    """Yield (row, sample) of rows of a curated part, ascending, a row group in memory at a time."""
    wanted = iter(rows)
    next_row = next(wanted, None)
    with workspace.curated(corpus).open(f"{part}.parquet") as stream:
        start = 0
        for batch in pq.ParquetFile(stream).iter_batches(1024):
            picked = []
            while next_row is not None and next_row < start + batch.num_rows:
                picked.append(next_row)
                next_row = next(wanted, None)
            if picked:
                table = pa.Table.from_batches([batch], schema=SAMPLE_SCHEMA)
                table = table.take([r - start for r in picked])
                yield from zip(picked, from_table(table), strict=True)
            start += batch.num_rows


def _samples(payload: _Payload) -> Iterator[tuple[int, Sample]]:
    workspace = Workspace(payload.workspace)
    return curated_samples(workspace, payload.corpus, payload.part, payload.rows)


def _run_ids(unit: Unit[_Payload], context: UnitContext) -> Result:
    payload = unit.payload
    vocabulary = tokenizer.load(payload.profile.chat.tokenizer)
    index: list[dict[str, Any]] = []

    def rows() -> Iterator[shards.IdsRow]:
        for batch in _batches(_samples(payload), 512):
            encoded = encode.encode([s for _, s in batch], payload.profile, vocabulary)
            for (place, sample), one in zip(batch, encoded, strict=True):
                media = tuple(sample.media[i].digest for i in one.media)
                index.append(
                    {
                        "part": payload.part,
                        "part_row": place,
                        "id": sample.id,
                        "digest": sample.digest(),
                        "modality": sample.modality,
                        "tokens": len(one.input_ids),
                        "supervised": one.supervised,
                        "n_tiles": sum(one.tiles),
                        "media": list(media),
                        "tiles": list(one.tiles),
                    }
                )
                yield shards.IdsRow(
                    id=sample.id,
                    digest=sample.digest(),
                    input_ids=one.input_ids,
                    spans=one.spans,
                    media=media,
                    tiles=one.tiles,
                )

    info = {"vocabulary": vocabulary.digest, "profile": payload.profile.name}
    count = shards.write(context.out / f"{unit.name}.arrow", rows(), shards.IDS_SCHEMA, info)
    pl.DataFrame(index, schema=_IDS_INDEX).write_parquet(
        context.out / f"{unit.name}{cache.INDEX_SUFFIX}"
    )
    accounting = RowAccounting(samples=count, kept=count)
    return Result(accounting=accounting, stats={"tokens": sum(r["tokens"] for r in index)})


_IDS_INDEX: dict[str, Any] = {
    "part": pl.String,
    "part_row": pl.Int64,
    "id": pl.String,
    "digest": pl.String,
    "modality": pl.String,
    "tokens": pl.Int32,
    "supervised": pl.Int32,
    "n_tiles": pl.Int32,
    "media": pl.List(pl.String),
    "tiles": pl.List(pl.Int32),
}
_TILES_INDEX: dict[str, Any] = {
    "digest": pl.String,
    "kind": pl.String,
    "grid_rows": pl.Int32,
    "grid_cols": pl.Int32,
    "tiles": pl.Int32,
    "bytes": pl.Int64,
}


def _batches(items: Iterator[tuple[int, Sample]], size: int) -> Iterator[list[tuple[int, Sample]]]:
    batch: list[tuple[int, Sample]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def tiles_units(
    workspace: Workspace, corpus: str, wanted: pl.DataFrame, profile: Profile
) -> Missing:
    """Return the units that cut the wanted rows' media whose tiles are not in the cache."""
    pixel = f"{profile.pixel.name}-{profile.pixel.digest()}"
    store = workspace.child("tiles", pixel, corpus)
    had, absent = _tried(store)
    reader = MediaReader(workspace)
    work: list[tuple[str, list[tuple[int, int]], list[str]]] = []
    for part, group in _by_part(wanted):
        size = _TILES_BYTES_PER_UNIT + 1
        rows = curated_rows(workspace, corpus, part, ["media"])[group]
        for row, media in rows.iter_rows():
            for place, medium in enumerate(media):
                digest = medium["digest"]
                if digest in had:
                    continue
                had.add(digest)
                if digest in absent and not _is_back(reader, medium):
                    continue
                if size > _TILES_BYTES_PER_UNIT:
                    size = 0
                    work.append((part, [], []))
                size += cutting.stored_bytes(_media(medium), profile.pixel)
                work[-1][1].append((row, place))
                work[-1][2].append(
                    f"{digest} again {absent[digest]}" if digest in absent else digest
                )
    units = [
        Unit(
            name=f"{part}-{number:05d}",
            inputs={"media": digest_json(digests)},
            params={"pixel": profile.pixel.digest()},
            payload=_Payload(
                workspace=workspace.url,
                corpus=corpus,
                part=part,
                profile=profile,
                rows=tuple(sorted({row for row, _ in media})),
                media=tuple(media),
            ),
        )
        for number, (part, media, digests) in enumerate(work)
    ]
    return _missing(store, units, tiles_info() | {"pixel": asdict(profile.pixel)})


def _tried(store: Folder) -> tuple[set[str], dict[str, int]]:
    """Return the media that need not be cut, and how often others were not there to be cut."""
    index, gone = (
        cache.frames(store, suffix, **tiles_info())
        for suffix in (cache.INDEX_SUFFIX, cache.DROPPED_SUFFIX)
    )
    had = set(index["digest"]) if len(index) else set[str]()
    if not len(gone):
        return had, {}
    absent = gone.filter(pl.col("reason") == _ABSENT)["id"].value_counts()
    had |= set(gone.filter(pl.col("reason") != _ABSENT)["id"])
    return had, {digest: count for digest, count in absent.iter_rows() if digest not in had}


def _is_back(reader: MediaReader, medium: Mapping[str, Any]) -> bool:
    """Whether a medium can be read that could not be read before."""
    try:
        for ref in medium["refs"]:
            reader.read(MediaRef(**ref))
    except (DataError, OSError):
        return False
    return True


def _media(value: Mapping[str, Any]) -> Media:
    return Media(**{k: v for k, v in value.items() if k != "refs"}, refs=())


def _run_tiles(unit: Unit[_Payload], context: UnitContext) -> Result:
    payload = unit.payload
    reader = MediaReader(Workspace(payload.workspace))
    pixel = payload.profile.pixel
    chosen: dict[int, list[int]] = {}
    for row, place in payload.media:
        chosen.setdefault(row, []).append(place)
    accounting = RowAccounting(samples=len(payload.media))
    index: list[dict[str, Any]] = []
    dropped: list[Dropped] = []

    def drop(medium: Media, reason: str, detail: str) -> None:
        dropped.append(Dropped(id=medium.digest, stage="tokenize", reason=reason, detail=detail))
        accounting.drop(dropped[-1])

    def rows() -> Iterator[shards.TilesRow]:
        number = -1
        for row, sample in _samples(payload):
            for place in chosen[row]:
                number += 1
                medium = sample.media[place]
                if context.rows is not None and number not in context.rows:
                    continue
                if number in context.poison:
                    drop(medium, "worker-killed", "its decoding killed or stalled a worker")
                    continue
                try:
                    cut = tiles_row(medium, reader.read_all(medium), pixel)
                except cutting.CUT_ERRORS as error:
                    drop(medium, error.reason, error.detail)
                    continue
                except (DataError, OSError) as error:
                    drop(medium, _ABSENT, str(error))
                    continue
                index.append(
                    {
                        "digest": cut.digest,
                        "kind": cut.kind,
                        "grid_rows": cut.rows,
                        "grid_cols": cut.cols,
                        "tiles": cut.tiles,
                        "bytes": cut.nbytes,
                    }
                )
                yield cut

    info = {"pixel": pixel.digest(), "pixel_name": pixel.name}
    count = shards.write(context.out / f"{unit.name}.arrow", rows(), shards.TILES_SCHEMA, info)
    accounting.kept = count
    pl.DataFrame(index, schema=_TILES_INDEX).write_parquet(
        context.out / f"{unit.name}{cache.INDEX_SUFFIX}"
    )
    _write_dropped(context.out / f"{unit.name}{cache.DROPPED_SUFFIX}", dropped)
    stats = {"tiles": sum(r["tiles"] for r in index), "bytes": sum(r["bytes"] for r in index)}
    return Result(accounting=accounting, stats=stats)


def _write_dropped(path: Path, dropped: Sequence[Dropped]) -> None:
    pq.write_table(dropped_table(dropped), path, compression="zstd")


def _count_media(unit: Unit[_Payload]) -> int:
    payload = unit.payload
    return len(payload.media)


IDS_STAGE = Stage(name="tokenize-ids", version=_IDS_VERSION, run=_run_ids)
TILES_STAGE = Stage(
    name="tokenize-tiles", version=_TILES_VERSION, run=_run_tiles, count_rows=_count_media
)

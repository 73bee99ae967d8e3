"""Stage "dense-buckets": media whose hash is close to too many others, by finer descriptors.

Forms of one template, flat patterns, slides: hundreds have nearly the same hash, and comparing all
pairs would be quadratic. Each medium that hashes pair with more than `max_neighbours`
others is compared with its `nearest` ones by descriptor instead
(`smolmix.pipelines.curate.measure.descriptors`), with the same crops and flips.
How many pairs are not compared is counted and shown by `smolmix curate`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup.media import candidates
from smolmix.pipelines.curate.dedup.media.nearest import Indices, nearest
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.measure import descriptors, fingerprints
from smolmix.pipelines.curate.measure.descriptors import Descriptors
from smolmix.pipelines.curate.measure.videos import PROBES
from smolmix.pipelines.curate.settings import Dedup
from smolmix.storage import Folder
from smolmix.workspace import manifests, part_files, stage_record

_WHOLE = fingerprints.CROPS[:1]
_COARSER = 4  # eight descriptors of a clip are joined; its products must not exceed a picture's

_Crops = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseBucketInput:
    """The candidates of one kind of medium."""

    pairs: str
    media: MediaTables
    against: MediaTables | None
    kind: str  # image | video | frame
    dedup: Dedup


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A picture, a clip, or a frame of a clip that is searched among pictures."""

    digest: str
    side: bool  # of `against`
    clip: bool
    group: tuple[int, int]  # only items of one group are compared: the size of a small picture
    thumbnails: bytes
    frame: int = -1  # the only one that counts


def dense(folder: Folder, kind: str, limit: int) -> set[str]:
    """Return the digests in dense buckets: those of dense hashes, and those in too many pairs."""
    found, counts = set[str](), [pl.DataFrame(schema={"name": pl.String, "len": pl.UInt32})]
    for name in part_files(folder, candidates.DENSE_SUFFIX):
        with folder.open(name) as stream:
            table = pl.read_parquet(stream).filter(pl.col("kind") == kind)
        found.update(table["digest"])
    for pairs in _pairs(folder, kind):
        names = pl.concat([pairs["one"], pairs["other"]]).alias("name")
        counts = [pl.concat([*counts, names.value_counts(name="len")]).group_by("name").sum()]
    (total,) = counts
    suspect = total.filter(pl.col("len") > limit)["name"]
    if not len(suspect):
        return found
    ends = pl.concat(
        [
            p.select(name=pl.col(a), with_=pl.col(b)).filter(
                pl.col("name").is_in(suspect.implode())
            )
            for p in _pairs(folder, kind)
            for a, b in (("one", "other"), ("other", "one"))
        ]
    )
    many = ends.unique().group_by("name").len().filter(pl.col("len") > limit)
    return found | set(many["name"])


def _pairs(folder: Folder, kind: str) -> Iterator[pl.DataFrame]:
    for name in part_files(folder, candidates.SUFFIX):
        with folder.open(name) as stream:
            pairs = pl.read_parquet(stream, columns=["one", "other", "kind"])
        yield pairs.filter(pl.col("kind") == kind).select("one", "other").unique()


def _items(payload: DenseBucketInput, names: set[str]) -> list[_Item]:
    """Return the bucket's items, each once a side, in order of digest."""
    found: dict[tuple[str, bool], list[_Item]] = {}
    columns = ["digest", "kind", "width", "height", "thumbnails"]
    sides = [(payload.media, False)] + ([(payload.against, True)] if payload.against else [])
    for media, side in sides:
        for batch in media.batches(columns):
            rows = zip(*batch.select(columns).to_pydict().values(), strict=True)
            for digest, kind, wide, high, thumbnails in rows:
                if digest not in names or (digest, side) in found or not thumbnails:
                    continue
                clip = kind != "image"
                small = not clip and max(wide, high) < payload.dedup.images.min_edge_px
                group = (wide, high) if small and payload.kind == "image" else (0, 0)
                frames = range(PROBES) if clip and payload.kind == "frame" else (-1,)
                found[digest, side] = [
                    _Item(
                        digest=digest,
                        side=side,
                        clip=clip,
                        group=group,
                        thumbnails=thumbnails,
                        frame=frame,
                    )
                    for frame in frames
                ]
    return [item for key in sorted(found) for item in found[key]]


def _described(item: _Item, crops: _Crops) -> Descriptors:
    """Return (plain and mirrored, crops, size) descriptors."""
    pictures = fingerprints.pictures(item.thumbnails)
    if not item.clip:
        return np.stack(descriptors.describe(pictures[0], crops))
    if item.frame >= 0:
        return np.stack(descriptors.describe(pictures[min(item.frame, len(pictures) - 1)], _WHOLE))
    found = np.zeros((2, 1, PROBES, descriptors.SIZE), np.int8)
    for number, picture in enumerate(pictures[:PROBES]):
        found[:, :, number] = np.rint(np.stack(descriptors.describe(picture, _WHOLE)) / _COARSER)
    return found.reshape(2, 1, -1)


def _near(payload: DenseBucketInput, items: list[_Item]) -> Iterator[pa.RecordBatch]:
    """Yield the proposed pairs among items of one group."""
    images = payload.dedup.images
    large = payload.kind == "image" and items[0].group == (0, 0)
    crops = fingerprints.CROPS if large and images.crops else _WHOLE
    own = np.concatenate([_described(i, _WHOLE)[0] for i in items])
    digests = np.array([i.digest for i in items])
    side, clip = (np.array([getattr(i, n) for i in items]) for n in ("side", "clip"))

    def variants(members: Indices) -> tuple[Descriptors, Descriptors]:
        found = np.stack([_described(items[i], crops) for i in members], axis=1)
        return found[0], found[1] if images.flips else found[1][:, :0]

    def allowed(rows: Indices, columns: Indices) -> NDArray[np.bool_]:
        apart = digests[rows, None] != digests[None, columns]
        if payload.against:
            apart &= side[rows, None] != side[None, columns]
        if payload.kind == "frame":
            apart &= clip[rows, None] != clip[None, columns]
        return np.asarray(apart)

    for found in nearest(own, variants, allowed, payload.dedup.dense_buckets.nearest):
        ends = digests[found.one], digests[found.other]
        yield _batch(*ends, payload.kind, found.mirrored, found.rank)


def _batch(
    one: NDArray[np.str_],
    other: NDArray[np.str_],
    kind: str,
    mirrored: NDArray[np.bool_] | None = None,
    rank: NDArray[np.uint8] | None = None,
) -> pa.RecordBatch:
    """Return candidate pairs, by default not mirrored and of the first rank."""
    return pa.record_batch(
        [
            pa.array(np.where(one < other, one, other), pa.string()),
            pa.array(np.where(one < other, other, one), pa.string()),
            pa.array([kind] * len(one), pa.string()),
            pa.array(np.zeros(len(one), bool) if mirrored is None else mirrored),
            pa.array(np.zeros(len(one), np.uint8) if rank is None else rank),
        ],
        schema=candidates.SCHEMA,
    )


def _alike(items: list[_Item]) -> tuple[list[_Item], list[tuple[str, str]]]:
    """Return the items whose thumbnails differ, and pairs of each other item with its equal.

    So copies with equal pixels are all found, however many there are.
    """
    first: dict[object, _Item] = {}
    pairs = set[tuple[str, str]]()
    for item in items:
        picture = (
            xxhash.xxh3_128_digest(item.thumbnails),
            item.group,
            item.side,
            item.clip,
            item.frame,
        )
        same = first.setdefault(picture, item)
        if same.digest != item.digest:
            pairs.add((same.digest, item.digest))  # items are in order of digest
    return list(first.values()), sorted(pairs)


def _run(unit: Unit[DenseBucketInput], context: UnitContext) -> Result:
    payload = unit.payload
    folder = Folder(payload.pairs)
    names = dense(folder, payload.kind, payload.dedup.dense_buckets.max_neighbours)
    groups: dict[tuple[int, int], list[_Item]] = {}
    items, alike = _alike(_items(payload, names))
    for item in items:
        groups.setdefault(item.group, []).append(item)
    found = len(alike)
    path = context.out / f"{unit.name}{candidates.SUFFIX}"
    with pq.ParquetWriter(path, candidates.SCHEMA, compression="zstd") as out:
        same = np.array(alike, dtype=str).reshape(-1, 2)
        out.write_batch(_batch(same[:, 0], same[:, 1], payload.kind))
        for _, items in sorted(groups.items()):
            for batch in _near(payload, items) if len(items) > 1 else ():
                out.write_batch(batch)
                found += len(batch)
    pq.write_table(
        pa.table({"digest": pa.array(sorted(names), pa.string())}),
        context.out / f"{unit.name}{candidates.DENSE_SUFFIX}",
    )
    not_compared = sum(
        int(m.stats["not_compared"]) for m in manifests(folder) if m.stats["kind"] == payload.kind
    )
    return Result(
        accounting=RowAccounting(),
        stats={"pairs": found, "dense": len(names), "not_compared": not_compared},
    )


STAGE = Stage(name="dense-buckets", version=1, run=_run)


def units(
    pairs: Folder, media: MediaTables, dedup: Dedup, against: MediaTables | None
) -> list[Unit[DenseBucketInput]]:
    """Return one unit for each kind of medium that has candidates."""
    kinds = sorted({str(m.stats["kind"]) for m in manifests(pairs)})
    return [
        Unit(
            name=f"dense-{kind}",
            inputs={"pairs": stage_record(pairs).digest}
            | media.digests()
            | (against.digests() if against else {}),
            params={
                "images": dedup.images.model_dump(mode="json"),
                "videos": dedup.videos.model_dump(mode="json"),
                "dense buckets": dedup.dense_buckets.model_dump(mode="json"),
            },
            payload=DenseBucketInput(
                pairs=pairs.url, media=media, against=against, kind=kind, dedup=dedup
            ),
        )
        for kind in kinds
    ]


def counts(folder: Folder) -> dict[str, dict[str, int]]:
    """Return, by kind of medium: media in dense buckets, their pairs compared and not compared."""
    return {
        m.unit.removeprefix("dense-"): {
            k: int(m.stats[k]) for k in ("dense", "not_compared", "pairs")
        }
        for m in manifests(folder)
        if m.stats["dense"]
    }

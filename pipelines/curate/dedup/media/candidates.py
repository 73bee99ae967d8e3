"""Stage "candidates": pairs of media whose perceptual hashes are close. Hashes only propose.

One unit a band of the hash; each pair comes from one band only. A picture's own hash is
searched among the hashes of the other's crops and their mirror images. A benchmark's pictures are
searched among the frames of clips too, and its clips' frames among pictures.

Equal hashes are searched once. A hash close to those of more than `max_neighbours` media is dense:
pairs of two dense hashes are counted but not written, and their media are listed for
`dense_buckets`. So each search writes at most `max_neighbours` pairs a medium.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup.media import hamming
from smolmix.pipelines.curate.dedup.media.hash_search import Column, Digests, Search, Table
from smolmix.pipelines.curate.dedup.media.tables import MIN_SPREAD, MediaTables
from smolmix.pipelines.curate.measure.fingerprints import CROPS
from smolmix.pipelines.curate.settings import Dedup

SUFFIX = ".pairs.parquet"
DENSE_SUFFIX = ".dense.parquet"
_KINDS = {"image": ("image",), "video": ("video", "frames")}
_SMALL_BITS = 2  # small pictures are compared pixel on pixel: nothing was cropped or scaled
SCHEMA = pa.schema(
    [
        ("one", pa.string()),
        ("other", pa.string()),
        ("kind", pa.string()),  # image | video | frame: a picture and a clip
        ("mirrored", pa.bool_()),
        ("bits", pa.uint8()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateInput:
    """Which media are paired, in which band of which hash."""

    media: MediaTables
    against: MediaTables | None  # only pairs of one of these and one of `media`
    kind: str
    band: int
    max_bits: int
    max_neighbours: int  # a hash close to those of more media is dense
    crops: bool
    flips: bool
    min_edge_px: int
    small: bool  # only pictures below `min_edge_px`, or only the others


def _load(media: MediaTables, payload: CandidateInput, kind: str) -> Table:
    """Return the distinct media of a kind, by digest, with all their hashes."""
    columns = ["digest", "kind", "spread", "hashes", "error", "width", "height"]
    wanted = ((pl.col("kind") == "image") == (kind == "image")) & (pl.col("error") == "")
    wanted &= (pl.col("spread") > MIN_SPREAD) & (pl.col("hashes").list.len() > 0)
    if kind == "image":
        small = pl.max_horizontal("width", "height") < payload.min_edge_px
        wanted &= small == payload.small
    digests, hashes = dict[int, list[Digests]](), dict[int, list[hamming.Hashes]]()
    for batch in media.batches(columns):
        frame = pl.DataFrame(batch).filter(wanted)
        for (count,), rows in frame.group_by(pl.col("hashes").list.len()):
            found = rows["hashes"].explode().to_numpy().reshape(len(rows), -1)
            if kind == "image" and count == 2:  # a small picture has no crops
                found = np.repeat(found, len(CROPS), axis=1)
            digests.setdefault(found.shape[1], []).append(rows["digest"].to_numpy().astype("S32"))
            hashes.setdefault(found.shape[1], []).append(found)
    if not hashes:
        return Table(digests=np.zeros(0, "S32"), hashes=np.zeros((0, 0), np.uint64))
    most = max(hashes)
    # Popped, so that at most two copies of either are in memory.
    names, first = np.unique(np.concatenate(digests.pop(most)), return_index=True)
    return Table(digests=names, hashes=np.concatenate(hashes.pop(most))[first])


def _searches(table: Table, payload: CandidateInput) -> Iterator[tuple[int, int, bool]]:
    """Yield (column searched for, column searched in, mirrored)."""
    wide = table.hashes.shape[1] // 2
    if payload.kind == "image":
        assert wide in (0, len(CROPS))
        for column in range(wide if payload.crops else min(1, wide)):
            yield 0, column, False
            if payload.flips:
                yield 0, wide + column, True
        return
    for frame in range(wide):
        yield frame, frame, False
        if payload.flips:
            yield frame, wide + frame, True


def _columns(payload: CandidateInput) -> Iterator[tuple[Column, Column, bool]]:
    """Yield (hashes searched for, hashes searched in, mirrored); one column twice: within it."""
    mine, others = payload.media, payload.against
    if payload.kind == "frame":
        assert others is not None
        for pictures, clips in ((mine, others), (others, mine)):
            tables = _load(pictures, payload, "image"), _load(clips, payload, "video")
            for mirrored in (False, True) if payload.flips else (False,):
                whole = Column.of(tables[0], len(CROPS) * mirrored)
                for frame in range(tables[1].hashes.shape[1] // 2):
                    yield whole, Column.of(tables[1], frame), mirrored
        return
    table = _load(mine, payload, payload.kind)
    second = _load(others, payload, payload.kind) if others else table
    for one, other in [(table, second)] if second is table else [(table, second), (second, table)]:
        for asked, among, mirrored in _searches(one, payload):
            a = Column.of(one, asked)
            b = a if one is other and asked == among else Column.of(other, among)
            yield a, b, mirrored


def _run(unit: Unit[CandidateInput], context: UnitContext) -> Result:
    payload = unit.payload
    found, not_compared, dense = 0, 0, set[str]()
    with pq.ParquetWriter(context.out / f"{unit.name}{SUFFIX}", SCHEMA, compression="zstd") as out:
        for one, other, mirrored in _columns(payload):
            search = Search(
                one,
                other,
                band=payload.band,
                max_bits=payload.max_bits,
                limit=payload.max_neighbours,
            )
            not_compared += search.not_compared
            dense.update(search.dense())
            for a, b, bits in search.pairs():
                columns = [
                    pa.array(np.where(a < b, a, b).astype(str)),
                    pa.array(np.where(a < b, b, a).astype(str)),
                    pa.array([payload.kind] * len(a), pa.string()),
                    pa.array([mirrored] * len(a), pa.bool_()),
                    pa.array(bits),
                ]
                out.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
                found += len(a)
    names = pa.array(sorted(dense), pa.string())
    kinds = pa.array([payload.kind] * len(names), pa.string())
    pq.write_table(
        pa.table({"kind": kinds, "digest": names}), context.out / f"{unit.name}{DENSE_SUFFIX}"
    )
    stats = {"kind": payload.kind, "pairs": found, "not_compared": not_compared}
    return Result(accounting=RowAccounting(), stats=stats)


STAGE = Stage(name="candidates", version=3, run=_run)


def units(
    media: MediaTables, dedup: Dedup, against: MediaTables | None = None
) -> list[Unit[CandidateInput]]:
    """Return one unit a band of each kind of medium that the policy compares."""
    found: list[Unit[CandidateInput]] = []
    inputs = media.digests() | (against.digests() if against else {})
    others, images = against or media, dedup.images
    pictures, clips = (tuple(p.count(k) for p in (media, others)) for k in _KINDS.values())
    few = 1 if against else 2
    crossing = bool(against) and (pictures[0] * clips[1] or clips[0] * pictures[1])
    for kind, there, max_bits in (
        ("image", images.enabled and min(pictures) >= few, images.max_bits),
        ("small", images.enabled and min(pictures) >= few, min(_SMALL_BITS, images.max_bits)),
        ("video", dedup.videos.enabled and min(clips) >= few, dedup.videos.max_bits),
        ("frame", images.enabled and crossing, images.max_bits),
    ):
        for band in range(hamming.bands_for(max_bits) if there else 0):
            crops = images.crops and kind != "small"
            found.append(
                Unit(
                    name=f"{kind}-{band:02d}",
                    inputs=inputs,
                    params={
                        "bits": max_bits,
                        "neighbours": dedup.dense_buckets.max_neighbours,
                        "crops": crops,
                        "flips": images.flips,
                        "min_edge_px": images.min_edge_px,
                    },
                    payload=CandidateInput(
                        media=media,
                        against=against,
                        kind="image" if kind == "small" else kind,
                        band=band,
                        max_bits=max_bits,
                        max_neighbours=dedup.dense_buckets.max_neighbours,
                        crops=crops,
                        flips=images.flips,
                        min_edge_px=images.min_edge_px,
                        small=kind == "small",
                    ),
                )
            )
    return found

"""Stage "exact": samples whose normalised text and media are the same, by partition of a hash.

Media are the same when their bytes are, or when the comparison of pixels joined them
(`smolmix.pipelines.dedup.clusters`). Of the copies the one stays that comes first by: held out
before train; more pixels; id. Held-out samples never leave: evaluation sets stay as published,
and a training sample equal to one of them is contamination.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow.parquet as pq
import xxhash

from smolmix.engine import Result, Stage, Unit, UnitContext
from smolmix.pipelines.dedup import verdicts
from smolmix.pipelines.dedup.clusters import Clusters
from smolmix.pipelines.dedup.verdicts import Verdict
from smolmix.pipelines.filters.stage import SUFFIX
from smolmix.sample import Tally
from smolmix.storage import Folder

PARTITION_ROWS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a worker needs beside the unit's key."""

    filtered: str
    parts: tuple[str, ...]
    clusters: str  # folder of media clusters, or ""
    partition: int
    partitions: int
    same_image: str


def partitions_for(samples: int) -> int:
    """Return how many partitions keep each below `PARTITION_ROWS` rows."""
    return max(1, -(-samples // PARTITION_ROWS))


def _key(text_hash: str, media: Sequence[str]) -> int:
    return xxhash.xxh3_64_intdigest("\x00".join((text_hash, *media)).encode())


def _rows(payload: Payload, canonical: Mapping[str, str]) -> pl.DataFrame:
    """Return the partition's surviving rows, the media by their clusters."""
    folder, frames = Folder(payload.filtered), []
    for part in payload.parts:
        with folder.open(part + SUFFIX) as stream:
            table = pq.read_table(
                stream,
                columns=["row", "id", "split", "text_hash", "media", "pixels"],
                filters=[("reason", "=", "")],
            )
        kept: dict[str, list[object]] = {n: [] for n in ("row", "id", "held", "pixels", "key")}
        raw: list[str] = []
        for row in table.to_pylist():
            media = row["media"]
            if payload.same_image == "one" and media:
                key = _key("", [canonical.get(d, d) for d in media])
            else:
                key = _key(row["text_hash"], [canonical.get(d, d) for d in media])
            if key % payload.partitions != payload.partition:
                continue
            kept["row"].append(row["row"])
            kept["id"].append(row["id"])
            kept["held"].append(row["split"] == "heldout")
            kept["pixels"].append(row["pixels"])
            kept["key"].append(key)
            raw.append(f"{row['text_hash']} {' '.join(media)}")
        frames.append(
            pl.DataFrame(
                kept | {"raw": raw, "part": [part] * len(raw)},
                schema={
                    "row": pl.Int64,
                    "id": pl.String,
                    "held": pl.Boolean,
                    "pixels": pl.Int64,
                    "key": pl.UInt64,
                    "raw": pl.String,
                    "part": pl.String,
                },
            )
        )
    return pl.concat(frames)


def _run(unit: Unit, context: UnitContext) -> Result:
    payload = unit.payload
    assert isinstance(payload, Payload)
    clusters = Clusters.load(Folder(payload.clusters)) if payload.clusters else Clusters({})
    rows = _rows(payload, clusters.canonical)
    order = ["key", "held", "pixels", "id", "part", "row"]
    rows = rows.filter(pl.len().over("key") > 1).sort(
        order, descending=[False, True, True, False, False, False]
    )
    found, reasons = list[Verdict](), dict[str, int]()
    for _, group in rows.group_by("key", maintain_order=True):
        first, *others = group.to_dicts()
        for one in others:
            if one["held"]:
                continue
            same = one["raw"] == first["raw"]
            verdict = _verdict(payload, one, first, same, clusters)
            reasons[verdict.reason] = reasons.get(verdict.reason, 0) + 1
            found.append(verdict)
    verdicts.write(context.out / f"{unit.name}{verdicts.SUFFIX}", found)
    return Result(tally=Tally(), stats={"reasons": dict(sorted(reasons.items()))})


def _verdict(
    payload: Payload,
    one: Mapping[str, object],
    first: Mapping[str, object],
    same: bool,
    clusters: Clusters,
) -> Verdict:
    if first["held"]:
        stage, reason = "decontaminate", "contaminated-heldout"
    elif payload.same_image == "one" and not _same_text(one, first):
        stage, reason = "dedup", "same-image"
    else:
        stage, reason = "dedup", "duplicate-exact" if same else "duplicate-near-media"
    detail = "" if same else clusters.why(str(one["raw"]).split()[1:])
    return Verdict(
        part=str(one["part"]),
        row=int(str(one["row"])),
        id=str(one["id"]),
        stage=stage,
        reason=reason,
        detail=detail,
        kept_id=str(first["id"]),
    )


def _same_text(one: Mapping[str, object], first: Mapping[str, object]) -> bool:
    return str(one["raw"]).split()[0] == str(first["raw"]).split()[0]


STAGE = Stage(name="exact", version=1, run=_run)


def units(
    filtered: Folder,
    parts: Sequence[str],
    samples: int,
    *,
    inputs: Mapping[str, str],
    clusters: Folder | None,
    same_image: str,
) -> list[Unit]:
    """Return one unit a partition of the samples' keys."""
    count = partitions_for(samples)
    return [
        Unit(
            name=f"exact-{number:05d}",
            inputs=inputs,
            params={"partitions": count, "same_image": same_image},
            payload=Payload(
                filtered=filtered.url,
                parts=tuple(parts),
                clusters=clusters.url if clusters else "",
                partition=number,
                partitions=count,
                same_image=same_image,
            ),
        )
        for number in range(count)
    ]

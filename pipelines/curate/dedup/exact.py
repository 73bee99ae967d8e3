"""Step "exact": samples whose normalised text and media are the same, by partition of a hash.

Media are the same when their bytes are, or when the comparison of pixels joined them
(`smolmix.pipelines.curate.dedup.clusters`). The kept copy is the first by: held out before train;
rank of its corpus; more pixels; id. Held-out samples are never removed: evaluation sets stay as
published, and a training sample equal to one of them is contamination.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import xxhash

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup import merge
from smolmix.pipelines.curate.dedup.clusters import Clusters
from smolmix.pipelines.curate.dedup.inputs import DedupInput, input_digests, ranks
from smolmix.pipelines.curate.steps import Steps
from smolmix.removals import Removal
from smolmix.storage import Folder
from smolmix.workspace import stage_record

PARTITION_ROWS = 500_000

_TABLE = {
    "key": pl.UInt64,
    "held": pl.Boolean,
    "rank": pl.Int64,
    "pixels": pl.Int64,
    "id": pl.String,
    "part": pl.String,
    "row": pl.Int64,
    "corpus": pl.String,
    "raw": pl.String,  # text hash and media digests
}
_ORDER = ["key", "held", "rank", "pixels", "id", "part", "row"]
_LARGER_FIRST = [False, True, False, True, False, False, False]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactInput:
    """A partition of the samples of some corpora."""

    inputs: tuple[DedupInput, ...]
    across: bool  # only copies in different corpora
    clusters: str  # folder of media clusters, or ""
    partition: int
    partitions: int
    same_image: str


def partitions_for(samples: int) -> int:
    """Return how many partitions keep each below `PARTITION_ROWS` rows."""
    return max(1, -(-samples // PARTITION_ROWS))


def _key(text_hash: str, media: Sequence[str]) -> int:
    return xxhash.xxh3_64_intdigest("\x00".join((text_hash, *media)).encode())


def _rows(payload: ExactInput, canonical: Mapping[str, str]) -> pl.DataFrame:
    """Return the partition's surviving rows, keyed by text and clusters of media."""
    frames = [pl.DataFrame(schema=_TABLE)]
    columns = ["id", "split", "text_hash", "media", "pixels"]
    for corpus_input in payload.inputs:
        for part in corpus_input.parts():
            found: list[tuple[object, ...]] = []
            heads = (
                merge.text_hashes(Folder(corpus_input.merged), part) if corpus_input.merged else {}
            )
            for row in corpus_input.rows(part, columns):
                media, said = row["media"], heads.get(row["row"], row["text_hash"])
                alone = payload.same_image == "one" and media
                shown = [canonical.get(d, d) for d in media]
                key = _key("" if alone else said, shown)
                if key % payload.partitions == payload.partition:
                    held = row["split"] == "heldout"
                    raw = f"{said} {' '.join(media)}"
                    place = (row["id"], part, row["row"], corpus_input.corpus, raw)
                    found.append((key, held, corpus_input.rank, row["pixels"], *place))
            frames.append(pl.DataFrame(found, schema=_TABLE, orient="row"))
    return pl.concat(frames)


def _run(unit: Unit[ExactInput], context: UnitContext) -> Result:
    payload = unit.payload
    clusters = Clusters.load(Folder(payload.clusters)) if payload.clusters else Clusters({})
    rows = _rows(payload, clusters.canonical)
    rows = rows.filter(pl.len().over("key") > 1).sort(_ORDER, descending=_LARGER_FIRST)
    found = list[Removal]()
    for _, group in rows.group_by("key", maintain_order=True):
        first, *others = group.to_dicts()
        for one in others:
            if one["held"] or (payload.across and one["corpus"] == first["corpus"]):
                continue
            found.append(_removal(one, first, clusters))
    removals.write(context.out / f"{unit.name}{removals.SUFFIX}", found)
    return Result(accounting=RowAccounting(), stats={"removals": len(found)})


def _removal(one: Mapping[str, object], first: Mapping[str, object], clusters: Clusters) -> Removal:
    text, *media = str(one["raw"]).split()
    same = one["raw"] == first["raw"]
    stage, reason = "dedup", "duplicate-exact" if same else "duplicate-near-media"
    if first["held"]:
        stage, reason = "decontaminate", "contaminated-heldout"
    elif text != str(first["raw"]).split()[0]:
        reason = "same-image"
    return Removal(
        part=str(one["part"]),
        row=int(str(one["row"])),
        id=str(one["id"]),
        stage=stage,
        reason=reason,
        detail="" if same else clusters.why(media),
        kept_id=str(first["id"]),
    )


STAGE = Stage(name="exact", version=1, run=_run)


def find(
    steps: Steps,
    name: str,
    inputs: Sequence[DedupInput],
    samples: int,
    *,
    clusters: Folder | None,
    same_image: str,
    across: bool = False,
) -> Folder:
    """Find exact duplicates and return the folder of their removals.

    Args:
        steps: how steps run.
        name: of the corpus, or of the set of corpora.
        inputs: the corpora.
        samples: how many they have.
        clusters: confirmed pairs of media that show the same; None: only equal bytes are the same.
        same_image: as in `Dedup`.
        across: only copies in different corpora.
    """
    count = partitions_for(samples)
    depends = input_digests(inputs)
    if clusters is not None:
        depends["clusters"] = stage_record(clusters).digest
    units = [
        Unit(
            name=f"exact-{number:05d}",
            inputs=depends,
            params={
                "partitions": count,
                "same_image": same_image,
                "ranks": ranks(inputs),
                "across": across,
            },
            payload=ExactInput(
                inputs=tuple(inputs),
                across=across,
                clusters=clusters.url if clusters else "",
                partition=number,
                partitions=count,
                same_image=same_image,
            ),
        )
        for number in range(count)
    ]
    return steps.run(STAGE, units, name)

"""Near duplicates among texts: bands of MinHash signatures propose, whole signatures decide.

Stage "bands", one unit a band, writes the pairs whose estimated similarity is high enough;
stage "texts" joins the pairs and writes verdicts. Only columns are read: of a million texts a
band is 16 MB, and signatures only of those that share a band with another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smolmix.engine import Result, Stage, Unit, UnitContext
from smolmix.pipelines.dedup import minhash, origins, verdicts
from smolmix.pipelines.dedup.clusters import UnionFind
from smolmix.pipelines.dedup.origins import Origin
from smolmix.pipelines.dedup.verdicts import Verdict
from smolmix.pipelines.filters.policy import TextDedup
from smolmix.sample import Tally
from smolmix.storage import Folder, part_files, stage_record

PAIRS = ".textpairs.parquet"
_ALL_PAIRS = 32  # texts of one band key compared all with all; more: each with the first of them
_SCHEMA = pa.schema([("one", pa.int64()), ("other", pa.int64()), ("similarity", pa.float32())])
_PART_ROWS = 1 << 32  # a text is named by (number of its part, row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a worker needs beside the unit's key."""

    origins: tuple[Origin, ...]
    policy: TextDedup
    band: int = 0
    pairs: str = ""
    across: bool = False


def _parts(payload: Payload) -> Iterator[tuple[int, Origin, str]]:
    number = 0
    for origin in payload.origins:
        for part in origin.parts():
            yield number, origin, part
            number += 1


def _column(payload: Payload, name: str) -> pl.DataFrame:
    """Return (text, value) of one column of all surviving texts."""
    frames = [pl.DataFrame(schema={"text": pl.Int64, "value": pl.UInt64})]
    for number, origin, part in _parts(payload):
        taken = verdicts.of_part(map(Folder, origin.gone), part)
        with Folder(origin.filtered).open(part + minhash.SUFFIX) as stream:
            table = pq.read_table(stream, columns=["row", name])
        frame = pl.DataFrame(table).filter(~pl.col("row").is_in(list(taken)))
        frames.append(
            frame.select(
                (pl.col("row") + number * _PART_ROWS).alias("text"),
                pl.col(name).cast(pl.UInt64).alias("value"),
            )
        )
    return pl.concat(frames)


def _signatures(
    payload: Payload, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint64]]:
    """Return (texts in order, their signatures, keys of their numbers) of the wanted texts."""
    width = payload.policy.bands * payload.policy.rows
    texts, signatures, numbers = [], [], []
    for number, origin, part in _parts(payload):
        with Folder(origin.filtered).open(part + minhash.SUFFIX) as stream:
            file = pq.ParquetFile(stream)
            for batch in file.iter_batches(columns=["row", "numbers", "signature"]):
                names = batch.column("row").to_numpy() + number * _PART_ROWS
                mine = np.flatnonzero(np.isin(names, wanted))
                if len(mine):
                    some = batch.take(pa.array(mine))
                    texts.append(names[mine])
                    numbers.append(some.column("numbers").to_numpy())
                    joined = b"".join(some.column("signature").to_pylist())
                    signatures.append(np.frombuffer(joined, np.uint32).reshape(-1, width))
    if not texts:
        return np.zeros(0, np.int64), np.zeros((0, width), np.uint32), np.zeros(0, np.uint64)
    return np.concatenate(texts), np.concatenate(signatures), np.concatenate(numbers)


def _proposed(groups: pl.DataFrame) -> Iterator[tuple[int, int]]:
    for (texts,) in groups.iter_rows():
        if len(texts) <= _ALL_PAIRS:
            yield from ((a, b) for i, a in enumerate(texts) for b in texts[i + 1 :])
        else:
            yield from ((texts[0], b) for b in texts[1:])
            yield from pairwise(texts)


def _run_band(unit: Unit, context: UnitContext) -> Result:
    payload = unit.payload
    assert isinstance(payload, Payload)
    column = _column(payload, f"band{payload.band:02d}")
    groups = (
        column.filter(pl.len().over("value") > 1)
        .sort("value", "text")
        .group_by("value", maintain_order=True)
        .agg("text")
        .select("text")
    )
    proposed = np.array(list(_proposed(groups)), dtype=np.int64).reshape(-1, 2)
    texts, signatures, numbers = _signatures(payload, np.unique(proposed))
    order = np.argsort(texts)
    a, b = (order[np.searchsorted(texts, proposed[:, i], sorter=order)] for i in (0, 1))
    similarity = np.zeros(len(a), np.float32)
    for at in range(0, len(a), 65_536):
        block = slice(at, at + 65_536)
        similarity[block] = (signatures[a[block]] == signatures[b[block]]).mean(axis=1)
    good = similarity >= payload.policy.min_similarity
    if payload.policy.numbers == "must-match":
        good &= numbers[a] == numbers[b]
    table = pa.table(
        [pa.array(proposed[good, 0]), pa.array(proposed[good, 1]), pa.array(similarity[good])],
        schema=_SCHEMA,
    )
    pq.write_table(table, context.out / f"{unit.name}{PAIRS}", compression="zstd")
    return Result(tally=Tally(), stats={"proposed": len(a), "alike": int(good.sum())})


BANDS = Stage(name="bands", version=1, run=_run_band)


def _pairs(folder: Folder) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for name in part_files(folder, PAIRS):
        with folder.open(name) as stream:
            for row in pq.read_table(stream).to_pylist():
                found[row["one"], row["other"]] = row["similarity"]
    return found


def _named(payload: Payload, wanted: set[int]) -> dict[int, tuple[Origin, str, Mapping[str, int]]]:
    """Return where each wanted text lies, with its id and length."""
    found: dict[int, tuple[Origin, str, Mapping[str, int]]] = {}
    for number, origin, part in _parts(payload):
        with Folder(origin.filtered).open(part + minhash.SUFFIX) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(columns=["row", "id", "chars"]):
                for row in batch.to_pylist():
                    if (text := row["row"] + number * _PART_ROWS) in wanted:
                        found[text] = origin, part, row
    return found


def _run_join(unit: Unit, context: UnitContext) -> Result:
    payload = unit.payload
    assert isinstance(payload, Payload)
    pairs, union = _pairs(Folder(payload.pairs)), UnionFind()
    best: dict[int, float] = {}
    for (one, other), similarity in sorted(pairs.items()):
        union.join(f"{one:020d}", f"{other:020d}")
        for text in (one, other):
            best[text] = max(best.get(text, 0.0), similarity)
    groups: dict[str, list[int]] = {}
    for name, root in union.sets().items():
        groups.setdefault(root, []).append(int(name))
    places, found = _named(payload, set(best)), list[Verdict]()
    for texts in groups.values():
        ranked = sorted(
            texts, key=lambda t: (places[t][0].rank, -places[t][2]["chars"], places[t][2]["id"])
        )
        kept = places[ranked[0]]
        for text in ranked[1:]:
            origin, part, row = places[text]
            if payload.across and origin.corpus == kept[0].corpus:
                continue
            found.append(
                Verdict(
                    part=part,
                    row=row["row"],
                    id=str(row["id"]),
                    stage="dedup",
                    reason="duplicate-near-text",
                    detail=f"similarity {best[text]:.2f}",
                    kept_id=str(kept[2]["id"]),
                )
            )
    verdicts.write(context.out / f"{unit.name}{verdicts.SUFFIX}", found)
    return Result(tally=Tally(), stats={"verdicts": len(found), "clusters": len(groups)})


TEXTS = Stage(name="texts", version=1, run=_run_join)


def band_units(sources: Sequence[Origin], policy: TextDedup) -> list[Unit]:
    """Return one unit a band."""
    depends = origins.inputs(sources)
    return [
        Unit(
            name=f"band-{band:03d}",
            inputs=depends,
            params={"band": band, "policy": policy.model_dump(mode="json")},
            payload=Payload(origins=tuple(sources), policy=policy, band=band),
        )
        for band in range(policy.bands)
    ]


def join_units(
    sources: Sequence[Origin], policy: TextDedup, pairs: Folder, *, across: bool = False
) -> list[Unit]:
    """Return the one unit that turns pairs into verdicts."""
    return [
        Unit(
            name="texts-00000",
            inputs={"pairs": stage_record(pairs).digest},
            params={"ranks": origins.ranks(sources), "across": across},
            payload=Payload(origins=tuple(sources), policy=policy, pairs=pairs.url, across=across),
        )
    ]

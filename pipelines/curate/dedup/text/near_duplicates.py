"""Near duplicates among texts: bands of MinHash signatures propose, full signatures decide.

Step "text-bands", one unit a band, writes the pairs that share a band; step "text-pairs", one
unit a partition of the pairs, keeps those whose signatures are similar enough, each once; step
"near-text" joins those pairs and writes removals. Only columns are read: a band of a million texts
is 16 MB, and signatures are read only for the texts of one partition's pairs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup.inputs import DedupInput, input_digests, ranks
from smolmix.pipelines.curate.dedup.text import minhash
from smolmix.pipelines.curate.settings import TextDedup
from smolmix.pipelines.curate.steps import Steps
from smolmix.storage import Folder
from smolmix.workspace import manifests, part_files, stage_record

PAIRS_SUFFIX = ".textpairs.parquet"
PARTITION_PAIRS = 500_000  # proposed: at most twice as many signatures of 480 bytes
_ALL_PAIRS = 32  # texts of one band key compared all with all; more: each with the first of them
_PART_ROWS = 1 << 32  # a text is named by (number of its part, row)
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NearTextInput:
    """The texts of some corpora, and the band or partition to work on."""

    inputs: tuple[DedupInput, ...]
    settings: TextDedup
    band: int = 0
    partition: int = 0
    partitions: int = 1
    pairs: str = ""
    across: bool = False


def _parts(payload: NearTextInput) -> Iterator[tuple[int, DedupInput, str]]:
    number = 0
    for corpus_input in payload.inputs:
        for part in corpus_input.parts():
            yield number, corpus_input, part
            number += 1


def _column(payload: NearTextInput, name: str) -> pl.DataFrame:
    """Return (text, value) of one column of all surviving texts."""
    frames = [pl.DataFrame(schema={"text": pl.Int64, "value": pl.UInt64})]
    for number, corpus_input, part in _parts(payload):
        removed = corpus_input.removed_rows(part)
        with Folder(corpus_input.filtered).open(part + minhash.SUFFIX) as stream:
            table = pq.read_table(stream, columns=["row", name])
        frame = pl.DataFrame(table).filter(~pl.col("row").is_in(removed))
        frames.append(
            frame.select(
                (pl.col("row") + number * _PART_ROWS).alias("text"),
                pl.col(name).cast(pl.UInt64).alias("value"),
            )
        )
    return pl.concat(frames)


def _proposed(groups: pl.DataFrame) -> Iterator[tuple[int, int]]:
    for (texts,) in groups.iter_rows():
        if len(texts) <= _ALL_PAIRS:
            yield from ((a, b) for i, a in enumerate(texts) for b in texts[i + 1 :])
        else:
            yield from ((texts[0], b) for b in texts[1:])
            yield from pairwise(texts)


def _run_band(unit: Unit[NearTextInput], context: UnitContext) -> Result:
    payload = unit.payload
    column = _column(payload, f"band{payload.band:02d}")
    groups = (
        column.filter(pl.len().over("value") > 1)
        .sort("value", "text")
        .group_by("value", maintain_order=True)
        .agg("text")
        .select("text")
    )
    pairs = np.array(list(_proposed(groups)), dtype=np.int64).reshape(-1, 2)
    pl.DataFrame({"one": pairs[:, 0], "other": pairs[:, 1]}).write_parquet(
        context.out / f"{unit.name}{PAIRS_SUFFIX}"
    )
    return Result(accounting=RowAccounting(), stats={"proposed": len(pairs)})


BANDS = Stage(name="text-bands", version=2, run=_run_band)


def _of_partition(payload: NearTextInput) -> pl.DataFrame:
    """Return the pairs of the partition, each once, in order."""
    frames = [pl.DataFrame(schema={"one": pl.Int64, "other": pl.Int64})]
    folder = Folder(payload.pairs)
    for name in part_files(folder, PAIRS_SUFFIX):
        with folder.open(name) as stream:
            pairs = pl.read_parquet(stream)
        mixed = pairs["one"].to_numpy() * 31 + pairs["other"].to_numpy()
        mixed = (mixed ^ (mixed >> 29)) % payload.partitions
        frames.append(pairs.filter(pl.Series(mixed == payload.partition)))
    return pl.concat(frames).unique().sort("one", "other")


def _signatures(
    payload: NearTextInput, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """Return the signatures of the wanted texts, which are in order, and keys of their numbers."""
    width = payload.settings.bands * payload.settings.rows
    signatures = np.zeros((len(wanted), width), np.uint32)
    numbers = np.zeros(len(wanted), np.uint64)
    for number, corpus_input, part in _parts(payload):
        with Folder(corpus_input.filtered).open(part + minhash.SUFFIX) as stream:
            file = pq.ParquetFile(stream)
            for batch in file.iter_batches(columns=["row", "numbers", "signature"]):
                names = batch.column("row").to_numpy() + number * _PART_ROWS
                mine = slice(*np.searchsorted(wanted, [names[0], names[-1] + 1]))
                rows = np.searchsorted(names, wanted[mine])
                numbers[mine] = batch.column("numbers").to_numpy()[rows]
                column = batch.column("signature")
                data = np.frombuffer(column.buffers()[1], np.uint32).reshape(-1, width)
                signatures[mine] = data[column.offset :][rows]
    return signatures, numbers


def _run_pairs(unit: Unit[NearTextInput], context: UnitContext) -> Result:
    payload = unit.payload
    pairs = _of_partition(payload)
    ends = pairs.to_numpy().reshape(-1, 2)
    wanted = np.unique(ends)
    signatures, numbers = _signatures(payload, wanted)
    a, b = (np.searchsorted(wanted, ends[:, i]) for i in (0, 1))
    similarity = np.zeros(len(a), np.float32)
    for at in range(0, len(a), _BLOCK):
        block = slice(at, at + _BLOCK)
        similarity[block] = (signatures[a[block]] == signatures[b[block]]).mean(axis=1)
    good = similarity >= payload.settings.min_similarity
    if payload.settings.numbers == "must-match":
        good &= numbers[a] == numbers[b]
    found = pairs.with_columns(similarity=pl.Series(similarity)).filter(pl.Series(good))
    found.write_parquet(context.out / f"{unit.name}{PAIRS_SUFFIX}")
    return Result(accounting=RowAccounting(), stats={"compared": len(a), "alike": len(found)})


PAIRS = Stage(name="text-pairs", version=1, run=_run_pairs)


def _named(payload: NearTextInput, wanted: pl.DataFrame) -> pl.DataFrame:
    """Return the wanted texts with their places, ids and lengths."""
    frames = [wanted.head(0).with_columns(
        row=pl.lit(0, pl.Int64), id=pl.lit(""), chars=pl.lit(0, pl.Int64), part=pl.lit(""),
        rank=pl.lit(0, pl.Int64), corpus=pl.lit(""),
    )]  # fmt: skip
    for number, corpus_input, part in _parts(payload):
        with Folder(corpus_input.filtered).open(part + minhash.SUFFIX) as stream:
            table = pl.DataFrame(pq.read_table(stream, columns=["row", "id", "chars"]))
        named = wanted.join(
            table.with_columns(text=pl.col("row") + number * _PART_ROWS), on="text", how="inner"
        )
        frames.append(
            named.with_columns(
                part=pl.lit(part),
                rank=pl.lit(corpus_input.rank, pl.Int64),
                corpus=pl.lit(corpus_input.corpus),
            )
        )
    return pl.concat(frames)


def _groups(pairs: pl.DataFrame) -> pl.DataFrame:
    """Return each text of the pairs with its group and the best similarity it was found by."""
    ends = pairs.select("one", "other").to_numpy().reshape(-1, 2)
    texts, at = np.unique(ends, return_inverse=True)
    at = at.reshape(-1, 2)
    graph = coo_array((np.ones(len(at), np.int8), (at[:, 0], at[:, 1])), (len(texts),) * 2)
    groups = connected_components(graph, directed=False)[1] if len(texts) else texts
    best = np.zeros(len(texts), np.float32)
    for side in (0, 1):
        np.maximum.at(best, at[:, side], pairs["similarity"].to_numpy())
    return pl.DataFrame({"text": texts, "group": groups, "best": best})


def _run_join(unit: Unit[NearTextInput], context: UnitContext) -> Result:
    payload = unit.payload
    folder = Folder(payload.pairs)
    frames = [pl.DataFrame(schema={"one": pl.Int64, "other": pl.Int64, "similarity": pl.Float32})]
    for name in part_files(folder, PAIRS_SUFFIX):
        with folder.open(name) as stream:
            frames.append(pl.read_parquet(stream))
    named = _named(payload, _groups(pl.concat(frames))).sort(
        "group", "rank", "chars", "id", descending=[False, False, True, False]
    )
    others = named.with_columns(
        kept_id=pl.col("id").first().over("group"),
        first=pl.col("text") == pl.col("text").first().over("group"),
        home=pl.col("corpus") == pl.col("corpus").first().over("group"),
    ).filter(~pl.col("first") & ~(pl.col("home") & payload.across))
    found = others.select(
        "part",
        "row",
        "id",
        stage=pl.lit("dedup"),
        reason=pl.lit("duplicate-near-text"),
        detail=pl.concat_str(pl.lit("similarity "), pl.col("best").map_elements(_two, pl.String)),
        kept_id="kept_id",
    ).sort("part", "row")
    removals.write_table(context.out / f"{unit.name}{removals.SUFFIX}", found.to_arrow())
    return Result(
        accounting=RowAccounting(),
        stats={"removals": len(found), "clusters": named["group"].n_unique()},
    )


def _two(value: float) -> str:
    return f"{value:.2f}"


NEAR_TEXT = Stage(name="near-text", version=2, run=_run_join)


def find(
    steps: Steps,
    name: str,
    inputs: Sequence[DedupInput],
    settings: TextDedup,
    *,
    across: bool = False,
    partition_pairs: int = PARTITION_PAIRS,
) -> Folder:
    """Find near duplicates among the texts of some corpora; return the folder of their removals.

    Args:
        steps: how steps run.
        name: of the corpus, or of the set of corpora.
        inputs: the corpora.
        settings: how signatures are made and compared.
        across: only copies in different corpora.
        partition_pairs: candidate pairs that one unit compares; the result does not depend on it.
    """
    payload = NearTextInput(inputs=tuple(inputs), settings=settings)
    bands = [
        Unit(
            name=f"band-{band:03d}",
            inputs=input_digests(inputs),
            params={"band": band, "settings": settings.model_dump(mode="json")},
            payload=replace(payload, band=band),
        )
        for band in range(settings.bands)
    ]
    candidates = steps.run(BANDS, bands, name)
    proposed = sum(int(m.stats["proposed"]) for m in manifests(candidates))
    count = max(1, -(-proposed // partition_pairs))
    partitions = [
        Unit(
            name=f"pairs-{number:05d}",
            inputs={"bands": stage_record(candidates).digest},
            params={"partitions": count},
            payload=replace(payload, pairs=candidates.url, partition=number, partitions=count),
        )
        for number in range(count)
    ]
    pairs = steps.run(PAIRS, partitions, name)
    join = Unit(
        name="near-text-00000",
        inputs={"pairs": stage_record(pairs).digest},
        params={"ranks": ranks(inputs), "across": across},
        payload=replace(payload, pairs=pairs.url, across=across),
    )
    return steps.run(NEAR_TEXT, [join], name)

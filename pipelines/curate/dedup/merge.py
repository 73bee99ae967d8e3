"""Step "merge": conversations about the same media become one, if the policy says so.

Runs after every other removal, so a copy or a contaminated sample is never merged. A unit is a
partition of the media, so all conversations about one picture meet, whichever part they are in.
Writes the merged samples, each with the place of its head (its first sample), and a removal for
each sample that was merged into another. Held-out samples are never merged.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup import merged_turns
from smolmix.pipelines.curate.dedup.inputs import DedupInput, input_digests
from smolmix.pipelines.curate.dedup.merged_turns import Joined
from smolmix.pipelines.curate.measure.samples import text_measures
from smolmix.pipelines.curate.settings import Merge
from smolmix.pipelines.curate.steps import Steps
from smolmix.removals import Removal
from smolmix.sample import Sample
from smolmix.schema import SAMPLE_SCHEMA, from_table, to_table
from smolmix.storage import Folder
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import manifests, part_files, stage_record

SUFFIX = ".merged.parquet"
MERGED = "merged"
SAME_QUESTION = "same-question"
PARTITION_ROWS = 200_000  # in memory as Arrow tables: about 1 KB a row
_SCHEMA = SAMPLE_SCHEMA.append(pa.field("part", pa.string())).append(pa.field("row", pa.int64()))
_ROWS = 1000
_HEX = 8  # last digits of a digest, which say which partition

_Place = tuple[str, int]  # part, row


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeInput:
    """A partition of the media of one corpus."""

    measured: str
    corpus_input: DedupInput
    partition: int
    partitions: int
    settings: Merge


def _shared(payload: MergeInput) -> pl.DataFrame:
    """Return (part, row) of the partition's training samples whose media others show too."""
    frames = [pl.DataFrame(schema={"part": pl.String, "row": pl.Int64, "media": pl.String})]
    for part in payload.corpus_input.parts():
        rows = payload.corpus_input.frame(part, ["media"], split="train")
        rows = rows.filter(pl.col("media").list.len() > 0)
        rows = rows.filter(pl.col("media").list.first() != "")
        number = pl.col("media").list.first().str.tail(_HEX).str.to_integer(base=16)
        mine = rows.filter(number % payload.partitions == payload.partition)
        frames.append(
            mine.select(pl.lit(part).alias("part"), "row", pl.col("media").list.join(" "))
        )
    found = pl.concat(frames)
    return found.filter(pl.len().over("media") > 1).sort("media", "part", "row")


def _samples(folder: Folder, places: pl.DataFrame) -> dict[_Place, tuple[pa.Table, int]]:
    """Return where the samples at these places are: in which table, at which row."""
    found: dict[_Place, tuple[pa.Table, int]] = {}
    for (part,), rows in places.group_by("part"):
        wanted, start = set(rows["row"].to_list()), 0
        with folder.open(f"{part}.parquet") as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                mine = sorted(wanted.intersection(range(start, start + count)))
                if mine:
                    table = file.read_row_group(group).take([i - start for i in mine])
                    found |= {(str(part), row): (table, i) for i, row in enumerate(mine)}
                start += count
    return found


def _joined(payload: MergeInput) -> Iterator[tuple[Joined, Mapping[str, _Place]]]:
    """Yield the partition's conversations that several samples went into, with all their places."""
    shared = _shared(payload)
    tables = _samples(Folder(payload.measured), shared)
    for _, group in groupby(shared.iter_rows(), key=itemgetter(2)):
        places = [(part, row) for part, row, _ in group]
        found = pa.concat_tables([tables[p][0].slice(tables[p][1], 1) for p in places])
        told = from_table(found.combine_chunks())
        samples = {s.id: (s, place) for s, place in zip(told, places, strict=True)}
        groups: dict[object, list[Sample]] = {}
        for name in sorted(samples):
            sample = samples[name][0]
            if (key := merged_turns.key(sample, payload.settings)) is not None:
                groups.setdefault(key, []).append(sample)
        for alike in groups.values():
            for one in merged_turns.join(alike, payload.settings):
                if one.into or one.repeated:
                    yield one, {name: place for name, (_, place) in samples.items()}


def _removals(one: Joined, places: Mapping[str, _Place]) -> Iterator[Removal]:
    blank = Removal(part="", row=0, id="", stage="merge", reason=MERGED, kept_id=one.head.id)
    for sample, first in one.into:
        part, row = places[sample.id]
        detail = f"from turn {first} of it on"
        yield replace(blank, part=part, row=row, id=sample.id, detail=detail)
    for sample in one.repeated:
        part, row = places[sample.id]
        yield replace(blank, part=part, row=row, id=sample.id, reason=SAME_QUESTION)


def _measured(samples: Iterable[Sample]) -> list[Sample]:
    """Return the samples with the measures of their text filled in."""
    vocabulary, found = tokenizer.load(), list[Sample]()
    for sample in samples:
        texts = [p.text for t in sample.turns for p in t.parts if p.text]
        tokens = sum(map(len, vocabulary.encode_batch(texts)))
        found.append(text_measures(sample, tokens))
    return found


def _run(unit: Unit[MergeInput], context: UnitContext) -> Result:
    payload = unit.payload
    heads, found = list[tuple[_Place, Joined]](), list[Removal]()
    for one, places in _joined(payload):
        found += _removals(one, places)
        if one.into:
            heads.append((places[one.head.id], one))
    heads.sort(key=lambda head: head[0])
    with pq.ParquetWriter(
        context.out / f"{unit.name}{SUFFIX}", _SCHEMA, compression="zstd"
    ) as writer:
        for at in range(0, len(heads), _ROWS):
            batch = heads[at : at + _ROWS]
            table = to_table(_measured(one.sample for _, one in batch))
            for number, name in enumerate(("part", "row")):
                column = pa.array([place[number] for place, _ in batch], _SCHEMA.field(name).type)
                table = table.append_column(name, column)
            writer.write_table(table.cast(_SCHEMA))
    removals.write(context.out / f"{unit.name}{removals.SUFFIX}", found)
    pairs = {place[0]: 0 for place, _ in heads}
    for (part, _), one in heads:
        pairs[part] += one.pairs_dropped
    return Result(
        accounting=RowAccounting(),
        stats={
            "conversations": len(heads),
            "removals": len(found),
            "pairs_dropped": dict(sorted((p, n) for p, n in pairs.items() if n)),
        },
    )


STAGE = Stage(name="merge", version=3, run=_run)


def of_part(folder: Folder, part: str) -> tuple[dict[int, pa.Table], int]:
    """Return a part's merged samples as one-row tables, by row of their head.

    Returns:
        The samples, and how many repeated pairs of question and answer were dropped from them.
    """
    found: dict[int, pa.Table] = {}
    for name in part_files(folder, SUFFIX):
        with folder.open(name) as stream:
            table = pq.read_table(stream, filters=[("part", "=", part)])
        rows = table["row"].to_pylist()
        table = table.drop_columns(["part", "row"]).cast(SAMPLE_SCHEMA)
        found |= {row: table.slice(i, 1) for i, row in enumerate(rows)}
    return found, sum(int(m.stats["pairs_dropped"].get(part, 0)) for m in manifests(folder))


def text_hashes(folder: Folder, part: str) -> dict[int, str]:
    """Return the text hash of a part's merged samples, by row of their head."""
    found: dict[int, str] = {}
    for name in part_files(folder, SUFFIX):
        with folder.open(name) as stream:
            table = pq.read_table(
                stream, columns=["row", "text_hash"], filters=[("part", "=", part)]
            )
        found |= dict(zip(*table.select(["row", "text_hash"]).to_pydict().values(), strict=True))
    return found


def find(
    steps: Steps, corpus_input: DedupInput, measured: Folder, samples: int, settings: Merge
) -> Folder:
    """Merge a corpus's conversations; return the folder of merged samples and removals.

    Args:
        steps: how steps run.
        corpus_input: its step `filter`, and all removals from it.
        measured: the corpus with its measures.
        samples: how many it has.
        settings: what may be joined.
    """
    count = max(1, -(-samples // PARTITION_ROWS))
    depends = input_digests([corpus_input]) | {"measured": stage_record(measured).digest}
    units = [
        Unit(
            name=f"merge-{number:05d}",
            inputs=depends,
            params={"partitions": count, "settings": settings.model_dump(mode="json")},
            payload=MergeInput(
                measured=measured.url,
                corpus_input=corpus_input,
                partition=number,
                partitions=count,
                settings=settings,
            ),
        )
        for number in range(count)
    ]
    return steps.run(STAGE, units, corpus_input.corpus)

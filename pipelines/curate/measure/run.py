"""Stage "measure": raw rows to samples with every measure, before any policy.

Writes `measured/<corpus>/part-00000.parquet`, what could not be adapted, and the features of its
media, so that another policy opens no media again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import (
    IN_THIS_PROCESS,
    Result,
    RunOptions,
    Stage,
    Summary,
    Unit,
    UnitContext,
)
from smolmix.fetched import fetched
from smolmix.media import MediaReader
from smolmix.pipelines.curate.measure import media_features
from smolmix.pipelines.curate.measure.media import MediaMeasurer
from smolmix.pipelines.curate.measure.samples import SampleMeasurer
from smolmix.pipelines.sources.raw_units import Adapted, RawUnit, count_rows, raw_units, read_unit
from smolmix.pipelines.sources.source import Source
from smolmix.sample import Dropped, MediaRef, Sample
from smolmix.schema import (
    DROPPED_SCHEMA,
    MEDIA_FACTS_VERSION,
    SAMPLE_SCHEMA,
    SCHEMA_VERSION,
    dropped_table,
    to_table,
)
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace

ROW_GROUP = 1000
UNIT_TIMEOUT_S = 3600.0

_Pair = tuple[Sample, Mapping[MediaRef, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureInput:
    """A cut of the raw files, and how to read it."""

    source: Source
    raw: RawUnit
    workspace: str
    decode: bool


@lru_cache(maxsize=1)
def _vocabulary() -> tokenizer.Vocabulary:
    return tokenizer.load()


def _write_parquet(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables as row groups of one zstd parquet file; no table gives an empty file."""
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROW_GROUP)


def _batches(items: Iterator[_Pair]) -> Iterator[list[_Pair]]:
    while batch := list(islice(items, ROW_GROUP)):
        yield batch


def _poisoned(payload: MeasureInput, rows: Iterable[int]) -> Iterator[Dropped]:
    for row in rows:
        path, number = payload.raw.rows.place(row)
        yield Dropped(
            id=f"{path}#{number}",
            stage="measure",
            reason="worker-killed",
            detail="a worker died each time it touched this row",
            source_file=path,
            source_row=number,
            rows=1,
        )


def _accounted(
    rows: Iterator[Adapted], accounting: RowAccounting, dropped: list[Dropped]
) -> Iterator[Adapted]:
    for row in rows:
        accounting.rows += 1
        lost = [d for d in row.dropped if d.rows]
        accounting.rows_adapted += not lost
        accounting.samples += len(row.samples) + len(row.dropped) - len(lost)
        accounting.kept += len(row.samples)
        for one in row.dropped:
            accounting.drop(one)
            dropped.append(one)
        for reason, count in row.turns_dropped.items():
            accounting.turns_dropped[reason] = accounting.turns_dropped.get(reason, 0) + count
        yield row


def _unread(rows: Iterator[Adapted], unread: dict[str, int]) -> Iterator[Adapted]:
    """Yield the rows, counting the keys that their adapter did not read."""
    for row in rows:
        for key in row.unread:
            unread[key] = unread.get(key, 0) + 1
        yield row


def _noted(pairs: Iterator[_Pair], stats: dict[str, int]) -> Iterator[_Pair]:
    """Yield the samples, counting those with media that are not fetched."""
    for pair in pairs:
        if any(m.names for m in pair[0].media):
            stats["not_fetched"] = stats.get("not_fetched", 0) + 1
        yield pair


def _run(unit: Unit[MeasureInput], context: UnitContext) -> Result:
    payload = unit.payload
    workspace = Workspace(payload.workspace)
    media = MediaMeasurer(MediaReader(workspace), decode=payload.decode)
    measurer = SampleMeasurer(media, _vocabulary())
    dropped = list(_poisoned(payload, sorted(context.poison)))
    accounting = RowAccounting(rows=len(dropped))
    for one in dropped:
        accounting.drop(one)
    noted: dict[str, int] = {}
    unread: dict[str, int] = {}
    rows = read_unit(payload.source, payload.raw, workspace, context.rows, context.poison)
    rows = _unread(rows, unread)
    pairs = ((s, r.blobs) for r in _accounted(rows, accounting, dropped) for s in r.samples)
    tables = (to_table(measurer.measure(batch)) for batch in _batches(_noted(pairs, noted)))
    _write_parquet(context.out / f"{unit.name}.parquet", tables, SAMPLE_SCHEMA)
    pq.write_table(
        dropped_table(dropped).cast(DROPPED_SCHEMA),
        context.out / f"{unit.name}.dropped.parquet",
        compression="zstd",
    )
    path = context.out / f"{unit.name}{media_features.SUFFIX}"
    media_features.write(path, media.features.values())
    errors: dict[str, int] = {}
    for medium in media.features.values():
        if medium.error:
            reason = medium.error.partition(":")[0]
            errors[reason] = errors.get(reason, 0) + 1
    stats = {"media": len(media.features), "media_errors": dict(sorted(errors.items()))}
    if unread:
        stats["keys_not_read"] = dict(sorted(unread.items()))
    return Result(accounting=accounting, stats=stats | noted)


def _count_rows(unit: Unit[MeasureInput]) -> int:
    payload = unit.payload
    return count_rows(payload.source, payload.raw, Workspace(payload.workspace))


STAGE = Stage(name="measure", version=2, run=_run, count_rows=_count_rows, timeout_s=UNIT_TIMEOUT_S)


def measure_corpus(
    source: Source,
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
    decode: bool = True,
) -> Summary:
    """Measure a fetched corpus into `measured/<corpus>`; complete parts are skipped.

    Args:
        source: the corpus.
        workspace: where it was fetched to.
        options: workers, and how much is printed.
        decode: decode media too: without, blank, static and broken ones are found only where a
            header shows it, and near duplicates among media are not found.
    """
    params = {
        "decode": decode,
        "tokenizer": _vocabulary().digest,
        "media features": 9,
        "facts": MEDIA_FACTS_VERSION,
        "record schema": SCHEMA_VERSION,
    }
    units = [
        Unit(
            name=raw.name,
            inputs=dict(raw.files),
            params=params | dict(raw.params),
            payload=MeasureInput(source=source, raw=raw, workspace=workspace.url, decode=decode),
        )
        for raw in raw_units(source, workspace)
    ]
    info = {
        "corpus": source.id,
        "modality": source.modality,
        "role": source.role,
        "licence": source.licence,
        "revision": fetched(workspace, source.id).revision,
        "decode": decode,
    }
    return run_stage(
        STAGE,
        units,
        folder=workspace.measured(source.id),
        options=options,
        info=info,
    )

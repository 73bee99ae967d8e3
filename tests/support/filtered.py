"""The folder of the step `filter`, written row by row."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup import inputs
from smolmix.pipelines.curate.dedup.inputs import DedupInput
from smolmix.pipelines.curate.steps import Steps


def write_filtered(
    steps: Steps, corpus: str, parts: Sequence[Sequence[Mapping[str, Any]]], *, rank: int = 0
) -> DedupInput:
    """Write the rows of each part; a row needs `id` and what differs from a kept text sample."""

    def write(unit: Unit[tuple[Mapping[str, Any], ...]], context: UnitContext) -> Result:
        plain = {"split": "train", "reason": "", "detail": "", "text_hash": "", "media": []}
        rows = [
            {**plain, "pixels": 0, **row, "row": number} for number, row in enumerate(unit.payload)
        ]
        table = pa.Table.from_pylist(rows, schema=inputs.SCHEMA)
        pq.write_table(table, context.out / f"{unit.name}{inputs.SUFFIX}")
        return Result(accounting=RowAccounting(), stats={"texts": 0})

    folder = steps.folder("filter", corpus)
    run_stage(
        Stage(name="filter", version=1, run=write),
        [
            Unit(
                name=f"part-{number:05d}",
                inputs={},
                params={"rows": [dict(row) for row in rows]},
                payload=tuple(rows),
            )
            for number, rows in enumerate(parts)
        ],
        folder=folder,
        options=RunOptions(quiet=True),
    )
    return DedupInput(corpus=corpus, rank=rank, filtered=folder.url)

"""Stage "score": one model's score for each measured sample, `scores/<scorer>/<corpus>`.

Workers are Ray actors: each holds the model from part to part and takes a GPU where the scorer asks
for one; a part is scored in batches. With `workers=0` this process holds the model.
"""

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.engine import Result, Stage, Summary, Unit, UnitContext, run_stage
from smolmix.pipelines.measure.scorers import SCORERS, scorer
from smolmix.sample import Tally, from_table
from smolmix.storage import Folder, Workspace, stage_record

SUFFIX = ".scores.parquet"
SCHEMA = pa.schema([("row", pa.int64()), ("score", pa.float32())])


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a worker needs beside the unit's key."""

    measured: str
    scorer: str


def _run(unit: Unit, context: UnitContext) -> Result:
    payload = unit.payload
    assert isinstance(payload, Payload)
    entry, model = SCORERS[payload.scorer], scorer(payload.scorer)
    start, total = 0, 0.0
    with (
        Folder(payload.measured).open(f"{unit.name}.parquet") as stream,
        pq.ParquetWriter(
            context.out / f"{unit.name}{SUFFIX}", SCHEMA, compression="zstd"
        ) as writer,
    ):
        file = pq.ParquetFile(stream)
        for group in range(file.num_row_groups):
            samples = list(from_table(file.read_row_group(group)))
            scores: list[float] = []
            for at in range(0, len(samples), entry.batch):
                scores += model.score(samples[at : at + entry.batch])
            rows = pa.array(range(start, start + len(samples)), pa.int64())
            writer.write_table(pa.table([rows, pa.array(scores, pa.float32())], schema=SCHEMA))
            start += len(samples)
            total += sum(scores)
    mean = round(total / start, 4) if start else 0.0
    return Result(tally=Tally(), stats={"samples": start, "mean": mean})


_STAGE = Stage(name="score", version=1, run=_run, actors=True)


def folder_of(workspace: Workspace, name: str, corpus: str) -> Folder:
    """Return where a scorer's scores of a corpus lie."""
    return workspace.child("scores", name, corpus)


def score_corpus(
    workspace: Workspace,
    corpus: str,
    name: str,
    *,
    workers: int,
    ray_address: str | None = None,
    quiet: bool = False,
) -> Summary:
    """Score every measured sample of a corpus; what is whole already is skipped."""
    measured = workspace.measured(corpus)
    units = [
        Unit(
            name=part,
            inputs={"measured": digest},
            params={"scorer": name, "version": SCORERS[name].version},
            payload=Payload(measured=measured.url, scorer=name),
        )
        for part, digest in stage_record(measured).units.items()
    ]
    return run_stage(
        replace(_STAGE, num_gpus=SCORERS[name].num_gpus),
        units,
        folder=folder_of(workspace, name, corpus),
        workers=min(workers, len(units)),
        ray_address=ray_address,
        info={"corpus": corpus, "scorer": name},
        quiet=quiet,
    )

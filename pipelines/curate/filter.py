"""Step "filter": the policy's rules over measured samples; one decision a row, no media opened.

Writes the rows that deduplication reads (`smolmix.pipelines.curate.dedup.inputs`). Kept samples
that are text alone also get a MinHash signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.curated import read_batches
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.pipelines.curate.dedup.inputs import SCHEMA, SUFFIX
from smolmix.pipelines.curate.dedup.text import minhash
from smolmix.pipelines.curate.measure import media_features, model_scores
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.curate.rules.rule import MeasuredSample
from smolmix.pipelines.curate.steps import Steps
from smolmix.sample import Sample
from smolmix.schema import from_table
from smolmix.storage import Folder
from smolmix.workspace import stage_record

_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterInput:
    """The measured corpus, the policy, and the scores that its rules need."""

    measured: str
    policy: Policy
    scores: Mapping[str, str]  # scorer -> folder


def _run(unit: Unit[FilterInput], context: UnitContext) -> Result:
    folder, policy = Folder(unit.payload.measured), unit.payload.policy
    features = media_features.read_small(folder, unit.name)
    scores = {n: model_scores.read(Folder(u), unit.name) for n, u in unit.payload.scores.items()}
    accounting, start = RowAccounting(), 0
    signatures = minhash.Writer(context.out / f"{unit.name}{minhash.SUFFIX}", policy.dedup.text)
    path = context.out / f"{unit.name}{SUFFIX}"
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer, signatures:
        for table in read_batches(folder, unit.name, rows=_ROWS):
            samples = list(enumerate(from_table(table, where=unit.name), start))
            broken = {
                row: policy.broken_rule(
                    MeasuredSample(
                        sample=sample,
                        features=features,
                        scores={name: values[row] for name, values in scores.items()},
                    )
                )
                for row, sample in samples
            }
            rows = [_row(row, sample, broken[row]) for row, sample in samples]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), row_group_size=_ROWS)
            signatures.write(
                [
                    (row, sample)
                    for row, sample in samples
                    if not sample.media and sample.split == "train" and not broken[row]
                ]
            )
            for found in broken.values():
                accounting.samples += 1
                if found is None:
                    accounting.kept += 1
                else:
                    accounting.dropped[found[0]] = accounting.dropped.get(found[0], 0) + 1
            start += len(samples)
    accounting.dropped = dict(sorted(accounting.dropped.items()))
    return Result(accounting=accounting, stats={"texts": signatures.count})


def _row(number: int, sample: Sample, broken: tuple[str, str] | None) -> dict[str, object]:
    reason, detail = broken or ("", "")
    return {
        "row": number,
        "id": sample.id,
        "split": sample.split,
        "reason": reason,
        "detail": detail,
        "text_hash": sample.text_hash,
        "media": [m.digest for m in sample.media],
        "pixels": sum(m.width * m.height for m in sample.media),
    }


STAGE = Stage(name="filter", version=7, run=_run)


def filter_corpus(corpus: str, policy: Policy, steps: Steps) -> Folder:
    """Try the policy's rules on every measured sample of a corpus; return the step's folder."""
    measured = steps.workspace.measured(corpus)
    scored = {
        name: model_scores.score_corpus(steps.workspace, corpus, name, options=steps.options)
        for name in policy.scorers()
    }
    digests = {f"scores {n}": stage_record(f).digest for n, f in scored.items()}
    params = {"filters": policy.filters_digest(), "text": policy.spec["dedup"]["text"]}
    units = [
        Unit(
            name=name,
            inputs={"measured": digest} | digests,
            params=params,
            payload=FilterInput(
                measured=measured.url,
                policy=policy,
                scores={n: f.url for n, f in scored.items()},
            ),
        )
        for name, digest in stage_record(measured).units.items()
    ]
    return steps.run(STAGE, units, corpus, {"corpus": corpus, "policy": policy.name})

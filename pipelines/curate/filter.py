"""Stage "filter": the policy's rules over measured samples; one decision a row, no media opened.

Writes `part-NNNNN.rows.parquet`, row for row with the measured part: the decision, and of each
sample what deduplication compares. Survivors that are text alone also get a MinHash signature.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
from smolmix.pipelines.curate.dedup.text import minhash
from smolmix.pipelines.curate.measure import media_features, model_scores
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.curate.rules.rule import View
from smolmix.sample import Sample
from smolmix.schema import from_table
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record

SUFFIX = ".rows.parquet"
_ROWS = 1000

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("split", pa.string()),
        ("reason", pa.string()),  # "" for a survivor
        ("detail", pa.string()),
        ("text_hash", pa.string()),
        ("media", pa.list_(pa.string())),  # digests
        ("pixels", pa.int64()),  # of all media: of two copies the larger stays
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a worker needs beside the unit's key."""

    measured: str
    policy: Policy
    scores: Mapping[str, str]  # scorer -> folder


def _load_features(folder: Folder, unit: str) -> dict[str, media_features.MediaFeatures]:
    with folder.open(unit + media_features.SUFFIX) as stream:
        table = pa.ipc.open_file(stream).read_all()
    return {
        s.digest: s for s in media_features.from_table(table.drop_columns(["hashes", "thumbnails"]))
    }


def _load_scores(folder: Folder, unit: str) -> list[float]:
    with folder.open(unit + model_scores.SUFFIX) as stream:
        found: list[float] = pq.read_table(stream, columns=["score"])["score"].to_pylist()
    return found


def _view(
    row: int,
    sample: Sample,
    features: Mapping[str, media_features.MediaFeatures],
    scores: Mapping[str, list[float]],
) -> View:
    own = {name: values[row] for name, values in scores.items()}
    return View(sample=sample, features=features, scores=own)


def _samples(folder: Folder, name: str) -> Iterator[list[Sample]]:
    with folder.open(name) as stream:
        file = pq.ParquetFile(stream)
        for group in range(file.num_row_groups):
            yield list(from_table(file.read_row_group(group), where=name))


def _run(unit: Unit[Payload], context: UnitContext) -> Result:
    payload = unit.payload
    folder, policy = Folder(payload.measured), payload.policy
    features = _load_features(folder, unit.name)
    scores = {n: _load_scores(Folder(url), unit.name) for n, url in payload.scores.items()}
    accounting, start = RowAccounting(), 0
    sketch = minhash.Writer(context.out / f"{unit.name}{minhash.SUFFIX}", policy.dedup.text)
    with (
        pq.ParquetWriter(
            context.out / f"{unit.name}{SUFFIX}", SCHEMA, compression="zstd"
        ) as writer,
        sketch,
    ):
        for samples in _samples(folder, f"{unit.name}.parquet"):
            rows = [
                _row(
                    start + i,
                    sample,
                    policy.broken_rule(_view(start + i, sample, features, scores)),
                )
                for i, sample in enumerate(samples)
            ]
            for row in rows:
                accounting.samples += 1
                if reason := row["reason"]:
                    accounting.dropped[str(reason)] = accounting.dropped.get(str(reason), 0) + 1
                else:
                    accounting.kept += 1
            alone = [
                (start + i, s)
                for i, s in enumerate(samples)
                if not s.media and s.split == "train" and not rows[i]["reason"]
            ]
            sketch.write(alone)
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), row_group_size=_ROWS)
            start += len(samples)
    accounting.dropped = dict(sorted(accounting.dropped.items()))
    return Result(accounting=accounting, stats={"texts": sketch.count})


def _row(number: int, sample: Sample, broken: tuple[str, str] | None) -> dict[str, object]:
    return {
        "row": number,
        "id": sample.id,
        "split": sample.split,
        "reason": broken[0] if broken else "",
        "detail": broken[1] if broken else "",
        "text_hash": sample.text_hash,
        "media": [m.digest for m in sample.media],
        "pixels": sum(m.width * m.height for m in sample.media),
    }


STAGE = Stage(name="filter", version=6, run=_run)


def filter_corpus(
    workspace: Workspace,
    corpus: str,
    policy: Policy,
    *,
    folder: Folder,
    options: RunOptions = IN_THIS_PROCESS,
) -> Summary:
    """Try the policy's rules on every measured sample of a corpus."""
    measured = workspace.measured(corpus)
    record = stage_record(measured)
    scored = {n: model_scores.folder_of(workspace, n, corpus) for n in policy.scorers()}
    for name in scored:
        model_scores.score_corpus(workspace, corpus, name, options=options)
    digests = {f"scores {n}": stage_record(f).digest for n, f in scored.items()}
    params = {"filters": policy.filters_digest(), "text": policy.spec["dedup"]["text"]}
    units = [
        Unit(
            name=name,
            inputs={"measured": digest} | digests,
            params=params,
            payload=Payload(
                measured=measured.url,
                policy=policy,
                scores={n: f.url for n, f in scored.items()},
            ),
        )
        for name, digest in record.units.items()
    ]
    return run_stage(
        STAGE,
        units,
        folder=folder,
        options=options,
        info={"corpus": corpus, "policy": policy.name},
    )

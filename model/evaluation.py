"""Evaluates an opened checkpoint on a corpus and keeps the result beside the run."""

import json
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import UsageError, nearest
from smolmix.model.evaluate import METRICS, evaluate
from smolmix.model.opened import Opened
from smolmix.storage import Folder, Workspace, digest_json, stage_record

_VERSION = 1


def evaluate_corpus(
    opened: Opened,
    workspace: Workspace,
    corpus: str,
    *,
    limit: int | None = None,
    metric: str = "exact_match",
) -> dict[str, Any]:
    """Return a corpus's scores; a result that is there for the same weights and data is reused.

    Raises:
        UsageError: the metric is unknown.
        DataError: the corpus is not curated, or has no held-out samples.
    """
    if metric not in METRICS:
        raise UsageError(
            f"--metric {metric}: unknown; known: {', '.join(METRICS)}{nearest(metric, METRICS)}"
        )
    data = stage_record(workspace.curated(corpus)).digest
    key = digest_json([_VERSION, opened.digest, data, limit, metric])
    name = f"{corpus}.json"
    if opened.results.exists(name):
        before: dict[str, Any] = opened.results.read_json(name)
        if before.get("key") == key:
            return before
    result, table = evaluate(
        opened.model, opened.profile, workspace, corpus, limit=limit, metric=metric, watch=_tell
    )
    result |= {"key": key, "checkpoint": opened.name}
    _write_table(opened.results, f"{corpus}.parquet", table)
    opened.results.write_json(name, json.loads(json.dumps(result)))
    return result


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} questions answered", end=end, file=sys.stderr, flush=True)


def _write_table(folder: Folder, name: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    folder.write_bytes(name, sink.getvalue().to_pybytes())

"""Numbers of folders without samples: raw files, any stage's output, a training run."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from smolmix.curated import scan_files, sources
from smolmix.errors import DataError
from smolmix.fetched import read_record
from smolmix.model.train import run_record
from smolmix.pipelines.stats.summary import Distribution, distribution, value_counts
from smolmix.storage import Folder
from smolmix.tokenize.shards.packing_plan import PackingRecord, sequence_sizes
from smolmix.workspace import STAGE_FILE, Workspace, manifests, stage_record


def raw_table(workspace: Workspace, corpora: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each fetched corpus: files, bytes, revision, licence, known row count."""
    table = []
    for corpus in corpora:
        record = read_record(workspace, corpus)
        if record is None:
            raise DataError(
                f"{workspace.raw(corpus).url}: {corpus} is not fetched; "
                f"run `smolmix fetch {corpus}` first"
            )
        row: dict[str, Any] = {
            "corpus": corpus,
            "files": len(record.files),
            "bytes": sum(f.size for f in record.files),
            "parquet_rows": sum(_rows(workspace, f.path) for f in record.files),
            "revision": record.revision,
            "licence": record.licence,
            "complete": record.complete,
        }
        table.append(row)
    return table


def _rows(workspace: Workspace, path: str) -> int:
    if not path.endswith(".parquet") or not workspace.exists(path):
        return 0
    with workspace.open(path) as stream:
        return int(pq.ParquetFile(stream).metadata.num_rows)


def _numbers(folder: Folder, names: Sequence[str]) -> dict[str, Distribution]:
    frame = scan_files(folder, names)
    columns = [n for n, t in frame.collect_schema().items() if t.is_numeric()]
    table = frame.select(columns).collect(engine="streaming")
    return {n: distribution(value_counts(table[n])) for n in columns}


def _ipc_rows(folder: Folder, name: str) -> int:
    with folder.open(name) as stream, ipc.open_file(pa.PythonFile(stream)) as reader:
        return sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))


def stage_numbers(folder: Folder, *, columns: bool = True) -> dict[str, Any]:
    """Return the units, files, bytes, row accounting and numeric columns of any complete stage.

    Args:
        folder: the stage's.
        columns: read them for their distributions.

    Raises:
        IncompleteError: the stage has not finished.
    """
    record = stage_record(folder)
    files = [f for m in manifests(folder) for f in m.files]
    kinds: dict[str, list[str]] = {}
    for file in files:
        kinds.setdefault(file.name.partition(".")[2], []).append(file.name)
    shapes: dict[str, Any] = {}
    rows: dict[str, int] = {}
    for kind, names in sorted(kinds.items()):
        if kind.endswith("parquet"):
            if columns:
                shapes |= {f"{kind}: {n}": asdict(d) for n, d in _numbers(folder, names).items()}
            rows[kind] = sum(pq.read_metadata(s).num_rows for s in sources(folder, names))
        elif kind.endswith("arrow"):
            rows[kind] = sum(_ipc_rows(folder, n) for n in names)
    return {
        "stage": record.stage,
        "units": len(record.units),
        "files": len(files),
        "bytes": sum(f.size for f in files),
        "rows": rows,
        "accounting": asdict(record.accounting),
        "info": dict(record.info),
        "digest": record.digest,
        "columns": shapes,
    }


def cache_numbers(folder: Folder) -> list[dict[str, Any]]:
    """Return a row for each stage's folder below this one: the generations of a cache of shards.

    Raises:
        DataError: there is none.
    """
    files = (str(p) for p in folder.fs.find(folder.path))  # no glob: a path may contain [, ] or *
    folders = sorted(p.rsplit("/", 1)[0] for p in files if p.endswith(f"/{STAGE_FILE}"))
    if not folders:
        raise DataError(f"{folder.url}: holds no finished stage{folder.instead()}")
    rows = []
    for path in folders:
        found = stage_numbers(Folder(path, folder.fs), columns=False)
        counts = {"kept": found["accounting"]["kept"]}
        name = path.removeprefix(folder.path).strip("/")
        rows.append({"folder": name, **counts, **{k: found[k] for k in ("files", "bytes")}})
    return rows


def plan_numbers(folder: Folder) -> dict[str, Any]:
    """Return a packing plan's record, and the distributions of its sequences' tokens and tiles."""
    record = asdict(PackingRecord.read(folder))
    plan = pl.DataFrame(sequence_sizes(folder))
    shown = {k: v for k, v in record.items() if isinstance(v, int | float | str)}
    columns = {n: asdict(distribution(value_counts(plan[n]))) for n in ("tokens", "tiles")}
    return {**shown, "dropped": record["dropped"], "columns": columns}


def run_numbers(folder: Folder) -> dict[str, Any]:
    """Return a training run's steps, losses and speed, and its evaluations.

    Raises:
        DataError: the folder holds no metrics.
    """
    metrics = run_record.read_metrics(folder)
    if not metrics:
        raise DataError(f"{folder.url}: no metrics of any step; run `smolmix train` first")
    spent = run_record.totals(metrics, run_record.read_timing(folder))
    speed = spent.tokens_per_s
    losses: dict[str, list[float]] = {}
    for step in metrics:
        for name, loss in step.get("losses", {}).items():
            if loss is not None:
                losses.setdefault(name, []).append(float(loss))
    return {
        "steps": spent.steps,
        "loss_first": metrics[0]["loss"],
        "loss_last": metrics[-1]["loss"],
        "losses_last": {name: values[-1] for name, values in sorted(losses.items())},
        "tokens": spent.tokens,
        "supervised": spent.supervised,
        "tiles": spent.tiles,
        "skipped_steps": spent.skipped_steps,
        "seconds": round(spent.seconds, 3),
        "tokens_per_s": None if speed is None else round(speed, 1),
        "loss": [m["loss"] for m in metrics],
        "evaluation": run_record.read_scores(folder),
    }

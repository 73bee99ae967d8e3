"""The files of a run, `runs/<name>`, and how they are read. No other module knows their names.

    checkpoint-<N>/     to resume from; N counts steps over all stages
    final/              the trained model
    metrics.jsonl       a line a step with what two equal runs share to the last bit: loss, gradient
                        norm, whether the step was taken, learning rates, tokens, tiles, and losses
                        by modality and corpus
    timing.jsonl        a line a step with what they do not share: seconds, speed, memory
    tensorboard/        both, as event files
    evaluation/         `<corpus>.parquet` with every prediction, `<corpus>.json` with the scores

Imports no torch: reports and statistics read runs too, also from a remote workspace.
"""

import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError, UsageError
from smolmix.model.arch import checkpoint
from smolmix.storage import Folder
from smolmix.workspace import Workspace

FINAL = "final"
METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"
TENSORBOARD = "tensorboard"
_CHECKPOINT = re.compile(r"^checkpoint-(\d+)$")


def local_run(folder: Folder) -> Path:
    """Return a run's folder as a local path.

    Raises:
        UsageError: the workspace is not on a local disk.
    """
    if not folder.is_local:
        raise UsageError(
            f"{folder.url}: runs are written to a local disk; train in a local workspace and copy "
            "the run's folder afterwards"
        )
    return Path(folder.path)


def checkpoint_name(step: int) -> str:
    """Return the name of the checkpoint written after `step` steps of the run."""
    return f"checkpoint-{step}"


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of the run's checkpoints but the final one, oldest first."""
    if not run.exists():
        return []
    found = [(int(m[1]), p) for p in run.iterdir() if (m := _CHECKPOINT.match(p.name))]
    return sorted(found)


def remove_checkpoints(run: Path, *, keep: int = 0) -> None:
    """Remove all but the last `keep` checkpoints of a run; the final one stays."""
    found = checkpoints(run)
    for _, old in found[: max(0, len(found) - keep)]:
        shutil.rmtree(old)


def trained_checkpoint(run: Path) -> Path:
    """Return a run's final checkpoint, or its last one, saying so on standard error.

    Raises:
        DataError: the run has none.
    """
    if (run / FINAL).is_dir():
        return run / FINAL
    found = checkpoints(run)
    if not found:
        raise DataError(f"{run}: no checkpoint; run `smolmix train` first")
    print(f"{run}: not finished; using {found[-1][1].name}", file=sys.stderr)
    return found[-1][1]


def is_complete(run: Path, digest: str) -> bool:
    """Return whether the run of this identity has ended."""
    final = run / FINAL
    return checkpoint.is_checkpoint(final) and checkpoint.read_record(final)["digest"] == digest


def resume_point(run: Path, digest: str) -> tuple[int, Path | None]:
    """Return the step to resume from and its checkpoint; (0, None) for a new run.

    Args:
        run: the run's folder.
        digest: identity of the run that is to be trained there.

    Raises:
        UsageError: the folder holds a run of another identity.
    """
    found = checkpoints(run)[-1:]
    step, at = found[0] if found else (0, None)
    last = at or (run / FINAL if checkpoint.is_checkpoint(run / FINAL) else None)
    if last is not None and checkpoint.read_record(last)["digest"] != digest:
        raise UsageError(
            f"{run}: holds a run of another recipe or mixture, or one that began with other "
            "weights; give the recipe another name, or delete that folder"
        )
    return step, at


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTotals:
    """Sums over the steps of a run."""

    steps: int
    tokens: int
    supervised: int  # tokens in the loss
    tiles: int
    skipped_steps: int  # steps that a guard did not take
    seconds: float

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens per second; None where no time was recorded."""
        return self.tokens / self.seconds if self.seconds else None


def trained_runs(workspace: Workspace) -> list[str]:
    """Return the names of the runs that have metrics, in order."""
    root = workspace.child("runs")
    if not root.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in root.fs.ls(root.path, detail=False))
    return [n for n in names if workspace.run(n).exists(METRICS_FILE)]


def read_metrics(run: Folder) -> list[dict[str, Any]]:
    """Return a run's metrics, one mapping a step; empty where nothing was trained."""
    return _lines(run, METRICS_FILE)


def read_timing(run: Folder) -> list[dict[str, Any]]:
    """Return a run's timing, one mapping a step; empty where nothing was trained."""
    return _lines(run, TIMING_FILE)


def totals(
    metrics: Sequence[Mapping[str, Any]], timing: Sequence[Mapping[str, Any]] = ()
) -> RunTotals:
    """Return the sums over the steps of a run, from its metrics and timing."""
    return RunTotals(
        steps=int(metrics[-1]["step"]) if metrics else 0,
        tokens=sum(int(m.get("tokens", 0)) for m in metrics),
        supervised=sum(int(m.get("supervised", 0)) for m in metrics),
        tiles=sum(int(m.get("tiles", 0)) for m in metrics),
        skipped_steps=sum(not m.get("taken", True) for m in metrics),
        seconds=sum(float(t.get("seconds", 0)) for t in timing),
    )


def may_have_used(run: Folder, mixture: str) -> bool:
    """Return whether a run trained on the mixture; True where its record does not say."""
    final = run.child(FINAL)
    if not final.exists(checkpoint.RECORD_FILE):
        return True
    named = final.read_json(checkpoint.RECORD_FILE).get("mixtures")
    return mixture in named if named else True


def evaluation(run: Folder) -> Folder:
    """Return the folder of a run's predictions and scores."""
    return run.child("evaluation")


def scores_file(corpus: str) -> str:
    """Return the name of a corpus's scores within `evaluation`."""
    return f"{corpus}.json"


def predictions_file(corpus: str) -> str:
    """Return the name of a corpus's predictions within `evaluation`."""
    return f"{corpus}.parquet"


def read_scores(run: Folder) -> dict[str, dict[str, Any]]:
    """Return a run's evaluations by corpus."""
    results = evaluation(run)
    return {n.removesuffix(".json"): results.read_json(n) for n in results.names(".json")}


def predicted(run: Folder) -> list[str]:
    """Return the corpora with predictions of a run."""
    return [n.removesuffix(".parquet") for n in evaluation(run).names(".parquet")]


def read_predictions(results: Folder, corpus: str) -> pa.Table:
    """Return the table of predictions that an evaluation wrote, a row a question.

    Args:
        results: the folder of predictions and scores, see `evaluation`.
        corpus: its id.

    Raises:
        DataError: the corpus was not evaluated.
    """
    name = predictions_file(corpus)
    if not results.exists(name):
        raise DataError(f"{results.at(name)}: no such file; `smolmix evaluate` writes it")
    with results.open(name) as stream:
        return pq.read_table(stream)


def _lines(run: Folder, name: str) -> list[dict[str, Any]]:
    """Return the complete lines of a JSON lines file that a killed run may have cut short.

    What is not a number, such as the loss of a step that a guard skipped, is None.
    """
    if not run.exists(name):
        return []
    out = []
    for line in run.read_bytes(name).decode().splitlines():
        try:
            out.append(json.loads(line, parse_constant=lambda _: None))
        except ValueError:
            break
    return out

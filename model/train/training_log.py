"""Writes a run's log while it trains: `metrics.jsonl`, `timing.jsonl` and TensorBoard's events.

What two equal runs share to the last bit goes into the metrics, everything else into the timing;
see `run_record`, which reads both.
"""

import json
import os
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from smolmix.model.train.run_record import METRICS_FILE, TENSORBOARD, TIMING_FILE


def peak_memory_bytes() -> int:
    """Return the most memory this process has held: of the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


class TrainingLog:
    """Appends a line a step to a run's files; only rank 0 has one."""

    def __init__(self, run: Path, *, resume_step: int, tensorboard: bool = True):
        """Open the files, dropping what a killed run wrote after `resume_step`.

        Args:
            run: the run's folder.
            resume_step: the last step that counts, over all stages.
            tensorboard: write event files too.
        """
        run.mkdir(parents=True, exist_ok=True)
        self._files = {}
        for kind, name in (("metrics", METRICS_FILE), ("timing", TIMING_FILE)):
            path = run / name
            truncate_after(path, resume_step)
            self._files[kind] = path.open("a")
        self._board: Any = None
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            self._board = SummaryWriter(str(run / TENSORBOARD), purge_step=resume_step + 1)

    def write(self, step: int, metrics: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Write one step's line to each file.

        Args:
            step: counted over all stages, from 1.
            metrics: what two equal runs share to the last bit.
            timing: what they do not share.
        """
        for kind, values in (("metrics", metrics), ("timing", timing)):
            self._files[kind].write(json.dumps({"step": step, **values}) + "\n")
            self._files[kind].flush()
            if self._board is not None:
                for key, value in _scalars(values):
                    self._board.add_scalar(f"{kind}/{key}", value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        if self._board is not None:
            self._board.close()


def truncate_after(path: Path, step: int) -> None:
    """Drop the lines of a JSON lines file that are past `step`, and a last line cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:
            break
        kept.append(line + "\n")
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept))
    os.replace(temporary, path)


def _scalars(values: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return the numbers of a nested mapping, keys joined by slashes."""
    found: list[tuple[str, float]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            found += [(f"{key}/{k}", v) for k, v in _scalars(value)]
        elif isinstance(value, int | float):
            found.append((key, float(value)))
    return found

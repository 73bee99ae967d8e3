"""Checkpoints, written whole or not at all, that transformers opens.

`checkpoint-N/` holds the model in transformers' layout and, beside it, `training.pt`: the
optimizer, random states, the loader's place and the guards. `N` counts steps over all stages.
"""

import json
import os
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from transformers.utils import logging

from smolmix.errors import DataError
from smolmix.profiles import Profile
from smolmix.storage import digest_json
from smolmix.tokenize.chat import processor_files

STATE = "training.pt"
RECORD = "smolmix.json"
logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # weights load in no time
_OF_NO_ANSWER = ("_name_or_path", "transformers_version")
_NAME = re.compile(r"^checkpoint-(\d+)$")


def random_state() -> dict[str, Any]:
    """Return the states of Python's, numpy's and torch's generators."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every generator back where `random_state` found it.

    Of GPUs only this rank's own is touched: another number of them may go on with a run.
    """
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def write_whole(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder` and rename it into place once it is on the disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    fill(temporary)
    _sync(temporary)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(temporary, folder)


def save(
    folder: Path,
    model: Any,
    record: Mapping[str, Any],
    state: Mapping[str, Any] | None,
    profile: Profile,
    *,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write a checkpoint folder, whole or not at all.

    Args:
        folder: where; replaced if it is there.
        model: the SmolVLM.
        record: readable facts: stage, step, digest of recipe and data.
        state: what a resumed run needs: optimizer, random states, loader; None for a final one.
        profile: decides the tokenizer and processor files beside the weights.
        weights: the model's, gathered, where it is sharded.
    """

    def fill(inside: Path) -> None:
        model.save_pretrained(inside, state_dict=weights)
        processor_files.write(inside, profile)
        if state is not None:
            torch.save(dict(state), inside / STATE)
        facts = {**record, "profile": asdict(profile)}
        (inside / RECORD).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")

    write_whole(folder, fill)


def remove_old(run: Path, *, keep: int) -> None:
    """Remove all but the last `keep` checkpoints of a run."""
    for _, old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)


def checkpoints(run: Path) -> list[tuple[int, Path]]:
    """Return the run's whole checkpoints, oldest first."""
    if not run.exists():
        return []
    found = [(int(m[1]), p) for p in run.iterdir() if (m := _NAME.match(p.name))]
    return sorted(found)


def read_record(folder: Path) -> dict[str, Any]:
    """Return what `save` recorded about a checkpoint.

    Raises:
        DataError: the folder is no checkpoint of smolmix.
    """
    try:
        value: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a smolmix checkpoint ({error})") from error
    return value


def read_state(folder: Path) -> dict[str, Any]:
    """Return the training state of a checkpoint."""
    state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    return state


def weights_digest(model: torch.nn.Module) -> str:
    """Return xxh3_128 hex of a transformers model's weights and configuration, wherever it lay."""
    state = xxhash.xxh3_128()
    for name, value in sorted(model.state_dict().items()):
        state.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        state.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    config: Any = model.config
    facts = {k: v for k, v in config.to_dict().items() if k not in _OF_NO_ANSWER}
    return digest_json([state.hexdigest(), json.dumps(facts, sort_keys=True, default=str)])

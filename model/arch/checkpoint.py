"""Checkpoint folders that transformers opens: written completely, or not at all.

    config.json, model.safetensors, …   the model in transformers' format
    tokenizer.json, …                   tokenizer and processor, as the profile decides
    smolmix.json                        the record: run, stage, step, profile
    training.pt                         optimizer, random states, loader; not in a final checkpoint

Imports no torch before weights are read or written: reports read the record alone.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smolmix.errors import DataError
from smolmix.profiles import Profile
from smolmix.tokenize.chat import processor_files

STATE_FILE = "training.pt"
RECORD_FILE = "smolmix.json"


def save(
    folder: Path,
    model: Any,
    record: Mapping[str, Any],
    state: Mapping[str, Any] | None,
    profile: Profile,
    *,
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Write a checkpoint folder, completely or not at all.

    Args:
        folder: where; an existing one is replaced.
        model: the SmolVLM.
        record: readable facts: stage, step, digest of recipe and data.
        state: what a resumed run needs: optimizer, random states, loader; None for a final one.
        profile: decides the tokenizer and processor files next to the weights.
        weights: the model's weights by name, gathered, if the model is sharded.
    """

    def fill(inside: Path) -> None:
        import torch

        model.save_pretrained(inside, state_dict=weights)
        processor_files.write(inside, profile)
        if state is not None:
            torch.save(dict(state), inside / STATE_FILE)
        facts = {**record, "profile": asdict(profile)}
        (inside / RECORD_FILE).write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")

    write_atomically(folder, fill)


def write_atomically(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder next to `folder`, and rename it into place once it is on the disk."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    fill(temporary)
    _sync(temporary)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(temporary, folder)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def is_checkpoint(folder: Path) -> bool:
    """Return whether the folder is a checkpoint that smolmix wrote."""
    return (folder / RECORD_FILE).exists()


def read_record(folder: Path) -> dict[str, Any]:
    """Return what `save` recorded about a checkpoint.

    Raises:
        DataError: the folder is not a checkpoint of smolmix.
    """
    try:
        value: dict[str, Any] = json.loads((folder / RECORD_FILE).read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a smolmix checkpoint ({error})") from error
    return value


def read_state(folder: Path) -> dict[str, Any]:
    """Return the training state of a checkpoint, on the CPU."""
    import torch

    state: dict[str, Any] = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    return state

"""Opens a checkpoint for use: a run of this workspace, a folder, or a hub id."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from smolmix.errors import UsageError
from smolmix.model.arch.build import from_checkpoint, weights_digest
from smolmix.model.arch.checkpoint import is_checkpoint, read_record
from smolmix.model.train.run_record import evaluation, trained_checkpoint
from smolmix.profiles import ChatProfile, PixelProfile, Profile
from smolmix.profiles import profile as preset_profile
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A model ready to answer, and the profile that its inputs are prepared with."""

    name: str
    model: Any
    profile: Profile
    results: Folder  # where evaluations of it go
    digest: str  # of weights, configuration and profile: all that an answer depends on


def open_checkpoint(name: str, workspace: Workspace, preset: str | None = None) -> Opened:
    """Return the model of a run, folder or hub id, on the GPU if there is one.

    Args:
        name: a run of the workspace, a folder in transformers' format, or a hub id.
        workspace: holds the runs, and takes the results.
        preset: pixel preset, needed if smolmix did not write the checkpoint.

    Raises:
        UsageError: there is no such checkpoint, or its profile is not known.
    """
    run = workspace.run(name)
    ours = run.is_local and Path(run.path).is_dir()
    folder = trained_checkpoint(Path(run.path)) if ours else Path(name)
    profile = _profile(folder, run, name, preset)
    model = from_checkpoint(str(folder) if folder.is_dir() else name)
    digest = digest_json([weights_digest(model), asdict(profile)])
    if not ours:  # another folder, or a run, may have the same name
        run = workspace.run(f"{name.rstrip('/').rsplit('/', 1)[-1]}-{digest[:8]}")
    results = evaluation(run)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device).eval()
    return Opened(name=name, model=model, profile=profile, results=results, digest=digest)


def _profile(folder: Path, run: Folder, name: str, preset: str | None) -> Profile:
    if preset is not None:
        return preset_profile(preset, style="inference")
    if not is_checkpoint(folder):
        raise UsageError(
            f"checkpoint {name}: not a run, nor a checkpoint that smolmix wrote; name a run of "
            "the workspace, or give its pixel preset: --profile nano, 256m, 500m or 2.2b"
            f"{run.instead()}"
        )
    record = read_record(folder)
    pixel, chat = record["profile"]["pixel"], dict(record["profile"]["chat"])
    chat["system_prompts"] = tuple(tuple(p) for p in chat.get("system_prompts", ()))
    return Profile(pixel=PixelProfile(**pixel), chat=ChatProfile(**chat))

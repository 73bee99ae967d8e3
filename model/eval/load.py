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
    """A model ready to answer, and how its inputs are to be prepared."""

    name: str
    model: Any
    profile: Profile
    results: Folder  # where evaluations of it go
    digest: str  # of weights, configuration and profile: of all that decides an answer


def open_checkpoint(name: str, workspace: Workspace, preset: str | None = None) -> Opened:
    """Return the model of a run, folder or hub id.

    Args:
        name: a run of the workspace, a folder in transformers' layout, or a hub id.
        workspace: holds the runs, and takes the results.
        preset: pixel preset, needed where the checkpoint is not one of smolmix's.

    Raises:
        UsageError: there is no such checkpoint, or its profile is not known.
    """
    run = workspace.run(name)
    ours = run.is_local and Path(run.path).is_dir()
    folder = trained_checkpoint(Path(run.path)) if ours else Path(name)
    profile = _profile(folder, run, name, preset)
    model = from_checkpoint(str(folder) if folder.is_dir() else name)
    digest = digest_json([weights_digest(model), asdict(profile)])
    if not ours:  # two folders may end in the same name, or in that of a run
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
            f"checkpoint {name}: no run, and no folder of smolmix's; name a run of the workspace, "
            "or say --profile nano, 256m, 500m or 2.2b for a checkpoint of somebody else's"
            f"{run.instead()}"
        )
    record = read_record(folder)
    pixel, chat = record["profile"]["pixel"], dict(record["profile"]["chat"])
    chat["system_prompts"] = tuple(tuple(p) for p in chat.get("system_prompts", ()))
    return Profile(pixel=PixelProfile(**pixel), chat=ChatProfile(**chat))

"""What a path names: a corpus at some stage, a mixture, packed sequences, a run, a workspace."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smolmix.errors import UsageError, nearest
from smolmix.storage import Folder
from smolmix.workspace import Workspace

Kind = Literal["workspace", "raw", "samples", "mixture", "stage", "run"]
_SAMPLE_STAGES = ("measured", "curated")
_DEPTH = {"raw": 1, "measured": 1, "curated": 1, "mixtures": 1, "runs": 1}
_STAGES = (*_DEPTH, "counts", "tiles", "ids", "sequences", "removals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One thing that `stats` can describe."""

    kind: Kind
    workspace: Workspace
    stage: str  # the folder directly under the workspace, or ""
    names: tuple[str, ...]  # corpora, or the one mixture, run, or folder below the stage

    @property
    def title(self) -> str:
        """The place as a person would write it."""
        if self.kind == "workspace":
            return self.workspace.url
        return f"{self.stage}/{self.names[0]}" if len(self.names) == 1 else f"{self.stage}/"

    @property
    def folder(self) -> Folder:
        """The folder of the one name."""
        return self.workspace.child(self.stage, *self.names[0].split("/"))


def _split(path: str, workspace: Workspace) -> tuple[Workspace, list[str]] | None:
    """Return the workspace and the parts of the path below it."""
    if "://" in path:
        head, _, tail = path.partition("://")
        pieces = tail.rstrip("/").split("/")
        at = next((i for i in range(len(pieces) - 1, 0, -1) if pieces[i] in _STAGES), len(pieces))
        return Workspace(f"{head}://{'/'.join(pieces[:at])}"), pieces[at:]
    if Path(path).exists():
        parts = Path(path).resolve().parts
        for at in range(len(parts) - 1, 0, -1):
            if parts[at] in _STAGES:
                return Workspace(str(Path(*parts[:at]))), list(parts[at:])
        return Workspace(str(Path(path).resolve())), []
    parts = tuple(p for p in path.strip("/").split("/") if p not in ("", "."))
    if parts and parts[0] in _STAGES and workspace.child(*parts).exists():
        return workspace, list(parts)
    for stage in ("curated", "mixtures", "runs", "measured", "raw"):
        if parts and workspace.child(stage, *parts).exists():
            return workspace, [stage, *parts]
    return None


def _known(workspace: Workspace) -> list[str]:
    found = []
    for stage in _STAGES:
        folder = workspace.child(stage)
        if folder.exists():
            names = (p.rstrip("/").rsplit("/", 1)[-1] for p in folder.fs.ls(folder.path, False))
            found += [f"{stage}/{n}" for n in sorted(names)]
    return found


def locate(path: str, workspace_url: str) -> Place:
    """Return what `path` names.

    Args:
        path: a folder on disk, a path below the workspace (`curated/docvqa`), or a bare name of a
            corpus, mixture or run.
        workspace_url: the workspace that relative paths and bare names are looked up in.

    Raises:
        UsageError: nothing of that name is there.
    """
    workspace = Workspace(workspace_url)
    found = _split(path, workspace)
    if found is None:
        known = _known(workspace)
        raise UsageError(
            f"stats: there is no {path!r} on disk or in workspace {workspace.url}; there are "
            f"{', '.join(known) or 'no stages yet'}{nearest(path, known)}"
        )
    workspace, parts = found
    if not parts:
        if not any(workspace.child(s).exists() for s in _STAGES):
            raise UsageError(
                f"{path}: holds none of {', '.join(_STAGES)}; name a workspace or a folder in one"
            )
        return Place(kind="workspace", workspace=workspace, stage="", names=())
    stage, below = parts[0], parts[1:]
    if stage in _SAMPLE_STAGES:
        names = tuple(below[:1]) or tuple(workspace.corpora(stage))
        return Place(kind="samples", workspace=workspace, stage=stage, names=names)
    if stage == "raw":
        names = tuple(below[:1]) or tuple(workspace.corpora("raw"))
        return Place(kind="raw", workspace=workspace, stage=stage, names=names)
    if not below:
        known = [k for k in _known(workspace) if k.startswith(stage)]
        raise UsageError(f"{path}: name one of {', '.join(known) or 'none yet'}")
    if stage in ("mixtures", "runs"):
        kind: Kind = "mixture" if stage == "mixtures" else "run"
        return Place(kind=kind, workspace=workspace, stage=stage, names=(below[0],))
    return Place(kind="stage", workspace=workspace, stage=stage, names=("/".join(below),))

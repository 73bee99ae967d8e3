"""Fetched archives that cannot be read by range: rewritten once into plain tar shards."""

import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from smolmix.pipelines.fetch.download import digests
from smolmix.pipelines.formats.rewrite import rewrite
from smolmix.workspace import Workspace

SHARDS = "_shards"
_PACKED = re.compile(r"\.(tar\.gz|tgz|tar\.zst)$")
_NUMBERED = re.compile(r"\.(zip|tar|tgz|tar\.gz)[.\-_]?(part)?[.\-_]?([0-9]+|[a-z]{2})$")
_SPLIT = re.compile(r"\.z([0-9]{2,})$")

Expand = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


def archives_to_rewrite(paths: Sequence[str]) -> dict[str, list[str]]:
    """Return shard stem -> the parts, in order, of each archive that has to be rewritten."""
    known = set(paths)
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        if match := _SPLIT.search(path):
            stem = path[: match.start()]
            found.setdefault(stem, []).append(path)
        elif (match := _NUMBERED.search(path)) or (match := _PACKED.search(path)):
            found.setdefault(path[: match.start()], []).append(path)
    for stem, parts in found.items():
        parts.sort(key=lambda p: (len(p), p))  # part 2 before part 10
        if _SPLIT.search(parts[0]):
            parts.sort(key=lambda p: int(p.rpartition(".z")[2]))
            if f"{stem}.zip" in known:
                parts.append(f"{stem}.zip")  # the last part holds the directory
    return found


def rewrite_archives(
    workspace: Workspace,
    root: str,
    files: list[dict[str, Any]],
    *,
    save: Callable[[list[dict[str, Any]]], None],
    expand: Expand | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Rewrite what must be, once; return the record's files with the shards among them.

    An archive's entry stays, marked `rewritten`; the file itself is removed, its bytes being in
    the shards.

    Args:
        workspace: where it was fetched to.
        root: the revision's folder, relative to the workspace.
        files: entries of fetch.json.
        save: called with the entries so far before an archive is removed.
        expand: of the source.
        say: told which archive is being rewritten.
    """
    entries = {str(f["path"]): dict(f) for f in files}
    fresh = [p for p, f in entries.items() if not f.get("rewritten") and not f.get("from")]
    for stem, parts in archives_to_rewrite(fresh).items():
        say(f"rewriting {stem.removeprefix(f'{root}/')}")
        for shard in _rewrite(workspace, root, stem, parts, expand):
            entries[shard["path"]] = shard
        for path in parts:
            entries[path]["rewritten"] = True
        save([entries[path] for path in sorted(entries)])
        for path in parts:
            workspace.remove(path)
    return [entries[path] for path in sorted(entries)]


def _rewrite(
    workspace: Workspace, root: str, stem: str, parts: Sequence[str], expand: Expand | None
) -> list[dict[str, Any]]:
    place = stem.removeprefix(f"{root}/")
    shards: list[dict[str, Any]] = []

    def done(path: Path, number: int) -> None:
        name = f"{root}/{SHARDS}/{place}-{number:05d}.tar"
        shards.append(
            {
                "path": name,
                "size": path.stat().st_size,
                "sha256": digests(path)[0],
                "url": "",
                "from": list(parts),
            }
        )
        workspace.put(path, name)

    above = workspace.local() if workspace.is_local else None
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=".rewrite-", dir=above))
        streams = [stack.enter_context(workspace.open(path)) for path in parts]
        rewrite(streams, parts[-1], Path(scratch), done, expand=expand)
    return shards

"""Fetch: bring a corpus's files to `raw/<corpus>/<revision>/`, checked, and say what is there.

`fetch.json` is written last and lists every file with its size and sha256; readers trust nothing
else.
"""

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from smolmix.errors import UsageError
from smolmix.pipelines.fetch_index import index_media
from smolmix.pipelines.sources.reading import FETCH_FILE
from smolmix.pipelines.sources.source import Made, Source
from smolmix.storage import Workspace

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch left behind."""

    corpus: str
    revision: str
    files: int
    bytes: int
    fresh: bool  # whether anything was brought; False: all of it was there already


def fetch(source: Source, workspace: Workspace) -> Fetched:
    """Bring the corpus into the workspace; what is there and whole is left alone.

    Raises:
        UsageError: the corpus cannot be fetched.
    """
    if not isinstance(source.origin, Made):
        raise UsageError(f"{source.id}: fetching from a hub is not there yet")
    return _made(source, source.origin, workspace)


def _made(source: Source, origin: Made, workspace: Workspace) -> Fetched:
    revision = origin.revision()
    raw = workspace.raw(source.id)
    record = raw.read_json(FETCH_FILE) if raw.exists(FETCH_FILE) else None
    if record and record["complete"] and record["revision"] == revision and _there(record, raw):
        return _fetched(source, record, fresh=False)
    root = f"raw/{source.id}/{revision}"
    with tempfile.TemporaryDirectory(prefix="smolmix-") as scratch:
        origin.write(Path(scratch))
        files = [
            {
                "path": f"{root}/{path.relative_to(scratch).as_posix()}",
                "size": path.stat().st_size,
                "sha256": sha256_file(path),
                "url": f"{origin.kind}:{origin.name}",
            }
            for path in sorted(Path(scratch).rglob("*"))
            if path.is_file()
        ]
        for file in files:
            name = str(file["path"])
            workspace.put(Path(scratch, name.removeprefix(f"{root}/")), name)
    index_media(workspace, root, media_files(source, root, [str(f["path"]) for f in files]))
    record = {
        "corpus": source.id,
        "hub_id": source.hub_id,
        "revision": revision,
        "licence": source.licence,
        "files": files,
        "complete": True,
    }
    raw.write_json(FETCH_FILE, record)
    return _fetched(source, record, fresh=True)


def media_files(source: Source, root: str, paths: list[str]) -> list[str]:
    """Return those of the paths that hold media."""
    return [
        path
        for path in paths
        if any(fnmatchcase(path.removeprefix(f"{root}/"), glob) for glob in source.media_in)
    ]


def sha256_file(path: Path, seen: Callable[[int], None] | None = None) -> str:
    """Return the sha256 of a local file as hex."""
    state = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            state.update(chunk)
            if seen is not None:
                seen(len(chunk))
    return state.hexdigest()


def _there(record: dict[str, Any], raw: Any) -> bool:
    prefix = f"raw/{record['corpus']}/"
    return all(raw.exists(f["path"].removeprefix(prefix)) for f in record["files"])


def _fetched(source: Source, record: dict[str, Any], *, fresh: bool) -> Fetched:
    return Fetched(
        corpus=source.id,
        revision=record["revision"],
        files=len(record["files"]),
        bytes=sum(f["size"] for f in record["files"]),
        fresh=fresh,
    )

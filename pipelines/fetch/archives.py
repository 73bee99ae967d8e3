"""Fetched archives that cannot be read by range, rewritten once into plain tar shards."""

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from smolmix.fetched import SHARDS, FetchedFile, FetchRecord
from smolmix.pipelines.fetch.download import digests
from smolmix.pipelines.formats.rewrite import Expand, rewrite
from smolmix.workspace import Workspace

_PACKED = re.compile(r"\.(tar\.gz|tgz|tar\.zst)$")
_NUMBERED = re.compile(r"\.(zip|tar|tgz|tar\.gz)[.\-_]?(part)?[.\-_]?([0-9]+|[a-z]{2})$")
_SPLIT = re.compile(r"\.z([0-9]{2,})$")


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


def archive_of_shard(path: str) -> str:
    """Return the stem of the archive that a shard was written from; both below the revision."""
    return path.removeprefix(f"{SHARDS}/").rpartition("-")[0]


def rewrite_archives(
    workspace: Workspace,
    record: FetchRecord,
    *,
    expand: Expand | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> FetchRecord:
    """Return the record with the shards of every archive that had to be rewritten.

    An archive's entry stays, marked as rewritten. The file itself is deleted after its shards are
    recorded: its bytes are in them.

    Args:
        workspace: where the corpus was fetched to.
        record: its fetch record, written after each archive.
        expand: of the source.
        say: called with a line for each archive.
    """
    files = {f.path: f for f in record.files}
    fresh = [p for p, f in files.items() if not f.rewritten and not f.parts]
    for stem, parts in archives_to_rewrite(fresh).items():
        say(f"rewriting {stem.removeprefix(f'{record.root}/')}")
        files |= {shard.path: shard for shard in _shards(workspace, record, stem, parts, expand)}
        files |= {path: replace(files[path], rewritten=True) for path in parts}
        record = record.with_files(files.values())
        record.write(workspace)
        for path in parts:
            workspace.remove(path)
    return record


def _shards(
    workspace: Workspace,
    record: FetchRecord,
    stem: str,
    parts: Sequence[str],
    expand: Expand | None,
) -> Iterator[FetchedFile]:
    shards: list[FetchedFile] = []

    def done(path: Path, number: int) -> None:
        place = stem.removeprefix(f"{record.root}/")
        name = f"{record.root}/{SHARDS}/{place}-{number:05d}.tar"
        size, sha256 = path.stat().st_size, digests(path)[0]
        shards.append(FetchedFile(path=name, size=size, sha256=sha256, parts=tuple(parts)))
        workspace.put(path, name)

    above = workspace.local() if workspace.is_local else None
    with ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix=".rewrite-", dir=above))
        streams = [stack.enter_context(workspace.open(path)) for path in parts]
        rewrite(streams, parts[-1], Path(scratch), done, expand=expand)
    yield from shards

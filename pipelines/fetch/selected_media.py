"""Which published files, and which rows of them, a mixture's picks need media from.

The text of a pick is in its curated part; only media lie in raw files. So a machine that has a
lock and the curated parts needs a fraction of what the corpora publish.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smolmix.errors import DataError, UsageError
from smolmix.pipelines.fetch.archives import SHARDS, archives_to_rewrite
from smolmix.sample import FIND
from smolmix.storage import Folder
from smolmix.workspace import Workspace

_LOCK, _PICKS = "lock.json", "picks.parquet"

Picked = dict[str, tuple[int, ...]]  # published path -> rows; none: the whole file


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What a mixture's picks need of one corpus."""

    revision: str  # the locked one
    files: Picked  # by their path in the revision's folder, shards of rewritten archives included
    named: tuple[str, ...]  # media not fetched yet: the names of each, a line each, best first


def lock_folder(lock: str, workspace: Workspace) -> Folder:
    """Return the folder of a lock, named by its mixture or by its path.

    Raises:
        UsageError: there is no such lock.
    """
    for folder in (workspace.mixture(lock), Folder(str(Path(lock).parent)), Folder(lock)):
        if folder.exists(_LOCK) and folder.exists(_PICKS):
            return folder
    raise UsageError(
        f"--for {lock}: no lock.json with its picks.parquet; name a mixture of the workspace, or "
        "the path of a lock.json; `smolmix mix build` writes one"
    )


def picked_files(corpus: str, folder: Folder, workspace: Workspace) -> Needed:
    """Return what the picks of a lock need of a corpus.

    Raises:
        UsageError: the mixture has nothing of this corpus.
        DataError: a curated part that the picks name is not there.
    """
    corpora = folder.read_json(_LOCK)["corpora"]
    if corpus not in corpora:
        raise UsageError(
            f"{folder.at(_LOCK)}: nothing of {corpus} is picked; it picks {', '.join(corpora)}"
        )
    with folder.open(_PICKS) as stream:
        picks = pq.read_table(stream, columns=["id", "corpus", "part", "row"])
    picks = picks.filter(pc.equal(picks["corpus"].cast(pa.string()), corpus))
    rows: dict[str, dict[int, str]] = {}
    parts = picks["part"].cast(pa.string()).to_pylist()
    places = zip(parts, picks["row"].to_pylist(), picks["id"].to_pylist(), strict=True)
    for part, row, name in places:
        rows.setdefault(part, {})[row] = name
    revision = str(corpora[corpus]["revision"])
    root = f"raw/{corpus}/{revision}/"
    needed: dict[str, set[int]] = {}
    named: set[str] = set()
    for part, wanted in sorted(rows.items()):
        for ref in _refs(workspace.curated(corpus), f"{part}.parquet", wanted):
            if ref["uri"].startswith(FIND):
                named.add(ref["uri"].removeprefix(FIND))
            if not ref["uri"].startswith(root):
                continue  # not fetched, or the user's own media
            cells = needed.setdefault(ref["uri"].removeprefix(root), set())
            if ref["row"] is not None:
                cells.add(ref["row"])
    return Needed(
        revision=revision,
        files={path: tuple(sorted(cells)) for path, cells in sorted(needed.items())},
        named=tuple(sorted(named)),
    )


def published(picked: Mapping[str, tuple[int, ...]], paths: list[str]) -> Picked:
    """Return the published files behind raw files: shards stand for the archives they came from."""
    packed = archives_to_rewrite(paths)
    found: Picked = {}
    for path, rows in picked.items():
        if not path.startswith(f"{SHARDS}/"):
            found[path] = rows
            continue
        stem = path.removeprefix(f"{SHARDS}/").rpartition("-")[0]
        if stem not in packed:
            raise DataError(
                f"{path}: no published archive {stem} at the locked revision; fetch the corpus "
                "whole, without --for"
            )
        found.update(dict.fromkeys(packed[stem], ()))
    return found


def _refs(curated: Folder, name: str, picks: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return where the media lie of the rows that were picked, row -> id."""
    if not curated.exists(name):
        raise DataError(
            f"{curated.at(name)}: not there, and the picks name it; copy the curated parts the "
            "lock was made from, or curate the corpus again"
        )
    with curated.open(name) as stream:
        table = pq.read_table(stream, columns=["id", "media"])
    here = dict(enumerate(table["id"].to_pylist()))
    for row, wanted in sorted(picks.items()):
        if here.get(row) != wanted:
            raise DataError(
                f"{curated.at(name)}: curated anew since the lock was made: row {row} is "
                f"{here.get(row, 'not there')}, picked was {wanted}; copy the curated parts the "
                "lock was made from, or run `smolmix mix build` again"
            )
    media = table["media"].take(pa.array(sorted(picks)))
    return [ref for sample in media.to_pylist() for medium in sample for ref in medium["refs"]]

"""Which published files, and which of their rows, hold the media of a mixture's selection.

The text of a selected sample is in its curated part; only media are read from raw files. So a
machine that has a lock and the curated parts needs a fraction of what the corpora publish.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from smolmix import curated
from smolmix.errors import DataError, UsageError, stale
from smolmix.fetched import SHARDS
from smolmix.mixtures.selection.lock import LOCK_FILE
from smolmix.mixtures.selection.reader import read_selection
from smolmix.pipelines.fetch.archives import archive_of_shard, archives_to_rewrite
from smolmix.sample import FIND
from smolmix.storage import Folder
from smolmix.workspace import Workspace

RowsByFile = dict[str, tuple[int, ...]]  # published path -> rows; none: the complete file


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What a mixture's selection needs of one corpus."""

    revision: str  # the locked one
    files: RowsByFile  # by path below the revision's folder; may be shards of rewritten archives
    named: tuple[str, ...]  # media not fetched yet: the names of each, a line each, best first


def selected_files(corpus: str, folder: Folder, workspace: Workspace) -> Needed:
    """Return what a mixture's selection needs of a corpus.

    Args:
        corpus: its id.
        folder: the built mixture's.
        workspace: holds the curated parts that the selection names.

    Raises:
        UsageError: the mixture has nothing of this corpus.
        DataError: a curated part that the selection names is missing.
        StaleError: a curated part holds other samples in the selected rows.
        IntegrityError: the selection is not that of the lock.
    """
    selection = read_selection(folder)
    corpora = selection.lock.corpora
    if corpus not in corpora:
        raise UsageError(
            f"{folder.at(LOCK_FILE)}: nothing of {corpus} is selected; selected are samples of "
            f"{', '.join(corpora)}"
        )
    mine = selection.samples.filter(pl.col("corpus") == corpus)
    rows: dict[str, dict[int, str]] = {}
    for part, row, name in mine.select("part", "row", "id").iter_rows():
        rows.setdefault(part, {})[row] = name
    revision = corpora[corpus].revision
    root = f"raw/{corpus}/{revision}/"
    needed: dict[str, set[int]] = {}
    named: set[str] = set()
    for part, wanted in sorted(rows.items()):
        for ref in _refs(workspace.curated(corpus), part, wanted):
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


def published(selected: Mapping[str, tuple[int, ...]], paths: list[str]) -> RowsByFile:
    """Return the published files behind raw files: for a shard, the archive it was written from."""
    packed = archives_to_rewrite(paths)
    found: RowsByFile = {}
    for path, rows in selected.items():
        if not path.startswith(f"{SHARDS}/"):
            found[path] = rows
            continue
        stem = archive_of_shard(path)
        if stem not in packed:
            raise DataError(
                f"{path}: no published archive {stem} at the locked revision; fetch the corpus "
                "completely, without --for"
            )
        found.update(dict.fromkeys(packed[stem], ()))
    return found


def _refs(folder: Folder, part: str, selected: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return where the media of the selected rows are, given the id of each row."""
    if not folder.exists(curated.sample_file(part)):
        raise DataError(
            f"{folder.at(curated.sample_file(part))}: missing, and the selection names it; copy "
            "the curated parts the lock was made from, or curate the corpus again"
        )
    wanted = pl.DataFrame({"row": list(selected), "id": list(selected.values())})
    if changed := curated.moved(folder, part, wanted):
        raise stale(
            "the selection", source=folder.url, changed=changed, command="smolmix mix build"
        )
    table = curated.read_columns(folder, part, ["media"])
    media = table["media"].take(pa.array(sorted(selected)))
    return [ref for sample in media.to_pylist() for medium in sample for ref in medium["refs"]]

"""Reads `counts/<profile>/<corpus>`: what each curated sample costs under a profile.

`pipelines/pretokenize/counts.py` writes the folder; only these two modules know its files. Each
curated part has a file of the same name, row for row with it, in `COUNTS_SCHEMA`.
"""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.curated import scan_files
from smolmix.errors import DataError, StaleError, stale
from smolmix.workspace import STAGE_FILE, Workspace, manifests, part_files, stage_record

UNFETCHED_COLUMNS = ("unfetched_images", "unfetched_clips")
COUNTS_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("text_tokens", pa.int64()),  # of the rendered chat, without visual blocks
        ("visual_tokens", pa.int64()),
        ("supervised_tokens", pa.int64()),
        ("tokens", pa.int64()),  # exact length of input_ids
        ("tiles", pa.int32()),
        ("frames", pa.int32()),
        ("unfetched_images", pa.int32()),  # in none of the numbers above
        ("unfetched_clips", pa.int32()),  # in none, except for the text of one frame of each
    ]
)


def counts_file(part: str) -> str:
    """Return the name of the file that holds the counts of a curated part."""
    return f"{part}.parquet"


def profiles_counted(workspace: Workspace, corpora: Sequence[str]) -> list[str]:
    """Return the names of the profiles for which all of the corpora are counted."""
    here = workspace.child("counts")
    if not corpora or not here.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in here.fs.ls(here.path, detail=False))
    return [n for n in names if all(workspace.counts(n, c).exists(STAGE_FILE) for c in corpora)]


def stale_counts(workspace: Workspace, profile: str, corpus: str, changed: str) -> StaleError:
    """Return the error for counts of a corpus that was curated again since."""
    return stale(
        workspace.counts(profile, corpus).url,
        source=workspace.curated(corpus).url,
        changed=changed,
        command="smolmix mix build SPEC",
    )


def check_current(workspace: Workspace, profile: str, corpus: str) -> None:
    """Refuse counts of samples that the corpus no longer has.

    Raises:
        IncompleteError: the corpus is not curated.
        StaleError: the corpus was curated again since it was counted.
    """
    folder = workspace.counts(profile, corpus)
    counted = {m.unit: m.inputs.get("input curated") for m in manifests(folder)}
    if counted != stage_record(workspace.curated(corpus)).units:
        raise stale_counts(workspace, profile, corpus, f"{corpus} was curated again")


def read_counts(
    workspace: Workspace, profile: str, corpus: str, part: str, columns: Sequence[str]
) -> pa.Table:
    """Return columns of the counts of a curated part, row for row with it.

    Args:
        workspace: that holds them.
        profile: name of the profile that the corpus was counted for.
        corpus: its name.
        part: name of the curated part.
        columns: of `COUNTS_SCHEMA`.

    Raises:
        DataError: a column is missing.
    """
    folder, name = workspace.counts(profile, corpus), counts_file(part)
    with folder.open(name) as stream:
        file = pq.ParquetFile(stream)
        missing = [c for c in columns if c not in file.schema_arrow.names]
        if missing:
            raise DataError(
                f"{folder.at(name)}: no column {missing[0]!r}; run `smolmix mix build` again"
            )
        return file.read(columns=list(columns))


def scan_counts(
    workspace: Workspace, profile: str, corpus: str, columns: Sequence[str]
) -> pl.LazyFrame:
    """Return columns of the counts of all parts in order, to be collected lazily.

    Raises:
        IncompleteError: the corpus is not counted for the profile.
        StaleError: the corpus was curated again since it was counted.
    """
    folder = workspace.counts(profile, corpus)
    files = part_files(folder)
    check_current(workspace, profile, corpus)
    return scan_files(folder, files).select(columns)

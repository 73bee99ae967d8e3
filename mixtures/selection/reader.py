"""`selection.parquet`: the samples of a mixture, in order. Written, read and checked here alone.

A build writes the selection and then the lock. A selection without a lock, or with the lock of
another one, is what an interrupted build leaves. A selection names rows of curated parts: once a
corpus is curated again, other samples may stand in those rows.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from smolmix.errors import DataError, IncompleteError, IntegrityError, UsageError, stale
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.mixtures.selection.lock import LOCK_FILE, Lock, read_lock
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record

SELECTION_FILE = "selection.parquet"
SELECTION_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.dictionary(pa.int32(), pa.string())),
        ("part", pa.dictionary(pa.int32(), pa.string())),  # of the curated corpus
        ("row", pa.int32()),  # in the part
        ("repeat", pa.int32()),  # 0 where the sample is drawn for the first time
    ]
)
_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A built mixture's lock and its samples in order."""

    lock: Lock
    samples: pl.DataFrame  # sample (position from 0), id, corpus, part, row, repeat


def _pieces(stream: IO[bytes]) -> Iterator[pa.Table]:
    """Yield a selection in tables of exactly `_ROWS` rows, but for the last one.

    Batches of Parquet end where a row group does, which depends on how the file was written.
    """
    waiting = SELECTION_SCHEMA.empty_table()
    for batch in pq.ParquetFile(stream).iter_batches(batch_size=_ROWS):
        more = pa.Table.from_batches([batch]).cast(SELECTION_SCHEMA)
        waiting = pa.concat_tables([waiting, more])
        if waiting.num_rows >= _ROWS:
            yield waiting.slice(0, _ROWS).combine_chunks()
            waiting = waiting.slice(_ROWS)
    if waiting.num_rows:
        yield waiting.combine_chunks()


def _digest(stream: IO[bytes], seed: int) -> str:
    """Return the digest of a selection's content, however its Parquet file was written."""
    state = xxhash.xxh3_128()
    for table in _pieces(stream):
        corpus, part = (table[c].cast(pa.string()) for c in ("corpus", "part"))
        place = pa.compute.binary_join_element_wise(corpus, part, "/")
        for column in (
            hash_ids(pa.concat_arrays(table["id"].chunks), seed),
            hash_ids(pa.concat_arrays(place.chunks), 0),
            table["row"].to_numpy(),
            table["repeat"].to_numpy(),
        ):
            state.update(np.ascontiguousarray(column).tobytes())
    return state.hexdigest()


def write_selection(folder: Folder, tables: Iterable[pa.Table], seed: int) -> str:
    """Write `selection.parquet`; return the digest of its content.

    Args:
        folder: the mixture's folder.
        tables: the selection in order, a piece at a time, of `SELECTION_SCHEMA`.
        seed: the mixture's seed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, SELECTION_FILE)
        with pq.ParquetWriter(target, SELECTION_SCHEMA, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
        with target.open("rb") as stream:
            digest = _digest(stream, seed)
        folder.put(target, SELECTION_FILE)
    return digest


def selection_digest(folder: Folder, seed: int) -> str:
    """Return the digest of a selection's content, as `write_selection` returned it."""
    with folder.open(SELECTION_FILE) as stream:
        return _digest(stream, seed)


def is_built(folder: Folder) -> bool:
    """Whether a mixture's folder holds a lock and a selection."""
    return folder.exists(LOCK_FILE) and folder.exists(SELECTION_FILE)


def mixture_folder(name: str, workspace: Workspace) -> Folder:
    """Return the folder of a built mixture, given its name, its folder or the path of its lock.

    Raises:
        UsageError: the folder holds no built mixture.
    """
    named = workspace.mixture(name)
    for folder in (named, Folder(str(Path(name).parent)), Folder(name)):
        if is_built(folder):
            return folder
    raise UsageError(
        f"{name}: no built mixture of that name in {workspace.url}; name a mixture of the "
        "workspace, or the path of a lock.json; `smolmix mix build` writes one"
        f"{named.instead()}"
    )


def read_samples(folder: Folder) -> pl.DataFrame:
    """Return a selection's rows as they stand in the file, compared with nothing.

    Returns:
        `sample` (position from 0), `id`, `corpus`, `part`, `row`, `repeat`.
    """
    with folder.open(SELECTION_FILE) as stream:
        table = pl.read_parquet(stream)
    return table.with_columns(
        pl.col("id", "corpus", "part").cast(pl.String), pl.col("row").cast(pl.Int64)
    ).with_row_index("sample")


def read_selection(folder: Folder) -> Selection:
    """Return the selection in a mixture's folder, checked against its lock.

    Raises:
        DataError: the mixture is not built.
        IntegrityError: the selection is not the one that the lock describes.
    """
    for name in (LOCK_FILE, SELECTION_FILE):
        if not folder.exists(name):
            raise DataError(
                f"{folder.url}: no {name}; run `smolmix mix build` first{folder.instead()}"
            )
    lock = read_lock(folder)
    if (found := selection_digest(folder, lock.seed)) != lock.selection:
        raise IntegrityError(
            f"{folder.at(SELECTION_FILE)}: digest {found}, {LOCK_FILE} says {lock.selection}; run "
            "`smolmix mix build` again"
        )
    return Selection(lock=lock, samples=read_samples(folder))


def check_current(lock: Lock, workspace: Workspace, where: str) -> None:
    """Refuse a selection of corpora that were curated again after it was made.

    Args:
        lock: of the mixture.
        workspace: holds the curated corpora.
        where: the mixture, for messages.

    Raises:
        StaleError: a corpus was curated again; it may hold other samples in the selected rows.
        IncompleteError: a corpus is not curated.
    """
    for corpus, then in lock.corpora.items():
        curated = workspace.curated(corpus)
        if stage_record(curated).digest != then.curated:
            raise stale(
                f"{where}: the selection",
                source=curated.url,
                changed=f"{corpus} was curated again",
                command=f"smolmix mix build {lock.spec_file or 'SPEC'}",
            )


def current_selection(workspace: Workspace, mixture: str, *, media: bool = False) -> Selection:
    """Return a built mixture's selection, whose corpora are as they were when it was made.

    Args:
        workspace: holds the mixture and the curated corpora.
        mixture: its name.
        media: whether the media of every sample have to be fetched.

    Raises:
        DataError: the mixture is not built.
        IntegrityError: the selection is not the one that the lock describes.
        StaleError: a corpus was curated again since.
        IncompleteError: a corpus is not curated, or media are required and not fetched.
    """
    folder = workspace.mixture(mixture)
    found = read_selection(folder)
    check_current(found.lock, workspace, folder.url)
    if media and found.lock.not_fetched:
        count = sum(found.lock.not_fetched.values())
        raise IncompleteError(
            f"{folder.at(LOCK_FILE)}: the media of {count:,} selected samples are not fetched, "
            f"and their costs are assumed; {found.lock.fetch_steps()}"
        )
    return found

"""Built mixtures without a build: a selection of any rows, and the lock that belongs to it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from smolmix.mixtures.selection.lock import FORMAT, CorpusLock, Lock, read_lock, write_lock
from smolmix.mixtures.selection.reader import SELECTION_SCHEMA, write_selection
from smolmix.storage import Folder

Row = tuple[str, str, str, int, int]  # id, corpus, part, row, repeat


def selection_table(rows: Iterable[Row]) -> pa.Table:
    """Return rows as a selection's table."""
    names = SELECTION_SCHEMA.names
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])
    return table.cast(SELECTION_SCHEMA) if table.num_rows else SELECTION_SCHEMA.empty_table()


def put_mixture(
    folder: Folder,
    rows: Iterable[Row],
    *,
    corpora: Mapping[str, CorpusLock],
    spec: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Lock:
    """Write `selection.parquet` and `lock.json`; return the lock.

    Args:
        folder: the mixture's folder, whose name is the mixture's.
        rows: the selection in order.
        corpora: the state of the corpora that the rows name.
        spec: what the lock says of the spec.
        seed: the mixture's seed.
    """
    table = selection_table(rows)
    lock = Lock(
        format=FORMAT, smolmix="", name=folder.name, spec_file="", spec=spec or {}, sources={},
        seed=seed, profile="", corpora=corpora, removals="", excluded={}, unpublished={},
        solution=(), achieved={}, licences={}, samples=table.num_rows,
        selection=write_selection(folder, [table], seed),
    )  # fmt: skip
    write_lock(folder, lock)
    return lock


def replace_selection(folder: Folder, table: pa.Table) -> None:
    """Write another selection over a built one, and its digest and length to the lock."""
    lock = read_lock(folder)
    digest = write_selection(folder, [table.cast(SELECTION_SCHEMA)], lock.seed)
    changed = replace(lock, selection=digest, samples=table.num_rows)
    write_lock(folder, changed)

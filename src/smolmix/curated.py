"""Reads the parts of a corpus under `curated/` or `measured/`; the only module that knows them.

Both folders hold the same two files for each part: `part-00000.parquet`, its samples in
`SAMPLE_SCHEMA`, and `part-00000.dropped.parquet`, what was dropped and why. A part's row numbers
are places in its sample file; selections, ids and tiles refer to them.

Each function reads one part at a time, and refuses a file that another version of the record wrote
or that lacks a column. To read only columns is cheap; a `Sample` for each row is not.
"""

import io
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError
from smolmix.sample import Sample
from smolmix.schema import DROPPED_SCHEMA, SAMPLE_SCHEMA, check_schema_version, from_table
from smolmix.storage import Folder
from smolmix.workspace import part_files

SUFFIX = ".parquet"
DROPPED_SUFFIX = ".dropped.parquet"

_BATCH_ROWS = 1024


def part_names(folder: Folder) -> list[str]:
    """Return the names of the corpus's parts in order, as in `part-00000`.

    Raises:
        IncompleteError: the corpus is not curated (or not measured).
    """
    return [name.removesuffix(SUFFIX) for name in part_files(folder)]


def sample_file(part: str) -> str:
    """Return the name of the file that holds the part's samples."""
    return f"{part}{SUFFIX}"


def dropped_file(part: str) -> str:
    """Return the name of the file that says what the part dropped."""
    return f"{part}{DROPPED_SUFFIX}"


def sources(folder: Folder, names: Sequence[str]) -> list[Any]:
    """Return what polars and pyarrow can open: local paths, or the bytes from a remote store."""
    if folder.is_local:
        return [folder.local(n) for n in names]
    return [io.BytesIO(folder.read_bytes(n)) for n in names]


def scan_files(folder: Folder, names: Sequence[str]) -> pl.LazyFrame:
    """Return the rows of Parquet files in order, to be collected lazily."""
    return pl.scan_parquet(sources(folder, names), glob=False)  # a path may contain [, ] or *


def _open(folder: Folder, part: str, dictionary: Collection[str] = ()) -> pq.ParquetFile:
    name = sample_file(part)
    if not folder.exists(name):
        raise DataError(f"{folder.at(name)}: no such part; run `smolmix curate` again")
    (source,) = sources(folder, [name])
    file = pq.ParquetFile(source, read_dictionary=list(dictionary))
    check_schema_version(file.schema_arrow, folder.at(name))
    return file


def _check_columns(file: pq.ParquetFile, columns: Sequence[str], where: str) -> None:
    missing = [c for c in columns if c not in file.schema_arrow.names]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}; run `smolmix curate` again")


def read_columns(
    folder: Folder, part: str, columns: Sequence[str], *, dictionary: Collection[str] = ()
) -> pa.Table:
    """Return columns of every row of a part, in order.

    Args:
        folder: `curated/<corpus>` or `measured/<corpus>`.
        part: its name.
        columns: of `SAMPLE_SCHEMA`.
        dictionary: columns to read as dictionaries; text that repeats takes less memory.

    Raises:
        DataError: no such part, another version of the record, or no such column.
    """
    with _open(folder, part, dictionary) as file:
        _check_columns(file, columns, folder.at(sample_file(part)))
        return file.read(columns=list(columns))


def read_rows(folder: Folder, part: str, columns: Sequence[str]) -> pl.DataFrame:
    """Return columns of a part with `row`, the place of each row, first.

    Raises:
        DataError: no such part, another version of the record, or no such column.
    """
    frame = pl.from_arrow(read_columns(folder, part, columns))
    assert isinstance(frame, pl.DataFrame)  # a table is never a Series
    return frame.select(columns).with_row_index("row")


def read_batches(
    folder: Folder, part: str, columns: Sequence[str] | None = None, *, rows: int = _BATCH_ROWS
) -> Iterator[pa.Table]:
    """Yield a part as tables of at most so many rows, in order.

    Raises:
        DataError: no such part, another version of the record, or no such column.
    """
    wanted = SAMPLE_SCHEMA.names if columns is None else list(columns)
    with _open(folder, part) as file:
        _check_columns(file, wanted, folder.at(sample_file(part)))
        for batch in file.iter_batches(rows, columns=wanted):
            table = pa.Table.from_batches([batch]).select(wanted)
            yield table.replace_schema_metadata(SAMPLE_SCHEMA.metadata)


def read_samples(folder: Folder, *, split: str | None = None) -> Iterator[Sample]:
    """Yield the samples of all parts in order, optionally those of one split.

    Raises:
        IncompleteError: the corpus is not curated.
        DataError: a part is missing, or another version of the record wrote it.
    """
    for part in part_names(folder):
        for table in read_batches(folder, part):
            if split is not None:
                table = table.filter(pa.compute.equal(table["split"], split))
            yield from from_table(table, where=folder.at(sample_file(part)))


def read_samples_at(folder: Folder, part: str, rows: Sequence[int]) -> Iterator[tuple[int, Sample]]:
    """Yield (row, sample) for some rows of a part; holds one batch in memory.

    Args:
        folder: `curated/<corpus>` or `measured/<corpus>`.
        part: its name.
        rows: ascending.

    Raises:
        DataError: no such part, or another version of the record wrote it.
    """
    wanted, start = iter(rows), 0
    row = next(wanted, None)
    if row is None:
        return
    for table in read_batches(folder, part):
        here = list[int]()
        while row is not None and row < start + table.num_rows:
            here.append(row)
            row = next(wanted, None)
        if here:
            found = from_table(table.take([r - start for r in here]))
            yield from zip(here, found, strict=True)
        start += table.num_rows
        if row is None:
            return


def row_counts(folder: Folder) -> dict[str, int]:
    """Return the number of rows of each part, from the files' footers.

    Raises:
        IncompleteError: the corpus is not curated.
    """
    counts = dict[str, int]()
    for part in part_names(folder):
        with _open(folder, part) as file:
            counts[part] = file.metadata.num_rows
    return counts


def scan(folder: Folder, columns: Sequence[str]) -> pl.LazyFrame:
    """Return columns of all parts in order, to be collected lazily.

    Raises:
        IncompleteError: the corpus is not curated.
    """
    return _scan(folder, part_files(folder), SAMPLE_SCHEMA, columns)


def scan_dropped(folder: Folder) -> pl.LazyFrame:
    """Return what the stage dropped and why, in the columns of `DROPPED_SCHEMA`.

    Raises:
        IncompleteError: the corpus is not curated.
    """
    names = part_files(folder, DROPPED_SUFFIX)
    return _scan(folder, names, DROPPED_SCHEMA, DROPPED_SCHEMA.names)


def _scan(
    folder: Folder, names: Sequence[str], schema: pa.Schema, columns: Sequence[str]
) -> pl.LazyFrame:
    if names:
        return scan_files(folder, names).select(columns)
    empty = pl.from_arrow(schema.empty_table().select(list(columns)))
    assert isinstance(empty, pl.DataFrame)  # a table is never a Series
    return empty.lazy()


def moved(folder: Folder, part: str, wanted: pl.DataFrame) -> str:
    """Return what changed if samples are no longer at their rows of a part; "" if all are.

    Its text fits `errors.stale(changed=)`.

    Args:
        folder: `curated/<corpus>`.
        part: its name.
        wanted: columns `row` and `id`.
    """
    if not folder.exists(sample_file(part)):
        return f"{part} is gone"
    here = read_rows(folder, part, ["id"]).with_columns(pl.col("row").cast(pl.Int64))
    lost = (
        wanted.select(pl.col("row").cast(pl.Int64), pl.col("id").cast(pl.String))
        .unique()
        .join(here, on=["row", "id"], how="anti")
        .sort("row")
    )
    if lost.is_empty():
        return ""
    row, name = lost.row(0)
    now = here.filter(pl.col("row") == row)["id"].to_list()
    found = f"is {now[0]!r}" if now else "does not exist"
    more = f", and {lost.height - 1:,} more" if lost.height > 1 else ""
    return f"{part}: row {row} {found}, it was {name!r}{more}"

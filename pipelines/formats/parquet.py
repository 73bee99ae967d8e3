"""Parquet files: cut at row groups, read a few rows at a time, and only the columns needed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError, nearest
from smolmix.pipelines.formats.format import (
    UNIT_BYTES,
    UNIT_ROWS,
    RawFile,
    RawRow,
    RowRange,
    UnreadableRow,
)
from smolmix.storage import Folder

UNREAD = "_unread"  # column that the format adds: the names of those that are not read
_BATCH_ROWS = 256
_BATCH_BYTES = 64 << 20  # fewer rows where they are large: a row group may pass 2 GiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """Rows of parquet files.

    Only `columns`, and those of `optional` that a file has, are read. So a column that is `null` in
    one file and `string` in another (dates in FineWeb-Edu) needs no common schema.
    """

    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()
    # Says of further columns whether they are read; rows then name the rest under `UNREAD`.
    others: Callable[[str], bool] | None = None
    unit_rows: int = UNIT_ROWS  # a range is closed once it holds this many

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of complete row groups."""
        found: list[RowRange] = []
        for file in files:
            with root.open(file.path) as stream:
                metadata = _open(stream, file.path).metadata
            start = row = size = 0
            for index in range(metadata.num_row_groups):
                group = metadata.row_group(index)
                row += group.num_rows
                size += group.total_byte_size
                last = index == metadata.num_row_groups - 1
                if last or row - start >= self.unit_rows or size >= UNIT_BYTES:
                    if row > start:
                        found.append(RowRange(paths=(file.path,), start=start, stop=row))
                    start, size = row, 0
        return found

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the range's rows, known from the footer."""
        assert rows.size is not None
        return rows.size

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield rows; a row group that cannot be decoded gives one unreadable row for each."""
        (path,) = rows.paths
        assert rows.stop is not None
        with root.open(path) as stream:
            file = _open(stream, path)
            columns = self._columns(file.schema_arrow, path)
            unread = tuple(c for c in file.schema_arrow.names if c not in columns)
            unread = unread if self.others else ()
            begin = 0
            for index in range(file.metadata.num_row_groups):
                end = begin + file.metadata.row_group(index).num_rows
                wanted = range(max(begin, rows.start + first), min(end, rows.stop))
                if wanted:
                    values = _group_values(file, index, columns, wanted, begin)
                    for row, value in zip(wanted, values, strict=True):
                        if unread and isinstance(value, dict):
                            value[UNREAD] = unread
                        yield RawRow(row=row - rows.start, path=path, file_row=row, values=value)
                begin = end

    def _columns(self, schema: pa.Schema, path: str) -> list[str]:
        names = set(schema.names)
        for column in self.columns:
            if column not in names:
                raise DataError(
                    f"{path}: no column {column!r}{nearest(column, names)}; it has "
                    f"{', '.join(schema.names)}; fetch the revision the adapter was written for"
                )
        found = [*self.columns, *(c for c in self.optional if c in names)]
        if self.others is not None:
            found += [c for c in schema.names if c not in found and self.others(c)]
        return found


def _group_values(
    file: pq.ParquetFile, index: int, columns: list[str], wanted: range, begin: int
) -> Iterator[dict[str, object] | UnreadableRow]:
    """Yield the values of the `wanted` rows of a row group that begins at row `begin`."""
    batches = file.iter_batches(_batch_rows(file, index), row_groups=[index], columns=columns)
    row = begin
    while row < wanted.stop:
        try:
            batch = next(batches)
        except StopIteration:
            unreadable = UnreadableRow(
                reason="rows-unreadable", detail=f"row group {index}: it ends at row {row}"
            )
        except (pa.ArrowException, OSError) as error:
            unreadable = UnreadableRow(
                reason="rows-unreadable", detail=f"row group {index}: {error}"
            )
        else:
            first, row = row, row + batch.num_rows
            if row > wanted.start:
                low, high = max(wanted.start, first), min(wanted.stop, row)
                yield from _values(batch.slice(low - first, high - low))
            continue
        yield from (unreadable for _ in range(max(wanted.start, row), wanted.stop))
        return


def _batch_rows(file: pq.ParquetFile, index: int) -> int:
    """Return how many rows of a row group to read at once, by their average size."""
    group = file.metadata.row_group(index)
    per_row = max(1, int(group.total_byte_size) // max(1, int(group.num_rows)))
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // per_row))


def _values(batch: pa.RecordBatch) -> Iterator[dict[str, object] | UnreadableRow]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        yield from map(_one_row, (batch.slice(at, 1) for at in range(batch.num_rows)))


def _one_row(batch: pa.RecordBatch) -> dict[str, object] | UnreadableRow:
    try:
        row: dict[str, object] = batch.to_pylist()[0]
    except UnicodeDecodeError as error:
        return UnreadableRow(reason="text-undecodable", detail=str(error))
    return row


def _open(stream: object, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file ({error}); delete it and fetch again") from (
            error
        )

"""Parquet files: cut at row groups, read a few rows at a time, only the columns asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError, nearest
from smolmix.pipelines.formats.format import UNIT_BYTES, UNIT_ROWS, Cells, Fault, Piece, RawFile
from smolmix.storage import Folder

_BATCH_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Parquet:
    """Rows of parquet files.

    Only `columns` and those of `optional` that a file has are read: a column that one file
    types `null` and another `string` (dates in FineWeb-Edu) never meets schema inference.
    """

    columns: tuple[str, ...]
    optional: tuple[str, ...] = ()

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """Cut each file into runs of whole row groups."""
        found: list[Piece] = []
        for file in files:
            with root.open(file.path) as stream:
                metadata = _open(stream, file.path).metadata
            start = row = size = 0
            for index in range(metadata.num_row_groups):
                group = metadata.row_group(index)
                row += group.num_rows
                size += group.total_byte_size
                last = index == metadata.num_row_groups - 1
                if last or row - start >= UNIT_ROWS or size >= UNIT_BYTES:
                    if row > start:
                        found.append(Piece(paths=(file.path,), start=start, stop=row))
                    start, size = row, 0
        return found

    def count(self, piece: Piece, root: Folder) -> int:
        """Return the rows of the piece; the footer told them when it was cut."""
        assert piece.stop is not None
        return piece.stop - piece.start

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield rows; a row group that cannot be decoded gives one fault a row."""
        (path,) = piece.paths
        assert piece.stop is not None
        with root.open(path) as stream:
            file = _open(stream, path)
            columns = self._columns(file.schema_arrow, path)
            begin = 0
            for index in range(file.metadata.num_row_groups):
                end = begin + file.metadata.row_group(index).num_rows
                low = max(begin, piece.start + first)
                high = min(end, piece.stop)
                if low < high:
                    yield from self._group(file, index, columns, path, piece, begin, low, high)
                begin = end

    def _group(
        self,
        file: pq.ParquetFile,
        index: int,
        columns: list[str],
        path: str,
        piece: Piece,
        begin: int,
        low: int,
        high: int,
    ) -> Iterator[Cells]:
        try:
            table = file.read_row_group(index, columns=columns).slice(low - begin, high - low)
        except (pa.ArrowException, OSError) as error:
            fault = Fault(reason="rows-unreadable", detail=f"row group {index}: {error}")
            for row in range(low, high):
                yield Cells(row=row - piece.start, path=path, file_row=row, values=fault)
            return
        row = low
        for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
            for values in _rows(batch):
                yield Cells(row=row - piece.start, path=path, file_row=row, values=values)
                row += 1

    def _columns(self, schema: pa.Schema, path: str) -> list[str]:
        names = set(schema.names)
        for column in self.columns:
            if column not in names:
                raise DataError(
                    f"{path}: no column {column!r}{nearest(column, names)}; it has "
                    f"{', '.join(schema.names)}; fetch the revision the adapter was written for"
                )
        return [*self.columns, *(c for c in self.optional if c in names)]


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, object] | Fault]:
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for index in range(batch.num_rows):
            try:
                yield batch.slice(index, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                yield Fault(reason="text-undecodable", detail=str(error))


def _open(stream: object, path: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a parquet file ({error}); delete it and fetch again") from (
            error
        )

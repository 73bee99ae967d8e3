"""Reads the bytes of a medium from a plain file, a Parquet cell or an archive member."""

import os
import posixpath
import stat
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError
from smolmix.sample import FIND, Media, MediaRef
from smolmix.storage import Folder

MAX_BYTES = 4 << 30  # of one medium: it is read into memory
_CELLS_KEPT = 2
_CELL_BYTES = 256 << 20  # of a column read at once; larger row groups are read in pieces
_ZIPS_KEPT = 4
# What zipfile raises for a member that is damaged, cut, encrypted or packed in another way.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


class MediaReader:
    """Reads media of one workspace; keeps the last few row groups and archives open.

    Fastest if media are read in the order in which their files store them.
    """

    def __init__(self, workspace: Folder):
        """Read media whose references are relative to `workspace`."""
        self._workspace = workspace
        self._columns: OrderedDict[tuple[str, str, int], _Column] = OrderedDict()
        self._parquet: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._zips: OrderedDict[str, zipfile.ZipFile] = OrderedDict()
        self._headers: dict[str, dict[int, zipfile.ZipInfo]] = {}  # of zips: by header's offset

    def read(self, ref: MediaRef) -> bytes:
        """Return the bytes the reference points at.

        Raises:
            DataError: the file, row or member does not exist or is damaged.
        """
        if ref.column is not None and ref.row is not None:
            return self._cell(ref)
        if ref.uri.startswith(FIND):
            name = ref.uri.removeprefix(FIND).partition("\n")[0]
            raise DataError(
                f"{name}: not fetched, its row alone is here (--annotations); run `smolmix fetch`, "
                "with --for MIXTURE for what a mixture selects, and curate again"
            )
        if ref.member is not None and ref.bytes is None:
            return self._member(ref.uri, ref.member, ref.offset)
        if ref.bytes is not None and ref.bytes > MAX_BYTES:
            raise DataError(f"{ref.uri}: {ref.member} has {_too_large(ref.bytes)}")
        try:
            with self._open(ref.uri) as stream:
                if ref.offset is None:
                    return _contents(stream, ref.uri)
                stream.seek(ref.offset)
                data = bytes(stream.read(ref.bytes))
        except FileNotFoundError as error:
            raise DataError(f"{ref.uri}: no such file") from error
        if ref.bytes is not None and len(data) != ref.bytes:
            raise DataError(f"{ref.uri}: {ref.member} is cut: {len(data)} of {ref.bytes} bytes")
        return data

    def read_all(self, media: Media) -> tuple[bytes, ...]:
        """Return the bytes of each of the medium's references, in order."""
        return tuple(self.read(ref) for ref in media.refs)

    def _open(self, uri: str) -> Any:
        if "://" in uri:
            return fsspec.open(uri, "rb").open()
        if self._workspace.is_local:
            path = self._workspace.local(uri) if not os.path.isabs(uri) else uri
            if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for without end
                raise DataError(f"{uri}: no regular file")
        return self._workspace.open(uri)

    def _member(self, uri: str, member: str, header: int | None) -> bytes:
        """Return a packed member of a zip, found by its header or, without that, by its name."""
        archive = self._zips.get(uri)
        if archive is None:
            try:
                archive = self._zips[uri] = zipfile.ZipFile(self._open(uri))
            except FileNotFoundError as error:
                raise DataError(f"{uri}: no such file") from error
            except zipfile.BadZipFile as error:
                raise DataError(f"{uri}: not a zip archive ({error})") from error
            self._headers[uri] = {info.header_offset: info for info in archive.infolist()}
            if len(self._zips) > _ZIPS_KEPT:
                oldest, closed = self._zips.popitem(last=False)
                closed.close()
                self._headers.pop(oldest, None)
        info = self._headers[uri].get(header) if header is not None else _named(archive, member)
        if info is None:
            raise DataError(f"{uri}: no member {member!r}")
        if info.file_size > MAX_BYTES:
            raise DataError(f"{uri}: {member} has {_too_large(info.file_size)}")
        try:
            return archive.read(info)
        except _DAMAGED as error:
            raise DataError(f"{uri}: {member} cannot be unpacked ({error}); fetch again") from error

    def _cell(self, ref: MediaRef) -> bytes:
        assert ref.row is not None
        assert ref.column is not None
        file = self._parquet.get(ref.uri)
        if file is None:
            try:
                file = self._parquet[ref.uri] = pq.ParquetFile(self._open(ref.uri))
            except FileNotFoundError as error:
                raise DataError(f"{ref.uri}: no such file") from error
            except pa.ArrowException as error:
                raise DataError(f"{ref.uri}: not a parquet file ({error})") from error
            if len(self._parquet) > _ZIPS_KEPT:
                self._parquet.popitem(last=False)
        group, start = 0, 0
        while group < file.num_row_groups:
            rows = file.metadata.row_group(group).num_rows
            if ref.row < start + rows:
                break
            start, group = start + rows, group + 1
        else:
            raise DataError(f"{ref.uri}: no row {ref.row}; the file has {start}")
        key = (ref.uri, ref.column, group)
        column = self._columns.get(key)
        if column is None:
            if ref.column not in file.schema_arrow.names:
                raise DataError(f"{ref.uri}: no column {ref.column!r}")
            column = self._columns[key] = _Column.of(file, group, ref)
            if len(self._columns) > _CELLS_KEPT:
                self._columns.popitem(last=False)
        else:
            self._columns.move_to_end(key)
        cell = column.cell(ref.row - start)
        if ref.index is not None:
            cell = _item(cell, ref)
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise DataError(f"{ref.uri}: row {ref.row}, column {ref.column}: no bytes")
        return data


@dataclass(slots=True)
class _Column:
    """One column of a row group, read in pieces where it is large; fastest in order of rows."""

    file: pq.ParquetFile
    group: int
    ref: MediaRef  # any one in the column, for messages
    piece_rows: int
    pieces: Iterator[pa.RecordBatch]
    piece: pa.Array | None = None
    begin: int = 0  # first row of the piece, counted in the row group
    end: int = 0

    @classmethod
    def of(cls, file: pq.ParquetFile, group: int, ref: MediaRef) -> "_Column":
        """Return the column, nothing of it read yet."""
        metadata = file.metadata.row_group(group)
        size = sum(
            chunk.total_uncompressed_size
            for chunk in map(metadata.column, range(metadata.num_columns))
            if chunk.path_in_schema.partition(".")[0] == ref.column
        )
        rows = max(1, metadata.num_rows * _CELL_BYTES // max(size, _CELL_BYTES))
        column = cls(file, group, ref, rows, iter(()))
        column.restart()
        return column

    def restart(self) -> None:
        """Read from the row group's first row again."""
        self.pieces = self.file.iter_batches(
            self.piece_rows, row_groups=[self.group], columns=[self.ref.column]
        )
        self.begin = self.end = 0

    def cell(self, row: int) -> Any:
        """Return a cell, by its row in the row group.

        Raises:
            DataError: the row group cannot be read.
        """
        if row < self.begin:
            self.restart()
        while row >= self.end:
            try:
                piece = next(self.pieces)
            except (pa.ArrowException, OSError, StopIteration) as error:
                raise DataError(
                    f"{self.ref.uri}: row group {self.group} cannot be read ({error}); fetch again"
                ) from error
            self.begin, self.end = self.end, self.end + piece.num_rows
            self.piece = piece.column(0)
        assert self.piece is not None
        return self.piece[row - self.begin].as_py()


def _item(cell: Any, ref: MediaRef) -> Any:
    """Return one item of a list, also of a list that is stored as a struct of lists."""
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), list):
        cell = cell["bytes"]
    if not isinstance(cell, list) or ref.index is None or ref.index >= len(cell):
        raise DataError(f"{ref.uri}: row {ref.row}: no item {ref.index} in {ref.column}")
    return cell[ref.index]


def _contents(stream: IO[bytes], uri: str) -> bytes:
    data = bytes(stream.read(MAX_BYTES + 1)) if _size(stream) <= MAX_BYTES else None
    if data is None or len(data) > MAX_BYTES:
        raise DataError(f"{uri}: {_too_large(_size(stream))}")
    return data


def _size(stream: IO[bytes]) -> int:
    """Return a stream's size, or 0 where it cannot be told."""
    if not stream.seekable():
        return 0
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    return size


def _too_large(size: int) -> str:
    return f"{size:,} bytes; a medium has at most {MAX_BYTES:,}"


def _named(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo | None:
    """Return a member by its clean name: the archive may write `./` before it, or backslashes."""
    if found := archive.NameToInfo.get(member):
        return found
    for info in archive.infolist():
        if posixpath.normpath(info.filename.replace("\\", "/")) == member:
            return info
    return None

"""Reads the bytes of a medium from a plain file, a Parquet cell or an archive member."""

import posixpath
import zipfile
import zlib
from collections import OrderedDict
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError
from smolmix.sample import FIND, Media, MediaRef
from smolmix.storage import Folder

_ROW_GROUPS_KEPT = 2
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
        self._columns: OrderedDict[tuple[str, str, int], pa.Array] = OrderedDict()
        self._parquet: OrderedDict[str, pq.ParquetFile] = OrderedDict()
        self._zips: OrderedDict[str, zipfile.ZipFile] = OrderedDict()
        self._names: dict[str, dict[str, str]] = {}  # of odd zips: clean name -> name as written

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
        if ref.member is not None and ref.offset is None:
            return self._member(ref.uri, ref.member)
        try:
            with self._open(ref.uri) as stream:
                if ref.offset is None:
                    return bytes(stream.read())
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
        return self._workspace.open(uri)

    def _member(self, uri: str, member: str) -> bytes:
        archive = self._zips.get(uri)
        if archive is None:
            try:
                archive = self._zips[uri] = zipfile.ZipFile(self._open(uri))
            except FileNotFoundError as error:
                raise DataError(f"{uri}: no such file") from error
            except zipfile.BadZipFile as error:
                raise DataError(f"{uri}: not a zip archive ({error})") from error
            if len(self._zips) > _ZIPS_KEPT:
                oldest, closed = self._zips.popitem(last=False)
                closed.close()
                self._names.pop(oldest, None)
        try:
            return archive.read(self._written_as(uri, archive, member))
        except KeyError as error:
            raise DataError(f"{uri}: no member {member!r}") from error
        except _DAMAGED as error:
            raise DataError(f"{uri}: {member} cannot be unpacked ({error}); fetch again") from error

    def _written_as(self, uri: str, archive: zipfile.ZipFile, member: str) -> str:
        """Return a member's name as the archive writes it: `./` before it, or backslashes in it."""
        if member in archive.NameToInfo:
            return member
        names = self._names.get(uri)
        if names is None:
            names = self._names[uri] = {
                posixpath.normpath(name.replace("\\", "/")): name for name in archive.namelist()
            }
        return names.get(member, member)

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
            try:
                table = file.read_row_group(group, columns=[ref.column])
            except (pa.ArrowException, OSError) as error:
                raise DataError(
                    f"{ref.uri}: row group {group} cannot be read ({error}); fetch again"
                ) from error
            column = self._columns[key] = table.column(0).combine_chunks()
            if len(self._columns) > _ROW_GROUPS_KEPT:
                self._columns.popitem(last=False)
        else:
            self._columns.move_to_end(key)
        cell = column[ref.row - start].as_py()
        if ref.index is not None:
            if cell is None or ref.index >= len(cell):
                raise DataError(f"{ref.uri}: row {ref.row}: no item {ref.index} in {ref.column}")
            cell = cell[ref.index]
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if data is None:
            raise DataError(f"{ref.uri}: row {ref.row}, column {ref.column}: no bytes")
        return bytes(data)

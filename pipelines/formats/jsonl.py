"""JSON Lines: plain files are cut at the end of a line, compressed ones are read as one range."""

import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import RawFile, RawRow, RowRange
from smolmix.pipelines.formats.streams import compression, decompressed
from smolmix.pipelines.formats.text import UTF16_MARKS, parse_object
from smolmix.storage import Folder

_CUT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """One JSON object a line: plain, gzip or zstd, by the file's first bytes.

    Empty lines are skipped. A line without a JSON object is an unreadable row.
    """

    cut_bytes: int = _CUT_BYTES

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of about `cut_bytes` of plain files, and one of each compressed file."""
        found: list[RowRange] = []
        for file in files:
            if file.size <= self.cut_bytes or _must_be_read_from_start(root, file.path):
                found.append(RowRange(paths=(file.path,)))
            else:
                found.extend(self._cut(file, root))
        return found

    def _cut(self, file: RawFile, root: Folder) -> Iterator[RowRange]:
        with root.open(file.path) as stream:
            begin = row = 0
            while begin < file.size:
                end, rows = begin, 0
                while end < file.size and (end - begin < self.cut_bytes):
                    line = stream.readline()
                    end += len(line)
                    rows += bool(line.strip())
                yield RowRange(paths=(file.path,), start=row, stop=row + rows, begin=begin, end=end)
                begin, row = end, row + rows

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the range's rows; the file is read if they were not counted yet."""
        return sum(1 for _ in _lines(root, rows)) if rows.size is None else rows.size

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row a line."""
        (path,) = rows.paths
        for row, line in enumerate(_lines(root, rows)):
            if row >= first:
                values = parse_object(line)
                yield RawRow(row=row, path=path, file_row=rows.start + row, values=values)


def _lines(root: Folder, rows: RowRange) -> Iterator[bytes]:
    """Yield the lines of a range that are not empty.

    Raises:
        DataError: a compressed file is cut or damaged: it is not known how much is missing.
    """
    (path,) = rows.paths
    try:
        with root.open(path) as raw, _plain(raw) as stream:
            if rows.end is not None:
                raw.seek(rows.begin)
            position = rows.begin
            for line in stream:
                if line.strip():
                    yield line
                position += len(line)
                if rows.end is not None and position >= rows.end:
                    return
    except FileNotFoundError:
        raise
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and fetch again") from error


@contextmanager
def _plain(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    head = raw.read(4)
    raw.seek(0)
    how = compression(head)
    if how in ("gzip", "zstd"):
        yield decompressed(raw, how)
    elif head[:2] in UTF16_MARKS:
        text = io.TextIOWrapper(raw, "utf-16", errors="replace", newline="\n")
        yield io.BytesIO("".join(text).encode())
        text.detach()
    else:
        yield raw


def _must_be_read_from_start(root: Folder, path: str) -> bool:
    with root.open(path) as stream:
        head = stream.read(4)
    return compression(head) in ("gzip", "zstd") or head[:2] in UTF16_MARKS

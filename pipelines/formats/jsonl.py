"""JSON Lines, plain, `.gz` or `.zst`: plain files are cut at bytes, compressed ones stay whole."""

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import Cells, Fault, Piece, RawFile
from smolmix.pipelines.formats.text import decode
from smolmix.pipelines.formats.unzstd import MAGIC, plain_zstd
from smolmix.storage import Folder

_CUT_BYTES = 64 << 20
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """One JSON object a line, whatever the suffix says. Empty lines are no rows."""

    cut_bytes: int = _CUT_BYTES

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """Cut plain files near every `cut_bytes`, at the end of a line."""
        found: list[Piece] = []
        for file in files:
            if file.size <= self.cut_bytes or _compression(root, file.path):
                found.append(Piece(paths=(file.path,)))
                continue
            found.extend(self._cut(file, root))
        return found

    def _cut(self, file: RawFile, root: Folder) -> Iterator[Piece]:
        with root.open(file.path) as stream:
            begin = row = 0
            while begin < file.size:
                end, rows = begin, 0
                while end < file.size and (end - begin < self.cut_bytes):
                    line = stream.readline()
                    end += len(line)
                    rows += bool(line.strip())
                yield Piece(paths=(file.path,), start=row, stop=row + rows, begin=begin, end=end)
                begin, row = end, row + rows

    def count(self, piece: Piece, root: Folder) -> int:
        """Return the piece's rows, reading the file where they were not counted yet."""
        if piece.stop is not None:
            return piece.stop - piece.start
        return sum(1 for _ in _lines(root, piece))

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield rows; a line that is no JSON object is a fault."""
        (path,) = piece.paths
        for row, line in enumerate(_lines(root, piece)):
            if row >= first:
                yield Cells(row=row, path=path, file_row=piece.start + row, values=parse(line))


def parse(line: bytes) -> dict[str, object] | Fault:
    """Return the JSON object in `line`, or why there is none."""
    text = decode(line)
    if isinstance(text, Fault):
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Fault(reason="json-broken", detail=f"{error}"[:200])
    if not isinstance(value, dict):
        return Fault(reason="row-not-object", detail=f"a {type(value).__name__}")
    if "\\ud" in text or "\\uD" in text:  # half a pair is no text: no column could hold it
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return Fault(reason="text-undecodable", detail="a lone surrogate")
    return value


def _lines(root: Folder, piece: Piece) -> Iterator[bytes]:
    """Yield the piece's lines.

    Raises:
        DataError: a compressed file is cut or damaged: how much is missing cannot be told.
    """
    (path,) = piece.paths
    try:
        yield from _of_stream(root, piece, path)
    except FileNotFoundError:
        raise
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and fetch again") from error


def _of_stream(root: Folder, piece: Piece, path: str) -> Iterator[bytes]:
    with root.open(path) as raw, _plain(raw) as stream:
        if piece.end is not None:
            raw.seek(piece.begin)
        position = piece.begin
        for line in stream:
            if line.strip():
                yield line
            position += len(line)
            if piece.end is not None and position >= piece.end:
                return


@contextmanager
def _plain(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    head = raw.read(4)
    raw.seek(0)
    if head[:2] == b"\x1f\x8b":
        with gzip.open(raw) as stream:
            yield io.BufferedReader(stream)
    elif head == MAGIC:
        yield plain_zstd(raw)
    elif head[:2] in _UTF16:
        text = io.TextIOWrapper(raw, "utf-16", errors="replace", newline="\n")
        yield io.BytesIO("".join(text).encode())
        text.detach()
    else:
        yield raw


def _compression(root: Folder, path: str) -> bool:
    with root.open(path) as stream:
        head = stream.read(4)
    return head[:2] in (b"\x1f\x8b", *_UTF16) or head == MAGIC

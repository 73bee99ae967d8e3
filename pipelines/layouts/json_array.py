"""JSON files of many rows: one array, an object of rows, an object around an array, or lines.

Files of tens of gigabytes are streamed once to be cut; memory stays at a few megabytes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.layouts.json_scan import CHUNK, elements
from smolmix.pipelines.layouts.jsonl import JsonLines, parse
from smolmix.pipelines.layouts.layout import UNIT_ROWS, Cells, Fault, Piece, RawFile
from smolmix.storage import Folder

_SPACE = b" \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonArray:
    """Rows are the elements of each file's array, or the values of its object.

    A row that is a value of an object carries its key as `_key`.
    """

    cut_bytes: int = 32 << 20

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """Cut each file near every `cut_bytes`, between elements."""
        found: list[Piece] = []
        for file in files:
            with root.open(file.path) as stream:
                begin = _inside(stream, file.path)
                if begin is None:
                    found += JsonLines().pieces([file], root)
                    continue
                found += _cut(stream, file, begin, self.cut_bytes)
        return found

    def count(self, piece: Piece, root: Folder) -> int:
        """Return the piece's rows; they were counted when it was cut."""
        return JsonLines().count(piece, root)

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield rows; an element that cannot be parsed is a fault, and only it."""
        (path,) = piece.paths
        with root.open(path) as stream:
            if _inside(stream, path) is None:
                yield from JsonLines().read(piece, root, first)
                return
            found = elements(stream, piece.begin, piece.end, path)
            for row, (_, element) in enumerate(found):
                if row >= first:
                    yield Cells(
                        row=row, path=path, file_row=piece.start + row, values=_value(element)
                    )


def _cut(stream: IO[bytes], file: RawFile, begin: int, cut_bytes: int) -> Iterator[Piece]:
    start = row = 0
    low = begin
    end = begin
    for offset, element in elements(stream, begin, None, file.path):
        end = offset + len(element)
        row += 1
        if end - low >= cut_bytes or row - start >= UNIT_ROWS:
            yield Piece(paths=(file.path,), start=start, stop=row, begin=low, end=end)
            low, start = end + 1, row
    if row > start:
        yield Piece(paths=(file.path,), start=start, stop=row, begin=low, end=end)


def _value(element: bytes) -> dict[str, object] | Fault:
    text = element.strip()
    if not text.startswith(b'"'):
        return parse(text)
    pair = parse(b"{" + text + b"}")
    if isinstance(pair, Fault):
        return pair
    ((key, value),) = pair.items()
    if not isinstance(value, dict):
        return Fault(reason="row-not-object", detail=f"{key}: a {type(value).__name__}")
    return {"_key": key, **value}


def _inside(stream: IO[bytes], where: str) -> int | None:
    """Return where the first row of the array or object starts; None for one object a line."""
    head = stream.read(CHUNK)
    stream.seek(0)
    position = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    while head[position : position + 1] and head[position] in _SPACE:
        position += 1
    opening = head[position : position + 1]
    if opening == b"[":
        return position + 1
    if opening != b"{":
        raise DataError(
            f"{where}: starts with {head[:20]!r}; a JSON array, object or lines are read; "
            "look at the file, or give its corpus another layout"
        )
    line = head.split(b"\n", 1)[0]
    if not isinstance(parse(line), Fault) and head[len(line) + 1 :].lstrip()[:1] == b"{":
        return None
    return _wrapped(head, position) or position + 1


def _wrapped(head: bytes, position: int) -> int | None:
    """Return where the array starts in `{"data": [`, if that is how the file starts."""
    text = head[position + 1 : position + 4096].decode(errors="replace").lstrip()
    try:
        _, length = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return None
    rest = text[length:].lstrip()
    if not rest.startswith(":") or not rest[1:].lstrip().startswith("["):
        return None
    return head.index(b"[", position) + 1

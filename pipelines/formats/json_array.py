"""JSON arrays of any size: cut between elements without parsing them.

A 20 GB array is cut in one pass, a few megabytes at a time. The scanner compares all bytes with the
quote once, looks at backslashes only before quotes, and at brackets and commas only outside
strings, where rows of conversations have few bytes. Own code because parsers that stream (ijson,
msgspec, simdjson) give no byte offsets to cut at; see benchmarks/sources/json_scan.py.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import UNIT_ROWS, RawFile, RawRow, RowRange, UnreadableRow
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.formats.text import parse_object
from smolmix.storage import Folder

CHUNK = 4 << 20
MAX_ELEMENT = 256 << 20

_SPACE = b" \t\r\n"
_QUOTE, _BACKSLASH, _COMMA = 0x22, 0x5C, 0x2C
_STEP = np.zeros(256, np.int8)  # what a byte does to the depth
_STEP[ord("[")] = _STEP[ord("{")] = 1
_STEP[ord("]")] = _STEP[ord("}")] = -1

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Places = np.ndarray[tuple[int], np.dtype[np.intp]]


@dataclass(slots=True)
class Scanner:
    """Finds the ends of top-level elements, chunk after chunk.

    Starts inside the container: depth 1, outside any string.
    """

    depth: int = 1
    in_string: bool = False
    escaped: bool = False  # the next byte follows an escaping backslash
    closed: bool = False

    def ends(self, chunk: bytes) -> list[int]:
        """Return where in `chunk` elements end: commas at the top, and last the closing bracket."""
        data = np.frombuffer(chunk, np.uint8)
        quotes = self._quotes(data)
        run = len(chunk) - len(chunk.rstrip(b"\\"))
        self.escaped = bool((run + (self.escaped and run == len(chunk))) % 2)
        places = self._outside(quotes, data.size)
        bare = data[places]
        depths = self.depth + np.cumsum(_STEP[bare], dtype=np.int32)
        closing = np.flatnonzero(depths == 0)
        last = int(closing[0]) if closing.size else bare.size
        found = np.flatnonzero((bare[:last] == _COMMA) & (depths[:last] == 1))
        if closing.size:
            self.closed = True
            found = np.append(found, last)
        elif depths.size:
            self.depth = int(depths[-1])
        ends: list[int] = places[found].tolist()
        return ends

    def _quotes(self, data: Bytes) -> Places:
        """Return where strings begin or end: at quotes after an even number of backslashes."""
        quotes = np.flatnonzero(data == _QUOTE)
        odd = np.zeros(quotes.size, bool)
        undecided, at = (
            np.arange(quotes.size),
            quotes,
        )  # each steps back over the run before its quote
        while undecided.size:
            if at[0] == 0:  # the run began in the previous chunk
                odd[undecided[0]] ^= self.escaped
                undecided, at = undecided[1:], at[1:]
            more = data[at - 1] == _BACKSLASH
            undecided, at = undecided[more], at[more] - 1
            odd[undecided] ^= True
        return quotes[~odd]

    def _outside(self, quotes: Places, size: int) -> Places:
        """Return the places of all bytes outside strings, in order."""
        edges = np.concatenate(([-1], quotes, [size]))[int(self.in_string) :]
        self.in_string ^= bool(quotes.size % 2)
        starts, ends = edges[:-1:2] + 1, edges[1::2]
        lengths = ends - starts
        before = np.cumsum(lengths) - lengths
        return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))


def elements(
    stream: IO[bytes], begin: int, end: int | None, where: str
) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of each element between `begin` and `end` that is not empty.

    Args:
        stream: seekable.
        begin: just after the opening bracket, or after a comma at the top.
        end: where to stop; None: at the closing bracket, or where the file was cut.
        where: the file, for messages.

    Raises:
        DataError: an element is larger than `MAX_ELEMENT`: the file is damaged.
    """
    scanner = Scanner()
    stream.seek(begin)
    position = start = begin
    held = b""
    while not scanner.closed:
        chunk = stream.read(CHUNK if end is None else min(CHUNK, end - position))
        if not chunk:
            break
        base = position - len(held)
        text = held + chunk
        for place in scanner.ends(chunk):
            stop = position + place
            element = text[start - base : stop - base]
            if element.strip():
                yield start, element
            start = stop + 1
        position += len(chunk)
        held = text[start - base :] if start < position else b""
        if len(held) > MAX_ELEMENT:
            raise DataError(
                f"{where}: an element of over {MAX_ELEMENT >> 20} MiB starts at byte {start}; "
                "the file is damaged: delete it and fetch again"
            )
    if not scanner.closed and held.strip():
        yield start, held


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonArray:
    """Rows are the elements of each file's array, or the values of its object.

    A row that is a value of an object carries its key as `_key`.
    """

    cut_bytes: int = 32 << 20
    unit_rows: int = UNIT_ROWS  # most rows of a range

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of about `cut_bytes` of each file, cut between elements."""
        found: list[RowRange] = []
        for file in files:
            with root.open(file.path) as stream:
                begin = _inside(stream, file.path)
                if begin is None:
                    found += JsonLines().split([file], root)
                    continue
                found += self._cut(stream, file, begin)
        return found

    def _cut(self, stream: IO[bytes], file: RawFile, begin: int) -> Iterator[RowRange]:
        start = row = 0
        low = end = begin
        for offset, element in elements(stream, begin, None, file.path):
            end = offset + len(element)
            row += 1
            if end - low >= self.cut_bytes or row - start >= self.unit_rows:
                yield RowRange(paths=(file.path,), start=start, stop=row, begin=low, end=end)
                low, start = end + 1, row
        if row > start:
            yield RowRange(paths=(file.path,), start=start, stop=row, begin=low, end=end)

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the range's rows: of an array they were counted when it was cut."""
        return JsonLines().count(rows, root)

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row an element; an element that cannot be parsed is one unreadable row."""
        (path,) = rows.paths
        with root.open(path) as stream:
            if _inside(stream, path) is None:
                yield from JsonLines().read(rows, root, first)
                return
            found = elements(stream, rows.begin, rows.end, path)
            for row, (_, element) in enumerate(found):
                if row >= first:
                    values = _value(element)
                    yield RawRow(row=row, path=path, file_row=rows.start + row, values=values)


def _value(element: bytes) -> dict[str, object] | UnreadableRow:
    text = element.strip()
    if not text.startswith(b'"'):
        return parse_object(text)
    pair = parse_object(b"{" + text + b"}")
    if isinstance(pair, UnreadableRow):
        return pair
    ((key, value),) = pair.items()
    if not isinstance(value, dict):
        return UnreadableRow(reason="row-not-object", detail=f"{key}: a {type(value).__name__}")
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
            "look at the file, or name another format for its corpus"
        )
    line = head.split(b"\n", 1)[0]
    if (
        not isinstance(parse_object(line), UnreadableRow)
        and head[len(line) + 1 :].lstrip()[:1] == b"{"
    ):
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

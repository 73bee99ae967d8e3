"""Files of JSON: arrays of any size, objects of rows, one row a file, or one row a line.

The ending decides where it can: `.jsonl` and `.ndjson` are lines, also if the first one is broken.
A `.json` file is looked at. Every byte of it is in a row, a separator, or named: what cannot be
divided into rows is an error, never skipped.

Arrays are cut between elements without parsing them: a 20 GB array in one pass, a few megabytes at
a time. The scanner compares all bytes with the quote once, looks at backslashes only before quotes,
and at brackets and commas only outside strings, where rows of conversations have few bytes. Own
code because parsers that stream (ijson, msgspec, simdjson) give no byte offsets to cut at; see
benchmarks/sources/json_scan.py.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Literal

import numpy as np

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import UNIT_ROWS, RawFile, RawRow, RowRange, UnreadableRow
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.formats.text import parse_object
from smolmix.storage import Folder

CHUNK = 4 << 20
MAX_ELEMENT = 256 << 20

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_QUOTE, _BACKSLASH, _COMMA, _OPEN = 0x22, 0x5C, 0x2C, 0x5B
_CLOSES = b"]}"
_LINES = (".jsonl", ".ndjson")
_PACKED = (".gz", ".zst", ".zstd")
_FILES_A_RANGE = 500  # of files that hold one row each
_LINES_TRIED = 100  # at the start of a file, for one that is an object
_MEMBERS_TRIED = 64  # of an object, before it counts as an object of rows
_ROW_A_FILE = 0  # as the end of a range: each of its files is one row

# How a file holds rows: one a line, elements of arrays, members of its object, elements of the one
# array in its object, or the object is the row.
_Form = Literal["lines", "array", "object", "inside", "row"]
_STEP = np.zeros(256, np.int8)  # what a byte does to the depth
_STEP[ord("[")] = _STEP[ord("{")] = 1
_STEP[ord("]")] = _STEP[ord("}")] = -1

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Places = np.ndarray[tuple[int], np.dtype[np.intp]]
Depths = np.ndarray[tuple[int], np.dtype[np.int32]]


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
        places, bare, depths = self._outside_strings(chunk)
        ends: list[int] = places[(bare == _COMMA) & (depths == 1) | (depths == 0)].tolist()
        return ends

    def edges(self, chunk: bytes) -> list[tuple[int, bool]]:
        """Return where elements end, as `ends` does, and where brackets open in them (True)."""
        places, bare, depths = self._outside_strings(chunk)
        opens = (depths == 2) & (_STEP[bare] == 1)
        kept = opens | (bare == _COMMA) & (depths == 1) | (depths == 0)
        return list(zip(places[kept].tolist(), opens[kept].tolist(), strict=True))

    def _outside_strings(self, chunk: bytes) -> tuple[Places, Bytes, Depths]:
        """Return places, values and depths of the bytes outside strings, to the closing bracket."""
        data = np.frombuffer(chunk, np.uint8)
        quotes = self._quotes(data)
        run = len(chunk) - len(chunk.rstrip(b"\\"))
        self.escaped = bool((run + (self.escaped and run == len(chunk))) % 2)
        places = self._outside(quotes, data.size)
        bare = data[places]
        depths = self.depth + np.cumsum(_STEP[bare], dtype=np.int32)
        closing = np.flatnonzero(depths == 0)
        if closing.size:
            self.closed = True
            last = int(closing[0]) + 1
            return places[:last], bare[:last], depths[:last]
        if depths.size:
            self.depth = int(depths[-1])
        return places, bare, depths

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

    Where the file ends without the closing bracket, a last element without bytes says so.

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
    if scanner.closed:
        return
    if held.strip():
        yield start, held
    if end is None:
        yield position, b""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonArray:
    """Rows are the elements of each file's array, the values of its object, or its one object.

    A row that is a value of an object carries its key as `_key`. Arrays that follow each other in
    one file are read as one. A file of lines is read as lines.
    """

    cut_bytes: int = 32 << 20
    unit_rows: int = UNIT_ROWS  # most rows of a range
    row_keys: tuple[str, ...] = ()  # an object with one of these keys is a row, no object of rows

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of about `cut_bytes` of each file, cut between elements.

        Files that hold one row each are read together.

        Raises:
            DataError: bytes of a file belong to no row, or it is not known which rows it holds.
        """
        found: list[RowRange] = []
        single: list[str] = []
        for file in files:
            if _is_lines(file.path):
                ranges = JsonLines().split([file], root)
            else:
                with root.open(file.path) as stream:
                    form, begin = self._look_at(stream, file.path)
                    if form == "row":
                        single.append(file.path)
                        continue
                    if form == "lines":
                        ranges = JsonLines().split([file], root)
                    else:
                        ranges = list(self._cut(stream, file, begin, form))
            found += [*_together(single), *ranges]
            single = []
        return found + _together(single)

    def _cut(self, stream: IO[bytes], file: RawFile, begin: int, form: _Form) -> Iterator[RowRange]:
        """Yield ranges of the elements from `begin` on, and of arrays that follow."""
        start = row = 0
        after: int | None = begin
        while after is not None:
            low = end = after
            is_cut = False
            for offset, element in elements(stream, after, None, file.path):
                is_cut = not element
                end = offset + len(element)
                row += 1
                if not is_cut and (end - low >= self.cut_bytes or row - start >= self.unit_rows):
                    yield RowRange(paths=(file.path,), start=start, stop=row, begin=low, end=end)
                    low, start = end + 1, row
            if row > start:
                stop_at = None if is_cut else end
                yield RowRange(paths=(file.path,), start=start, stop=row, begin=low, end=stop_at)
                start = row
            # What follows the array inside an object was looked at before.
            after = None if is_cut or form == "inside" else _next_array(stream, end, file.path)

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the range's rows: of an array they were counted when it was cut."""
        return JsonLines().count(rows, root)

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row an element; an element that cannot be parsed is one unreadable row."""
        if rows.end == _ROW_A_FILE:
            for row, path in enumerate(rows.paths):
                if row >= first:
                    values = parse_object(root.read_bytes(path))
                    yield RawRow(row=row, path=path, file_row=0, values=values)
            return
        (path,) = rows.paths
        with root.open(path) as stream:
            # Lines are cut behind a line break, elements behind a bracket or a comma.
            stream.seek(max(0, rows.begin - 1))
            if rows.begin and stream.read(1) != b"\n":
                found = elements(stream, rows.begin, rows.end, path)
                for row, (_, element) in enumerate(found):
                    if row >= first:
                        values = _value(element)
                        yield RawRow(row=row, path=path, file_row=rows.start + row, values=values)
                return
        yield from JsonLines().read(rows, root, first)

    def _look_at(self, stream: IO[bytes], where: str) -> tuple[_Form, int]:
        """Return how a file holds rows, and where the first row of an array or object starts."""
        head = stream.read(CHUNK)
        position = len(_BOM) if head.startswith(_BOM) else 0
        while head[position : position + 1] and head[position] in _SPACE:
            position += 1
        opening = head[position : position + 1]
        if opening == b"[":
            return "array", position + 1
        if opening != b"{":
            raise DataError(
                f"{where}: starts with {head[:20]!r}; a JSON array, object or lines are read; "
                "look at the file, or name another format for its corpus"
            )
        if _holds_lines(head[position:]):
            return "lines", 0
        members, end = _outline(stream, position + 1, where)
        if end is not None and (rest := _rest(stream, end)):
            if b"\n" not in head:  # its first line is longer than that
                return "lines", 0
            raise DataError(
                f"{where}: more follows the end of its first object at byte {end}: {rest[:20]!r}; "
                "write an array, or one object a line (`jq -c . FILE > FILE.jsonl`)"
            )
        if not self.row_keys or {m.key for m in members}.isdisjoint(self.row_keys):
            arrays = [m for m in members if m.kind == "array"]
            if len(arrays) > 1:
                raise DataError(
                    f"{where}: {len(arrays)} arrays of rows ({', '.join(m.key for m in arrays)}); "
                    "one is read: write each to a file of its own"
                )
            if arrays:
                return "inside", arrays[0].inside
            if not members or any(m.kind == "object" for m in members):
                return "object", position + 1
        return "row", 0


def _together(paths: Sequence[str]) -> list[RowRange]:
    """Return ranges of files that are one row each."""
    groups = [tuple(paths[at : at + _FILES_A_RANGE]) for at in range(0, len(paths), _FILES_A_RANGE)]
    return [RowRange(paths=group, stop=len(group), end=_ROW_A_FILE) for group in groups]


def _is_lines(path: str) -> bool:
    """Whether the file's name says that it holds lines, compressed or not."""
    name = path.lower()
    for ending in _PACKED:
        name = name.removesuffix(ending)
    return name.endswith(_LINES)


def _holds_lines(head: bytes) -> bool:
    """Whether a file that starts with `{` has one object a line: one of its first lines is one."""
    lines = head.split(b"\n", _LINES_TRIED)[:_LINES_TRIED]
    if not any(line.strip() for line in lines[1:]):
        return False
    starts = (line for line in lines if line.startswith(b"{"))
    return any(not isinstance(parse_object(line), UnreadableRow) for line in starts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One member of an object."""

    key: str
    kind: Literal["object", "array", "other"]  # an array of objects, or an empty one
    inside: int  # just after the bracket that its value opens


def _outline(stream: IO[bytes], begin: int, where: str) -> tuple[list[_Member], int | None]:
    """Return what an object's members are, and where the object ends.

    After enough members that are all objects the rest is not looked at, and the end is None.

    Args:
        stream: seekable.
        begin: just after the opening bracket.
        where: the file, for messages.

    Raises:
        DataError: the file ends before the object does.
    """
    found: list[_Member] = []
    scanner = Scanner()
    position = start = begin
    opening: int | None = None
    while True:
        stream.seek(position)
        chunk = stream.read(CHUNK)
        if not chunk:
            raise DataError(
                f"{where}: its object is not closed: the file is cut or damaged; delete it and "
                "fetch again"
            )
        for place, opens in scanner.edges(chunk):
            if opens:
                opening = position + place
                continue
            end = position + place
            if member := _member(stream, start, opening, end):
                found.append(member)
            start, opening = end + 1, None
        if scanner.closed:
            return found, start
        if len(found) >= _MEMBERS_TRIED and all(member.kind == "object" for member in found):
            return found, None
        position += len(chunk)


def _member(stream: IO[bytes], start: int, opening: int | None, end: int) -> _Member | None:
    """Return the member between two commas, or None where there is nothing."""
    stream.seek(start)
    text = stream.read(min((end if opening is None else opening) - start, CHUNK)).strip()
    if not text:
        return None
    try:
        key, _ = json.JSONDecoder().raw_decode(text.decode(errors="replace"))
    except ValueError:
        key = ""
    kind: Literal["object", "array", "other"] = "other"
    if opening is not None:
        stream.seek(opening)
        value = stream.read(CHUNK)
        if value.startswith(b"{"):
            kind = "object"
        elif value[1:].lstrip()[:1] in (b"{", b"]"):
            kind = "array"
    return _Member(key=str(key), kind=kind, inside=(opening or end) + 1)


def _rest(stream: IO[bytes], end: int) -> bytes:
    """Return what follows `end` in the file, from its first byte that is not white space."""
    stream.seek(end)
    while chunk := stream.read(CHUNK):
        if rest := chunk.lstrip():
            return rest
    return b""


def _next_array(stream: IO[bytes], end: int, where: str) -> int | None:
    """Return where the rows of the next array in a file start, or None where there is none.

    Args:
        stream: seekable.
        end: behind the last element of an array or object.
        where: the file, for messages.

    Raises:
        DataError: something else follows.
    """
    position = end
    stream.seek(end)
    closed = False
    while chunk := stream.read(CHUNK):
        for byte in chunk:
            position += 1
            if byte in _SPACE or (byte == _COMMA and not closed):
                continue
            if not closed and byte in _CLOSES:
                closed = True
            elif closed and byte == _OPEN:
                return position
            else:
                raise DataError(
                    f"{where}: byte {position - 1} follows the end of its rows and starts no "
                    "array; write one array, or one object a line into a .jsonl file"
                )
    return None


def _value(element: bytes) -> dict[str, object] | UnreadableRow:
    text = element.strip()
    if not text:
        return UnreadableRow(reason="file-cut", detail="the file ends before its array does")
    if not text.startswith(b'"'):
        return parse_object(text)
    pair = parse_object(b"{" + text + b"}")
    if isinstance(pair, UnreadableRow):
        return pair
    ((key, value),) = pair.items()
    if not isinstance(value, dict):
        return UnreadableRow(reason="row-not-object", detail=f"{key}: a {type(value).__name__}")
    return {"_key": key, **value}

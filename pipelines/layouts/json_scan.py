"""Where the elements of a JSON array or object begin and end, without parsing them.

A 20 GB array is cut at element boundaries in one pass of a few megabytes at a time. Structure is
found with array operations over each chunk: strings by the parity of unescaped quotes, nesting by
a running sum of brackets.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from smolmix.errors import DataError

CHUNK = 4 << 20
MAX_ELEMENT = 256 << 20
_QUOTE, _BACKSLASH = 0x22, 0x5C
_COMMA = 3
_KIND = np.zeros(256, np.int8)  # what a byte does to the depth; 3 for a comma
_KIND[ord("[")] = _KIND[ord("{")] = 1
_KIND[ord("]")] = _KIND[ord("}")] = -1
_KIND[ord(",")] = _COMMA


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
        is_quote = data == _QUOTE
        hidden = self._escaped(data)
        is_quote[hidden[hidden < data.size]] = False
        quotes = np.flatnonzero(is_quote)
        kinds = _KIND[data]
        places = np.flatnonzero(kinds)
        inside = (np.searchsorted(quotes, places) + self.in_string) % 2 == 1
        places = places[~inside]
        kinds = kinds[places]
        steps = np.where(kinds == _COMMA, 0, kinds)
        depths = self.depth + np.cumsum(steps, dtype=np.int64)
        closing = np.flatnonzero(depths == 0)
        self.in_string = bool((quotes.size + self.in_string) % 2)
        if closing.size:
            self.closed = True
            last = int(closing[0])
            commas = places[:last][(kinds[:last] == _COMMA) & (depths[:last] == 1)]
            return [*commas.tolist(), int(places[last])]
        if depths.size:
            self.depth = int(depths[-1])
        found: list[int] = places[(kinds == _COMMA) & (depths == 1)].tolist()
        return found

    def _escaped(
        self, data: "np.ndarray[tuple[int], np.dtype[np.uint8]]"
    ) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Return the positions of the bytes that a backslash escapes."""
        slashes = np.flatnonzero(data == _BACKSLASH)
        carried = self.escaped
        if carried and slashes.size and slashes[0] == 0:
            slashes = slashes[1:]
        self.escaped = False
        if slashes.size:
            first = np.ones(slashes.size, bool)
            first[1:] = np.diff(slashes) != 1
            starts = slashes[np.maximum.accumulate(np.where(first, np.arange(slashes.size), 0))]
            hidden = slashes[(slashes - starts) % 2 == 0] + 1
            if hidden.size and hidden[-1] == data.size:
                self.escaped = True
        else:
            hidden = slashes
        return np.concatenate(([0], hidden)) if carried else hidden


def elements(
    stream: IO[bytes], begin: int, end: int | None, where: str
) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes) of each element between `begin` and `end`; empty ones are left out.

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

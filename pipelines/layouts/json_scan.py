"""Where the elements of a JSON array or object begin and end, without parsing them.

A 20 GB array is cut at element boundaries in one pass of a few megabytes at a time. All bytes are
looked at once, for quotes; backslashes only where one stands before a quote, brackets and commas
only outside strings, where rows of conversations have few bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from smolmix.errors import DataError

CHUNK = 4 << 20
MAX_ELEMENT = 256 << 20
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
        asked, at = np.arange(quotes.size), quotes  # each steps back over the run before its quote
        while asked.size:
            if at[0] == 0:  # the run goes on in the chunk before
                odd[asked[0]] ^= self.escaped
                asked, at = asked[1:], at[1:]
            more = data[at - 1] == _BACKSLASH
            asked, at = asked[more], at[more] - 1
            odd[asked] ^= True
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

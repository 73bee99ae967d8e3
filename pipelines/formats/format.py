"""The protocol of a published file format: how files are cut into row ranges, and a range is read.

A format knows nothing of corpora. `smolmix.pipelines.sources` names the format of each corpus and
adapts the rows that come out of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from smolmix.storage import Folder

UNIT_ROWS = 20_000  # most rows of a range, where the format can cut at rows
UNIT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """One fetched file that holds rows."""

    path: str  # relative to the workspace
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRange:
    """What one unit of work reads: several small files, or some rows or bytes of one file."""

    paths: tuple[str, ...]
    start: int = 0  # first row, counted in the file
    stop: int | None = None  # row after the last; None: to the end of the file, not counted yet
    begin: int = 0  # first byte, in formats that are cut at bytes
    end: int | None = None  # byte after the last

    @property
    def size(self) -> int | None:
        """The number of rows, or None if they have not been counted yet."""
        return None if self.stop is None else self.stop - self.start

    def place(self, row: int) -> tuple[str, int]:
        """Return the file of a row of this range, and the row's number in that file."""
        if len(self.paths) > 1:  # one row a file
            return self.paths[row], 0
        return self.paths[0], self.start + row


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRow:
    """Stands in for the values of a row that cannot be read."""

    reason: str  # a short fixed word: "json-broken", "text-undecodable", ...
    detail: str


class RawRow(Struct, frozen=True, kw_only=True, gc=False):
    """One row as published."""

    row: int  # counted in the range
    path: str  # the file, relative to the workspace
    file_row: int  # counted in the file
    values: Mapping[str, Any] | UnreadableRow


class FileFormat(Protocol):
    """How files hold rows. Implementations are frozen dataclasses: they are sent to workers."""

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of bounded size over all rows; the same files give the same ranges."""
        ...

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return how many rows a range holds."""
        ...

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield the rows of a range in order, from row `first` on, unreadable ones included."""
        ...

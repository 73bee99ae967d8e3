"""What a file format is: how files as published are cut into units, and a unit read into rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from smolmix.storage import Folder

UNIT_ROWS = 20_000
UNIT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """One fetched file that holds rows."""

    path: str  # relative to the workspace
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one unit reads: whole small files, or a range of rows or bytes of one file."""

    paths: tuple[str, ...]
    start: int = 0  # first row, counted in the file
    stop: int | None = None  # row after the last; None: to the end, not counted yet
    begin: int = 0  # first byte, for formats that are cut by offset
    end: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row that cannot be read, and why."""

    reason: str
    detail: str


class Cells(Struct, frozen=True, kw_only=True, gc=False):
    """One row as published."""

    row: int  # counted in the piece
    path: str  # the file, relative to the workspace
    file_row: int  # counted in the file
    values: Mapping[str, Any] | Fault


class FileFormat(Protocol):
    """How rows lie in files. Implementations are frozen dataclasses: they travel to workers."""

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """Cut the files into pieces of bounded size; the same files give the same pieces."""
        ...

    def count(self, piece: Piece, root: Folder) -> int:
        """Return how many rows the piece holds."""
        ...

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield the piece's rows from row `first` on, in order, faults included."""
        ...

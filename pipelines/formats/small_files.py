"""One row a file: folders of small JSON files, and members of plain tars."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from smolmix.pipelines.formats.format import Cells, Fault, Piece, RawFile
from smolmix.pipelines.formats.jsonl import parse
from smolmix.pipelines.formats.tars import members
from smolmix.storage import Folder

_FILES_A_UNIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFiles:
    """Each file is one JSON object, one row."""

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """Group the files by name."""
        paths = sorted(f.path for f in files)
        return [
            Piece(paths=tuple(paths[at : at + _FILES_A_UNIT]), stop=len(paths[at:][:_FILES_A_UNIT]))
            for at in range(0, len(paths), _FILES_A_UNIT)
        ]

    def count(self, piece: Piece, root: Folder) -> int:
        """Return the number of files."""
        return len(piece.paths)

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield one row a file."""
        for row, path in enumerate(piece.paths):
            if row >= first:
                yield Cells(row=row, path=path, file_row=0, values=parse(root.read_bytes(path)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMembers:
    """Each member of a plain tar whose name ends in `suffix` is one row, read by `parse`."""

    suffix: str
    parse: Callable[[str, bytes], dict[str, object] | Fault]
    rows_a_unit: int = 5_000

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """Cut each tar into runs of members."""
        found: list[Piece] = []
        for file in files:
            with root.open(file.path) as stream:
                rows = sum(m.name.endswith(self.suffix) for m in members(stream, file.path))
            for start in range(0, rows, self.rows_a_unit):
                stop = min(rows, start + self.rows_a_unit)
                found.append(Piece(paths=(file.path,), start=start, stop=stop))
        return found

    def count(self, piece: Piece, root: Folder) -> int:
        """Return the number of members."""
        assert piece.stop is not None
        return piece.stop - piece.start

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield one row a member."""
        (path,) = piece.paths
        assert piece.stop is not None
        with root.open(path) as stream, root.open(path) as bodies:
            number = -1
            for member in members(stream, path):
                number += member.name.endswith(self.suffix)
                if not member.name.endswith(self.suffix) or number < piece.start + first:
                    continue
                if number >= piece.stop:
                    return
                bodies.seek(member.offset)
                values = self.parse(member.name, bodies.read(member.size))
                yield Cells(row=number - piece.start, path=path, file_row=number, values=values)

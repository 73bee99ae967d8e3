"""One row a file: folders of small JSON files, and members of plain tars."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from smolmix.pipelines.formats.format import RawFile, RawRow, RowRange, UnreadableRow
from smolmix.pipelines.formats.tars import members
from smolmix.pipelines.formats.text import parse_object
from smolmix.storage import Folder

_FILES_A_RANGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonFiles:
    """Each file is one JSON object, one row."""

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of up to 500 files, in order of path."""
        paths = sorted(f.path for f in files)
        groups = [
            tuple(paths[at : at + _FILES_A_RANGE]) for at in range(0, len(paths), _FILES_A_RANGE)
        ]
        return [RowRange(paths=group, stop=len(group)) for group in groups]

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the number of files."""
        return len(rows.paths)

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row a file."""
        for row, path in enumerate(rows.paths):
            if row >= first:
                values = parse_object(root.read_bytes(path))
                yield RawRow(row=row, path=path, file_row=0, values=values)


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMembers:
    """Each member of a plain tar whose name ends in `suffix` is one row, read by `parse`."""

    suffix: str
    parse: Callable[[str, bytes], dict[str, object] | UnreadableRow]  # of name and bytes
    rows_a_range: int = 5_000

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return ranges of up to `rows_a_range` members of a tar."""
        found: list[RowRange] = []
        for file in files:
            with root.open(file.path) as stream:
                count = sum(m.name.endswith(self.suffix) for m in members(stream, file.path))
            for start in range(0, count, self.rows_a_range):
                stop = min(count, start + self.rows_a_range)
                found.append(RowRange(paths=(file.path,), start=start, stop=stop))
        return found

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the number of members."""
        assert rows.size is not None
        return rows.size

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row a member."""
        (path,) = rows.paths
        assert rows.stop is not None
        with root.open(path) as stream, root.open(path) as bodies:
            number = -1
            for member in members(stream, path):
                number += member.name.endswith(self.suffix)
                if not member.name.endswith(self.suffix) or number < rows.start + first:
                    continue
                if number >= rows.stop:
                    return
                bodies.seek(member.offset)
                values = self.parse(member.name, bodies.read(member.size))
                yield RawRow(row=number - rows.start, path=path, file_row=number, values=values)

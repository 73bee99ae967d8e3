"""WebDataset tars: members that share a name up to the first dot of it are one row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from smolmix.pipelines.formats.format import Cells, Fault, Piece, RawFile
from smolmix.pipelines.formats.jsonl import parse
from smolmix.pipelines.formats.tars import Member, members
from smolmix.pipelines.formats.text import decode
from smolmix.storage import Folder

TEXTS = ("txt", "caption", "cls")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDataset:
    """One row a group of members; its values are `_key`, `_media` (extension -> member), texts.

    A member `.json` adds its keys, but for these two; `.txt` and the like add their text under
    their extension.
    """

    def pieces(self, files: Sequence[RawFile], root: Folder) -> list[Piece]:
        """One piece a tar."""
        return [Piece(paths=(f.path,), stop=self._count(f.path, root)) for f in files]

    def _count(self, path: str, root: Folder) -> int:
        with root.open(path) as stream:
            return sum(1 for _ in groupby(members(stream, path), _key))

    def count(self, piece: Piece, root: Folder) -> int:
        """Return the number of groups."""
        assert piece.stop is not None
        return piece.stop

    def read(self, piece: Piece, root: Folder, first: int = 0) -> Iterator[Cells]:
        """Yield one row a group."""
        (path,) = piece.paths
        with root.open(path) as stream, root.open(path) as bodies:
            for row, (key, group) in enumerate(groupby(members(stream, path), _key)):
                found = list(group)
                if row < first:
                    continue
                values: dict[str, object] = {"_key": key, "_media": {}}
                fault: Fault | None = None
                for member in found:
                    bodies.seek(member.offset)
                    fault = _add(values, member, bodies) or fault
                yield Cells(row=row, path=path, file_row=row, values=fault or values)


def _key(member: Member) -> str:
    folder, _, name = member.name.rpartition("/")
    stem = name.split(".", 1)[0]
    return f"{folder}/{stem}" if folder else stem


def _add(values: dict[str, object], member: Member, bodies: object) -> Fault | None:
    extension = member.name.rpartition("/")[2].partition(".")[2].lower()
    if extension != "json" and extension not in TEXTS:
        media = values["_media"]
        assert isinstance(media, dict)
        media[extension] = member.name
        return None
    data: bytes = bodies.read(member.size)  # type: ignore[attr-defined]
    if extension in TEXTS:
        text = decode(data)
        if isinstance(text, Fault):
            return text
        values[extension] = text
        return None
    found = parse(data)
    if isinstance(found, Fault):
        return Fault(reason=found.reason, detail=f"{member.name}: {found.detail}"[:200])
    values.update({k: v for k, v in found.items() if k not in ("_key", "_media")})
    return None

"""WebDataset tars: members that share a name up to its first dot are one row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO

from smolmix.pipelines.formats.format import RawFile, RawRow, RowRange, UnreadableRow
from smolmix.pipelines.formats.tars import Member, members
from smolmix.pipelines.formats.text import decode, parse_object
from smolmix.storage import Folder

KEY, MEDIA = "_key", "_media"  # columns that the format adds to a row
_TEXTS = ("txt", "caption", "cls")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDataset:
    """One row a group of members.

    A row has `_key` (the shared name) and `_media` (extension -> member). A `.json` member adds
    its keys, except these two; `.txt`, `.caption` and `.cls` add their text under their extension.
    """

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return one range a tar."""
        return [RowRange(paths=(f.path,), stop=_groups(f.path, root)) for f in files]

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the number of groups."""
        assert rows.size is not None
        return rows.size

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row a group."""
        (path,) = rows.paths
        with root.open(path) as stream, root.open(path) as bodies:
            for row, (key, group) in enumerate(groupby(members(stream, path), _key)):
                found = list(group)
                if row >= first:
                    values = _values(key, found, bodies)
                    yield RawRow(row=row, path=path, file_row=row, values=values)


def _groups(path: str, root: Folder) -> int:
    with root.open(path) as stream:
        return sum(1 for _ in groupby(members(stream, path), _key))


def _key(member: Member) -> str:
    folder, _, name = member.name.rpartition("/")
    stem = name.split(".", 1)[0]
    return f"{folder}/{stem}" if folder else stem


def _values(
    key: str, group: Sequence[Member], bodies: IO[bytes]
) -> dict[str, object] | UnreadableRow:
    media: dict[str, str] = {}
    values: dict[str, object] = {}
    unreadable: UnreadableRow | None = None
    for member in group:
        extension = member.name.rpartition("/")[2].partition(".")[2].lower()
        if extension != "json" and extension not in _TEXTS:
            media[extension] = member.name
            continue
        bodies.seek(member.offset)
        data = bodies.read(member.size)
        found = parse_object(data) if extension == "json" else decode(data)
        if isinstance(found, UnreadableRow):
            detail = f"{member.name}: {found.detail}" if extension == "json" else found.detail
            unreadable = UnreadableRow(reason=found.reason, detail=detail[:200])
        else:
            values.update({extension: found} if isinstance(found, str) else found)
    return unreadable or {**values, KEY: key, MEDIA: media}

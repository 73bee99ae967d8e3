"""WebDataset tars: members next to each other that share a name up to its first dot are one row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import RawFile, RawRow, RowRange, UnreadableRow
from smolmix.pipelines.formats.tars import Member, entries
from smolmix.pipelines.formats.text import decode, parse_object
from smolmix.sample import MediaRef
from smolmix.storage import Folder

KEY, MEDIA = "_key", "_media"  # columns that the format adds to a row
_TEXTS = ("txt", "caption", "cls")


@dataclass(frozen=True, slots=True, kw_only=True)
class WebDataset:
    """One row a group of members.

    A row has `_key` (the shared name) and `_media`: where the bytes of its other members are, in
    the order of the tar. They are never looked up by name: other tars may have the same names. A
    `.json` member adds its keys, except these two; `.txt`, `.caption` and `.cls` add their text
    under their extension. Hidden members (`._1.jpg`, as macOS writes) are no rows.
    """

    def split(self, files: Sequence[RawFile], root: Folder) -> list[RowRange]:
        """Return one range a tar.

        Raises:
            DataError: members of a sample are apart, or the tar is damaged.
        """
        return [RowRange(paths=(f.path,), stop=_groups(f.path, root)) for f in files]

    def count(self, rows: RowRange, root: Folder) -> int:
        """Return the number of groups."""
        assert rows.size is not None
        return rows.size

    def read(self, rows: RowRange, root: Folder, first: int = 0) -> Iterator[RawRow]:
        """Yield one row a group."""
        (path,) = rows.paths
        with root.open(path) as stream, root.open(path) as bodies:
            for row, (key, group) in enumerate(groupby(_shown(stream, path), _key)):
                found = list(group)
                if row >= first:
                    values = _values(key, found, bodies, path)
                    yield RawRow(row=row, path=path, file_row=row, values=values)


def _groups(path: str, root: Folder) -> int:
    """Return how many rows a tar has, after checking that no key comes back."""
    seen: set[str] = set()
    with root.open(path) as stream:
        for key, group in groupby(_shown(stream, path), _key):
            if key in seen:
                raise DataError(
                    f"{path}: members of {key} are apart ({next(group).name} comes after members "
                    "of other samples); members of a sample have to stand next to each other: "
                    "write the tar with `tar --sort=name`, then fetch again"
                )
            seen.add(key)
    return len(seen)


def _shown(stream: IO[bytes], path: str) -> Iterator[Member]:
    for member in entries(stream, path):
        if not member.name.rpartition("/")[2].startswith("."):
            yield member


def _key(member: Member) -> str:
    folder, _, name = member.name.rpartition("/")
    stem = name.split(".", 1)[0]
    return f"{folder}/{stem}" if folder else stem


def _values(
    key: str, group: Sequence[Member], bodies: IO[bytes], path: str
) -> dict[str, object] | UnreadableRow:
    media: list[MediaRef] = []
    values: dict[str, object] = {}
    unreadable: UnreadableRow | None = None
    for member in group:
        if member.refused:
            detail = f"{member.name}: {member.refused}"[:200]
            unreadable = UnreadableRow(reason="member-unreadable", detail=detail)
            continue
        extension = member.name.rpartition("/")[2].partition(".")[2].lower()
        if extension != "json" and extension not in _TEXTS:
            ref = MediaRef(uri=path, member=member.name, offset=member.offset, bytes=member.size)
            media.append(ref)
            continue
        bodies.seek(member.offset)
        data = bodies.read(member.size)
        found = parse_object(data) if extension == "json" else decode(data)
        if isinstance(found, UnreadableRow):
            detail = f"{member.name}: {found.detail}" if extension == "json" else found.detail
            unreadable = UnreadableRow(reason=found.reason, detail=detail[:200])
        else:
            values.update({extension: found} if isinstance(found, str) else found)
    return unreadable or {**values, KEY: key, MEDIA: tuple(media)}

"""Where the bytes of each media file of a corpus are: an index of files and archive members.

One small parquet file an archive, and one for loose files, sorted by path. A lookup reads only row
groups whose range of paths can hold a requested path, so an index of millions of members never has
to fit in memory.

A path that several files answer is looked up as ambiguous, unless their bytes are the same: which
one a row means is never chosen here.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from smolmix.errors import DataError
from smolmix.sample import MediaRef
from smolmix.storage import Folder

_SCHEMA = pa.schema(
    [
        ("path", pa.string()),  # as rows name it
        ("parent", pa.string()),  # its folder, to find the frames of a clip
        ("uri", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
        ("refused", pa.string()),  # why it is not read; null where it is
    ]
)
_GROUP_ROWS = 50_000
_OF = b"smolmix.index_of"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    """One media file: the path that rows know it by, and where its bytes are."""

    path: str
    ref: MediaRef
    refused: str = ""  # why it is not read


def normalised(path: str) -> str:
    """Return the path in Unicode form NFC: archives written on a Mac have NFD."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def write_index(folder: Folder, name: str, entries: Iterable[IndexEntry], *, of: str = "") -> int:
    """Return how many entries were written, sorted by path; a killed call leaves no file.

    Args:
        folder: of the corpus's index files.
        name: of the file.
        entries: several files may have one path; the same file is written once.
        of: digest of what was indexed, returned by `indexed_digest`.
    """
    found: dict[str, dict[tuple[object, ...], IndexEntry]] = {}
    for entry in entries:
        found.setdefault(normalised(entry.path), {}).setdefault(_place(entry.ref), entry)
    rows = [
        {
            "path": path,
            "parent": path.rpartition("/")[0],
            "uri": entry.ref.uri,
            "member": entry.ref.member,
            "offset": entry.ref.offset,
            "bytes": entry.ref.bytes,
            "refused": entry.refused or None,
        }
        for path in sorted(found)
        for entry in found[path].values()
    ]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata({_OF: of.encode()}))
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd", row_group_size=_GROUP_ROWS)
    folder.write_bytes(name, out.getvalue().to_pybytes())
    return len(rows)


def indexed_digest(folder: Folder, name: str) -> str:
    """Return the digest of what an index file was written for, or "" without a readable file."""
    if not folder.exists(name):
        return ""
    try:
        with folder.open(name) as stream:
            metadata = pq.read_schema(stream).metadata or {}
    except (pa.ArrowException, OSError):
        return ""
    return str(metadata.get(_OF, b"").decode())


@dataclass(slots=True, kw_only=True)
class FoundMedia:
    """The result of a lookup: single files, and folders of files in order."""

    files: dict[str, MediaRef] = field(default_factory=dict)
    folders: dict[str, tuple[MediaRef, ...]] = field(default_factory=dict)
    ambiguous: dict[str, tuple[MediaRef, ...]] = field(default_factory=dict)  # the files that
    # answer a name; of a folder, those that answer its first ambiguous frame
    refused: dict[str, str] = field(default_factory=dict)  # name -> why its file is not read

    def add(self, other: "FoundMedia") -> None:
        """Add another result."""
        self.files |= other.files
        self.folders |= other.folders
        self.ambiguous |= other.ambiguous
        self.refused |= other.refused


class MediaIndex:
    """Looks paths up in a corpus's index files."""

    def __init__(self, folder: Folder):
        """Open the index files of `folder`; without any, the corpus has no separate media."""
        self._folder = folder
        self._names = folder.names(".parquet")

    def find(
        self,
        paths: Iterable[str],
        *,
        folders: Iterable[str] = (),
        read: Callable[[MediaRef], bytes] | None = None,
    ) -> FoundMedia:
        """Return where the bytes of each path are; paths that are not in the index are omitted.

        Args:
            paths: files, as rows name them.
            folders: paths to look up as folders (clips published as numbered frames).
            read: returns a file's bytes: files with the same bytes are one. None: files with one
                path are ambiguous.
        """
        found = FoundMedia()
        members: dict[str, dict[str, list[MediaRef]]] = {}
        answers: dict[str, list[MediaRef]] = {}
        files, clips = _spellings(paths), _spellings(folders)
        for row in self._scan("path", sorted(files)):
            for name in files[row["path"]]:
                if row.get("refused"):
                    found.refused[name] = f"{row['uri']}: {row['refused']}"
                else:
                    answers.setdefault(name, []).append(_ref(row))
        _settle(answers, found, read)
        for row in self._scan("parent", sorted(clips)):
            if not row.get("refused"):
                frames = members.setdefault(row["parent"], {})
                frames.setdefault(row["path"], []).append(_ref(row))
        for parent, refs in members.items():
            # A frame that two archives hold is one frame.
            inside = FoundMedia()
            _settle(refs, inside, read)
            if inside.ambiguous:
                found.ambiguous |= dict.fromkeys(clips[parent], min(inside.ambiguous.items())[1])
                continue
            ordered = tuple(inside.files[path] for path in sorted(refs, key=_natural))
            found.folders |= dict.fromkeys(clips[parent], ordered)
        return found

    def in_other_case(
        self, names: Iterable[str], *, read: Callable[[MediaRef], bytes] | None = None
    ) -> FoundMedia:
        """Return the files that `find` omitted and whose ending is in the other case.

        `a.jpg` is `a.JPG`.
        """
        others: dict[str, list[str]] = {}
        for name in sorted(set(names)):
            for path in _other_case(normalised(name)):
                others.setdefault(path, []).append(name)
        answers: dict[str, list[MediaRef]] = {}
        for row in self._scan("path", sorted(others)):
            for name in others[row["path"]]:
                if not row.get("refused"):
                    answers.setdefault(name, []).append(_ref(row))
        found = FoundMedia()
        _settle(answers, found, read)
        return found

    def _scan(self, column: str, wanted: list[str]) -> Iterator[Mapping[str, str]]:
        if not wanted:
            return
        values = pa.array(wanted, pa.string())
        for name in self._names:
            with self._folder.open(name) as stream:
                file = pq.ParquetFile(stream)
                for index in range(file.metadata.num_row_groups):
                    if not _can_hold(file.metadata.row_group(index), column, wanted):
                        continue
                    # A process that ends just after it started Arrow's threads may abort.
                    table = file.read_row_group(index, use_threads=False)
                    yield from table.filter(pc.is_in(table[column], values)).to_pylist()


def _settle(
    answers: Mapping[str, list[MediaRef]],
    found: FoundMedia,
    read: Callable[[MediaRef], bytes] | None,
) -> None:
    """Add the file of each name to `found`, or the files that differ as ambiguous."""
    for name, refs in answers.items():
        distinct = list({_place(ref): ref for ref in refs}.values())
        if len(distinct) == 1 or (read is not None and _are_equal(distinct, read)):
            found.files[name] = distinct[0]
        else:
            found.ambiguous[name] = tuple(distinct)


def _are_equal(refs: list[MediaRef], read: Callable[[MediaRef], bytes]) -> bool:
    """Whether all files have the same bytes; one that cannot be read equals none."""
    if len({ref.bytes for ref in refs if ref.bytes is not None}) > 1:
        return False
    try:
        return len({xxhash.xxh3_128_digest(read(ref)) for ref in refs}) == 1
    except (DataError, OSError):
        return False


def _place(ref: MediaRef) -> tuple[object, ...]:
    return ref.uri, ref.member, ref.offset


def _spellings(names: Iterable[str]) -> dict[str, list[str]]:
    """Return path in the index -> the requested names that it answers, as written and in NFC."""
    found: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        for path in {name, normalised(name)}:
            found.setdefault(path, []).append(name)
    return found


def _other_case(path: str) -> set[str]:
    """Return the path with its ending in small letters and in capitals, where that differs."""
    stem, dot, ending = path.rpartition(".")
    if not dot or "/" in ending:
        return set()
    return {f"{stem}.{ending.lower()}", f"{stem}.{ending.upper()}"} - {path}


def _can_hold(group: pq.RowGroupMetaData, column: str, wanted: list[str]) -> bool:
    statistics = group.column(_SCHEMA.get_field_index(column)).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    low, high = statistics.min, statistics.max
    return any(low <= value <= high for value in wanted)


def _ref(row: Mapping[str, Any]) -> MediaRef:
    return MediaRef(
        uri=row["uri"],
        member=row["member"],
        offset=row["offset"],
        bytes=row["bytes"],
    )


def _natural(path: str) -> tuple[object, ...]:
    """A key that puts frame_2 before frame_10, and tells frame_01 from frame_1."""
    name = path.rpartition("/")[2]
    return (*_runs(name), (2, 0, path))


def _runs(name: str) -> tuple[tuple[int, int, str], ...]:
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", name)
        if part
    )

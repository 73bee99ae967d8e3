"""Which published archives hold media that rows name, without downloading the archives.

A zip is searched in its directory, a plain tar from header to header. Both are read by ranges, and
only until the first name that is needed. A compressed tar cannot be searched: if a name starts with
its folder, it counts as holding it.
"""

import io
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from smolmix.errors import DataError
from smolmix.pipelines.fetch.archives import archives_to_rewrite
from smolmix.pipelines.fetch.download import Downloader
from smolmix.pipelines.fetch.index import known_as
from smolmix.pipelines.fetch.listing import Remote
from smolmix.pipelines.fetch.range_reads import RemoteStream
from smolmix.pipelines.formats.media_index import normalised
from smolmix.pipelines.formats.streams import JoinedStream, compression
from smolmix.pipelines.formats.tars import members
from smolmix.pipelines.formats.zips import zip_members

_BUFFER = 16 << 10  # a header and its surroundings; a longer read requests all it needs


@dataclass(frozen=True, slots=True, kw_only=True)
class _Archive:
    """One archive, in however many parts it is published."""

    parts: tuple[Remote, ...]
    above: str
    between: str


def files_with(
    named: Iterable[str],
    files: Sequence[Remote],
    downloader: Downloader,
    *,
    at_once: int,
    say: Callable[[str], None],
) -> list[str]:
    """Return the paths of the published files that hold a named medium, or may.

    Args:
        named: for each medium the names by which its row knows it, one a line.
        files: the listing.
        downloader: reads ranges of the archives.
        at_once: archives searched at the same time.
        say: called with a line for each archive that cannot be searched.
    """
    names = sorted({normalised(name) for medium in named for name in medium.split("\n")})
    media = [f for f in files if f.kind == "media"]
    archives = _archives(media)
    packed = {f.path for archive in archives for f in archive.parts}
    search = _Search(names, downloader, say)
    loose = [f.path for f in media if f.path not in packed and search.is_named(f.path)]
    with ThreadPoolExecutor(at_once) as pool:
        held = list(pool.map(search.holds, archives))
    found = [f.path for a, holds in zip(archives, held, strict=True) if holds for f in a.parts]
    return sorted({*loose, *found})


def _archives(media: Sequence[Remote]) -> list[_Archive]:
    by_path = {f.path: f for f in media}
    groups = archives_to_rewrite(list(by_path))
    taken = {path for parts in groups.values() for path in parts}
    found = [
        _Archive(
            parts=tuple(by_path[p] for p in parts), above=stem.rpartition("/")[0], between=stem
        )
        for stem, parts in groups.items()
    ]
    for file in media:
        if file.path not in taken and file.path.endswith((".tar", ".zip")):
            stem = file.path.rpartition(".")[0] if file.path.endswith(".zip") else ""
            above = file.path.rpartition("/")[0]
            found.append(_Archive(parts=(file,), above=above, between=stem))
    return found


class _Search:
    """Searches remote archives for names."""

    def __init__(self, names: list[str], downloader: Downloader, say: Callable[[str], None]):
        self._sorted, self._names = names, frozenset(names)
        self._downloader, self._say = downloader, say

    def is_named(self, place: str) -> bool:
        """Whether the file, or the folder of frames that it is in, is needed."""
        place = normalised(place)
        return place in self._names or place.rpartition("/")[0] in self._names

    def holds(self, archive: _Archive) -> bool:
        """Whether the archive holds a named medium, or cannot be searched."""
        if not self._any_under(archive.above):
            return False
        where = archive.parts[-1].path
        if any(part.target.size is None for part in archive.parts):
            self._say(f"{where}: its size is unknown; it will be downloaded completely")
            return True
        remote = [RemoteStream(self._downloader, part.target) for part in archive.parts]
        raw = JoinedStream(remote)
        stream = io.BufferedReader(raw, _BUFFER)
        try:
            found = self._members(stream, raw, where)
            if found is None:
                self._say(
                    f"{where}: compressed, it cannot be searched and will be downloaded completely"
                )
                return True
            return any(
                self.is_named(place)
                for member in found
                for place in known_as(member, archive.above, archive.between)
            )
        except DataError as error:
            self._say(f"{where}: cannot be searched ({error}); it will be downloaded completely")
            return True

    def _any_under(self, folder: str) -> bool:
        if not folder:
            return bool(self._sorted)
        folder = normalised(folder)
        at = bisect_left(self._sorted, f"{folder}/")
        return at < len(self._sorted) and self._sorted[at].startswith(f"{folder}/")

    def _members(
        self, stream: "io.BufferedReader[JoinedStream]", raw: JoinedStream, where: str
    ) -> Iterable[str] | None:
        head = stream.peek(4)[:4]
        how = compression(head)
        if how in ("gzip", "zstd"):
            return None
        if how == "zip":
            return (m.name for m in zip_members(stream, where, raw.starts))
        return (m.name for m in members(stream, where))

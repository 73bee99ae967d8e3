"""Archives that cannot be read by range, rewritten once into plain tar shards.

Gzipped or zstd tars are streamed; split zips are joined. Never a loose file: only regular
members with safe names are copied, and an archive that unpacks to absurdly much is refused.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.formats.placed import Placed
from smolmix.pipelines.formats.tars import safe_name
from smolmix.pipelines.formats.unzstd import MAGIC, plain_zstd
from smolmix.pipelines.formats.zips import unpack, zip_members

SHARD_BYTES = 1 << 30
_MAX_RATIO = 200
_FREE_BYTES = 256 << 20
_ERRORS = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, OSError)

Entry = tuple[str, int, IO[bytes]]
Expand = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


class Joined(Placed):
    """Several files read as one, in order."""

    def __init__(self, parts: Sequence[IO[bytes]]):
        """Join seekable binary files."""
        self._parts = tuple(parts)
        sizes = [part.seek(0, 2) for part in self._parts]
        self.starts = tuple(sum(sizes[:at]) for at in range(len(sizes)))
        super().__init__(sum(sizes))

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        """Fill the buffer from the part that holds the place."""
        if self._at >= self._size:
            return 0
        part = max(n for n, start in enumerate(self.starts) if start <= self._at)
        self._parts[part].seek(self._at - self.starts[part])
        data = self._parts[part].read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def rewrite(
    parts: Sequence[IO[bytes]],
    where: str,
    scratch: Path,
    done: Callable[[Path, int], None],
    *,
    expand: Expand | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Write the archive's members to plain tars; return how many members there are.

    Args:
        parts: the archive, or the parts of a split one in order.
        where: the archive, for messages.
        scratch: a local folder.
        done: called with each finished shard and its number; it may move the file.
        expand: what a member becomes: several members, itself among them.
        shard_bytes: a shard is closed once it is this large.

    Raises:
        DataError: the archive is damaged or a bomb.
    """
    joined = Joined(parts)
    packed = joined.seek(0, 2)
    stream = io.BufferedReader(joined, 1 << 20)
    stream.seek(0)
    count = shard = written = 0
    total = 0
    path = scratch / "shard.tar"
    archive: tarfile.TarFile | None = None
    try:
        for name, size, body in _entries(stream, joined, where):
            total += size
            if total > _FREE_BYTES and total > _MAX_RATIO * packed:
                raise DataError(
                    f"{where}: {packed:,} bytes unpack to over {total:,}; at most {_MAX_RATIO} "
                    "times is believed; check the publisher, and leave the file out"
                )
            if archive is None:
                archive = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115
            for info, data in _members(name, size, body, expand):
                archive.addfile(info, data)
                count, written = count + 1, written + info.size
            if written >= shard_bytes:
                archive.close()
                done(path, shard)
                archive, shard, written = None, shard + 1, 0
    except _ERRORS as error:
        raise DataError(f"{where}: damaged ({error}); delete it and fetch again") from error
    if archive is not None:
        archive.close()
        done(path, shard)
    return count


def _members(
    name: str, size: int, body: IO[bytes], expand: Expand | None
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    made = expand(name, body.read()) if expand is not None else None
    if made is None:
        info = tarfile.TarInfo(name)
        info.size = size
        yield info, body
        return
    for name, data in made:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        yield info, io.BytesIO(data)


def _entries(stream: "io.BufferedReader[Joined]", joined: Joined, where: str) -> Iterator[Entry]:
    head = stream.peek(4)[:4]
    if head[:2] == b"PK":
        for member in zip_members(stream, where, joined.starts):
            yield member.name, member.size, io.BytesIO(unpack(stream, member, where))
        return
    plain: IO[bytes] = stream
    if head[:2] == b"\x1f\x8b":
        plain = io.BufferedReader(gzip.GzipFile(fileobj=stream), 1 << 20)
    elif head == MAGIC:
        plain = plain_zstd(stream)
    with tarfile.open(fileobj=plain, mode="r|") as archive:
        for info in archive:
            name = safe_name(info.name)
            if not info.isreg() or info.issparse() or name is None:
                continue
            body = archive.extractfile(info)
            assert body is not None
            yield name, info.size, body

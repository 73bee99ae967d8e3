"""Plain tar shards from archives that cannot be read by range: compressed tars and split zips.

Only regular members with safe names, and links between them, are copied, from archive to archive:
nothing is unpacked to loose files. An archive that unpacks to more than 200 times its size is
refused.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.formats.streams import JoinedStream, compression, decompressed
from smolmix.pipelines.formats.tars import checked_tar, link_target, safe_name
from smolmix.pipelines.formats.zips import unpack, zip_members

SHARD_BYTES = 1 << 30
_MAX_RATIO = 200
_FREE_BYTES = 256 << 20
_ERRORS = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, OSError)

_Entry = tuple[str, int, IO[bytes], str]  # name, size, content; or the target of a link
# What a member, given by name and content, becomes.
Expand = Callable[[str, bytes], Iterable[tuple[str, bytes]]]


def rewrite(
    parts: Sequence[IO[bytes]],
    where: str,
    scratch: Path,
    done: Callable[[Path, int], None],
    *,
    expand: Expand | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> int:
    """Return how many members were written to plain tars.

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
    joined = JoinedStream(parts)
    packed = joined.seek(0, 2)
    stream = io.BufferedReader(joined, 1 << 20)
    stream.seek(0)
    count = shard = written = 0
    total = 0
    path = scratch / "shard.tar"
    archive: tarfile.TarFile | None = None
    try:
        for name, size, body, target in _entries(stream, joined, where):
            total += size
            if total > _FREE_BYTES and total > _MAX_RATIO * packed:
                raise DataError(
                    f"{where}: {packed:,} bytes unpack to over {total:,}; at most {_MAX_RATIO} "
                    "times is allowed; check the publisher, and exclude the file with --files"
                )
            if archive is None:
                archive = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)  # noqa: SIM115  # closed below
            for info, data in _members(name, size, body, target, expand):
                archive.addfile(info, data)
                count, written = count + 1, written + info.size
            if written >= shard_bytes:
                archive.close()
                done(path, shard)
                archive, shard, written = None, shard + 1, 0
    except _ERRORS as error:
        raise DataError(f"{where}: damaged ({error}); delete it and fetch again") from error
    finally:
        if archive is not None:
            archive.close()
    if archive is not None:
        done(path, shard)
    return count


def _members(
    name: str, size: int, body: IO[bytes], target: str, expand: Expand | None
) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    if target:
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.LNKTYPE, target
        yield link, body
        return
    expanded = expand(name, body.read()) if expand is not None else None
    if expanded is None:
        info = tarfile.TarInfo(name)
        info.size = size
        yield info, body
        return
    for name, data in expanded:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        yield info, io.BytesIO(data)


def _entries(
    stream: "io.BufferedReader[JoinedStream]", joined: JoinedStream, where: str
) -> Iterator[_Entry]:
    how = compression(stream.peek(4)[:4])
    if how == "zip":
        for member in zip_members(stream, where, joined.starts):
            yield member.name, member.size, io.BytesIO(unpack(stream, member, where)), ""
        return
    plain: IO[bytes] = decompressed(stream, how) if how else stream
    with checked_tar(plain, "r|") as archive:
        for info in archive:
            name = safe_name(info.name)
            if name is None or info.issparse():
                continue
            if target := link_target(info, name):
                yield name, 0, io.BytesIO(), target
            elif info.isreg():
                body = archive.extractfile(info)
                assert body is not None
                yield name, info.size, body, ""

"""The members of zip archives, split ones included, read from the central directory.

Source: PKWARE APPNOTE 6.3 (records, zip64 extra field, split archives, 4.6.9 Unicode path).
"""

import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from smolmix.errors import DataError
from smolmix.pipelines.formats.tars import safe_name

STORED, DEFLATED = 0, 8
_END = b"PK\x05\x06"
_MAX_RATIO = 200  # a member that unpacks to more than this many times its size is a bomb
_FREE_BYTES = 1 << 20  # small members may be as dense as they like


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """One regular file in a zip."""

    name: str  # cleaned
    header: int  # offset of its local header in the (joined) archive
    packed: int  # bytes in the archive
    size: int
    method: int
    crc: int
    refused: str = ""  # why it is not read: encrypted, a link, a bomb


def zip_members(
    stream: IO[bytes], where: str, starts: Sequence[int] = (0,), *, encoding: str = ""
) -> Iterator[ZipMember]:
    """Yield the members that are safe to read: no links, encrypted members, bombs or unsafe names.

    Args:
        stream: the archive, or all parts of a split one joined in order.
        where: the file, for messages.
        starts: where each part of a split archive starts in the stream.
        encoding: of names that the archive does not mark as UTF-8; empty: UTF-8 where a name is
            valid UTF-8 (macOS writes it without the mark), else the standard's cp437.

    Raises:
        DataError: it is not a zip, or it is cut.
    """
    found = zip_entries(stream, where, starts, encoding=encoding)
    return (member for member in found if not member.refused)


def zip_entries(
    stream: IO[bytes], where: str, starts: Sequence[int] = (0,), *, encoding: str = ""
) -> Iterator[ZipMember]:
    """Yield the members of `zip_members`, and those that are refused, with the reason.

    Raises:
        DataError: it is not a zip, it is cut, or its directory is damaged.
    """
    try:
        data, count = _directory(stream, where, starts)
        yield from _entries(data, count, where, starts, encoding)
    except struct.error as error:
        raise DataError(
            f"{where}: its zip directory is damaged ({error}); delete it and fetch again"
        ) from error


def _entries(
    data: bytes, count: int, where: str, starts: Sequence[int], encoding: str
) -> Iterator[ZipMember]:
    at = 0
    for _ in range(count):
        if data[at : at + 4] != b"PK\x01\x02":
            raise DataError(f"{where}: its directory is damaged; delete it and fetch again")
        (flags, method) = struct.unpack_from("<HH", data, at + 8)
        crc, packed, size = struct.unpack_from("<III", data, at + 16)
        lengths = struct.unpack_from("<HHH", data, at + 28)
        (disk,) = struct.unpack_from("<H", data, at + 34)
        mode, header = struct.unpack_from("<II", data, at + 38)
        raw = data[at + 46 : at + 46 + lengths[0]]
        extra = data[at + 46 + lengths[0] : at + 46 + lengths[0] + lengths[1]]
        at += 46 + sum(lengths)
        size, packed, header, disk = _zip64(extra, size, packed, header, disk)
        if raw.endswith(b"/"):
            continue  # a folder
        written = _name(raw, flags, extra, encoding)
        name = safe_name(written)
        if disk >= len(starts):
            raise DataError(f"{where}: part {disk + 1} of the split archive is missing; fetch it")
        refused = ""
        if name is None:
            refused = "a name that leaves the archive's folder"
        elif stat.S_ISLNK(mode >> 16):
            refused = "a link"
        elif flags & 1:
            refused = "encrypted"
        elif size > _FREE_BYTES and size > _MAX_RATIO * max(packed, 1):
            refused = f"{packed:,} bytes that unpack to {size:,}"
        elif method not in (STORED, DEFLATED):
            refused = f"packed by method {method}; stored and deflated members are read"
        yield ZipMember(
            name=written if name is None else name,
            header=starts[disk] + header,
            packed=packed,
            size=size,
            method=method,
            crc=crc,
            refused=refused,
        )


def _name(raw: bytes, flags: int, extra: bytes, encoding: str) -> str:
    """Return a member's name: marked as UTF-8, in the Unicode path field, or by its bytes."""
    if flags & 0x800:
        return raw.decode(errors="replace")
    for kind, body in _fields(extra):
        # Info-ZIP's Unicode path: version 1, CRC of the name in the header, the name in UTF-8.
        if kind == 0x7075 and len(body) > 5 and body[0] == 1:
            (crc,) = struct.unpack_from("<I", body, 1)
            if crc == zlib.crc32(raw):
                return body[5:].decode(errors="replace")
    if encoding:
        return raw.decode(encoding, errors="replace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, content) of a member's extra fields."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + length]
        at += 4 + length


def data_offset(stream: IO[bytes], member: ZipMember, where: str) -> int:
    """Return where the member's bytes start: its local header may be longer than the directory's.

    Raises:
        DataError: there is no header where the directory says.
    """
    stream.seek(member.header)
    head = stream.read(30)
    if head[:4] != b"PK\x03\x04" or len(head) < 30:
        raise DataError(f"{where}: {member.name} is not where the directory says; fetch again")
    name, extra = struct.unpack_from("<HH", head, 26)
    return member.header + 30 + int(name) + int(extra)


def unpack(stream: IO[bytes], member: ZipMember, where: str) -> bytes:
    """Return the member's bytes, checked against its checksum.

    Raises:
        DataError: they are damaged.
    """
    stream.seek(data_offset(stream, member, where))
    data = stream.read(member.packed)
    if member.method == DEFLATED:
        try:
            data = zlib.decompressobj(-15).decompress(data, member.size + 1)
        except zlib.error as error:
            raise DataError(f"{where}: {member.name} is damaged ({error}); fetch again") from error
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise DataError(f"{where}: {member.name} does not match its checksum; fetch again")
    return data


def _directory(stream: IO[bytes], where: str, starts: Sequence[int]) -> tuple[bytes, int]:
    length = stream.seek(0, 2)
    tail_at = max(0, length - 65_557 - 20)
    stream.seek(tail_at)
    tail = stream.read()
    at = tail.rfind(_END)
    if at < 0:
        raise DataError(
            f"{where}: no zip directory at its end; the file is cut or not a zip; fetch again"
        )
    disk, _, count, size, offset, _ = struct.unpack_from("<HHxxHIIH", tail, at + 4)
    start = tail_at + at - size
    if 0xFFFF in (count, disk) or 0xFFFFFFFF in (size, offset):
        locator = tail.rfind(b"PK\x06\x07", 0, at)
        if locator < 0:
            raise DataError(f"{where}: its zip64 directory is missing; fetch again")
        end_disk, record = struct.unpack_from("<IQ", tail, locator + 4)
        stream.seek(starts[min(end_disk, len(starts) - 1)] + record)
        head = stream.read(56)
        if head[:4] != b"PK\x06\x06":
            raise DataError(f"{where}: its zip64 directory is damaged; fetch again")
        first, count, size, offset = struct.unpack_from("<I8xQQQ", head, 20)
        start = starts[min(first, len(starts) - 1)] + offset
    if start < 0 or size > length:
        raise DataError(f"{where}: its zip directory is damaged; fetch again")
    stream.seek(start)
    return stream.read(size), count


def _zip64(extra: bytes, size: int, packed: int, header: int, disk: int) -> tuple[int, ...]:
    for kind, body in _fields(extra):
        if kind != 1:
            continue
        place = 0
        values = [size, packed, header]
        for number, value in enumerate(values):
            if value == 0xFFFFFFFF and place + 8 <= len(body):
                (values[number],) = struct.unpack_from("<Q", body, place)
                place += 8
        size, packed, header = values
        if disk == 0xFFFF and place + 4 <= len(body):
            (disk,) = struct.unpack_from("<I", body, place)
    return size, packed, header, disk

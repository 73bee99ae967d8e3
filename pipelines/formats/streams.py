"""Byte streams that readers start from: decompressed, joined from parts, or read by position."""

import gzip
import io
from collections.abc import Sequence
from typing import IO

import pyarrow as pa

_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK"
_BUFFER = 1 << 20


def compression(head: bytes) -> str:
    """Return "gzip", "zstd" or "zip" by the first four bytes of a stream, or "" for none."""
    if head[:2] == _GZIP:
        return "gzip"
    if head[:4] == _ZSTD:
        return "zstd"
    return "zip" if head[:2] == _ZIP else ""


def decompressed(stream: IO[bytes], how: str) -> io.BufferedReader:
    """Return the plain bytes of a gzip or zstd stream; reading a cut one raises an error.

    Zstandard goes through Arrow, frame after frame: the reader of package `zstandard` ends a
    stream that was cut as if it were complete.
    """
    if how == "gzip":
        return io.BufferedReader(gzip.GzipFile(fileobj=stream), _BUFFER)
    packed = pa.PythonFile(stream, mode="r")
    return io.BufferedReader(pa.CompressedInputStream(packed, "zstd"), _BUFFER)


class PositionedStream(io.RawIOBase):
    """A readable, seekable stream; a subclass defines what `readinto` reads at `self._at`."""

    def __init__(self, size: int):
        """Start at the first of `size` bytes."""
        self._size, self._at = size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position and return it."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at


class JoinedStream(PositionedStream):
    """Several files read as one, in order.

    Attributes:
        starts: the position at which each file starts.
    """

    def __init__(self, parts: Sequence[IO[bytes] | io.RawIOBase]):
        """Join seekable binary files."""
        self._parts = tuple(parts)
        sizes = [part.seek(0, 2) for part in self._parts]
        self.starts = tuple(sum(sizes[:at]) for at in range(len(sizes)))
        super().__init__(sum(sizes))

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # BufferedReader passes this
        """Fill the buffer from the file that holds the position."""
        if self._at >= self._size:
            return 0
        part = max(n for n, start in enumerate(self.starts) if start <= self._at)
        self._parts[part].seek(self._at - self.starts[part])
        data = self._parts[part].read(len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

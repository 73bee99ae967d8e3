"""Zstandard streams, frame after frame; one that is cut is an error.

`zstandard`'s own reader ends a cut stream as if it were whole; Arrow's tells.
"""

import io
from typing import IO

import pyarrow as pa

MAGIC = b"\x28\xb5\x2f\xfd"
_BUFFER = 1 << 20


def plain_zstd(packed: IO[bytes]) -> io.BufferedReader:
    """Return the stream's plain bytes; reading raises OSError where it is cut or damaged."""
    return io.BufferedReader(
        pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd"), _BUFFER
    )

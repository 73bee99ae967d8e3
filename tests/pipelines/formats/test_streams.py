"""Streams give the bytes that the joined or compressed file holds, at any position."""

import gzip
import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.formats.streams import JoinedStream, compression, decompressed

DATA = bytes(range(256)) * 500


@given(
    st.lists(st.binary(max_size=30), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 40)), max_size=6),
)
def test_parts_are_read_as_one_file(parts: list[bytes], reads: list[tuple[int, int]]) -> None:
    joined = io.BufferedReader(JoinedStream([io.BytesIO(part) for part in parts]), 8)
    oracle = io.BytesIO(b"".join(parts))
    assert joined.seek(0, 2) == oracle.seek(0, 2)
    for at, count in reads:
        joined.seek(at)
        oracle.seek(at)
        assert joined.read(count) == oracle.read(count)


@pytest.mark.parametrize(
    ("how", "packed"),
    [
        ("gzip", gzip.compress(DATA)),
        ("gzip", gzip.compress(DATA[:99]) + gzip.compress(DATA[99:])),
        ("zstd", zstandard.compress(DATA)),
        ("zstd", zstandard.compress(DATA[:99]) + zstandard.compress(DATA[99:])),
    ],
)
def test_compression_is_known_by_the_first_bytes_and_undone(how: str, packed: bytes) -> None:
    assert compression(packed[:4]) == how
    assert decompressed(io.BytesIO(packed), how).read() == DATA
    with pytest.raises((EOFError, OSError)):
        decompressed(io.BytesIO(packed[:-9]), how).read()


def test_plain_bytes_have_no_compression() -> None:
    assert compression(b'{"a"') == compression(b"") == ""
    assert compression(b"PK\x03\x04") == "zip"

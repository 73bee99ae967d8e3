"""A seeded 64-bit hash of sample ids, the same on every machine and with every library version.

Selections follow this hash, so it is written out here instead of borrowed: polars' and Python's own
hashes may change between releases, and a lockfile must not.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_WORD = 8
_ROWS = 1 << 18  # rows at a time: the working set stays in cache


def _mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of each value.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
    """
    h = (h ^ (h >> np.uint64(30))) * _MIX_1
    h = (h ^ (h >> np.uint64(27))) * _MIX_2
    return h ^ (h >> np.uint64(31))


def _rows(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], seed: int
) -> NDArray[np.uint64]:
    words: NDArray[np.uint64] = np.ndarray(
        shape=(len(data) - _WORD + 1,), dtype="<u8", buffer=data, strides=(1,)
    )
    h = _mix(np.full(len(starts), seed, np.uint64) + lengths.astype(np.uint64) * _STEP)
    for at in range(0, int(lengths.max(initial=0)), _WORD):
        left = np.clip(lengths - at, 0, _WORD)
        word = words[np.minimum(starts + at, len(words) - 1)]
        cut = ((_WORD - left) * 8).astype(np.uint64)
        word = np.where(left > 0, (word << cut) >> cut, np.uint64(0))
        h = np.where(left > 0, _mix((h ^ word) + _STEP), h)
    return h


def hash_ids(ids: pa.Array, seed: int) -> NDArray[np.uint64]:
    """Return one 64-bit hash an id.

    An id's UTF-8 bytes are read as little-endian 8-byte words, the last one padded with zeros,
    and each word is folded in with splitmix64's finaliser; the start holds seed and length.

    Args:
        ids: strings without nulls.
        seed: the mixture's seed, 0 to 2⁶³ - 1.

    Returns:
        (ids,) uint64.
    """
    ids = ids.cast(pa.large_string())
    count = len(ids)
    _, offsets_buffer, data_buffer = ids.buffers()
    if count == 0:
        return np.zeros(0, np.uint64)
    offsets = np.frombuffer(offsets_buffer, np.int64)[ids.offset : ids.offset + count + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    data = np.zeros(last - first + _WORD, np.uint8)  # padded: the last word may be read whole
    if data_buffer is not None:
        data[: last - first] = np.frombuffer(data_buffer, np.uint8)[first:last]
    starts, lengths = offsets[:-1] - first, np.diff(offsets)
    out = np.empty(count, np.uint64)
    with np.errstate(over="ignore"):
        for i in range(0, count, _ROWS):
            j = min(i + _ROWS, count)
            out[i:j] = _rows(data, starts[i:j], lengths[i:j], seed)
    return out


def hash_names(names: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Return (names,) numbers in [0, 1) that depend on nothing but each name and the seed."""
    hashes = hash_ids(pa.array(names, pa.string()), seed) >> np.uint64(11)
    return hashes.astype(np.float64) / float(1 << 53)

"""All pairs of 64-bit hashes within a few bits of each other, band by band.

Two hashes within `max_bits` agree in one of `max_bits + 1` bands (pigeonhole). Each band is a
job of its own, so memory is one band's: about 50 bytes a hash.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]
_BLOCK = 1 << 21  # comparisons at once


def bands_for(max_bits: int) -> int:
    """Return how many bands find every pair within `max_bits`."""
    return max_bits + 1


def band_of(hashes: Hashes, band: int, bands: int) -> NDArray[np.uint32]:
    """Return the bits of one band of each hash."""
    start, stop = 64 * band // bands, 64 * (band + 1) // bands
    mask = np.uint64((1 << (stop - start)) - 1)
    return ((hashes >> np.uint64(start)) & mask).astype(np.uint32)


def _lowest_band(different: Hashes, bands: int) -> NDArray[np.int8]:
    """Return the first band in which the bits do not differ."""
    found = np.full(len(different), bands, dtype=np.int8)
    for band in reversed(range(bands)):
        found[band_of(different, band, bands) == 0] = band
    return found


def near_in_band(
    one: Hashes, other: Hashes, *, band: int, max_bits: int
) -> Iterator[tuple[Indices, Indices, NDArray[np.uint8]]]:
    """Yield (index in `one`, index in `other`, bits apart) of the pairs whose first band is this.

    Args:
        one: hashes.
        other: hashes; the same array gives each pair once, without the pairs of one with itself.
        band: which of `bands_for(max_bits)`.
        max_bits: the largest distance.
    """
    bands = bands_for(max_bits)
    within = other is one
    left_keys = band_of(one, band, bands)
    left = np.argsort(left_keys, kind="stable")
    right_keys = left_keys if within else band_of(other, band, bands)
    right = left if within else np.argsort(right_keys, kind="stable")
    sorted_left, sorted_right = left_keys[left], right_keys[right]
    keys, starts, counts = np.unique(sorted_left, return_index=True, return_counts=True)
    firsts = np.searchsorted(sorted_right, keys, side="left")
    lasts = np.searchsorted(sorted_right, keys, side="right")
    for start, count, first, last in zip(starts, counts, firsts, lasts, strict=True):
        rows, columns = left[start : start + count], right[first:last]
        if not len(columns):
            continue
        a, b = one[rows], other[columns]
        step = max(1, _BLOCK // len(columns))
        for at in range(0, len(rows), step):
            skip = at if within else 0
            apart = np.bitwise_count(a[at : at + step, None] ^ b[None, skip:])
            i, j = np.nonzero(apart <= max_bits)
            i, j = i + at, j + skip
            if within:
                once = i < j
                i, j = i[once], j[once]
            different = a[i] ^ b[j]
            mine = _lowest_band(different, bands) == band
            i, j = i[mine], j[mine]
            if len(i):
                yield rows[i], columns[j], np.bitwise_count(different[mine])

"""Pillow's Lanczos resizing, bit for bit equal and several times faster.

Pillow computes each output sample as a weighted sum of `taps` input samples with 22-bit integer
weights, along rows first and then along columns, and rounds to 8 bits after each pass. This module
adds the same integers in an order that a compiler can vectorise: the column pass adds complete
rows of memory, and the row pass transposes strips of rows so that it is a column pass too.

Numba compiles on first use (some seconds, cached on disk) and releases the GIL.
Source: Pillow's documentation of `Image.resize`. `tests/tokenize/tiles/test_resample.py` compares
the two, and `pillows_order` compares them again in every process that resizes.
"""

import math
import warnings
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, TypeVar, cast

import numba
import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]  # (height, width, 3)
_Taps = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]  # first, count, weights

_SUPPORT = 3.0  # of Lanczos, in input samples when enlarging
_BITS = 22  # of a weight: 32 bits less 8 of a sample and 2 for sums beyond one
_HALF = np.int32(1 << (_BITS - 1))
_SHIFT = np.int32(_BITS)
_LANES = 384  # samples added at once; a constant, so that loops over them have no remainder
_STRIP = _LANES // 3  # RGB rows transposed at once


_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    try:
        return cast(_F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no writable cache folder: every process compiles for itself
        return cast(_F, numba.njit(nogil=True)(function))


@_compiled
def _lanczos(x: float) -> float:
    if not -_SUPPORT <= x < _SUPPORT:
        return 0.0
    if x == 0.0:
        return 1.0
    a, b = x * math.pi, x / 3 * math.pi
    return math.sin(a) / a * (math.sin(b) / b)


@_compiled
def _taps(before: int, after: int) -> _Taps:
    """Return each output sample's first input sample, number of input samples, and weights."""
    scale = before / after
    stretch = max(scale, 1.0)
    support = _SUPPORT * stretch
    first = np.zeros(after, np.int64)
    count = np.zeros(after, np.int64)
    weights = np.zeros((after, math.ceil(support) * 2 + 1), np.int32)
    exact = np.zeros(weights.shape[1], np.float64)
    for i in range(after):
        centre = (i + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        taps = min(int(centre + support + 0.5), before) - low
        total = 0.0
        for k in range(taps):
            exact[k] = _lanczos((k + low - centre + 0.5) * (1.0 / stretch))
            total += exact[k]
        for k in range(taps):
            weight = exact[k] / total if total != 0.0 else exact[k]
            away = -0.5 if weight < 0 else 0.5
            weights[i, k] = int(away + weight * (1 << _BITS))
        first[i], count[i] = low, taps
    return first, count, weights


@_compiled
def _blend(source: Pixels, taps: _Taps, out: Pixels) -> None:
    """Fill `out` (after, lanes) with weighted sums of `source`'s (before, lanes) rows.

    `lanes` is at least `_LANES`.
    """
    first, count, weights = taps
    after, lanes = out.shape
    sums = np.empty(_LANES, np.int32)
    for start in range(0, lanes, _LANES):
        left = min(start, lanes - _LANES)  # the last block overlaps the previous one
        for y in range(after):
            low, many = first[y], count[y]
            for i in range(_LANES):
                sums[i] = _HALF
            k = 0
            while k + 1 < many:  # two rows a step halve the reads and writes of the sums
                w0, w1 = weights[y, k], weights[y, k + 1]
                row0 = source[low + k, left : left + _LANES]
                row1 = source[low + k + 1, left : left + _LANES]
                for i in range(_LANES):
                    sums[i] += np.int32(np.int32(row0[i]) * w0) + np.int32(np.int32(row1[i]) * w1)
                k += 2
            if k < many:
                w0 = weights[y, k]
                row0 = source[low + k, left : left + _LANES]
                for i in range(_LANES):
                    sums[i] += np.int32(np.int32(row0[i]) * w0)
            blended = out[y, left : left + _LANES]
            for i in range(_LANES):
                blended[i] = np.uint8(min(max(sums[i] >> _SHIFT, 0), 255))


@_compiled
def _blend_rows(source: Pixels, taps: _Taps, out: Pixels) -> None:
    """Fill `out` (height, after, 3) from `source` (height, before, 3), strip by strip."""
    height, before, _ = source.shape
    after = out.shape[1]
    turned = np.zeros((before, _LANES), np.uint8)
    blended = np.empty((after, _LANES), np.uint8)
    for top in range(0, height, _STRIP):
        rows = min(_STRIP, height - top)
        for y in range(rows):
            row = source[top + y]
            for x in range(before):
                turned[x, y * 3] = row[x, 0]
                turned[x, y * 3 + 1] = row[x, 1]
                turned[x, y * 3 + 2] = row[x, 2]
        _blend(turned, taps, blended)
        for y in range(rows):
            row = out[top + y]
            for x in range(after):
                row[x, 0] = blended[x, y * 3]
                row[x, 1] = blended[x, y * 3 + 1]
                row[x, 2] = blended[x, y * 3 + 2]


def resize(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the image in another size, as Pillow's `Image.resize(…, LANCZOS)` returns it.

    Args:
        pixels: (h, w, 3) uint8.
        width: in pixels, at least 1.
        height: in pixels, at least 1.

    Returns:
        (height, width, 3) uint8; `pixels` itself where it already has that size.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    order = pillows_order()
    return order(pixels, width, height) if order else _pillow(pixels, width, height)


def rows_first(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the image resized along rows, then along columns: Pillow before version 13."""
    return _columns(_rows(pixels, width), height)


def cheaper_first(pixels: Pixels, width: int, height: int) -> Pixels:
    """Return the image resized, along columns first where the height shrinks far more.

    Pillow since version 13.
    """
    shrinks_by = pixels.shape[0] - height
    if shrinks_by > 0 and shrinks_by > 2 * (pixels.shape[1] - width):
        return _rows(_columns(pixels, height), width)
    return rows_first(pixels, width, height)


@lru_cache(maxsize=64)  # images of a corpus, and frames of a clip, are often of one size
def _kept_taps(before: int, after: int) -> _Taps:
    return _taps(before, after)


def _rows(pixels: Pixels, width: int) -> Pixels:
    high, before, _ = pixels.shape
    if before == width:
        return pixels
    out = np.empty((high, width, 3), np.uint8)
    _blend_rows(np.ascontiguousarray(pixels), _kept_taps(before, width), out)
    return out


def _columns(pixels: Pixels, height: int) -> Pixels:
    before, wide, _ = pixels.shape
    if before == height:
        return pixels
    lanes = wide * 3
    flat = np.ascontiguousarray(pixels).reshape(before, lanes)
    if lanes < _LANES:
        padded = np.zeros((before, _LANES), np.uint8)
        padded[:, :lanes] = flat
        flat = padded
    out = np.empty((height, flat.shape[1]), np.uint8)
    _blend(flat, _kept_taps(before, height), out)
    return out[:, :lanes].reshape(height, wide, 3)


def _pillow(pixels: Pixels, width: int, height: int) -> Pixels:
    size = (width, height)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


@cache
def pillows_order() -> Callable[[Pixels, int, int], Pixels] | None:
    """Return the order of passes that equals the installed Pillow on three sizes, or None.

    Without one, `resize` calls Pillow: equal pixels come before speed.
    """
    pattern = (np.arange(45 * 37 * 3, dtype=np.uint32) * 2654435761 >> 7).astype(np.uint8)
    pixels = pattern.reshape(45, 37, 3)
    for order in (cheaper_first, rows_first):
        if all(
            np.array_equal(order(pixels, *size), _pillow(pixels, *size))
            for size in ((130, 71), (11, 7), (40, 20))
        ):
            return order
    warnings.warn(
        f"Pillow {PIL.__version__} resizes in an order that smolmix does not know; Pillow itself "
        "resizes images now, several times slower",
        stacklevel=2,
    )
    return None

"""Resizing by our own kernel equals Pillow's, bit for bit, for any sizes."""

import os
import subprocess
import sys

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from smolmix.tokenize.tiles import resample

EDGE = st.integers(1, 700)


def _noise(width: int, height: int, seed: int) -> resample.Pixels:
    rng = np.random.default_rng(seed)
    # Black and white: sums that leave 0..255 on both sides.
    return rng.choice(np.array([0, 255, 128], np.uint8), (height, width, 3))


def _pillow(pixels: resample.Pixels, width: int, height: int) -> resample.Pixels:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def test_the_installed_pillow_is_known() -> None:
    assert resample.pillows_order() is not None


@settings(max_examples=300)
@given(EDGE, EDGE, EDGE, EDGE, st.integers(0, 99))
def test_any_size_to_any_size_equals_pillow(
    width: int, height: int, wide: int, high: int, seed: int
) -> None:
    pixels = _noise(width, height, seed)
    ours = resample.resize(pixels, wide, high)
    assert ours.shape == (high, wide, 3)
    assert np.array_equal(ours, _pillow(pixels, wide, high))


def test_long_edges_and_whole_pictures_equal_pillow() -> None:
    cases = [(5000, 3), (3, 5000), (2481, 3508), (1, 1), (4096, 2048)]
    for number, (width, height) in enumerate(cases):
        pixels = _noise(width, height, number)
        for size in ((2048, 1536), (512, 512), (width, 384), (384, height)):
            assert np.array_equal(resample.resize(pixels, *size), _pillow(pixels, *size))
    assert number == 4


def test_strided_pixels_are_read_as_they_are_seen() -> None:
    pixels = _noise(64, 48, 1)
    turned = pixels[::-1, ::2]
    expected = resample.resize(np.ascontiguousarray(turned), 50, 90)
    assert np.array_equal(resample.resize(turned, 50, 90), expected)
    assert resample.resize(pixels, 64, 48) is pixels


def test_the_order_of_passes_shows_in_the_pixels() -> None:
    pixels = _noise(60, 160, 2)
    older = resample.rows_first(pixels, 66, 40)
    newer = resample.cheaper_first(pixels, 66, 40)
    assert not np.array_equal(older, newer)
    assert np.abs(older.astype(int) - newer).max() < 64


def test_nowhere_to_keep_compiled_code_costs_time_alone() -> None:
    asked = (
        "from smolmix.tokenize.tiles import resample; print(resample.pillows_order() is not None)"
    )
    nowhere = os.environ | {"NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}
    done = subprocess.run(
        [sys.executable, "-c", asked], env=nowhere, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"

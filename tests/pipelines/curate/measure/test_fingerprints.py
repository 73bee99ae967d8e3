"""Perceptual hashes and thumbnails, against scipy's transform and Pillow's pixels."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy.fft import dctn
from tests.support.pictures import blots

from smolmix.pipelines.curate.measure import fingerprints


def reference(image: Image.Image, box: tuple[float, ...] = (0, 0, 1, 1)) -> int:
    """Return the 64-bit pHash by scipy: lowest frequencies without the constant, by median."""
    grey = image.convert("L").resize((128, 128), Image.Resampling.BOX).convert("F")
    left, top, right, bottom = (128 * edge for edge in box)
    small = grey.resize((32, 32), Image.Resampling.BOX, box=(left, top, right, bottom))
    low = dctn(np.asarray(small, np.float64), type=2)[1:9, 1:9]
    bits = (low > np.median(low)).ravel()
    return sum(1 << i for i, bit in enumerate(bits) if bit)


@pytest.mark.parametrize("seed", range(5))
def test_hashes_are_those_of_the_cosine_transform(seed: int) -> None:
    image = blots(seed)
    found = fingerprints.phashes(image)
    assert len(found) == 2 * len(fingerprints.CROPS)
    for number, (left, top, right, bottom) in enumerate(fingerprints.CROPS):
        wanted = reference(image, (left, top, 1 - right, 1 - bottom))
        assert (found[number] ^ wanted).bit_count() <= 1, number  # single precision at the median
    assert fingerprints.phash(image) == (found[0], found[len(fingerprints.CROPS)])


@pytest.mark.parametrize("seed", range(5))
def test_the_mirrored_hash_is_that_of_the_mirror_image(seed: int) -> None:
    image = blots(seed)
    _, mirrored = fingerprints.phash(image)
    turned, _ = fingerprints.phash(ImageOps.mirror(image))
    assert (mirrored ^ turned).bit_count() <= 1


def test_copies_are_close_and_other_pictures_are_not() -> None:
    hashes = [fingerprints.phash(blots(seed))[0] for seed in range(8)]
    halves = [fingerprints.phash(blots(seed).resize((160, 120)))[0] for seed in range(8)]
    for i, one in enumerate(hashes):
        assert (one ^ halves[i]).bit_count() <= 6
        assert min((one ^ h).bit_count() for j, h in enumerate(halves) if j != i) > 12


@pytest.mark.parametrize("size", [(320, 240), (100, 400), (60, 40)])
def test_thumbnails_are_read_as_they_were_stored(size: tuple[int, int]) -> None:
    images = [blots(seed, size) for seed in range(3)]
    stored = b"".join(map(fingerprints.thumbnail, images))
    found = fingerprints.pictures(stored)
    assert len(found) == 3
    wide, high = min(size[0], 128), min(size[1], 128)
    for image, shown in zip(images, found, strict=True):
        assert shown.size == (wide, high)
        small = image if (wide, high) == size else image.resize((wide, high), 4)
        apart = np.abs(np.asarray(shown, int) - np.asarray(small, int))
        assert apart.max() == 0 or (wide, high) == (128, 128)  # small ones lose no pixel
        assert apart.mean() < 3


def test_spread_and_level_are_those_of_the_pixels() -> None:
    flat = Image.new("RGB", (8, 8), (10, 20, 30))
    assert fingerprints.spread(flat) == (0, 0.0)
    flat.putpixel((0, 0), (10, 120, 30))
    spread, deviation = fingerprints.spread(flat)
    assert spread == 100
    assert deviation == pytest.approx(np.asarray(flat)[:, :, 1].std())
    assert fingerprints.mean_level(Image.new("L", (4, 4), 77).convert("RGB")) == 77

"""Descriptors of pictures, against values that can be computed by hand."""

import numpy as np
from PIL import Image, ImageOps

from smolmix.pipelines.curate.measure import descriptors

WHOLE = ((0.0, 0.0, 0.0, 0.0),)


def blots(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
    return small.resize((120, 120), Image.Resampling.BICUBIC)


def test_a_flat_picture_is_its_level_everywhere_and_does_not_change() -> None:
    plain, mirrored = descriptors.describe(Image.new("RGB", (128, 128), (200, 200, 200)), WHOLE)
    assert plain.shape == mirrored.shape == (1, descriptors.SIZE)
    luma, chroma, change = np.split(plain[0], [400, 418])
    assert set(luma.tolist()) == {200 - 128}
    assert set(chroma.tolist()) == {0}
    assert set(change.tolist()) == {0}


def test_luma_is_the_mean_of_each_cell() -> None:
    rng = np.random.default_rng(2)
    grey = rng.integers(0, 255, (100, 100), dtype=np.uint8)
    plain, _ = descriptors.describe(Image.fromarray(grey).convert("RGB"), WHOLE)
    cells = grey.reshape(20, 5, 20, 5).mean(axis=(1, 3)) - 128
    assert np.abs(plain[0, :400].reshape(20, 20) - cells).max() <= 1


def test_the_mirrored_descriptor_is_that_of_the_mirror_image() -> None:
    for seed in range(4):
        _, mirrored = descriptors.describe(blots(seed), WHOLE)
        turned, _ = descriptors.describe(ImageOps.mirror(blots(seed)), WHOLE)
        luma = np.abs(mirrored[0, :418].astype(int) - turned[0, :418].astype(int))
        assert luma.max() <= 1


def test_a_crop_is_described_as_the_cropped_picture() -> None:
    image = blots(5)
    cropped = image.crop((12, 0, 120, 108))
    plain, _ = descriptors.describe(image, ((0.1, 0.0, 0.0, 0.1),))
    own, _ = descriptors.describe(cropped, WHOLE)
    assert np.abs(plain[0, :418].astype(int) - own[0, :418].astype(int)).max() <= 1


def test_products_of_two_descriptors_are_exact_in_single_precision() -> None:
    assert descriptors.SIZE * 128 * 128 <= 2**23

"""Pixels decide: copies are the same picture, small changes make another."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.support.pictures import encoded, photo

from smolmix.pipelines.curate.dedup.media import pixels


def form(value: str) -> Image.Image:
    image, font = Image.new("RGB", (420, 540), "white"), ImageFont.load_default(size=16)
    draw = ImageDraw.Draw(image)
    for line in range(16):
        draw.text((20, 20 + 32 * line), f"Field {line}:", font=font, fill="black")
        shown = value if line == 7 else f"value {line * 37}"
        draw.text((140, 20 + 32 * line), shown, font=font, fill=(20, 20, 90))
    return image


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, "JPEG", quality=quality))).convert("RGB")


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "recompressed": lambda i: jpeg(i, 50),
    "halved": lambda i: i.resize((i.width // 2, i.height // 2), Image.Resampling.LANCZOS),
    "grown": lambda i: i.resize((i.width * 13 // 10, i.height * 13 // 10)),
    "cropped": lambda i: i.crop((i.width // 50, 0, i.width, i.height * 98 // 100)),
}


@pytest.mark.parametrize("how", sorted(COPIES))
def test_copies_are_the_same_picture(how: str) -> None:
    checked = 0
    for image in (photo(1), photo(2), form("4711")):
        other = COPIES[how](image)
        hint = pixels.compare_thumbnails(image.resize((128, 128)), other.resize((128, 128)))
        assert hint.same
        found = pixels.compare(image, other, hint.crop)
        assert found.same, str(found)
        checked += 1
    assert checked == 3


@pytest.mark.parametrize(
    ("one", "other"), [(photo(1), photo(2)), (form("4711"), form("4712 B")), (photo(1), form("1"))]
)
def test_other_pictures_are_not_the_same(one: Image.Image, other: Image.Image) -> None:
    assert not pixels.compare(one, other.resize(one.size), pixels.Crop()).same


def test_another_colour_is_another_picture() -> None:
    one = photo(3)
    red, green, blue = one.split()
    assert not pixels.compare(one, Image.merge("RGB", (blue, green, red)), pixels.Crop()).same


def test_registration_finds_by_how_much_a_picture_was_cropped() -> None:
    one = photo(4).convert("L")
    box = (0.03 * one.width, 0.0, one.width, 0.98 * one.height)
    other = one.resize((360, 270), Image.Resampling.BICUBIC, box=box)
    crop = pixels.refine(one, other, pixels.register(one, other), (0.01, 0.005, 0.0025))
    margins = np.array([crop.left, crop.top, crop.right, crop.bottom])
    assert np.abs(margins - [0.03, 0.0, 0.0, 0.02]).max() <= 0.006


def test_small_pictures_are_the_same_only_in_every_pixel_and_of_one_size() -> None:
    one = photo(5, (64, 48))
    assert pixels.compare_small(one, jpeg(one, 95)).same
    moved = Image.fromarray(np.roll(np.asarray(one), 3, axis=1))
    assert not pixels.compare_small(one, moved).same
    assert not pixels.compare_small(one, one.resize((65, 48))).same

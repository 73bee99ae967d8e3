"""Codecs of stored tiles: what is lossless returns equal pixels, and names are checked."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.support.small_workspace import image_bytes

from smolmix.errors import UsageError
from smolmix.profiles import pixel_preset
from smolmix.tokenize.tiles.codec import check, decode_tiles, encode_tiles
from smolmix.tokenize.tiles.image import ImageError, Tiles, decode, split

NANO = pixel_preset("nano")


def tiles_of(data: bytes) -> Tiles:
    return split(decode(data), NANO)[1]


@pytest.mark.parametrize("codec", ["raw", "png"])
def test_lossless_codecs_return_the_same_pixels(codec: str) -> None:
    tiles = tiles_of(image_bytes(90, 70, 1))
    blobs = encode_tiles(tiles, codec)
    assert len(blobs) == (1 if codec == "raw" else len(tiles))
    assert np.array_equal(decode_tiles(blobs, codec, NANO), tiles)
    assert len(tiles) > 4


def test_jpeg_is_smaller_and_near_and_better_with_more_quality() -> None:
    tiles = tiles_of(image_bytes(90, 70, 1))
    gaps, sizes = [], []
    for codec in ("jpeg:50", "jpeg:95"):
        blobs = encode_tiles(tiles, codec)
        assert Image.open(io.BytesIO(blobs[0])).format == "JPEG"
        gaps.append(np.abs(decode_tiles(blobs, codec, NANO).astype(int) - tiles).mean())
        sizes.append(sum(map(len, blobs)))
    assert gaps[1] < gaps[0] < 8
    assert sizes[0] < sizes[1] < tiles.nbytes


def test_source_keeps_the_file_and_is_cut_when_it_is_read() -> None:
    data = image_bytes(90, 70, 2, "JPEG")
    assert np.array_equal(decode_tiles([data], "source", NANO), tiles_of(data))
    unsplit = replace(NANO, split=False)
    assert len(decode_tiles([data], "source", unsplit)) == 1
    with pytest.raises(ImageError):
        decode_tiles([data[:40]], "source", NANO)


@pytest.mark.parametrize("codec", ["source", "raw", "png", "jpeg:1", "jpeg:100"])
def test_known_codecs_are_accepted(codec: str) -> None:
    assert check(codec) == codec


@pytest.mark.parametrize("codec", ["", "PNG", "webp", "jpeg", "jpeg:0", "jpeg:101", "jpeg:x"])
def test_unknown_codecs_are_refused_with_the_known_ones(codec: str) -> None:
    with pytest.raises(UsageError, match="known: source, raw, png, jpeg:1 to jpeg:100"):
        check(codec)

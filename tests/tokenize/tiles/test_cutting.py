"""A medium is cut as its profile says, and refused where it is not as measured."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from tests.support.clips import SIZE, grey_clip
from tests.support.small_workspace import image_bytes

from smolmix.cost import Grid, clip_frames, media_grid
from smolmix.profiles import pixel_preset
from smolmix.sample import Media
from smolmix.tokenize.tiles.codec import decode_tiles
from smolmix.tokenize.tiles.cutting import CUT_ERRORS, cut, stored_bytes
from smolmix.tokenize.tiles.image import decode, split

NANO = pixel_preset("nano")
PICTURE = Media(kind="image", refs=(), width=90, height=40, bytes_on_disk=5000)
CLIP = Media(
    kind="video", refs=(), width=SIZE[0], height=SIZE[1], frames=60, fps=30.0, duration_s=2.0
)


@pytest.mark.parametrize("codec", ["source", "raw", "png", "jpeg:95"])
def test_an_image_is_stored_in_the_profiles_codec(codec: str) -> None:
    data, pixel = image_bytes(90, 40, 3), replace(NANO, codec=codec)
    found = cut(PICTURE, [data], pixel)
    grid, tiles = split(decode(data), pixel)
    assert found.grid == grid == media_grid(PICTURE, pixel)
    assert (found.codec, found.tiles) == (codec, len(tiles))
    if codec == "source":
        assert found.blobs == (data,)
    gap = np.abs(decode_tiles(found.blobs, codec, pixel).astype(int) - tiles)
    assert gap.max() == 0 if codec != "jpeg:95" else gap.mean() < 3


@pytest.mark.parametrize(("codec", "stored"), [("source", NANO.frame_codec), ("png", "png")])
def test_a_clip_is_stored_frame_by_frame_and_never_as_its_file(codec: str, stored: str) -> None:
    pixel = replace(NANO, codec=codec)
    found = cut(CLIP, [grey_clip(60)], pixel)
    frames = clip_frames(CLIP, pixel)
    assert found.codec == stored != "source"
    assert found.grid == Grid(rows=0, cols=0)
    assert found.tiles == len(found.blobs) == len(frames) > 1


@pytest.mark.parametrize(
    ("medium", "data"),
    [
        (structs.replace(PICTURE, width=40, height=90), image_bytes(90, 40, 3)),
        (structs.replace(CLIP, frames=600, duration_s=20.0), grey_clip(60)),
    ],
    ids=["image of another shape", "clip with fewer frames"],
)
def test_a_medium_that_is_not_as_measured_is_a_plan_mismatch(medium: Media, data: bytes) -> None:
    with pytest.raises(CUT_ERRORS) as raised:
        cut(medium, [data], NANO)
    assert getattr(raised.value, "reason", "") == "plan-mismatch"
    assert getattr(raised.value, "detail", "")


def test_stored_bytes_follow_the_codec() -> None:
    tiles = media_grid(PICTURE, NANO).tiles
    assert stored_bytes(PICTURE, NANO) == 5000
    assert stored_bytes(PICTURE, replace(NANO, codec="raw")) == tiles * 32 * 32 * 3
    assert stored_bytes(PICTURE, replace(NANO, codec="png")) == tiles * 32 * 32
    assert stored_bytes(CLIP, NANO) == len(clip_frames(CLIP, NANO)) * 32 * 32

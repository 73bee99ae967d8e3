"""Facts of images and clips are those of their headers and pixels."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.support.clips import grey_clip
from tests.support.pictures import encoded

from smolmix.media import MediaReader
from smolmix.pipelines.curate.measure.images import read_image, to_rgb
from smolmix.pipelines.curate.measure.media import MediaMeasurer
from smolmix.pipelines.curate.measure.videos import PROBES, probes, read_video
from smolmix.sample import Media, MediaRef
from smolmix.workspace import Workspace


def picture(mode: str = "RGB", size: tuple[int, int] = (90, 60)) -> Image.Image:
    rng = np.random.default_rng(3)
    small = Image.fromarray(rng.integers(0, 255, (6, 9, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "L"), ("PNG", "RGBA"), ("PNG", "P"), ("JPEG", "CMYK"), ("BMP", "RGB")],
)
def test_an_image_is_read_as_pillow_reads_it(kind: str, mode: str) -> None:
    data = encoded(picture(mode), kind)
    found = read_image(data)
    assert (found.error, found.width, found.height) == ("", 90, 60)
    assert (found.format, found.mode, found.frames) == (kind.lower(), mode, 1)
    assert found.pixels is not None
    wanted = to_rgb(Image.open(io.BytesIO(data)))
    assert np.array_equal(np.asarray(found.pixels), np.asarray(wanted))


def test_only_the_header_is_read_without_decoding() -> None:
    found = read_image(encoded(picture(), "PNG"), decode=False)
    assert found.pixels is None
    assert (found.width, found.height) == (90, 60)


def test_a_large_jpeg_is_decoded_at_a_reduced_scale() -> None:
    data = encoded(picture(size=(2000, 1200)), "JPEG")
    found = read_image(data, decode_px=256)
    assert (found.width, found.height) == (2000, 1200)
    assert found.pixels is not None
    assert 256 <= min(found.pixels.size) < 1200


@pytest.mark.parametrize(("turn", "found"), [(6, 6), (1, 1), (8, 8), (99, 1)])
def test_the_turn_is_that_of_exif(turn: int, found: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    assert read_image(encoded(picture(), "JPEG", exif=exif)).orientation == found


def test_frames_of_an_animation_are_counted() -> None:
    frames = [picture("P").rotate(10 * i) for i in range(4)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert read_image(data).frames == 4


def test_transparency_is_shown_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert to_rgb(clear).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "image-empty"),
        (b"<html>not found</html>", "image-not-an-image"),
        (encoded(picture(), "PNG")[:-40], "image-truncated"),
        (encoded(picture(), "JPEG")[:-300], "image-truncated"),
    ],
)
def test_an_image_that_cannot_be_read_has_an_error(data: bytes, reason: str) -> None:
    assert read_image(data).error.startswith(f"{reason}: ")


def clip(frames: int, rate: Fraction) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as out:
        track: Any = out.add_stream("libx264", rate=rate)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for index in range(frames):
            level = np.full((48, 64, 3), index * 255 // frames, np.uint8)
            out.mux(track.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        out.mux(track.encode(None))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("frames", "rate"), [(1, Fraction(5)), (5, Fraction(5)), (48, Fraction(24))]
)
def test_a_clip_has_the_frames_and_the_duration_it_was_written_with(
    frames: int, rate: Fraction
) -> None:
    found = read_video(clip(frames, rate))
    assert found.error == ""
    assert (found.width, found.height, found.frames, found.format) == (64, 48, frames, "h264")
    assert found.duration_s == pytest.approx(frames / float(rate), rel=0.02)
    assert len(found.sampled) == min(frames, PROBES)
    levels = [float(np.asarray(frame).mean()) for frame in found.sampled]
    for index, level in zip(probes(frames), levels, strict=True):
        assert level == pytest.approx(index * 255 // frames, abs=6)


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [(1, [0]), (2, [0, 1]), (8, list(range(8))), (15, [0, 2, 4, 6, 8, 10, 12, 14])],
)
def test_frames_are_sampled_from_the_first_to_the_last(frames: int, wanted: list[int]) -> None:
    assert probes(frames) == wanted


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "video-empty"),
        (b"<html>not found</html>", "video-not-a-video"),
        (clip(24, Fraction(8))[:900], "video-truncated"),
    ],
)
def test_a_clip_that_cannot_be_read_has_an_error(data: bytes, reason: str) -> None:
    assert read_video(data).error.startswith(f"{reason}: ")


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize(("transfer", "mode"), [(1, "RGB"), (16, "PQ"), (18, "HLG"), (None, "RGB")])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_clip_of_high_dynamic_range_is_marked(
    codec: str, container: str, transfer: int | None, mode: str
) -> None:
    data = grey_clip(6, codec=codec, container=container, transfer=transfer)
    assert read_video(data).mode == read_video(data, decode=False).mode == mode


@pytest.mark.parametrize("broken", [None, 0, 3, 39])
def test_every_numbered_frame_is_decoded(broken: int | None, tmp_path: Path) -> None:
    refs = tuple(MediaRef(uri=f"{i}.jpg") for i in range(40))
    good = encoded(picture(), "JPEG")
    hole = good[: len(good) // 2] + bytes(60) + good[len(good) // 2 + 60 :]
    blobs = {ref: hole if i == broken else good for i, ref in enumerate(refs)}
    measurer = MediaMeasurer(MediaReader(Workspace(str(tmp_path))))
    medium, error = measurer.measure(Media(kind="frames", refs=refs), blobs)
    if broken is None:
        assert error == ""
        assert medium.frames == 40
    else:
        assert error.startswith("image-corrupt: ")
        assert error.endswith(f"(frame {broken})")

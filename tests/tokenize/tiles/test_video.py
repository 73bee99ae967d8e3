"""Frames: the right ones, from any clip, by both backends, and short clips are found out."""

import io
from typing import Any

import av
import numpy as np
import pytest
from tests.support.clips import SIZE, grey_clip, shades

from smolmix.errors import UsageError
from smolmix.profiles import pixel_preset
from smolmix.sample import Media
from smolmix.tokenize.tiles.cutting import cut
from smolmix.tokenize.tiles.video import Backend, VideoError, clip_tiles, read_frames


def level(frame: Any) -> float:
    return float(frame[frame.shape[0] // 2 :].mean())


@pytest.mark.parametrize("backend", ["pyav", "decord"])
@pytest.mark.parametrize("gop", [1, 12, 250])
def test_frames_are_those_asked_for(backend: str, gop: int) -> None:
    data = grey_clip(60, gop=gop)
    for wanted in ([0], [59], [0, 1, 2], [5, 20, 21, 40, 59], list(range(0, 60, 7))):
        got = [level(f) for f in read_frames(data, wanted, backend=backend)]  # type: ignore[arg-type]  # any text, not a literal
        assert np.allclose(got, [shades(60)[i] for i in wanted], atol=4)


def test_both_backends_give_the_same_frames() -> None:
    data, wanted = grey_clip(50), [0, 9, 33, 49]
    both: tuple[Backend, Backend] = ("pyav", "decord")
    ours, theirs = (np.stack(list(read_frames(data, wanted, backend=b))) for b in both)
    assert np.abs(ours.astype(int) - theirs).max() <= 4


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_variable_frame_rates_are_counted_by_frame(backend: str) -> None:
    stamps = [0]
    for i in range(1, 40):
        stamps.append(stamps[-1] + (20 if i % 3 else 140))
    data = grey_clip(40, stamps=stamps)
    got = [level(f) for f in read_frames(data, [0, 7, 20, 39], backend=backend)]  # type: ignore[arg-type]  # any text, not a literal
    assert np.allclose(got, [shades(40)[i] for i in (0, 7, 20, 39)], atol=4)


@pytest.mark.parametrize(
    ("codec", "container"), [("libvpx-vp9", "webm"), ("mpeg4", "avi"), ("libx264", "matroska")]
)
def test_other_codecs_and_containers_are_read(codec: str, container: str) -> None:
    data = grey_clip(30, codec=codec, container=container, stamps=[i * 20 for i in range(30)])
    got = [level(f) for f in read_frames(data, [0, 10, 29])]
    assert np.allclose(got, [shades(30)[i] for i in (0, 10, 29)], atol=6)


@pytest.mark.parametrize(
    ("codec", "containers"),
    [
        ("libx264", ("mp4", "matroska", "mpegts", "avi")),
        ("libx265", ("mp4", "matroska", "mpegts")),
        ("mpeg4", ("mp4", "matroska", "mpegts", "avi")),
        ("libvpx-vp9", ("mp4", "webm", "avi")),
        ("libsvtav1", ("mp4", "matroska")),
    ],
)
def test_frames_picked_are_those_of_decoding_all(codec: str, containers: tuple[str, ...]) -> None:
    for container in containers:
        data = grey_clip(70, codec=codec, container=container, bframes=3, gop=30)
        opened: Any
        with av.open(io.BytesIO(data)) as opened:
            every = [f.to_ndarray(format="rgb24") for f in opened.decode(video=0)]
        assert len(every) == 70
        for wanted in ([1], [0, 3, 4, 33, 69], list(range(0, 70, 9)), list(range(2, 70, 4))):
            got = list(read_frames(data, wanted))
            assert all(np.array_equal(a, every[i]) for a, i in zip(got, wanted, strict=True))


def _turned(data: bytes) -> bytes:
    """Return the clip with the display matrix of a phone held upright written in its header."""
    at = data.index(b"tkhd") + 4
    version = data[at]
    start = at + 4 + (32 if version == 1 else 20) + 16
    one = 1 << 16
    turned = [0, one, 0, -one, 0, 0, 0, 0, 1 << 30]  # 90 degrees clockwise
    body = b"".join(v.to_bytes(4, "big", signed=True) for v in turned)
    return data[:start] + body + data[start + 36 :]


def test_rotation_metadata_turns_frames_upright() -> None:
    frame = next(read_frames(_turned(grey_clip(10)), [0]))
    assert frame.shape == (SIZE[0], SIZE[1], 3)
    band = frame[:, -SIZE[1] // 4 :]  # turned clockwise, the top is on the right
    assert band.mean() < frame[:, : SIZE[1] // 2].mean() - 5


def _medium(frames: int, **changes: float) -> Media:
    known = {"fps": 30.0, "duration_s": frames / 30} | changes
    return Media(kind="video", refs=(), width=96, height=64, frames=frames, digest="d", **known)  # type: ignore[arg-type]  # keywords by name


def test_a_clip_shorter_than_a_frame_interval_gives_one_frame() -> None:
    pixel = pixel_preset("256m")
    assert len(clip_tiles(_medium(2), [grey_clip(2)], pixel)) == 1


def test_missing_durations_do_not_change_the_frames() -> None:
    pixel, data = pixel_preset("nano"), grey_clip(90)
    whole = clip_tiles(_medium(90), [data], pixel)
    for changes in ({"duration_s": 0.0}, {"fps": 0.0}):
        assert np.array_equal(clip_tiles(_medium(90, **changes), [data], pixel), whole)
    assert len(whole) == 6


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_a_clip_shorter_than_its_header_said_is_a_plan_mismatch(backend: str) -> None:
    with pytest.raises(VideoError) as raised:
        list(read_frames(grey_clip(30), [0, 40], backend=backend))  # type: ignore[arg-type]  # any text, not a literal
    assert raised.value.reason == "plan-mismatch"
    with pytest.raises(VideoError):
        cut(_medium(300), [grey_clip(30)], pixel_preset("nano"))


@pytest.mark.parametrize("backend", ["pyav", "decord"])
def test_bytes_that_are_no_clip_are_refused(backend: str) -> None:
    whole = grey_clip(30)
    for data in (b"", b"hello", whole[: len(whole) // 2]):
        with pytest.raises(VideoError):
            list(read_frames(data, [0, 29], backend=backend))  # type: ignore[arg-type]  # any text, not a literal


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(UsageError, match="known: pyav, decord"):
        list(read_frames(grey_clip(3), [0], backend="gif"))  # type: ignore[arg-type]  # any text, not a literal


def test_numbered_frames_are_a_clip() -> None:
    from PIL import Image

    blobs = []
    for shade in shades(12):
        stream = io.BytesIO()
        Image.new("RGB", SIZE, (shade,) * 3).save(stream, "PNG")
        blobs.append(stream.getvalue())
    medium = Media(kind="frames", refs=(), frames=12, fps=2.0, duration_s=6.0, digest="d")
    tiles = clip_tiles(medium, blobs, pixel_preset("nano"))
    assert tiles.shape == (8, 32, 32, 3)
    assert np.allclose([t.mean() for t in tiles], [shades(12)[i] for i in
                       np.linspace(0, 11, 8, dtype=int)], atol=1)  # fmt: skip
    with pytest.raises(VideoError) as raised:
        clip_tiles(medium, blobs[:6], pixel_preset("nano"))
    assert raised.value.reason == "plan-mismatch"

"""A sampled frame is the one that a player shows, at the second its label says.

The oracle is libav, which decodes each clip from its start; the clips are as recorders, cutters and
joiners leave them.
"""

import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest
from tests.support.clips import copied, grey_clip, shown, spliced, with_preview, with_sound

from smolmix.cost import clip_frames, frame_time
from smolmix.pipelines.curate.measure.videos import VideoFacts, read_video
from smolmix.profiles import PixelProfile, pixel_preset
from smolmix.sample import Media
from smolmix.tokenize.tiles.cutting import cut
from smolmix.tokenize.tiles.video import read_frames

REFRESH = {"x264-params": "intra-refresh=1:keyint=20:bframes=0"}
OPEN = {"x264-params": "open-gop=1:keyint=20:min-keyint=20:scenecut=0:bframes=3:b-pyramid=normal"}
OPEN_HEVC = {"x265-params": "log-level=error:keyint=20:min-keyint=20:bframes=3:open-gop=1"}


def open_gop(container: str = "mp4") -> bytes:
    return grey_clip(90, container=container, options=OPEN)


def open_hevc() -> bytes:
    return grey_clip(90, codec="libx265", options=OPEN_HEVC)


CLIPS: dict[str, Callable[[], bytes]] = {
    "steady": lambda: grey_clip(90),
    "periodic intra refresh": lambda: grey_clip(90, options=REFRESH),
    "periodic intra refresh, matroska": lambda: grey_clip(
        90, container="matroska", options=REFRESH
    ),
    "open groups": open_gop,
    "open groups, matroska": lambda: open_gop("matroska"),
    "open groups, cut": lambda: spliced(open_gop(), 1.1),
    "open groups, cut to matroska": lambda: spliced(open_gop(), 1.1, container="matroska"),
    "HEVC with open groups": open_hevc,
    "HEVC with open groups, cut": lambda: spliced(open_hevc(), 1.1),
    "HEVC with open groups, cut to matroska": lambda: spliced(
        open_hevc(), 1.1, container="matroska"
    ),
    "begins between key frames": lambda: copied(grey_clip(90, gop=30), "matroska", skip=12),
    "HEVC that begins between key frames": lambda: copied(open_hevc(), "matroska", skip=12),
    "VP9 that begins between key frames": lambda: copied(
        grey_clip(90, codec="libvpx-vp9", container="webm", gop=30), "webm", skip=12
    ),
    "transport stream": lambda: copied(grey_clip(90), "mpegts"),
    "transport stream from the middle": lambda: copied(
        grey_clip(90, gop=30), "mpegts", skip=12
    ),
    "AVI": lambda: grey_clip(90, codec="mpeg4", container="avi"),
    "FLV": lambda: grey_clip(90, container="flv"),
    "longer sound": lambda: with_sound(grey_clip(90), "matroska", seconds=20),
    "longer sound, mp4": lambda: with_sound(grey_clip(90), "mp4", seconds=20),
}  # fmt: skip


def medium(facts: VideoFacts) -> Media:
    assert facts.error == ""
    return Media(
        kind="video", refs=(), frames=facts.frames, fps=facts.fps, duration_s=facts.duration_s,
        second_starts=facts.second_starts,
    )  # fmt: skip


def dense() -> PixelProfile:
    return replace(pixel_preset("nano"), fps=15.0, max_frames=200)


@pytest.mark.parametrize("kind", CLIPS)
def test_every_sampled_frame_is_the_one_that_is_shown(kind: str) -> None:
    data = CLIPS[kind]()
    pictures, times = shown(data)
    found = medium(read_video(data))
    assert found.frames == len(pictures)
    assert found.duration_s == pytest.approx(len(pictures) / 30, abs=0.05)
    sparse, compared = list(range(3, len(pictures), 17)), 0
    for wanted in (clip_frames(found, dense()), sparse, [len(pictures) - 1]):
        got = list(read_frames(data, wanted, frames=found.frames))
        for index, frame in zip(wanted, got, strict=True):
            assert np.array_equal(frame, pictures[index]), index
            assert frame_time(found, index) == pytest.approx(times[index], abs=0.01)
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("kind", CLIPS)
def test_a_clip_that_curation_keeps_is_cut_as_planned(kind: str) -> None:
    data = CLIPS[kind]()
    found = medium(read_video(data))
    assert cut(found, [data], dense()).tiles == len(clip_frames(found, dense()))


@pytest.mark.parametrize("kind", CLIPS)
def test_facts_are_the_same_without_decoding_pictures(kind: str) -> None:
    data = CLIPS[kind]()
    assert medium(read_video(data, decode=False)) == medium(read_video(data))


UNEVEN = {
    "one frame in seven seconds": [i * 7 * 600 for i in range(12)],
    "three rates": [i * 60 for i in range(30)] + [1800 + i * 200 for i in range(30)],
    "a pause": [i * 20 + (i >= 45) * 5500 for i in range(90)],
    "jitter": [i * 60 + (i % 3) * 9 for i in range(90)],
}


@pytest.mark.parametrize("container", ["mp4", "matroska", "flv"])
@pytest.mark.parametrize("kind", UNEVEN)
def test_a_label_is_the_second_of_its_own_frame(kind: str, container: str) -> None:
    data = grey_clip(len(UNEVEN[kind]), container=container, stamps=UNEVEN[kind])
    times = shown(data)[1]
    found = medium(read_video(data))
    assert len(times) == found.frames == len(UNEVEN[kind])
    labels = [int(frame_time(found, i)) for i in range(found.frames)]
    assert labels == [int(t + 0.002) for t in times]
    assert found.duration_s == pytest.approx(times[-1], rel=0.1)


def recordings(*starts_s: int) -> bytes:
    """Return recordings of one stream, each with its own clock, joined as files."""
    out = b""
    for part, start_s in enumerate(starts_s):
        stamps = [(start_s * 30 + i) * 20 for i in range(75)]
        grey = grey_clip(75, stamps=stamps, gop=25, bframes=part % 2 * 2)
        out += copied(grey, "mpegts")
    return out


@pytest.mark.parametrize("starts_s", [(0, 0), (0, 0, 0, 0), (40, 0), (0, 400), (3, 700, 1)])
def test_recordings_joined_as_files_have_one_clock(starts_s: tuple[int, ...]) -> None:
    data = recordings(*starts_s)
    pictures, times = shown(data)
    assert len(pictures) == 75 * len(starts_s)
    assert any(b <= a or b - a > 10 for a, b in pairwise(times))
    found = medium(read_video(data))
    assert found.frames == len(pictures)
    assert found.fps == pytest.approx(30, rel=0.01)
    for index, frame in zip(range(0, len(pictures), 10), read_frames(
        data, range(0, len(pictures), 10), frames=found.frames
    ), strict=True):  # fmt: skip
        assert np.array_equal(frame, pictures[index])
        assert frame_time(found, index) == pytest.approx(index / 30, abs=0.01)


def test_a_still_picture_in_front_is_no_film() -> None:
    film = grey_clip(60)
    data = with_preview(film)
    opened: Any
    with av.open(io.BytesIO(data)) as opened:
        assert [s.codec_context.name for s in opened.streams.video] == ["mjpeg", "h264"]
    found = medium(read_video(data))
    assert found.frames == 60
    assert found.fps == pytest.approx(30)
    got = list(read_frames(data, [0, 31, 59], frames=60))
    assert all(
        np.array_equal(a, b) for a, b in zip(got, (shown(film)[0][i] for i in (0, 31, 59)),
                                             strict=True)
    )  # fmt: skip


def test_a_file_whose_film_is_cut_is_truncated_whatever_its_sound() -> None:
    whole = with_sound(grey_clip(300, container="matroska"), "matroska", seconds=10)
    facts = read_video(whole[: len(whole) // 2])
    assert facts.error.startswith("video-truncated: ")
    assert read_video(whole).error == ""


def test_a_damaged_clip_is_dropped_when_curated_or_cut_as_planned() -> None:
    whole = grey_clip(90, gop=30, options={"g": "30", "qp": "1"})
    start, kept, dropped = whole.index(b"mdat") + 4, 0, 0
    for share in (0.01, 0.1, 0.3, 0.6, 0.95):
        size = int((len(whole) - start) * share)
        data = whole[: start + 1500] + bytes(size) + whole[start + 1500 + size :]
        facts = read_video(data[: len(whole)])
        if facts.error:
            assert facts.error.startswith("video-")
            dropped += 1
        else:
            tiles = cut(medium(facts), [data[: len(whole)]], dense()).tiles
            assert tiles == len(clip_frames(medium(facts), dense()))
            kept += 1
    assert kept
    assert dropped

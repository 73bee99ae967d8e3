"""A clip's frames, rate and duration, from its packets alone."""

from collections.abc import Callable

import pytest
from tests.support.clips import grey_clip, spliced

from smolmix.tokenize.tiles.clip_index import ClipIndex, read_index


def index_of(data: bytes) -> ClipIndex:
    found = read_index(data)
    assert found is not None
    return found


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_steady_clip_has_its_frames_rate_and_duration(container: str) -> None:
    found = index_of(grey_clip(60, container=container))
    assert (found.frames, found.packets) == (60, 60)
    assert found.fps == pytest.approx(30)
    assert found.duration_s == pytest.approx(2)
    assert found.last_s == pytest.approx(59 / 30, abs=0.002)


def test_frames_that_an_edit_list_hides_are_not_counted() -> None:
    found = index_of(spliced(grey_clip(60, gop=30, bframes=0), 1.2))
    assert found.packets > found.frames  # from the key frame at 1.0 s on
    assert found.frames == pytest.approx(60 - 1.2 * 30, abs=1)


def test_time_stamps_overrule_a_nominal_rate() -> None:
    every_100_ms = [i * 60 for i in range(40)]  # in units of 1/600 s; the stream says 30 a second
    found = index_of(grey_clip(40, container="matroska", stamps=every_100_ms))
    assert found.fps == pytest.approx(10, rel=0.01)
    assert found.duration_s == pytest.approx(4, rel=0.01)


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) * 2 // 3], lambda d: d[: len(d) // 2]])
def test_of_a_truncated_file_the_readable_packets_count(damage: Callable[[bytes], bytes]) -> None:
    data = grey_clip(120, container="matroska", gop=12)
    found = index_of(damage(data))
    assert 0 < found.frames < 120
    assert found.fps > 0

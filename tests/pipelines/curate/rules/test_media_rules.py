"""Rules on images and clips, at, just below and just above each threshold."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.measured import clip, features, image, measured

from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.curate.rules.rule import MediaError, Rule
from smolmix.sample import FIND, Media, MediaRef


def rule(name: str, **thresholds: Any) -> Rule:
    return RULES[name](**thresholds)


@pytest.mark.parametrize(
    ("name", "thresholds", "media", "passes"),
    [
        ("image-tiny", {"min_edge_px": 10}, image(width=10, height=10), True),
        ("image-tiny", {"min_edge_px": 10}, image(width=9, height=500), False),
        ("image-tiny", {"min_edge_px": 10}, image(width=500, height=9), False),
        ("image-tiny", {"min_edge_px": 10}, image(width=11, height=10), True),
        ("image-tiny", {"min_edge_px": 10}, clip(width=9, height=9), True),
        ("image-aspect", {"max_ratio": 20}, image(width=200, height=10), True),
        ("image-aspect", {"max_ratio": 20}, image(width=10, height=201), False),
        ("image-aspect", {"max_ratio": 20}, image(width=201, height=10), False),
        ("image-aspect", {"max_ratio": 20}, image(width=199, height=10), True),
        ("image-aspect", {"max_ratio": 20}, clip(width=900, height=10), True),
        ("video-tiny", {"min_edge_px": 16}, clip(width=16, height=16), True),
        ("video-tiny", {"min_edge_px": 16}, clip(width=15, height=400), False),
        ("video-tiny", {"min_edge_px": 16}, clip(width=400, height=15), False),
        ("video-tiny", {"min_edge_px": 16}, image(width=15, height=15), True),
        ("video-duration", {"min_s": 0.2, "max_s": 60}, clip(duration_s=0.2), True),
        ("video-duration", {"min_s": 0.2, "max_s": 60}, clip(duration_s=0.19), False),
        ("video-duration", {"min_s": 0.2, "max_s": 60}, clip(duration_s=60.0), True),
        ("video-duration", {"min_s": 0.2, "max_s": 60}, clip(duration_s=60.1), False),
        ("video-duration", {"min_s": 0.2, "max_s": 60}, image(), True),
        ("video-rate", {"min_fps": 0.5, "max_fps": 120}, clip(fps=0.5), True),
        ("video-rate", {"min_fps": 0.5, "max_fps": 120}, clip(fps=0.49), False),
        ("video-rate", {"min_fps": 0.5, "max_fps": 120}, clip(fps=120.0), True),
        ("video-rate", {"min_fps": 0.5, "max_fps": 120}, clip(fps=120.5), False),
        ("video-rate", {"min_fps": 0.5, "max_fps": 120}, clip(kind="frames", fps=0.1), True),
    ],
)
def test_sizes_and_times_are_checked_at_their_thresholds(
    name: str, thresholds: dict[str, Any], media: Media, passes: bool
) -> None:
    problem = rule(name, **thresholds).problem(measured(media=[media]))
    assert (problem is None) == passes, problem


@pytest.mark.parametrize(
    ("name", "thresholds", "media", "values", "passes"),
    [
        ("image-blank", {"max_spread_levels": 8}, image(), {"spread": 8}, False),
        ("image-blank", {"max_spread_levels": 8}, image(), {"spread": 9}, True),
        ("image-blank", {"max_spread_levels": 8}, image(), {"spread": 7}, False),
        ("image-blank", {"max_spread_levels": 8}, image(), {"spread": 0, "error": "x: y"}, True),
        ("image-blank", {"max_spread_levels": 8}, clip(), {"spread": 0}, True),
        ("image-animated", {"max_frames": 1}, image(), {"animated": 1}, True),
        ("image-animated", {"max_frames": 1}, image(), {"animated": 2}, False),
        ("image-animated", {"max_frames": 3}, image(), {"animated": 3}, True),
        ("image-deep", {}, image(), {"mode": "I;16"}, False),
        ("image-deep", {}, image(), {"mode": "F"}, False),
        ("image-deep", {}, image(), {"mode": "RGB"}, True),
        ("image-deep", {}, image(), {"mode": "L"}, True),
        ("video-hdr", {}, clip(), {"mode": "PQ"}, False),
        ("video-hdr", {}, clip(), {"mode": "HLG"}, False),
        ("video-hdr", {}, clip(), {"mode": "RGB"}, True),
        ("video-static", {"min_motion_levels": 0.1}, clip(), {"motion": 0.1}, True),
        ("video-static", {"min_motion_levels": 0.1}, clip(), {"motion": 0.09}, False),
        ("video-static", {"min_motion_levels": 0.1}, clip(), {"motion": 0.11}, True),
        ("video-static", {"min_motion_levels": 0.1}, clip(frames=1), {"motion": 0.0}, True),
        ("video-static", {"min_motion_levels": 0.1}, image(), {"motion": 0.0}, True),
        ("video-black", {}, clip(), {"level": 11.9, "spread": 23}, False),
        ("video-black", {}, clip(), {"level": 12.0, "spread": 23}, True),
        ("video-black", {}, clip(), {"level": 11.9, "spread": 24}, True),
        ("video-black", {}, image(), {"level": 0.0, "spread": 0}, True),
    ],
)
def test_pixels_are_checked_at_their_thresholds(
    name: str, thresholds: dict[str, Any], media: Media, values: dict[str, Any], passes: bool
) -> None:
    if name == "video-black":
        thresholds = {"min_level": 12, "min_spread_levels": 24}
    found = [features(media, **values)]
    problem = rule(name, **thresholds).problem(measured(media=[media], found=found))
    assert (problem is None) == passes, problem


@pytest.mark.parametrize(("count", "passes"), [(0, True), (1, True), (2, True), (3, False)])
def test_too_many_images_counts_all_media(count: int, passes: bool) -> None:
    media = [image(digest=str(i)) for i in range(count)]
    problem = rule("too-many-images", max_images=2).problem(measured(media=media))
    assert (problem is None) == passes


@pytest.mark.parametrize(
    ("name", "thresholds"),
    [
        ("image-tiny", {"min_edge_px": 10}),
        ("video-tiny", {"min_edge_px": 10}),
        ("video-duration", {"min_s": 1, "max_s": 2}),
        ("image-blank", {"max_spread_levels": 255}),
    ],
)
def test_media_that_are_not_fetched_are_not_judged(name: str, thresholds: dict[str, Any]) -> None:
    kind: Any = "video" if name.startswith("video") else "image"
    unknown = Media(kind=kind, refs=(MediaRef(uri=f"{FIND}a.png"),), digest="named-a")
    sample = measured(media=[unknown], found=[features(unknown, spread=0)])
    assert rule(name, **thresholds).problem(sample) is None


def _media_errors() -> Sequence[str]:
    return sorted(name for name, one in RULES.items() if issubclass(one, MediaError))


@pytest.mark.parametrize("name", _media_errors())
def test_an_error_is_reported_by_the_rule_of_its_name_alone(name: str) -> None:
    broken = measured(errors=("other: x", f"{name}: 12 of 40 bytes"))
    assert rule(name).problem(broken) == "12 of 40 bytes"
    assert rule(name).problem(measured(errors=(f"{name}-too: x",))) is None
    assert rule(name).problem(measured()) is None


def test_every_kind_of_media_error_has_a_rule() -> None:
    assert set(_media_errors()) == {
        *(f"image-{e}" for e in ("missing", "empty", "not-an-image", "truncated", "corrupt")),
        "image-bomb",
        *(f"video-{e}" for e in ("missing", "empty", "not-a-video", "truncated", "corrupt")),
        "video-no-picture",
        "video-no-frames",
    }

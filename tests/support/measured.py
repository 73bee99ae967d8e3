"""Measured samples and features of media, as rules see them."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from smolmix.pipelines.curate.measure.media_features import MediaFeatures
from smolmix.pipelines.curate.rules.rule import MeasuredSample
from smolmix.sample import Media, MediaRef, Sample, turns_of

PLAIN = (("user", "What is it?"), ("assistant", "A boat."))


def image(**facts: Any) -> Media:
    """Return an image of 64 × 48 pixels; `facts` replace fields."""
    found = Media(
        kind="image", refs=(MediaRef(uri="a.png"),), digest="a", width=64, height=48, frames=1
    )
    return replace(found, **facts)


def clip(**facts: Any) -> Media:
    """Return a clip of 10 s; `facts` replace fields."""
    found = Media(
        kind="video", refs=(MediaRef(uri="a.mp4"),), digest="a", width=64, height=48,
        frames=80, fps=8.0, duration_s=10.0,
    )  # fmt: skip
    return replace(found, **facts)


def features(medium: Media, **values: Any) -> MediaFeatures:
    """Return a medium's features; `values` replace fields."""
    return replace(
        MediaFeatures(
            digest=medium.digest,
            kind=medium.kind,
            width=medium.width,
            height=medium.height,
            duration_s=medium.duration_s,
            refs=medium.refs,
            mode="RGB",
        ),
        **values,
    )


def measured(
    *turns: tuple[str, Any],
    media: Sequence[Media] = (),
    found: Sequence[MediaFeatures] = (),
    scores: dict[str, float] | None = None,
    **more: Any,
) -> MeasuredSample:
    """Return a sample as rules see it; by default one question and its answer.

    Args:
        turns: (role, content) pairs.
        media: of the sample.
        found: features of its media.
        scores: by scorer.
        more: other fields of the sample.
    """
    shown = turns or PLAIN
    if media and not turns:
        shown = (("user", [*range(len(media)), "What is it?"]), ("assistant", "A boat."))
    sample = Sample(
        id="c/1", corpus="c", modality="text", category="vqa", turns=turns_of(*shown),
        media=tuple(media), licence="MIT", source_file="f", source_row=0,
    )  # fmt: skip
    return MeasuredSample(
        sample=replace(sample, **more),
        features={f.digest: f for f in found},
        scores=scores or {},
    )

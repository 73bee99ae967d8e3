"""Costs of samples whose media are not fetched: text as counted, media as declared.

Where the spec declares nothing, the assumptions of `declared_sizes` apply.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from smolmix.cost import frame_count, image_grid
from smolmix.errors import UsageError
from smolmix.mixtures.candidates.columns import Part
from smolmix.mixtures.candidates.declared_sizes import (
    LABEL_TOKENS,
    NATIVE_FPS,
    PHOTO_PX,
    lengths,
    visual,
)
from smolmix.mixtures.candidates.estimates import Known
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.mixtures.spec.spec import Component, Spec

_SEED = 7  # decides which clip is assumed to be how long; the mixture's own seed orders samples


def with_assumed(part: Part, spec: Spec, names: Sequence[str], where: str) -> Part:
    """Return the part with the assumed tokens and seconds of media that are not fetched.

    Args:
        part: measures of curated samples.
        spec: declares means of its components.
        names: components that may hold rows of the part.
        where: the spec's file, for messages.

    Raises:
        UsageError: the spec bounds the length of clips of unknown duration.
    """
    not_fetched = part.not_fetched
    if not not_fetched.any():
        return part
    numbers = {name: values.astype(np.float64) for name, values in part.numbers.items()}
    for name in names:
        component = spec.components[name]
        mine = not_fetched & _named(part, component)
        clips = mine & (part.unfetched_clips > 0)
        if clips.any() and unknown_length(component) and _bounds_length(spec, component):
            raise UsageError(
                f"{where}: components.{name}: its clips are not fetched, their duration is "
                "unknown, and the spec bounds duration_s; set declared.duration_s"
            )
        _assume(part, numbers, component, spec, mine)
    rounded = {n: v if n == "duration_s" else np.rint(v) for n, v in numbers.items()}
    return replace(part, numbers=rounded)


def unknown_length(component: Component) -> bool:
    """Whether the component declares no duration of its clips."""
    return component.declared.duration_s is None and not component.declared.durations


def how_known(component: Component, modality: str) -> dict[str, Known]:
    """Return how the quantities of a component without fetched media are known."""
    known: dict[str, Known] = {"visual_tokens": "assumed"}
    if modality == "video":
        known["duration_s"] = "unknown" if unknown_length(component) else "assumed"
    return known


def _named(part: Part, component: Component) -> NDArray[np.bool_]:
    """Return (rows,) which the component holds, as far as names and tags decide."""
    mask = np.ones(len(part.ids), np.bool_)
    for condition in component.where:
        if not condition.is_number:
            mask &= part.mask(condition)
    if component.subset:
        codes, values = part.names["subset"]
        mask &= np.array([v in component.subset for v in values], np.bool_)[codes]
    return mask


def _bounds_length(spec: Spec, component: Component) -> bool:
    cap = spec.caps.duration_s
    named = {c.field for c in (*spec.where, *component.where)}
    return cap.mean is not None or cap.max != float("inf") or "duration_s" in named


def _assume(
    part: Part,
    numbers: dict[str, NDArray[np.float64]],
    component: Component,
    spec: Spec,
    mine: NDArray[np.bool_],
) -> None:
    """Add to the rows `mine` the assumed costs of their media."""
    pixel, declared = spec.profile.profile().pixel, component.declared
    photo = image_grid(*PHOTO_PX, pixel)
    images = part.unfetched_images * mine
    visual_tokens = images * float(photo.tokens(pixel.tokens_per_tile))
    label_tokens = np.zeros(len(mine))
    frames = np.zeros(len(mine))
    for length, rows in _by_length(part, component, mine & (part.unfetched_clips > 0)):
        block, _ = visual("video", length, pixel)
        count = frame_count(length, max(1, round(length * NATIVE_FPS)), NATIVE_FPS, pixel)
        clips = part.unfetched_clips * rows
        visual_tokens = visual_tokens + clips * block
        label_tokens = label_tokens + clips * LABEL_TOKENS * (count - 1)
        frames = frames + clips * count
        numbers["duration_s"][rows] += part.unfetched_clips[rows] * length
    if declared.visual_tokens is not None:
        visual_tokens = mine * declared.visual_tokens - numbers["visual_tokens"] * mine
    adds = {
        "visual_tokens": visual_tokens,
        "text_tokens": label_tokens,
        "tokens": visual_tokens + label_tokens,
        "frames": frames,
        "tiles": images * photo.tiles + frames,
    }
    for name, more in adds.items():
        if name in numbers:
            numbers[name] += more


def _by_length(
    part: Part, component: Component, clips: NDArray[np.bool_]
) -> list[tuple[float, NDArray[np.bool_]]]:
    """Return each declared length with (rows,) the clips that are assumed to be that long."""
    if not clips.any():
        return []
    buckets = lengths(component.declared)
    place = hash_ids(part.ids, _SEED) / 2.0**64
    ends = np.cumsum([share for _, share in buckets])
    which = np.minimum(np.searchsorted(ends, place, side="right"), len(buckets) - 1)
    return [(length, clips & (which == i)) for i, (length, _) in enumerate(buckets)]

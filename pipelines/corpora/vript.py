"""Vript: long captions of clips, with shot type, camera movement and voice-over.

Licence: academic use only, no redistribution. Quirks: no chat, so questions are our prompts, of a
kind that fits what a clip has; older revisions nest all clips of a video in one row.
Source: the card of Mutonix/Vript.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.prompts import (
    DESCRIBE_SHOT,
    DESCRIBE_VIDEO,
    DESCRIBE_WITH_SPEECH,
    pick,
)
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample, turns_of


def _words(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _chat(clip: Mapping[str, Any], clip_id: str) -> tuple[str, str]:
    """Return the question written for the clip, and its answer."""
    caption = clip.get("caption")
    caption = caption if isinstance(caption, dict) else {}
    content = _words(caption.get("content"))
    if not content:
        raise RowError("caption-missing", clip_id)
    speech = clip.get("voiceover")
    spoken = " ".join(filter(None, map(_words, speech))) if isinstance(speech, list) else ""
    shot = " ".join(
        filter(None, (_words(caption.get(k)) for k in ("shot_type", "camera_movement")))
    )
    kinds = ["plain", *(["speech"] if spoken else []), *(["shot"] if shot else [])]
    kind = pick(kinds, f"kind {clip_id}")
    if kind == "speech":
        return pick(DESCRIBE_WITH_SPEECH, clip_id).format(speech=spoken), content
    if kind == "shot":
        return pick(DESCRIBE_SHOT, clip_id), f"{shot} {content}"
    return pick(DESCRIBE_VIDEO, clip_id), content


def _adapt(row: Row) -> Iterator[Sample]:
    meta = row.values.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    nested = row.values.get("data")  # {clip_id: clip} in older revisions
    clips = nested if isinstance(nested, dict) else {row.text("clip_id"): row.values}
    for clip_id, clip in clips.items():
        video = _words(meta.get("video_id")) or _words(row.values.get("video_id"))
        video = video or clip_id.partition("-Scene-")[0]
        try:
            question, answer = _chat(clip if isinstance(clip, dict) else {}, clip_id)
        except RowError:
            if len(clips) == 1:
                raise
            row.drop_turn("caption-missing")
            continue
        folder = f"vript_{row.subset}_videos_clips"
        yield row.sample(
            key=clip_id,
            turns=turns_of(("user", [0, question]), ("assistant", answer)),
            media=(row.find(f"{folder}/{video}/{clip_id}.mp4", kind="video"),),
            category="caption",
            tags={"integrity": str(meta["integrity"]).lower()} if "integrity" in meta else {},
        )


SOURCE = Source(
    id="vript",
    title="Vript",
    role="video",
    modality="video",
    licence="custom: academic only, no redistribution",
    origin=Hub(repo="Mutonix/Vript"),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("vript_captions/*.jsonl",),
    media_in=("vript_*_videos_clips/*.zip",),
    subset_of=r"vript_(long|short)_videos",
    rows=408_816,
    subsets=(Subset(name="long", rows=400_040), Subset(name="short", rows=8_776)),
    unverified="whether flat rows repeat the video's id and title; today's total size",
    warnings=("Captions may mention voice-over that cannot be seen.",),
)

"""LLaVA-Hound: questions about clips that are published as folders of frames.

Licence: Apache-2.0. Quirks: rows and frames are in two repositories, both pinned; a clip is a
folder of numbered frames, two a second.
Source: the cards of lmms-lab/LLaVA-Video-178K and ShareGPTVideo/train_video_and_instruction.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.sources.chat import ANY, messages_of, turns_with_media
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample

_FPS = 2.0
_CLIPS = "frames/train_300k"


def _adapt(row: Row) -> Iterator[Sample]:
    video = row.text("video").strip("/")
    name = video.rpartition("/")[2]
    yield row.sample(
        key=row.values.get("id"),
        turns=turns_with_media(
            messages_of(row, row.list("conversations")), 1, placeholders=ANY, otherwise="front"
        ),
        media=(row.find(f"{_CLIPS}/{video}", f"{_CLIPS}/{name}", video, kind="video", fps=_FPS),),
        category="vqa",
    )


SOURCE = Source(
    id="llava-hound",
    title="LLaVA-Hound 255K",
    role="video",
    modality="video",
    licence="Apache-2.0",
    origin=Hub(
        repo="lmms-lab/LLaVA-Video-178K",
        media_repos=(("frames", "ShareGPTVideo/train_video_and_instruction"),),
    ),
    format=JsonArray(),
    adapt=_adapt,
    version=2,
    rows_in=("llava_hound/*_processed.json",),
    media_in=("frames/train_300k/*.tar.gz",),
    rows=255_000,
    unverified="the exact keys of the rows, and the paths of frames inside the archives",
)

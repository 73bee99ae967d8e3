"""LLaVA-Video-178K: captions and questions about clips, in configs by length and source.

Licence: Apache-2.0 tag, academic research only. Quirks: the card's `*_activitynet` configs point at
missing folders; `<image>` in a question stands for the clip; clips are below the config's folder or
below that of their source.
Source: the card of lmms-lab/LLaVA-Video-178K.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.sources.chat import ANY, messages_of, turns_with_media, without_noise
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample

_TASKS = {"_cap_": "caption", "_mc_": "multiple-choice", "_oe_": "vqa"}
_LENGTHS = ("0_30_s", "30_60_s", "1_2_m", "2_3_m")
# The card's configs point at `*_activitynet`, a folder that does not exist: it is `…qa`.
_SETS = ("academic_v0_1", "youtube_v0_1", "activitynetqa", "perceptiontest", "nextqa")


def _adapt(row: Row) -> Iterator[Sample]:
    video = row.text("video")
    name = row.path.rpartition("/")[2]
    category = next((c for mark, c in _TASKS.items() if mark in name), "vqa")
    folders = [row.subset]
    if isinstance(source := row.values.get("data_source"), str):
        folders += [source, f"{source}qa"]
    messages = without_noise(messages_of(row, row.list("conversations")))
    yield row.sample(
        key=row.values.get("id"),
        # `<image>` in a question stands for the video.
        turns=turns_with_media(messages, 1, placeholders=ANY, otherwise="front"),
        media=(row.find(*(f"{folder}/{video}" for folder in folders), video, kind="video"),),
        category=category,
        tags={"task": category},
    )


SOURCE = Source(
    id="llava-video-178k",
    title="LLaVA-Video-178K",
    role="video",
    modality="video",
    licence="Apache-2.0 header, but academic research and education only; OpenAI policy",
    origin=Hub(repo="lmms-lab/LLaVA-Video-178K"),
    format=JsonArray(),
    adapt=_adapt,
    version=2,
    rows_in=("*/*_processed.json",),
    rows_not_in=("llava_hound/*", "gpt4o_*"),
    media_in=("*_videos_*.tar.gz",),
    subset_of=r"^([^/]+)/",
    rows=1_335_500,
    subsets=tuple(
        Subset(name=f"{length}_{name}")
        for length in _LENGTHS
        for name in _SETS
        if name != "perceptiontest" or length in ("0_30_s", "30_60_s")
    ),
    unverified="total bytes; whether a row carries two media",
    warnings=(
        "The card's *_activitynet configs point at missing folders; the files are used instead.",
        "The same NExT-QA clip is published twice (nextqa and academic).",
        "PerceptionTest, NExT-QA and ActivityNet train data are close to those benchmarks.",
        "Terabytes: choose configs with --files '0_30_s_academic_v0_1/*'.",
    ),
)

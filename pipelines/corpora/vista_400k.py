"""VISTA-400K: questions about synthetic videos that were spliced together.

Licence: MIT. Quirks: the path of the video is under `image` in some files; `load_dataset` takes the
repository for a webdataset and loses the text.
Source: the card of TIGER-Lab/VISTA-400K.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.json_array import JsonArray
from smolmix.pipelines.sources.chat import ANY, messages_of, turns_with_media
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample

_ROWS = {
    "event_relationship_mcq": 28_427,
    "event_relationship_qa": 28_427,
    "hr_video_grid_mcq": 29_951,
    "hr_video_grid_qa": 29_950,
    "long_video_caption": 58_617,
    "spatial_niah_mcq": 29_981,
    "spatial_niah_qa": 29_997,
    "spatiotemporal_niah_mcq": 28_239,
    "spatiotemporal_niah_qa": None,
    "temporal_niah_mcq": 29_876,
    "temporal_niah_qa": 27_591,
    "two_needle_niah_qa": 52_349,
}


def _adapt(row: Row) -> Iterator[Sample]:
    video = row.text("video" if row.values.get("video") else "image")
    subset = row.subset
    yield row.sample(
        key=row.values.get("id") or f"{video.removesuffix('.mp4')}",
        turns=turns_with_media(
            messages_of(row, row.list("conversations")), 1, placeholders=ANY, otherwise="front"
        ),
        media=(row.find(f"{subset}/{video}", f"{subset}/{subset}/{video}", kind="video"),),
        category="caption" if subset == "long_video_caption" else "vqa",
    )


SOURCE = Source(
    id="vista-400k",
    title="VISTA-400K",
    role="video",
    modality="video",
    licence="MIT",
    origin=Hub(repo="TIGER-Lab/VISTA-400K"),
    format=JsonArray(),
    adapt=_adapt,
    version=2,
    rows_in=("*.json",),
    media_in=("*/*.tar",),
    subset_of=r"(\w+)\.json$",
    rows=400_000,
    subsets=tuple(Subset(name=name, rows=rows) for name, rows in _ROWS.items()),
    unverified="the folder of the JSON files, further keys, total bytes",
    warnings=(
        "`load_dataset` sees a webdataset and loses the text.",
        "Wholly synthetic: videos are cut and pasted, questions generated from captions.",
        "Some 20 GB a tar: choose subsets with --files.",
    ),
)

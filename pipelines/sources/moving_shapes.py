"""Short clips of one moving shape, encoded here as real H.264, and what moves where."""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.moving_shapes import CLIPS, write
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source, Subset
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    video = row.text("video")
    yield row.sample(
        key=video.removesuffix(".mp4"),
        turns=turns_of(("user", [0, row.text("question")]), ("assistant", row.text("answer"))),
        media=(row.find(video, kind="video"),),
        category="vqa",
    )


SOURCE = Source(
    id="moving-shapes",
    title="Moving shapes: what moves where, in short H.264 clips",
    role="demo",
    modality="video",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="moving-shapes", revision=lambda: "1", write=write),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"(train|heldout)\.jsonl",
    heldout=r"heldout\.jsonl",
    rows=5 * sum(CLIPS.values()),
    subsets=tuple(Subset(name=name, rows=5 * count) for name, count in CLIPS.items()),
)

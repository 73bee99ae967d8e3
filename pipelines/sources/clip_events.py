"""Clips of a shape that changes colour about once a second: order, count and length matter.

Subsets by length: short 1 to 2 s, medium 3 to 4 s, long 6 to 8 s.
"""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.clip_events import CLIPS, write
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
        tags={"question": row.text("kind"), "length": row.subset},
    )


SOURCE = Source(
    id="clip-events",
    title="Clip events: a shape that changes colour, in clips of 1 to 8 s",
    role="demo",
    modality="video",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="clip-events", revision=lambda: "1", write=write),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"-(\w+)\.jsonl",
    heldout=r"heldout-",
    rows=3 * sum(CLIPS.values()),
    subsets=(
        Subset(name="short", rows=sum(CLIPS.values()), note="1 to 2 s"),
        Subset(name="medium", rows=sum(CLIPS.values()), note="3 to 4 s"),
        Subset(name="long", rows=sum(CLIPS.values()), note="6 to 8 s"),
    ),
)

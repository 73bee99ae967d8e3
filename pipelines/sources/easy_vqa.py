"""easy-VQA: real 64-px images of one coloured shape, with questions, out of the package.

Source: package easy-vqa 1.0 (MIT): 4,000 + 1,000 images, 38,575 + 9,673 questions. Answering
from the question alone scores 67.0 % on its test split.
"""

from collections.abc import Iterator

from smolmix.pipelines.layouts.parquet import Parquet
from smolmix.pipelines.made.easy_vqa import PACKAGE, SHAPES, write
from smolmix.pipelines.made.packages import package_version
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source, Subset
from smolmix.sample import Sample, turns_of


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
    origin=Made(
        kind="package", name=PACKAGE, revision=lambda: package_version(PACKAGE), write=write
    ),
    layout=Parquet(columns=("image_id", "image", "questions")),
    adapt=_adapt,
    rows_in=("*.parquet",),
    subset_of=r"(train|test)\.parquet",
    heldout=r"test\.parquet",
    rows=48_248,
    subsets=(Subset(name="train", rows=38_575), Subset(name="test", rows=9_673)),
)

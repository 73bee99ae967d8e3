"""Questions over two easy-VQA images at once, composed from what the package says of each."""

from collections.abc import Iterator

from smolmix.pipelines.layouts.parquet import Parquet
from smolmix.pipelines.made.easy_vqa import PACKAGE
from smolmix.pipelines.made.easy_vqa_pairs import PAIRS, write
from smolmix.pipelines.made.packages import package_version
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    yield row.sample(
        key=row.values["key"],
        turns=turns_of(
            ("user", [0, 1, row.text("question")]),
            ("assistant", row.text("answer")),
        ),
        media=[row.cell("images", index) for index in range(len(row.list("images")))],
        category="vqa",
    )


SOURCE = Source(
    id="easy-vqa-pairs",
    title="easy-VQA pairs: questions over two images",
    role="demo",
    modality="multi-image",
    licence="MIT",
    origin=Made(
        kind="generated",
        name=f"from package {PACKAGE}",
        revision=lambda: f"1-{package_version(PACKAGE)}",
        write=write,
    ),
    layout=Parquet(columns=("key", "images", "question", "answer")),
    adapt=_adapt,
    rows_in=("*.parquet",),
    rows=PAIRS,
)

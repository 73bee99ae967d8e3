"""Pictures with a digit or a short word in each quarter: small, so that splitting them helps.

A picture becomes a 64-px canvas of the nano profile: each quarter fills a 32-px sub-image, where
a sign is about 11 px high; in the global 32-px tile it is about 5 px high.
"""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.read_tiles import IMAGES, write
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source, Subset
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    image = row.text("image")
    yield row.sample(
        key=f"{image.removesuffix('.png')}",
        turns=turns_of(("user", [0, row.text("question")]), ("assistant", row.text("answer"))),
        media=(row.find(image),),
        category="ocr",
        tags={"question": row.subset},
    )


SOURCE = Source(
    id="read-tiles",
    title="Read tiles: a digit or a word in each quarter of a picture",
    role="demo",
    modality="image",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="read-tiles", revision=lambda: "1", write=write),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"-(\w+)\.jsonl",
    heldout=r"heldout-",
    rows=2 * sum(IMAGES.values()),
    subsets=(
        Subset(name="read", note="which digit stands in a quarter"),
        Subset(name="locate", note="in which quarter a digit stands"),
        Subset(name="word", note="which word stands in a quarter"),
    ),
)

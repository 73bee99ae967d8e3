"""Pictures of fine patterns, one or three to a picture, that only splitting shows.

Patterns are stripes or checks of single pixels in two colours that add up to grey, in pictures of
64 px: a 32-px sub-image of the nano profile shows them as they are; in the global tile, half as
large, every one is the same plain grey. They lie on a grid of 8 px, the nano tower's patch: what
is to be learned is where to look, not to see.
"""

from collections.abc import Iterator

from smolmix.pipelines.layouts.jsonl import JsonLines
from smolmix.pipelines.made.tile_patterns import IMAGES, write
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Made, Source, Subset
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    image = row.text("image")
    yield row.sample(
        key=image.removesuffix(".png"),
        turns=turns_of(("user", [0, row.text("question")]), ("assistant", row.text("answer"))),
        media=(row.find(image),),
        category="vqa",
        tags={"question": row.subset},
    )


SOURCE = Source(
    id="tile-patterns",
    title="Tile patterns: fine stripes and checks in the quarters of a picture",
    role="demo",
    modality="image",
    licence="Apache-2.0",
    origin=Made(kind="generated", name="tile-patterns", revision=lambda: "1", write=write),
    layout=JsonLines(),
    adapt=_adapt,
    rows_in=("*.jsonl",),
    media_in=("*.tar",),
    subset_of=r"-(\w+)\.jsonl",
    heldout=r"heldout-",
    rows=5 * sum(IMAGES.values()) // 2,
    subsets=(
        Subset(name="color", note="of the one pattern"),
        Subset(name="pattern", note="which one it is"),
        Subset(name="where", note="in which quarter it is"),
        Subset(name="at", note="color of one of three, by its quarter"),
        Subset(name="find", note="quarter of one of three, by its pattern"),
    ),
)

"""FineVision: the successor of The Cauldron, with ratings for each question.

Licence: of each sub-dataset. Quirks: lists of ratings may be missing, null or of another length
than the questions, so only the row's minima are kept, as tags.
Source: the card of HuggingFaceM4/FineVision.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import pairs_of, turns_with_media
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample

_RATINGS = ("relevance", "visual_dependency", "image_correspondence", "formatting")


def _adapt(row: Row) -> Iterator[Sample]:
    images = [row.cell("images", at) for at in range(len(row.list("images")))]
    pairs = pairs_of(row, row.list("texts"))
    source = row.values.get("source")
    # The lists of ratings may be missing, null or of another length: only the minima are kept.
    tags = {
        f"{name}_min": str(rating)
        for name in _RATINGS
        if isinstance(rating := row.values.get(f"{name}_min"), int)
    }
    if isinstance(source, str):
        tags["source"] = source
    yield row.sample(
        turns=turns_with_media(pairs, len(images), placeholders=()),
        media=images,
        category="vqa" if images else "instruction",
        tags=tags,
    )


SOURCE = Source(
    id="finevision",
    title="FineVision",
    role="vision",
    modality="image",
    licence="per sub-dataset",
    origin=Hub(repo="HuggingFaceM4/FineVision"),
    format=Parquet(
        columns=("images", "texts"), optional=("source", *(f"{name}_min" for name in _RATINGS))
    ),
    adapt=_adapt,
    version=2,
    rows_in=("*/*.parquet",),
    subset_of=r"^([^/]+)/",
    rows=24_200_000,
    unverified="the list of configs with their row counts, and a licence statement",
    warnings=("Contains many of The Cauldron's datasets again.",),
)

"""Docmatix: questions about the pages of PDF documents, in three configs.

Licence: MIT. Quirks: the config with PDF files is listed but cannot be fetched; the zero-shot
config has a test split, which is held out.
Source: the card of HuggingFaceM4/Docmatix.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import pairs_of, turns_with_media
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source, Subset
from smolmix.sample import Sample

_HUB = Hub(repo="HuggingFaceM4/Docmatix")


def _adapt(row: Row) -> Iterator[Sample]:
    pages = [row.cell("images", at) for at in range(len(row.list("images")))]
    turns = turns_with_media(pairs_of(row, row.list("texts")), len(pages), placeholders=())
    yield row.sample(turns=turns, media=pages, category="document")


SOURCES = (
    Source(
        id="docmatix",
        title="Docmatix: page images",
        role="vision",
        modality="image",
        licence="MIT",
        origin=_HUB,
        format=Parquet(columns=("images", "texts")),
        adapt=_adapt,
        version=2,
        rows_in=("data/*.parquet",),
        rows=1_270_000,
        warnings=(
            "Questions and answers are written by a language model from the text of a document.",
            "SmolVLM used 250K of the 1.27M documents, with at most 2 pages each.",
        ),
    ),
    Source(
        id="docmatix-pdf",
        title="Docmatix: the documents as PDF",
        role="vision",
        modality="image",
        licence="MIT",
        origin=_HUB,
        format=Parquet(columns=("texts",)),
        adapt=_adapt,
        version=2,
        rows_in=("pdf/*.parquet",),
        rows=1_270_000,
        verified=False,
        unverified="the name of the column that holds the PDF",
        refused=(
            "its rows hold PDF files, which smolmix does not render; the same documents are "
            "published as page images: fetch docmatix"
        ),
    ),
    Source(
        id="docmatix-zeroshot",
        title="Docmatix: zero-shot experiment",
        role="vision",
        modality="image",
        licence="MIT",
        origin=_HUB,
        format=Parquet(columns=("images", "texts")),
        adapt=_adapt,
        version=2,
        rows_in=("zero-shot-exp/*.parquet",),
        subset_of=r"/(train|test)-",
        heldout=r"/test-",
        rows=1_900,
        subsets=(Subset(name="train", rows=1_700), Subset(name="test", rows=200)),
    ),
)

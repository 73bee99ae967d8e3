"""InfiMM-WebMath-40B: the text of mathematical web pages.

Licence: not established. Quirks: the text is published as a list of paragraphs or as one text,
under a name that could not be verified; both are read.
Source: the card of Infi-MM/InfiMM-WebMath-40B.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample


def _adapt(row: Row) -> Iterator[Sample]:
    for column in ("text", "text_list"):
        if row.values.get(column) is not None:
            yield from Document(text=column, key="", category="math", tags=("url",))(row)
            return
    raise RowError("field-missing", "text, text_list")


SOURCE = Source(
    id="infimm-webmath-40b",
    title="InfiMM-WebMath-40B (its text)",
    role="short-context",
    modality="text",
    licence="not established",
    origin=Hub(repo="Infi-MM/InfiMM-WebMath-40B"),
    format=Parquet(columns=(), optional=("text", "text_list", "url")),
    adapt=_adapt,
    rows_in=("*.parquet",),
    verified=False,
    unverified="the name of the text column, the licence, gating and row counts",
)

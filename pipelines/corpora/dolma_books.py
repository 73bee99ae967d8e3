"""Dolma's books: complete books of Project Gutenberg.

Licence: ODC-BY-1.0. Quirks: gzipped JSON lines at fixed addresses, not on the hub; the keys of
`metadata` differ by source, so it is not read.
Source: the card of allenai/dolma.
"""

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Http, Source

_BASE = "https://olmo-data.org/dolma-v1_7"

SOURCE = Source(
    id="dolma-books",
    title="Dolma v1.7: books (Project Gutenberg)",
    role="long-context",
    modality="text",
    licence="ODC-BY-1.0",
    origin=Http(
        urls=tuple(
            (f"books/books-{n:04d}.json.gz", f"{_BASE}/books/books-{n:04d}.json.gz")
            for n in range(3)
        ),
        revision="v1_7",
    ),
    # `metadata` has other keys in every source: it is never given a schema.
    format=JsonLines(),
    adapt=Document(category="book", tags=("source", "created")),
    rows_in=("books/*.json.gz",),
    unverified="number of books and bytes; whether the hub page asks for an agreement",
    warnings=(
        "Published as allenai/dolma on the hub, whose loading script newer `datasets` refuse.",
        "Gutenberg's own boilerplate may be inside the text.",
    ),
)

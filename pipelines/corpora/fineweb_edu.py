"""FineWeb-Edu: educational web pages.

Licence: ODC-BY-1.0. Quirks: `date` is null in some files and text in others; it is not read.
Source: the card of HuggingFaceFW/fineweb-edu.
"""

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source, Subset

SOURCE = Source(
    id="fineweb-edu",
    title="FineWeb-Edu",
    role="short-context",
    modality="text",
    licence="ODC-BY-1.0",
    origin=Hub(repo="HuggingFaceFW/fineweb-edu"),
    # `date` is not read: it is null in some files and text in others.
    format=Parquet(columns=("text", "id"), optional=("url", "dump", "language")),
    adapt=Document(category="web", tags=("url", "dump", "language")),
    rows_in=("sample/*.parquet", "data/*.parquet"),
    subset_of=r"^(?:sample|data)/([^/]+)/",
    rows=1_525_223_056,
    subsets=(
        Subset(name="10BT", note="sample"),
        Subset(name="100BT", note="sample"),
        Subset(name="350BT", note="sample"),
    ),
    unverified="the licence and the names of the samples' folders",
    warnings=(
        "Grows with every crawl: the revision is pinned at fetch.",
        "1.3T tokens: take a sample with --files 'sample/10BT/*'.",
    ),
)

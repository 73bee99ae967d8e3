"""FineMath and InfiWebMath: mathematical web pages, four configs of one repository.

Licence: ODC-BY-1.0.
Source: the card of HuggingFaceTB/finemath.
"""

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source, Subset

_HUB = Hub(repo="HuggingFaceTB/finemath")
_TEXT = Document(key="", category="math", tags=("url", "language"))

SOURCES = (
    Source(
        id="finemath",
        title="FineMath 3+ and 4+",
        role="short-context",
        modality="text",
        licence="ODC-BY-1.0",
        origin=_HUB,
        format=Parquet(columns=("text",), optional=("url", "language")),
        adapt=_TEXT,
        rows_in=("finemath-3plus/*.parquet", "finemath-4plus/*.parquet"),
        subset_of=r"^(finemath-[34]plus)/",
        rows=21_400_000,
        subsets=(
            Subset(name="finemath-3plus", rows=21_400_000),
            Subset(name="finemath-4plus", rows=6_700_000, note="inside finemath-3plus"),
        ),
        warnings=("finemath-3plus contains finemath-4plus: take one of them with --files.",),
    ),
    Source(
        id="infiwebmath",
        title="InfiWebMath 3+ and 4+",
        role="short-context",
        modality="text",
        licence="ODC-BY-1.0",
        origin=_HUB,
        format=Parquet(columns=("text",), optional=("url", "language")),
        adapt=_TEXT,
        rows_in=("infiwebmath-3plus/*.parquet", "infiwebmath-4plus/*.parquet"),
        subset_of=r"^(infiwebmath-[34]plus)/",
        verified=False,
        unverified="every column but `text`; row counts",
        subsets=(Subset(name="infiwebmath-3plus"), Subset(name="infiwebmath-4plus")),
    ),
)

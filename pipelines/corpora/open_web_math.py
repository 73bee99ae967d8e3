"""OpenWebMath: mathematical web pages.

Licence: ODC-BY-1.0.
Source: the card of open-web-math/open-web-math.
"""

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source

SOURCE = Source(
    id="open-web-math",
    title="OpenWebMath",
    role="short-context",
    modality="text",
    licence="ODC-BY-1.0",
    origin=Hub(repo="open-web-math/open-web-math"),
    format=Parquet(columns=("text",), optional=("url",)),
    adapt=Document(key="", category="math", tags=("url",)),
    rows_in=("data/*.parquet",),
    verified=False,
    unverified="every column but `text`; row counts",
    warnings=("FineMath extracted the same pages again: mixing both repeats content.",),
)

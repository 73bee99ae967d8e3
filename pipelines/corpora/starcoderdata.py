"""StarCoder data: the cleaned part of The Stack v1, one folder a language.

Licence: of each file. Quirks: gated.
Source: the card of bigcode/starcoderdata.
"""

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source

SOURCE = Source(
    id="starcoderdata",
    title="StarCoder data",
    role="long-context",
    modality="text",
    licence="other (per-file permissive licences)",
    origin=Hub(repo="bigcode/starcoderdata"),
    format=Parquet(columns=("content",), optional=("id", "max_stars_repo_name")),
    adapt=Document(text="content", category="code", tags=("max_stars_repo_name",)),
    rows_in=("*.parquet",),
    subset_of=r"^([^/]+)/",
    gated=True,
    verified=False,
    unverified="gating and licence",
)

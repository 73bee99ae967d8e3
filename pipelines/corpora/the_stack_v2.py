"""The Stack v2: published as identifiers only, so it is listed but cannot be fetched.

Licence: of each file.
Source: the card of bigcode/the-stack-v2-train-full-ids.
"""

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source

SOURCE = Source(
    id="the-stack-v2",
    title="The Stack v2 (identifiers)",
    role="long-context",
    modality="text",
    licence="other (per-file licences)",
    origin=Hub(repo="bigcode/the-stack-v2-train-full-ids"),
    format=Parquet(columns=("repo_name", "files")),
    adapt=Document(text="files"),
    rows_in=("*.parquet",),
    gated=True,
    verified=False,
    unverified="columns",
    refused=(
        "its rows are Software Heritage identifiers without text; the files need an agreement "
        "with Software Heritage and INRIA; use the-stack-v1 or starcoderdata"
    ),
)

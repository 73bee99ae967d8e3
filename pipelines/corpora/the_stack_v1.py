"""The Stack v1: permissively licensed source code, one folder a language.

Licence: of each file. Quirks: gated; the licences of a file are a column.
Source: the card of bigcode/the-stack.
"""

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source

SOURCE = Source(
    id="the-stack-v1",
    title="The Stack v1",
    role="long-context",
    modality="text",
    licence="other (per-file permissive licences; attribution required)",
    origin=Hub(repo="bigcode/the-stack"),
    format=Parquet(
        columns=("content",),
        optional=("hexsha", "lang", "max_stars_repo_name", "max_stars_repo_licenses"),
    ),
    adapt=Document(
        text="content",
        key="hexsha",
        category="code",
        licences="max_stars_repo_licenses",
        tags=("lang", "max_stars_repo_name"),
    ),
    rows_in=("data/*.parquet",),
    subset_of=r"^data/([^/]+)/",
    gated=True,
    unverified="row counts; integer widths of the statistics columns (not read)",
    warnings=(
        "About 3 TB: choose languages with --files 'data/python/*'.",
        "SmolVLM kept documents of 8k tokens and more; choose them by length in the mixture.",
        "Removal requests: move to the newest usable revision from time to time.",
    ),
)

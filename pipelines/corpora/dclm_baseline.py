"""DCLM-baseline 1.0: filtered web pages, in both published formats.

Licence: CC-BY-4.0. Quirks: keys of the JSON lines differ from shard to shard, so rows are read
without a common schema; the parquet mirror has fewer columns.
Source: the cards of mlfoundations/dclm-baseline-1.0 and its parquet mirror.
"""

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.source import Hub, Source

_WARNINGS = (
    "Bloom-filter deduplication left near duplicates.",
    "3.5T tokens: take a part with --limit or --max-bytes.",
)

SOURCES = (
    Source(
        id="dclm-baseline",
        title="DCLM-baseline 1.0 (JSON lines)",
        role="short-context",
        modality="text",
        licence="CC-BY-4.0",
        origin=Hub(repo="mlfoundations/dclm-baseline-1.0"),
        # Keys differ from shard to shard; rows are read one by one, without a schema.
        format=JsonLines(),
        adapt=Document(key="", category="web", tags=("url",)),
        rows_in=("*.jsonl.zst", "*.jsonl.zstd"),
        rows=2_732_074_726,
        warnings=_WARNINGS,
    ),
    Source(
        id="dclm-baseline-parquet",
        title="DCLM-baseline 1.0 (parquet)",
        role="short-context",
        modality="text",
        licence="CC-BY-4.0",
        origin=Hub(repo="mlfoundations/dclm-baseline-1.0-parquet"),
        format=Parquet(columns=("text",), optional=("id", "url", "language")),
        adapt=Document(category="web", tags=("url", "language")),
        rows_in=("*.parquet",),
        rows=2_732_074_726,
        warnings=_WARNINGS,
    ),
)

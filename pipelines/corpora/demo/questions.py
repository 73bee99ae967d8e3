"""Adapters that several demo corpora share: a question about a medium, a sum with reasoning."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from smolmix.pipelines.sources.row import Row
from smolmix.sample import Media, MediaKind, Sample, turns_of


def about_medium(
    row: Row, column: str, *, kind: MediaKind, category: str, tags: dict[str, str] | None = None
) -> Iterator[Sample]:
    """Yield the sample of a row with `question`, `answer` and the name of one medium.

    Args:
        row: the row.
        column: holds the name of the medium, which is also the sample's key, without its ending.
        kind: of the medium.
        category: of the sample.
        tags: of the sample.
    """
    name = row.text(column)
    media: tuple[Media, ...] = (row.find(name, kind=kind),)
    yield row.sample(
        key=PurePosixPath(name).stem,
        turns=turns_of(("user", [0, row.text("question")]), ("assistant", row.text("answer"))),
        media=media,
        category=category,
        tags=tags,
    )


def with_reasoning(row: Row, *, tags: dict[str, str] | None = None) -> Iterator[Sample]:
    """Yield the sample of a row with `question`, `answer` and perhaps `reasoning` before it."""
    answer = row.text("answer")
    reasoning = row.text("reasoning", required=False)
    yield row.sample(
        turns=turns_of(
            ("user", row.text("question")),
            ("assistant", f"{reasoning} The answer is {answer}." if reasoning else answer),
        ),
        category="math",
        cot="declared" if reasoning else "none",
        cot_evidence="field reasoning" if reasoning else "",
        tags=tags,
    )

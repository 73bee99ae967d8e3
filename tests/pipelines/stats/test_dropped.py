"""What was dropped: counted by reason, the most frequent first, with examples."""

import polars as pl
import pytest

from smolmix.errors import UsageError
from smolmix.pipelines.stats.dropped import examples, reasons

FRAME = pl.LazyFrame(
    {
        "id": ["c", "a", "b", "d"],
        "stage": ["curate", "curate", "measure", "measure"],
        "reason": ["blank", "blank", "blank", "json-broken"],
        "rows": [0, 0, 0, 1],
    }
)


def test_reasons_count_rows_and_samples_apart_and_come_in_order() -> None:
    assert reasons(FRAME).rows() == [
        ("curate", "blank", 0, 2),
        ("measure", "blank", 0, 1),
        ("measure", "json-broken", 1, 0),
    ]
    assert reasons(FRAME, ("reason",)).rows() == [("blank", 0, 3), ("json-broken", 1, 0)]


def test_examples_come_by_id_and_at_most_as_many_as_requested() -> None:
    assert [row["id"] for row in examples(FRAME, "blank", 2)] == ["a", "b"]


def test_a_reason_that_never_occurs_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"reasons are blank, json-broken; did you mean 'blank'"):
        examples(FRAME, "blnk", 2)

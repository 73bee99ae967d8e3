"""One row with a text is one document."""

from typing import Any

import pytest

from smolmix.pipelines.sources.documents import Document
from smolmix.pipelines.sources.row import Row, RowError


def _row(**values: Any) -> Row:
    return Row(values=values, corpus="c", licence="MIT", path="raw/c/r/a.jsonl", file_row=0)


def test_the_text_is_kept_as_it_is_in_one_answer() -> None:
    (sample,) = Document(tags=("url", "lang"))(_row(text=" a\n", id=3, url="u", lang=None))
    assert [(t.role, t.text) for t in sample.turns] == [("assistant", " a\n")]
    assert sample.id.startswith("c/3-")
    assert sample.tags == (("url", "u"),)
    assert sample.licence == "MIT"


def test_paragraphs_are_joined_and_what_is_no_text_is_skipped() -> None:
    (sample,) = Document(text="parts", key="")(_row(parts=["a", None, "b"]))
    assert sample.turns[0].text == "a\n\nb"


@pytest.mark.parametrize(("own", "licence"), [("X", "X"), (["X", "Y"], "X, Y"), (None, "MIT")])
def test_a_row_may_have_licences_of_its_own(own: object, licence: str) -> None:
    (sample,) = Document(licences="licences")(_row(text="a", licences=own))
    assert sample.licence == licence


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "field-missing"), (3, "field-type"), ("", "text-empty"), (" \n", "text-empty")],
)
def test_a_row_without_text_has_a_reason(value: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        Document()(_row(text=value))
    assert caught.value.reason == reason

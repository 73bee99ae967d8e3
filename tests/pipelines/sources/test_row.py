"""A row gives values of the right type or a reason, and samples whose ids never collide."""

from typing import Any

import pytest

from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import FIND, MediaRef, turns_of


def _row(**values: Any) -> Row:
    return Row(
        values=values, corpus="c", licence="MIT", path="raw/c/r/a.parquet", file_row=7, subset="s"
    )


def _id(row: Row, *texts: str, key: object = None, media: tuple[Any, ...] = ()) -> str:
    turns = turns_of(("user", [*range(len(media)), texts[0]]), ("assistant", texts[-1]))
    return row.sample(turns=turns, category="x", key=key, media=media).id


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "field-missing"), (3, "field-type"), ([], "field-type"), ("  ", "text-empty")],
)
def test_a_value_that_is_no_text_has_a_reason(value: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        _row(text=value).text("text")
    assert caught.value.reason == reason


def test_text_is_stripped_and_may_be_optional() -> None:
    assert _row(text=" a\n").text("text") == "a"
    assert _row().text("text", required=False) == ""


def test_a_missing_list_is_empty_and_another_type_is_refused() -> None:
    assert _row().list("images") == []
    with pytest.raises(RowError, match="field-type"):
        _row(images="a.png").list("images")


@pytest.mark.parametrize("cell", [b"png", {"bytes": b"png", "path": None}])
def test_a_cell_is_a_reference_to_its_bytes(cell: object) -> None:
    row = _row(image=cell)
    (ref,) = row.cell("image").refs
    assert ref == MediaRef(uri="raw/c/r/a.parquet", row=7, column="image")
    assert row.blobs == {ref: b"png"}
    row = _row(images=[b"one", b"two"])
    assert row.cell("images", 1).refs[0].index == 1
    assert list(row.blobs.values()) == [b"two"]


@pytest.mark.parametrize("cell", [None, b"", {"bytes": None}, "a.png"])
def test_a_cell_without_bytes_is_a_missing_medium(cell: object) -> None:
    with pytest.raises(RowError, match="media-missing"):
        _row(image=cell).cell("image")


def test_names_are_kept_best_first() -> None:
    medium = _row().find("a/1.png", "1.png")
    assert medium.names == ("a/1.png", "1.png")
    assert medium.refs[0].uri.startswith(FIND)


def test_an_id_depends_on_key_text_and_media_and_on_nothing_else() -> None:
    row, other = _row(image=b"one"), _row(image=b"two")
    first = _id(row, "Q", "A", media=(row.cell("image"),))
    moved = Row(values=row.values, corpus="c", licence="x", path="other", file_row=99, subset="s")
    assert _id(moved, "Q", "A", media=(moved.cell("image"),)) == first
    assert len({
        first,
        _id(other, "Q", "A", media=(other.cell("image"),)),
        _id(row, "Q", "B", media=(row.cell("image"),)),
        _id(row, "Q", "A"),
        _id(row, "Q", "A", key=3),
    }) == 5  # fmt: skip
    assert _id(row, "Q", "A", key=3).startswith("c/s/3-")


@pytest.mark.parametrize(
    ("media", "modality"),
    [([], "text"), (["a.png"], "image"), (["a.png", "b.png"], "multi-image")],
)
def test_modality_follows_from_the_media(media: list[str], modality: str) -> None:
    row = _row()
    shown = [row.find(name) for name in media]
    sample = row.sample(turns=turns_of(("assistant", "A")), category="x", media=shown)
    assert sample.modality == modality
    clip = row.find("a.mp4", kind="video")
    sample = row.sample(turns=turns_of(("assistant", "A")), category="x", media=[*shown, clip])
    assert sample.modality == "video"


def test_text_that_utf8_cannot_hold_refuses_the_row() -> None:
    with pytest.raises(RowError, match="text-undecodable"):
        _id(_row(), "Q", "half a pair \ud83d")

"""Published chats become turns in order; what is dropped is counted, and media have one place."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.sources.chat import ANY, messages_of, pairs_of, turns_with_media
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import Turn


def _row() -> Row:
    return Row(values={}, corpus="c", licence="MIT", path="raw/c/r/a.jsonl", file_row=0)


def _read(*entries: tuple[str, Any]) -> tuple[list[tuple[str, str]], dict[str, int]]:
    row = _row()
    found = messages_of(row, [{"role": role, "content": text} for role, text in entries])
    return [(str(role), text) for role, text in found], row.turns_dropped


def _shown(turns: Sequence[Turn]) -> list[list[str | int]]:
    return [[p.media if p.text is None else p.text for p in t.parts] for t in turns]  # type: ignore[misc]  # a part has one of both


def test_both_spellings_of_a_chat_are_the_same_messages() -> None:
    llava = [{"from": "human", "value": " Q "}, {"from": "gpt", "value": "A"}]
    openai = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": " A\n"}]
    assert messages_of(_row(), llava) == messages_of(_row(), openai)
    assert messages_of(_row(), llava) == [("user", "Q"), ("assistant", "A")]


@pytest.mark.parametrize(
    ("entries", "kept", "dropped"),
    [
        ([("assistant", "x"), ("user", "Q"), ("assistant", "A")], ["Q", "A"], {"turn-order": 1}),
        ([("user", "Q"), ("assistant", "A"), ("assistant", "B")], ["Q", "A\nB"], {}),
        ([("user", "P"), ("user", "Q"), ("assistant", "A")], ["P\nQ", "A"], {}),
        ([("user", ""), ("user", "Q"), ("assistant", "A")], ["Q", "A"], {}),
        (
            [("user", "Q"), ("assistant", "A"), ("user", "P"), ("user", "R")],
            ["Q", "A"],
            {"turn-unanswered": 2},
        ),
        (
            [("user", "Q"), ("assistant", ""), ("assistant", "A")],
            ["Q", "A"],
            {},
        ),
        (
            [("user", "Q"), ("assistant", "A"), ("user", "P")],
            ["Q", "A"],
            {"turn-unanswered": 1},
        ),
        (
            [("user", "P"), ("assistant", " "), ("user", "Q"), ("assistant", "A")],
            ["Q", "A"],
            {"answer-empty": 1},
        ),
        (
            [("system", "S"), ("system", "T"), ("user", "Q"), ("assistant", "A")],
            ["S\nT", "Q", "A"],
            {},
        ),
        (
            [("user", "Q"), ("assistant", "A"), ("system", "T"), ("user", "R"), ("assistant", "B")],
            ["Q", "A", "R", "B"],
            {"system-later": 1},
        ),
    ],
)
def test_turns_of_one_role_are_joined_and_a_turn_without_its_counterpart_is_counted(
    entries: list[tuple[str, str]], kept: list[str], dropped: dict[str, int]
) -> None:
    found, counted = _read(*entries)
    assert [text for _, text in found] == kept
    assert counted == dropped


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"role": "tool", "content": "x"}, "role-unknown"),
        ({"role": "user", "content": 3}, "field-type"),
        ("text", "field-type"),
    ],
)
def test_an_entry_that_is_no_turn_refuses_the_row(entry: object, reason: str) -> None:
    with pytest.raises(RowError) as caught:
        messages_of(_row(), [entry])
    assert caught.value.reason == reason


def test_a_chat_without_an_answered_question_is_refused() -> None:
    with pytest.raises(RowError, match="no-turns"):
        _read(("user", "Q"))
    with pytest.raises(RowError, match="no-turns"):
        pairs_of(_row(), [{"user": "Q", "assistant": ""}])


def test_pairs_without_an_answer_or_of_another_type_are_counted() -> None:
    row = _row()
    pairs = [{"user": "Q", "assistant": "A"}, {"user": "P", "assistant": " "}, {"user": 3}, "x"]
    assert pairs_of(row, pairs) == [("user", "Q"), ("assistant", "A")]
    assert row.turns_dropped == {"answer-empty": 1, "turn-type": 2}


@pytest.mark.parametrize(
    ("question", "media", "wanted"),
    [
        ("Which?", 2, [0, 1, "Which?"]),
        ("<image>\nWhich?", 1, [0, "Which?"]),
        ("Left <image> or right <image>?", 2, ["Left", 0, "or right", 1, "?"]),
        ("<image><image>?", 3, [0, 1, 2, "?"]),  # another number: all in front, marks removed
        ("<image> why?", 0, ["why?"]),
    ],
)
def test_media_take_the_places_of_their_marks(
    question: str, media: int, wanted: list[str | int]
) -> None:
    turns = turns_with_media([("user", question), ("assistant", "<image> A")], media)
    assert _shown(turns) == [wanted, ["<image> A"]]


def test_another_number_of_marks_can_be_refused() -> None:
    messages = [("user", "<image><image>"), ("assistant", "A")]
    with pytest.raises(RowError, match="placeholder-mismatch"):
        turns_with_media(messages, 3, otherwise="refuse")  # type: ignore[arg-type]  # any text, not a literal


@given(
    st.lists(st.lists(st.sampled_from(["<image>", "<video>", "word"]), max_size=4), min_size=1),
    st.integers(0, 4),
)
def test_every_medium_is_shown_exactly_once_and_no_word_is_lost(
    questions: list[list[str]], media: int
) -> None:
    messages: list[Any] = []
    for words in questions:
        messages += [("user", " ".join([*words, "?"])), ("assistant", "A")]
    turns = turns_with_media(messages, media, placeholders=ANY)
    shown = [p.media for t in turns for p in t.parts if p.media is not None]
    assert sorted(shown) == list(range(media))
    asked = [t.text for t in turns if t.role == "user"]
    assert [text.count("word") for text in asked] == [q.count("word") for q in questions]
    assert not any("wordword" in text for text in asked)
    if sum(q.count("<image>") + q.count("<video>") for q in questions) == media:
        assert not any(mark in text for text in asked for mark in ANY)

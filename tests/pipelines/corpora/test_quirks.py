"""Each published oddity by its name, and what becomes of it."""

from typing import Any

import pytest

from smolmix.pipelines.corpora.the_cauldron import mend
from smolmix.pipelines.sources.chat import ANY, messages_of, pairs_of, turns_with_media
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import Part, Turn, turns_of


def row(**values: Any) -> Row:
    return Row(values=values, corpus="c", licence="MIT", path="raw/c/r/f.json", file_row=0)


def human(text: str) -> dict[str, str]:
    return {"from": "human", "value": text}


def gpt(text: str) -> dict[str, str]:
    return {"from": "gpt", "value": text}


def test_image_placeholder_that_stands_for_a_video() -> None:
    turns = turns_with_media([("user", "<image>\nWhat happens?"), ("assistant", "x")], 1)
    assert turns[0].parts == (Part(media=0), Part(text="What happens?"))


def test_no_placeholder_puts_all_media_before_the_first_question() -> None:
    turns = turns_with_media(
        [("user", "Same?"), ("assistant", "No"), ("user", "Sure?"), ("assistant", "Yes")], 2
    )
    assert turns == turns_of(
        ("user", [0, 1, "Same?"]), ("assistant", "No"), ("user", "Sure?"), ("assistant", "Yes")
    )


def test_placeholders_inside_the_text_keep_their_places() -> None:
    (turn, _) = turns_with_media([("user", "Is <image> like <image>?"), ("assistant", "x")], 2)
    assert turn == Turn(
        role="user",
        parts=(
            Part(text="Is"),
            Part(media=0),
            Part(text="like"),
            Part(media=1),
            Part(text="?"),
        ),
    )


def test_placeholders_over_several_turns_keep_their_places() -> None:
    turns = turns_with_media(
        [("user", "<image> a?"), ("assistant", "x"), ("user", "<image> b?"), ("assistant", "y")], 2
    )
    assert [p.media for t in turns for p in t.parts if p.media is not None] == [0, 1]
    assert turns[2].parts[0] == Part(media=1)


@pytest.mark.parametrize("text", ["<image> one mark", "<image><image><image> three marks"])
def test_more_images_than_placeholders_and_the_reverse(text: str) -> None:
    messages = [("user", text), ("assistant", "x")]
    front = turns_with_media(messages, 2, otherwise="front")  # type: ignore[arg-type]  # any text, not a literal
    assert [p.media for p in front[0].parts[:2]] == [0, 1]
    assert "<image>" not in front[0].text
    with pytest.raises(RowError, match="placeholder-mismatch"):
        turns_with_media(messages, 2, otherwise="refuse")  # type: ignore[arg-type]  # any text, not a literal


def test_later_placeholders_of_a_video_are_left_out() -> None:
    turns = turns_with_media(
        [("user", "<video> a?"), ("assistant", "x"), ("user", "<image> b?"), ("assistant", "y")],
        1,
        placeholders=ANY,
    )
    assert turns[2].parts == (Part(text="b?"),)


def test_a_placeholder_in_an_answer_is_text() -> None:
    turns = turns_with_media([("user", "<image> q"), ("assistant", "Use the <image> tag.")], 1)
    assert turns[1].text == "Use the <image> tag."


def test_both_names_of_the_speakers_and_of_their_words() -> None:
    one = messages_of(row(), [human("q"), gpt("a")])
    two = messages_of(
        row(), [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    )
    assert one == two == [("user", "q"), ("assistant", "a")]


def test_turns_of_the_wrong_order_are_left_out_and_counted() -> None:
    here = row()
    found = messages_of(here, [gpt("early"), human("q"), gpt("a"), human("unanswered")])
    assert found == [("user", "q"), ("assistant", "a")]
    assert here.turns_dropped == {"turn-order": 1, "turn-unanswered": 1}


def test_turns_of_one_role_in_a_row_are_joined() -> None:
    here = row()
    found = messages_of(here, [human("q1"), human("q2"), gpt("a2"), gpt("late")])
    assert found == [("user", "q1\nq2"), ("assistant", "a2\nlate")]
    assert here.turns_dropped == {}


def test_empty_answers_are_left_out_with_their_question() -> None:
    here = row()
    assert messages_of(here, [human("q1"), gpt(" "), human("q2"), gpt("a2")]) == [
        ("user", "q2"),
        ("assistant", "a2"),
    ]
    assert here.turns_dropped == {"answer-empty": 1}
    assert (
        len(pairs_of(here, [{"user": "q", "assistant": ""}, {"user": "", "assistant": "a"}])) == 2
    )


def test_an_unknown_speaker_drops_the_row() -> None:
    with pytest.raises(RowError, match="role-unknown"):
        messages_of(row(), [{"from": "observer", "value": "hm"}])


def test_ids_that_repeat_do_not_collide_and_missing_ones_are_made() -> None:
    here = row()
    ids = [
        here.sample(key=key, turns=turns_of(("user", q), ("assistant", "a")), category="x").id
        for key, q in ((7, "one"), (7, "two"), (None, "one"), ("", "two"))
    ]
    assert len(set(ids)) == 4
    assert ids[0].startswith("c/7-")
    again = row().sample(key=7, turns=turns_of(("user", "one"), ("assistant", "a")), category="x")
    assert again.id == ids[0]


def test_text_that_cannot_be_stored_drops_the_row() -> None:
    with pytest.raises(RowError, match="text-undecodable"):
        row().sample(turns=turns_of(("assistant", "\ud83d")), category="x")


def test_wrong_punctuation_of_the_cauldron_is_mended() -> None:
    assert mend("What is it?. Say!. 3.5 e.g. this.") == "What is it? Say! 3.5 e.g. this."

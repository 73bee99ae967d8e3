"""Which conversations may become one, and what of them is said once."""

from typing import Any

import pytest
from tests.support.measured import image, measured

from smolmix.pipelines.curate.dedup import merged_turns
from smolmix.pipelines.curate.settings import Merge
from smolmix.sample import Sample

SETTINGS = Merge()


def asked(name: str, *pairs: tuple[str, str], **more: Any) -> Sample:
    """Return a conversation about one image."""
    turns: list[tuple[str, Any]] = []
    for number, (question, answer) in enumerate(pairs):
        turns += [("user", [0, question] if number == 0 else question), ("assistant", answer)]
    fields = {"id": name, "media": [image(digest="m")], "text_tokens": 10, **more}
    return measured(*turns, **fields).sample


def said(sample: Sample) -> list[str]:
    return [t.text for t in sample.turns]


COLOUR, SHAPE = ("What colour?", "Red."), ("What shape?", "Round.")


def test_questions_follow_one_another_and_the_image_is_shown_once() -> None:
    (one,) = merged_turns.join([asked("a", COLOUR), asked("b", SHAPE)], SETTINGS)
    assert said(one.sample) == ["What colour?", "Red.", "What shape?", "Round."]
    assert [p.media for t in one.sample.turns for p in t.parts if p.media is not None] == [0]
    assert (one.sample.id, dict(one.sample.tags)) == ("a", {merged_turns.TAG: "2"})
    assert [(s.id, turn) for s, turn in one.into] == [("b", 3)]


def test_a_question_that_was_asked_is_not_asked_again() -> None:
    again = asked("b", ("What  colour", "Blue."))
    (one,) = merged_turns.join([asked("a", COLOUR), again], SETTINGS)
    assert [s.id for s in one.repeated] == ["b"]
    assert one.into == []
    longer = asked("c", COLOUR, SHAPE)  # in a longer sample only the repeated pair is dropped
    (one,) = merged_turns.join([asked("a", COLOUR), longer], SETTINGS)
    assert one.pairs_dropped == 1
    assert said(one.sample) == ["What colour?", "Red.", "What shape?", "Round."]


@pytest.mark.parametrize(
    ("settings", "conversations"),
    [
        (Merge(max_pairs=3), 1),
        (Merge(max_pairs=2), 2),
        (Merge(max_text_tokens=30), 1),
        (Merge(max_text_tokens=29), 2),
    ],
)
def test_a_conversation_grows_to_its_limits(settings: Merge, conversations: int) -> None:
    three = [asked(f"{n}", (f"Question {n}?", "Yes.")) for n in range(3)]
    found = list(merged_turns.join(three, settings))
    assert len(found) == conversations
    assert sum(1 + len(one.into) for one in found) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"subset": "other"},
        {"category": "other"},
        {"licence": "other"},
        {"cot": "detected"},
        {"tags": (("topic", "sea"),)},
        {"media": [image(digest="n")]},
    ],
)
def test_samples_that_a_mixture_distinguishes_have_different_keys(changes: dict[str, Any]) -> None:
    one = merged_turns.key(asked("a", COLOUR), SETTINGS)
    other = merged_turns.key(asked("b", SHAPE, **changes), SETTINGS)
    assert one is not None
    assert other is not None
    assert one != other
    assert one == merged_turns.key(asked("c", SHAPE), SETTINGS)


def test_tags_are_ignored_if_the_settings_say_so() -> None:
    settings = Merge(tags="ignore")
    one, other = asked("a", COLOUR), asked("b", SHAPE, tags=(("topic", "sea"),))
    assert merged_turns.key(one, settings) == merged_turns.key(other, settings)


@pytest.mark.parametrize(
    "turns",
    [
        (("user", ["Look at", 0, "and say."]), ("assistant", "A boat.")),  # amid the text
        (("user", [0]), ("assistant", "A boat.")),  # no question
        (("user", "What?"), ("assistant", "It."), ("user", [0, "This?"]), ("assistant", "Yes.")),
        (("user", [0, "What?"]), ("user", "Really?")),
        (("assistant", "A document."),),
    ],
)
def test_samples_whose_text_depends_on_the_place_of_the_image_are_not_joined(turns: Any) -> None:
    sample = measured(*turns, media=[image(digest="m")]).sample
    assert merged_turns.key(sample, SETTINGS) is None

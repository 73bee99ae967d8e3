"""Rules on turns: what passes and what does not, case by case."""

from typing import Any

import pytest
from tests.support.measured import image, measured

from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.curate.rules.rule import Rule

ASK, SAY = ("user", "Where is the boat?"), ("assistant", "In the harbour.")


def rule(name: str, **thresholds: Any) -> Rule:
    return RULES[name](**thresholds)


@pytest.mark.parametrize(
    ("turns", "passes"),
    [
        ((ASK, SAY), True),
        ((ASK, SAY, ASK, SAY), True),
        ((("system", "Be brief."), ASK, SAY), True),
        ((("assistant", "A document."),), True),
        ((ASK,), False),
        ((ASK, SAY, ASK), False),
        ((SAY, ASK), False),
        ((ASK, ASK, SAY, SAY), False),
        ((ASK, SAY, ("system", "Late."), ASK, SAY), False),
        ((("system", "Be brief."),), False),
    ],
)
def test_roles_alternate(turns: Any, passes: bool) -> None:
    assert (rule("roles-do-not-alternate").problem(measured(*turns)) is None) == passes


@pytest.mark.parametrize(
    ("turns", "problem"),
    [
        ((ASK, SAY), None),
        ((ASK, ("assistant", "  \n")), "turn 1"),
        ((ASK, SAY, ASK, ("assistant", "")), "turn 3"),
        ((ASK,), "no assistant turn"),
    ],
)
def test_answers_have_text(turns: Any, problem: str | None) -> None:
    assert rule("answer-empty").problem(measured(*turns)) == problem


def test_questions_have_text_or_media() -> None:
    check = rule("question-empty")
    assert check.problem(measured(ASK, SAY)) is None
    assert check.problem(measured(("user", [0]), SAY, media=[image()])) is None
    assert check.problem(measured(("user", " "), SAY)) == "turn 0"
    assert check.problem(measured(ASK, SAY, ("user", ""), SAY)) == "turn 2"


@pytest.mark.parametrize(
    ("content", "count", "passes"),
    [
        ([0, "What?"], 1, True),
        ([0, 1, "What?"], 2, True),
        (["What?"], 1, False),
        ([0, 0, "What?"], 1, False),
        ([1, 0, "What?"], 2, False),
        ([0, "What?"], 2, False),
    ],
)
def test_each_medium_is_shown_once_in_order(content: Any, count: int, passes: bool) -> None:
    media = [image(digest=str(i)) for i in range(count)]
    sample = measured(("user", content), SAY, media=media)
    assert (rule("media-mismatch").problem(sample) is None) == passes


def test_no_answer_shows_a_medium() -> None:
    sample = measured(ASK, ("assistant", [0, "This."]), media=[image()])
    assert rule("media-mismatch").problem(sample) == "a medium in an answer"


@pytest.mark.parametrize(
    ("text", "media", "passes"),
    [
        ("<image>\nWhat is it of?", 1, False),
        ("Look:\n<IMG>\nWhat is it?", 1, False),
        ("Watch <video_2>.", 1, False),
        ("What does <image> mean in SVG?", 1, True),
        ("What is <image> in HTML?", 0, True),
        ("Is a < image?", 1, True),
    ],
)
def test_placeholders_are_left_over_only_in_samples_with_media(
    text: str, media: int, passes: bool
) -> None:
    shown = [image(digest=str(i)) for i in range(media)]
    sample = measured(("user", [*range(media), text]), SAY, media=shown)
    assert (rule("placeholder-left").problem(sample) is None) == passes


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("I'm sorry, but I cannot help with that.", False),
        ("I cannot see the image.", False),
        ("Unfortunately, I am unable to identify people.", False),
        ("As an AI language model, I have no opinion.", False),
        ("My apologies for the delay.", False),
        ("I can see a boat.", True),
        ("The man is sorry that he cannot help.", True),
        ("She cannot see the image.", True),
    ],
)
def test_refusals_are_recognised_at_the_beginning_of_an_answer(answer: str, passes: bool) -> None:
    sample = measured(ASK, ("assistant", answer))
    assert (rule("answer-refuses").problem(sample) is None) == passes
    assert rule("answer-refuses").problem(measured(("assistant", answer))) is None  # a document


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("N/A", False),
        ("null", False),
        ("[insert answer here]", False),
        ("https://example.org/a.png", False),
        ("{{ answer }}", False),
        ("Lorem ipsum dolor sit amet", False),
        ("Null Island", True),
        ("See https://example.org for more.", True),
        ("No.", True),
    ],
)
def test_stand_ins_are_recognised_where_they_are_the_full_answer(answer: str, passes: bool) -> None:
    sample = measured(ASK, ("assistant", answer))
    assert (rule("answer-boilerplate").problem(sample) is None) == passes


def test_a_stand_in_that_a_corpus_means_is_allowed() -> None:
    sample = measured(ASK, ("assistant", "N/A."))
    assert rule("answer-boilerplate", allowed=("n/a",)).problem(sample) is None


@pytest.mark.parametrize(("length", "passes"), [(118, False), (119, False), (120, True)])
def test_a_stand_in_is_shorter_than_120_characters(length: int, passes: bool) -> None:
    sample = measured(ASK, ("assistant", "lorem ipsum".ljust(length, "a")))
    assert (rule("answer-boilerplate").problem(sample) is None) == passes


@pytest.mark.parametrize(
    ("question", "answer", "passes"),
    [
        ("Where is the boat", "Where is the boat?", False),
        ("Where is the boat", "WHERE IS THE BOAT", False),
        ("Where is the blue boat", "Where is the blue boat", False),
        ("Where is the boat", "Where is the ship", True),
        ("Is the boat", "Is the boat", True),  # three words: fewer than `min_words`
    ],
)
def test_a_repeated_question_is_no_answer(question: str, answer: str, passes: bool) -> None:
    sample = measured(("user", question), ("assistant", answer))
    assert (rule("prompt-echoed", min_words=4).problem(sample) is None) == passes


@pytest.mark.parametrize(("turns", "passes"), [(3, True), (4, True), (5, False)])
def test_turns_are_counted_up_to_the_limit(turns: int, passes: bool) -> None:
    sample = measured(*((ASK, SAY) * 3)[:turns])
    assert (rule("too-many-turns", max_turns=4).problem(sample) is None) == passes

"""Rules on text and quality, at, just below and just above each threshold."""

from typing import Any

import pytest
from tests.support.measured import measured

from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.curate.rules.rule import Rule

PROSE = (
    "The harbour was quiet that morning, and the boats had not yet gone out to fish. An old man "
    "with a pipe sat on the wall and told the children about the great storm of his youth. They "
    "listened to him with wide eyes, because nobody else in the village could remember it. When "
    "he had finished, the youngest of them asked whether the sea would ever be so angry again. "
    "He looked at the water for a while, and then he said that it would, but not on such a day."
)


def rule(name: str, **thresholds: Any) -> Rule:
    return RULES[name](**thresholds)


@pytest.mark.parametrize(
    ("tokens", "passes"), [(1, False), (2, True), (3, True), (9, True), (10, True), (11, False)]
)
def test_tokens_are_within_bounds(tokens: int, passes: bool) -> None:
    sample = measured(text_tokens=tokens)
    assert (rule("text-length", min_tokens=2, max_tokens=10).problem(sample) is None) == passes


@pytest.mark.parametrize(
    ("chars", "passes"), [(4, False), (5, True), (6, True), (19, True), (20, True), (21, False)]
)
def test_characters_of_answers_are_within_bounds(chars: int, passes: bool) -> None:
    sample = measured(answer_chars=chars)
    assert (rule("answer-length", min_chars=5, max_chars=20).problem(sample) is None) == passes


@pytest.mark.parametrize(
    ("language", "problem"), [("en", None), ("de", None), ("", None), ("fr", "fr")]
)
def test_languages_that_are_not_allowed_are_named(language: str, problem: str | None) -> None:
    found = rule("language", allowed=("en", "de")).problem(measured(language=language))
    assert found == problem


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("a" * 99 + "\ufffd", True),  # 1 of 100
        ("a" * 98 + "\ufffd\x00", True),  # 2 of 100
        ("a" * 97 + "\ufffd\x00\x01", False),  # 3 of 100
        ("a\tb\nc\rd\f", True),  # white space is not garbled
        ("", True),
    ],
)
def test_garbled_characters_are_counted(text: str, passes: bool) -> None:
    sample = measured(("assistant", text))
    assert (rule("text-garbled", max_share=0.02).problem(sample) is None) == passes


@pytest.mark.parametrize(("score", "passes"), [(0.29, False), (0.3, True), (0.31, True)])
def test_scores_below_the_threshold_are_low(score: float, passes: bool) -> None:
    sample = measured(scores={"relevance": score})
    check = rule("score-low", scorer="relevance", min_score=0.3)
    assert (check.problem(sample) is None) == passes


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("gopher-repetition", "spam and eggs. " * 80, "top_2_gram"),
        ("gopher-quality", "Buy now! Click here!", "gopher_short_doc"),
        ("c4-quality", "This is one. And this is two. lorem ipsum. Four now.", "lorem_ipsum"),
        ("fineweb-quality", "- one\n- two\n- three\n" * 20, "line_punct_ratio"),
    ],
)
def test_quality_rules_pass_prose_and_give_datatroves_reason(
    name: str, text: str, reason: str
) -> None:
    assert rule(name).problem(measured(("assistant", PROSE))) is None
    assert rule(name).problem(measured(("assistant", text))) == reason

"""Metrics against values worked out by hand from their definitions."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.errors import UsageError
from smolmix.model.eval.metrics import (
    METRICS,
    anls,
    fitting,
    metric_names,
    multiple_choice,
    relaxed_accuracy,
    rouge_l,
)

WORDS = st.text(alphabet="abcé 1.", max_size=12)
LISTED = "What is it?\nA. a cat\nB. two dogs\nC. 3\nAnswer with the letter."


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("105", "100", 1), ("95", "100", 1), ("105.1", "100", 0), ("94.9", "100", 0),
        ("-105", "-100", 1), ("105", "-100", 0), ("5%", "0.05", 1), ("5.2 %", "5%", 1),
        ("0", "0", 1), ("0.0", "0", 0), ("0.01", "0", 0), ("Red", "red", 1), ("red", "reds", 0),
        ("nan", "NaN", 1), ("inf", "100", 0), ("1e2", "100", 1), ("about 100", "100", 0),
    ],
)  # fmt: skip
def test_relaxed_accuracy_accepts_five_percent_of_a_number_and_equal_text(
    answer: str, expected: str, score: float
) -> None:
    assert relaxed_accuracy(answer, expected) == score


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("invoice", "invoice", 1), ("Invoice ", "  invoice", 1), ("two  words", "two words", 1),
        ("invoce", "invoice", 1 - 1 / 7),  # one letter of seven is missing
        ("abcd", "abxy", 0),  # 2 of 4: a distance of 0.5 is not under 0.5
        ("abcde", "abcxy", 1 - 2 / 5), ("", "x", 0), ("", "", 1), ("long answer here", "lo", 0),
    ],
)  # fmt: skip
def test_anls_is_one_minus_the_distance_cut_at_a_half(
    answer: str, expected: str, score: float
) -> None:
    assert anls(answer, expected) == pytest.approx(score)


def _slow_distance(one: str, other: str) -> int:
    """The definition, by recursion."""
    if not one or not other:
        return len(one) + len(other)
    return min(
        _slow_distance(one[1:], other) + 1,
        _slow_distance(one, other[1:]) + 1,
        _slow_distance(one[1:], other[1:]) + (one[0] != other[0]),
    )


@given(st.text(alphabet="aAb ", max_size=6), st.text(alphabet="aAb ", max_size=6))
def test_anls_is_that_of_its_definition(answer: str, expected: str) -> None:
    one, other = (" ".join(text.lower().split()) for text in (answer, expected))
    longest = max(len(one), len(other))
    distance = _slow_distance(one, other) / longest if longest else 0
    assert anls(answer, expected) == pytest.approx(1 - distance if distance < 0.5 else 0)


def _slow_common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, by recursion."""
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + _slow_common(one[1:], other[1:])
    return max(_slow_common(one[1:], other), _slow_common(one, other[1:]))


@given(*[st.lists(st.sampled_from(["red", "Ball", "日本", "é", "7"]), max_size=6)] * 2)
def test_rouge_l_is_that_of_its_definition(answer: list[str], expected: list[str]) -> None:
    one, other = ([word.lower() for word in words] for words in (answer, expected))
    common = 2 * _slow_common(one, other) / (len(one) + len(other)) if one or other else 1
    assert rouge_l(" ".join(answer), ", ".join(expected)) == pytest.approx(common)


def test_rouge_l_counts_the_longest_common_sequence_of_words() -> None:
    # Lin 2004 §3: "police kill the gunman" shares "police ... the gunman" with the reference.
    assert rouge_l("police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert rouge_l("the gunman kill police", "police killed the gunman") == pytest.approx(2 / 4)
    assert rouge_l("Red!", "red") == 1
    assert rouge_l("", "red") == 0
    assert rouge_l("red ball", "a red ball there") == pytest.approx(2 * 2 / 6)


def test_multiple_choice_scores_the_named_option_however_it_is_written() -> None:
    assert multiple_choice("(b)", "two dogs", LISTED) == 1
    assert multiple_choice("a cat", "B", LISTED) == 0
    assert multiple_choice("nothing of it", "B", LISTED) == 0
    assert multiple_choice("B.", "Answer: B", "Which option is right?") == 1
    assert multiple_choice("red", "Red", "Which colour?") == 1


@given(WORDS, WORDS, st.sampled_from(["", LISTED]))
def test_scores_are_between_0_and_1_and_an_exact_answer_has_1(
    answer: str, expected: str, question: str
) -> None:
    for name, metric in METRICS.items():
        value = metric(answer, expected, question)
        assert 0 <= value <= 1, name
        assert math.isclose(metric(expected, expected, question), 1), name
        assert metrics_agree_on_exact(name, answer, expected, question)


def metrics_agree_on_exact(name: str, answer: str, expected: str, question: str) -> bool:
    """No metric refuses what exact match grants."""
    exact = METRICS["exact_match"](answer, expected, question)
    return METRICS[name](answer, expected, question) >= exact


def test_auto_takes_the_metric_that_fits() -> None:
    assert fitting("vqa", LISTED, "B") == "multiple_choice"
    assert fitting("caption", "Describe it.", "a cat") == "rouge_l"
    assert fitting("document", "Total?", "12") == "anls"
    assert fitting("ocr", "Read it.", "STOP") == "anls"
    assert fitting("chart", "How much?", "12") == "relaxed_accuracy"
    assert fitting("vqa", "What colour?", "red") == "exact_match"
    assert fitting("vqa", LISTED, "a horse") == "exact_match"  # no option is expected


def test_several_metrics_are_separated_by_commas_and_exact_match_is_always_computed() -> None:
    assert metric_names("auto, anls") == ("auto", "anls", "exact_match")
    assert metric_names("exact_match") == ("exact_match",)
    with pytest.raises(UsageError, match="did you mean 'anls'"):
        metric_names("exact_match,alns")


def test_exact_match_ignores_case_and_surrounding_spaces_only() -> None:
    exact_match = METRICS["exact_match"]
    assert exact_match(" Red ", "red", "") == 1
    assert exact_match("red.", "red", "") == 0

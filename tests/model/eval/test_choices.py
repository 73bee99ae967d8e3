"""The option that an answer names: however it is written, and as VLMEvalKit infers it."""

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.model.eval.choices import Choice, choice_of, expected_option, options

LISTED = "What is it?\nA. a cat\nB. two dogs\nC. 3\nAnswer with the letter."
COLOURS = {"A": "red", "B": "blue", "C": "green", "D": "yellow"}


def letter(answer: str, listed: Mapping[str, str]) -> str | None:
    choice = choice_of(answer, listed)
    return choice.letter if choice else None


def named_by(answer: str) -> str | None:
    return letter(answer, options(LISTED))


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("A", "A"), ("(A)", "A"), ("A.", "A"), ("a)", "A"), ("[C]", "C"), ("Answer: A", "A"),
        ("The answer is (B).", "B"), ("**B**", "B"), ("B. two dogs", "B"), ("two dogs", "B"),
        ("Two dogs.", "B"), ("The correct answer is two dogs", "B"), ("3", "C"), ("a cat", "A"),
        ("Option C", "C"), ("Answer: (C) 3", "C"), ("D", None), ("A dog", None),
        ("B or C", None), ("A, B", None),
        ("(A) or (B)", None), ("A. or C", None),
        ("B, because there are two", "B"), ("A. a cat, not B", "A"), ("It is not A.", None),
        ("I think so", None), ("", None),
    ],
)  # fmt: skip
def test_an_option_is_read_from_its_letter_or_its_words(answer: str, named: str | None) -> None:
    assert named_by(answer) == named


def test_a_letter_among_the_words_of_an_option_is_not_a_second_choice() -> None:
    listed = options("Which?\nA. vitamin B\nB. vitamin C\nC. both A and B")
    assert [letter(a, listed) for a in ("A. vitamin B", "C. both A and B", "A or B")] == [
        "A", "C", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Which? (A) red (B) light, blue (C) x.y", {"A": "red", "B": "light, blue", "C": "x.y"}),
        ("Pick: A) up B) down", {"A": "up", "B": "down"}),
        ("A. one\nB. two\nC. three", {"A": "one", "B": "two", "C": "three"}),
        ("哪个？\nA、红色\nB．蓝色\n（C）绿色", {"A": "红色", "B": "蓝色", "C": "绿色"}),
        ("Is A. Smith here?", {}),
        ("B. two\nC. three", {}),
        ("What is it?", {}),
    ],
)
def test_options_are_those_that_run_from_a(question: str, found: dict[str, str]) -> None:
    assert options(question) == found


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        ("The car that is parked beside the house is blue. The correct answer is (B).", "declared"),
        ("The answer is A. Wait, the correct answer is B.", "declared"),
        ("The answer is B because the car is blue.", "declared"),
        ("The answer is B as A is red.", "declared"),
        ("The correct answer is blue, because of the light.", "declared"),
        ("The final answer is $\\boxed{B}$", "declared"),
        ("\\boxed{\\text{B}}", "declared"),
        ("<answer>\n(B)\n</answer>", "declared"),
        ("<think>It may be A or C.</think>\nAnswer: **B** (blue)", "declared"),
        ("{'answer': 'B'}", "declared"),
        ("#### B", "declared"),
        ("Option B is the correct answer.", "declared"),
        ("B is correct. A is wrong.", "declared"),
        ("答案是B选项，因为车是蓝色。", "declared"),
        ("正确答案：（B）", "declared"),
        ("因为车是蓝色的，所以应该选B", "alone"),
        ("B</s>", "alone"),
        ("[[B]]", "alone"),
        ("'B'", "alone"),
        ("所以选B。", "alone"),
        ("B - blue", "alone"),
        ("Looking at the car, it is blue, so B.", "alone"),
        ("It can't be A, so it is B.", "alone"),
        ("B\nThe car beside the house is of the same colour as the sky on this photo.", "alone"),
        ("B\nThe car is blue.", "words"),
        ("It is blue.", "words"),
        ("BLUE.", "words"),
        ("The car that is parked beside the house seems to be of a rather dark blue.", "words"),
    ],
)
def test_an_answer_in_many_words_names_its_option_and_how(answer: str, how: str) -> None:
    choice = choice_of(answer, COLOURS)
    assert choice is not None
    assert (choice.letter, choice.how) == ("B", how)


@pytest.mark.parametrize(
    "answer",
    [
        "The answer is B or C.", "Answer: A, B", "I cannot tell.", "A: no. B: yes", "red or blue",
        "The answer is not B.", "B is wrong.", "Neither B nor C", "The car was bored.",
        "It is one of the many cars that stand there, either a red one or a blue one, who knows.",
    ],
)  # fmt: skip
def test_an_answer_that_names_none_or_several_options_has_no_choice(answer: str) -> None:
    assert choice_of(answer, COLOURS) is None


def test_a_number_within_another_is_not_an_option() -> None:
    listed = {"A": "5", "B": "10", "C": "2.5"}
    assert [letter(a, listed) for a in ("15", "It is 105.", "12.5", "0.10")] == [None] * 4
    assert [letter(a, listed) for a in ("It is 5.", "10 cars", "2.5 m")] == ["A", "B", "C"]


def test_without_listed_options_any_letter_may_be_named() -> None:
    assert choice_of("The correct answer is (E).", {}) == Choice("E", "declared")
    assert choice_of("I think D.", {}) == Choice("D", "alone")
    assert choice_of("I think so.", {}) is None


def test_words_of_a_script_without_spaces_name_an_option() -> None:
    listed = {"A": "红色", "B": "蓝色", "C": "绿色"}
    assert choice_of("蓝色。", listed) == Choice("B", "words")
    assert choice_of("这辆车是蓝色的。", listed) == Choice("B", "words")
    assert choice_of("在这张照片里停在房子旁边的那辆小汽车看起来是蓝色的。", listed) == Choice(
        "B", "words"
    )
    assert choice_of("答案是蓝色，因为天空。", listed) == Choice("B", "declared")
    assert choice_of("是红色或蓝色。", listed) is None


def test_a_reference_is_read_strictly() -> None:
    assert expected_option("(B) two dogs", options(LISTED)) == "B"
    assert expected_option("A dog", options(LISTED)) is None
    assert expected_option("It shows two dogs.", options(LISTED)) is None


def vlmevalkit(answer: str, listed: Mapping[str, str]) -> str | None:
    """VLMEvalKit's matching in other words: a letter near the end, else one option's words."""
    words = re.sub(r"[.()\[\],:;!*#{}]", " ", answer).split()
    letters = [key for key in listed if key in words]
    if len(letters) == 1 and words.index(letters[0]) > len(words) - 5:
        return letters[0]
    found = [key for key, value in listed.items() if value.lower() in answer.lower()]
    short = len(answer) <= 2 * sum(map(len, listed.values()))
    return found[0] if len(found) == 1 and short else None


PIECES = st.sampled_from(
    [
        *("it is", "the car", "so", "because", "I think", "looks like", "near the house,", "maybe"),
        *(f"{form.format(key)}" for key in "ABCD" for form in ("({})", "{}.", "**{}**", "[{}],")),
        *(f"the answer is {key}." for key in "ABCD"),
        *COLOURS.values(),
        *(f"{colour.title()}." for colour in COLOURS.values()),
    ]
)


@given(st.lists(PIECES, min_size=1, max_size=6))
def test_where_vlmevalkit_infers_an_option_it_is_the_same(pieces: list[str]) -> None:
    answer = " ".join(pieces)
    inferred = vlmevalkit(answer, COLOURS)
    declares = [p for p in pieces if p.startswith("the answer is")]
    if inferred is None or len({d[-2] for d in declares} - {inferred}):
        return
    assert letter(answer, COLOURS) == inferred

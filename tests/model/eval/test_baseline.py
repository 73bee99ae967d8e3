"""The most common training answer to each question."""

from tests.support.toy import conversation, prompt_of

from smolmix.model.eval.baseline import QuestionOnly


def test_each_question_has_its_most_common_answer() -> None:
    training = [conversation(("q?", a)) for a in ("no", "yes", "yes")]
    training += [conversation(("other?", "blue"), ("q?", "no"))]
    baseline = QuestionOnly(training)
    assert baseline.answer(prompt_of(conversation(("other?", "x")))) == "blue"
    assert baseline.answer(prompt_of(conversation((" q? ", "x")))) == "no"  # 2 against 2


def test_ties_are_broken_alphabetically_and_a_new_question_has_the_overall_answer() -> None:
    baseline = QuestionOnly([conversation(("q?", a)) for a in ("b", "a", "a", "b")])
    assert baseline.answer(prompt_of(conversation(("q?", "b")))) == "a"
    assert baseline.answer(prompt_of(conversation(("new?", "b")))) == "a"


def test_without_training_answers_the_baseline_says_nothing() -> None:
    assert QuestionOnly([]).answer(prompt_of(conversation(("q?", "b")))) == ""

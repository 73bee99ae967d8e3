"""Scores overall and by group, against the same sums in polars."""

import polars as pl
import pyarrow as pa
import pytest

from smolmix.model.eval.results import (
    GROUPS,
    answer_length,
    duration,
    prompt_length,
    question_type,
    scored,
    summary,
)


@pytest.mark.parametrize(
    ("tokens", "bucket"),
    [(1, "1 to 128 tokens"), (128, "1 to 128 tokens"), (129, "129 to 256 tokens"),
     (8192, "4,097 to 8,192 tokens"), (8193, "over 8,192 tokens")],
)  # fmt: skip
def test_a_prompt_is_in_the_bucket_of_its_tokens(tokens: int, bucket: str) -> None:
    assert prompt_length(tokens) == bucket


@pytest.mark.parametrize(
    ("answer", "bucket"),
    [("red", "1 word"), ("a red ball", "2 to 4 words"), ("word " * 5, "5 to 16 words"),
     ("word " * 65, "over 64 words")],
)  # fmt: skip
def test_an_answer_is_in_the_bucket_of_its_words(answer: str, bucket: str) -> None:
    assert answer_length(answer) == bucket


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, ""), (0.1, "0 to 30 s"), (30, "0 to 30 s"), (30.5, "30 to 60 s"), (601, "over 600 s")],
)
def test_a_clip_is_in_the_bucket_of_its_seconds(seconds: float, bucket: str) -> None:
    assert duration(seconds) == bucket


def test_numbers_are_a_kind_of_answer_below_zero_too() -> None:
    kinds = {"Yes": "yes/no", "12": "number", "-3": "number", "0.5": "number", "-": "other"}
    kinds |= {"1.2.3": "other", "x²": "other", "": "other"}
    assert {answer: question_type(answer) for answer in kinds} == kinds


def table() -> pa.Table:
    rows = [
        ("caption", "s1", "a red ball", "a red ball", "a dog", 0),
        ("caption", "s2", "two dogs", "two cats", "a dog", 0),
        ("chart", "s1", "100", "104", "90", 1),
        ("vqa", "s2", "yes", "Yes", "no", 2),
    ]
    return pa.Table.from_pylist(
        [
            {
                "category": category, "subset": subset, "modality": "image",
                "kind": question_type(expected), "answer_length": answer_length(expected),
                "prompt_length": prompt_length(9 * 10**number), "duration": "",
                "question": "?", "expected": expected, "answer": answer,
                "baseline_answer": guess, "cluster": cluster,
            }
            for number, (category, subset, expected, answer, guess, cluster) in enumerate(rows)
        ]
    )  # fmt: skip


def test_the_primary_metric_is_the_score_and_auto_takes_one_by_row() -> None:
    found = scored(table(), ("auto", "exact_match"))
    assert found["metric"].to_pylist() == [
        "rouge_l", "rouge_l", "relaxed_accuracy", "exact_match",
    ]  # fmt: skip
    assert found["score"].to_pylist() == found["auto"].to_pylist() == [1, 0.5, 1, 1]
    assert found["exact_match"].to_pylist() == [1, 0, 0, 1]
    assert found["baseline_score"].to_pylist() == pytest.approx([0.4, 0, 0, 0])
    again = scored(found, ("exact_match",))
    assert again["score"].to_pylist() == [1, 0, 0, 1]
    assert set(again["metric"].to_pylist()) == {"exact_match"}


def test_the_table_has_the_option_that_an_answer_names_and_how() -> None:
    listed = "Which?\nA. red\nB. blue"
    answers = [(listed, "It is blue."), (listed, "\\boxed{B}"), (listed, "A or B"), ("Which?", "B")]
    rows = [
        {"category": "vqa", "question": q, "expected": "B", "answer": a, "baseline_answer": "A"}
        for q, a in answers
    ]
    found = scored(pa.Table.from_pylist(rows), ("multiple_choice",))
    assert found["choice"].to_pylist() == ["B", "B", None, None]
    assert found["choice_by"].to_pylist() == ["words", "declared", None, None]
    assert found["score"].to_pylist() == [1, 1, 0, 1]
    assert found["baseline_score"].to_pylist() == [0] * 4


def test_scores_are_means_over_all_rows_and_over_each_group() -> None:
    metrics = ("exact_match", "anls")
    rows = scored(table(), metrics)
    found = summary(rows, metrics)
    frame = pl.DataFrame(rows)
    checked = 0
    for metric in metrics:
        one = found["metrics"][metric]
        assert one["overall"]["score"] == pytest.approx(frame[metric].mean())
        assert one["overall"]["clusters"] == 3
        for group in GROUPS:
            if group == "duration":
                assert one["by_duration"] == {}  # there is no clip
                continue
            parts = {k: v for (k,), v in frame.partition_by(group, as_dict=True).items()}
            assert one[f"by_{group}"].keys() == parts.keys()
            for name, part in parts.items():
                score = one[f"by_{group}"][name]
                assert score["score"] == pytest.approx(part[metric].mean())
                assert score["baseline"] == pytest.approx(part[f"baseline_{metric}"].mean())
                assert score["questions"] == part.height
                checked += 1
    assert checked >= 20
    assert found["overall"] == found["metrics"]["exact_match"]["overall"]


def test_buckets_are_in_order_of_their_numbers() -> None:
    found = summary(scored(table(), ("exact_match",)), ("exact_match",))
    assert list(found["by_prompt_length"]) == [
        "1 to 128 tokens", "513 to 1,024 tokens", "over 8,192 tokens",
    ]  # fmt: skip

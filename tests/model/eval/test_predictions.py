"""Evaluation figures, computed once more from the written predictions alone."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.support.toy import CHOICE, LONGEST, predictions

from smolmix.model.eval.load import open_checkpoint
from smolmix.model.eval.run import compare_on, evaluate_corpus
from smolmix.workspace import Workspace

METRICS = "auto,exact_match,relaxed_accuracy,anls,rouge_l,multiple_choice"


# What follows computes every figure once more, from the table alone and with nothing of ours.


def _distance(one: str, other: str) -> int:
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    table[:, 0], table[0] = range(len(one) + 1), range(len(other) + 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            options = (table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (a != b))
            table[i + 1, j + 1] = min(options)
    return int(table[-1, -1])


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return longest(0, 0)


def _again(metric: str, answer: str, expected: str, category: str, question: str) -> float:
    a, e = answer.strip().lower(), expected.strip().lower()
    if metric == "auto":
        metric = {"caption": "rouge_l", "document": "anls", "chart": "relaxed_accuracy"}.get(
            category, ""
        )
        metric = "multiple_choice" if question == CHOICE and e in ("a", "b", "a ball") else metric
    if metric == "anls":
        most = max(len(a), len(e))
        far = _distance(" ".join(a.split()), " ".join(e.split())) / most if most else 0
        return 1 - far if far < 0.5 else 0
    if metric == "rouge_l":
        x, y = (tuple("".join(c if c.isalnum() else " " for c in t).split()) for t in (a, e))
        return 2 * _common(x, y) / (len(x) + len(y)) if x and y else float(x == y)
    if metric == "relaxed_accuracy":
        try:
            return float(abs(float(a) - float(e)) <= 0.05 * abs(float(e)))
        except ValueError:
            return float(a == e)
    return float(a == e)


def _clusters(media: Sequence[Sequence[str]], samples: Sequence[str]) -> list[int]:
    label = list(range(len(samples)))
    changed = True
    while changed:
        changed = False
        for i in range(len(samples)):
            for j in range(len(samples)):
                linked = set(media[i]) & set(media[j]) or samples[i] == samples[j]
                if linked and label[i] != label[j]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    return label


def _bootstrap(values: np.ndarray[Any, Any], clusters: Sequence[int]) -> tuple[float, float]:
    rng = np.random.default_rng(99)
    groups = [values[np.array(clusters) == c] for c in sorted(set(clusters))]
    means = [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean()
        for _ in range(1000)
    ]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _cut(values: pl.Expr, ends: dict[int, str]) -> pl.Expr:
    return pl.coalesce(pl.when(values <= end).then(pl.lit(name)) for end, name in ends.items())


GROUPS = {
    "category": pl.col("category"),
    "subset": pl.col("subset"),
    "modality": pl.col("modality"),
    "kind": pl.when(pl.col("expected").str.to_lowercase().is_in(["yes", "no"]))
    .then(pl.lit("yes/no"))
    .when(pl.col("expected").str.contains(r"^\d+(\.\d+)?$"))
    .then(pl.lit("number"))
    .otherwise(pl.lit("other")),
    "answer_length": _cut(
        pl.col("expected").str.count_matches(r"\S+"),
        {1: "1 word", 4: "2 to 4 words", 16: "5 to 16 words"},
    ),
    "prompt_length": _cut(
        pl.col("prompt_tokens"),
        {128: "1 to 128 tokens", 256: "129 to 256 tokens", 512: "257 to 512 tokens"},
    ),
    "duration": pl.when(pl.col("duration_s") > 0).then(pl.lit("0 to 30 s")),
}  # fmt: skip


def test_every_number_follows_from_the_written_predictions(place: Workspace) -> None:
    result = evaluate_corpus(
        open_checkpoint("a", place), place, "toy", metric=METRICS, max_new_tokens=LONGEST
    )
    table = predictions(place, "a", "toy")
    rows = table.to_dicts()
    clusters = _clusters(table["media"].to_list(), table["sample"].to_list())
    table = table.with_columns(pl.Series("mine", clusters))
    checked = 0
    for metric in METRICS.split(","):
        for prefix, said in (("", "answer"), ("baseline_", "baseline_answer")):
            again = [
                _again(metric, r[said], r["expected"], r["category"], r["question"]) for r in rows
            ]
            assert table[prefix + metric].to_list() == pytest.approx(again), metric
        figures = result["metrics"][metric]
        groups = [(figures["overall"], table)]
        for name, key in GROUPS.items():
            parts = table.with_columns(key.cast(pl.String).alias("_g")).drop_nulls("_g")
            found = parts.partition_by("_g", as_dict=True)
            assert figures[f"by_{name}"].keys() == {k[0] for k in found}, name
            groups += [(figures[f"by_{name}"][k[0]], part) for k, part in found.items()]
        for figure, part in groups:
            values = part[metric].to_numpy()
            assert figure["questions"] == part.height
            assert figure["clusters"] == part["mine"].n_unique()
            assert figure["score"] == pytest.approx(values.mean())
            assert figure["baseline"] == pytest.approx(part[f"baseline_{metric}"].mean())
            if figure["clusters"] == 1:
                assert figure["low"] is None
                continue
            if metric not in ("auto", "exact_match"):
                continue  # the same code draws them all
            ends = _bootstrap(values, part["mine"].to_list())
            assert (figure["low"], figure["high"]) == pytest.approx(ends, abs=0.07)
            checked += 1
    assert checked > 25
    whole = result["metrics"]["exact_match"]["overall"]
    assert 0.1 < whole["score"] < 0.9
    assert 3 < whole["clusters"] < whole["questions"]
    assert result["overall"] == result["metrics"]["auto"]["overall"]
    taken = dict(table.group_by("metric").len().iter_rows())
    assert {"multiple_choice", "rouge_l", "anls", "relaxed_accuracy", "exact_match"} == taken.keys()
    assert table["score"].to_list() == table["auto"].to_list()


def test_another_metric_scores_the_stored_answers(place: Workspace) -> None:
    opened = open_checkpoint("a", place)
    before = evaluate_corpus(opened, place, "toy", max_new_tokens=LONGEST)
    opened = replace(opened, model=None)  # it cannot answer any more
    after = evaluate_corpus(opened, place, "toy", metric="anls", max_new_tokens=LONGEST)
    assert after["metric"] == "anls"
    assert after["metrics"]["exact_match"] == before["metrics"]["exact_match"]
    assert json.loads(Path(opened.results.at("toy.json")).read_text()) == after


def test_a_table_of_another_evaluation_is_not_used(place: Workspace) -> None:
    opened = open_checkpoint("b", place)
    whole = evaluate_corpus(opened, place, "toy", max_new_tokens=LONGEST)
    told = opened.results.read_bytes("toy.json")
    evaluate_corpus(opened, place, "toy", limit=2, max_new_tokens=LONGEST)
    opened.results.write_bytes("toy.json", told)  # as two at once may leave them
    after = evaluate_corpus(opened, place, "toy", metric="anls", max_new_tokens=LONGEST)
    assert after["overall"]["questions"] == whole["overall"]["questions"] > 2


def test_two_checkpoints_are_compared_on_the_same_questions(place: Workspace) -> None:
    a, b = (open_checkpoint(n, place) for n in "ab")
    for one in (a, b):
        evaluate_corpus(one, place, "toy", metric="exact_match,anls", max_new_tokens=LONGEST)
    found = compare_on(a, b, "toy")
    tables = [predictions(place, n, "toy").sort("sample", "turn") for n in "ab"]
    first, second = (t["exact_match"].to_numpy() for t in tables)
    one = found["metrics"]["exact_match"]
    assert one["difference"] == pytest.approx(first.mean() - second.mean())
    assert one["only_first"] == ((first == 1) & (second == 0)).sum() > 0
    assert one["only_second"] == ((first == 0) & (second == 1)).sum() > 0
    means = [t["anls"].mean() for t in tables]
    assert [found["metrics"]["anls"][k] for k in ("first", "second")] == pytest.approx(means)
    kept = Path(a.results.at("comparisons/b/toy.json"))
    assert json.loads(kept.read_text()) == found

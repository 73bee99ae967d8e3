"""Paired comparisons of two tables of predictions."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from smolmix.errors import UsageError
from smolmix.model.eval.bootstrap import mcnemar_p
from smolmix.model.eval.compare import compare


def _table(scores: Sequence[float | None], **changes: list[object]) -> pa.Table:
    count = len(scores)
    columns: dict[str, object] = {
        "sample": [f"s{i // 2}" for i in range(count)],
        "turn": [i % 2 for i in range(count)],
        "question": ["?"] * count,
        "expected": ["x"] * count,
        "media": [[f"m{i // 2}"] for i in range(count)],
        "cluster": [i // 2 for i in range(count)],
        "exact_match": scores,
    }
    return pa.table(columns | changes)


def test_a_comparison_counts_which_model_is_right() -> None:
    first, second = _table([1, 1, 1, 0, 0, 0, 1, 1]), _table([1, 0, 0, 1, 0, 0, 0, 1])
    order = np.random.default_rng(0).permutation(8)
    found = compare(first, second.take(order), "exact_match")
    counts = [found[k] for k in ("both", "only_first", "only_second", "neither")]
    assert counts == [2, 3, 1, 2]
    assert found["difference"] == pytest.approx(2 / 8)
    assert found["mcnemar_p"] == pytest.approx(mcnemar_p(3, 1))
    assert found["low"] <= found["difference"] <= found["high"]
    back = compare(second, first, "exact_match")
    assert back["difference"] == -found["difference"]
    assert back["sign_flip_p"] == found["sign_flip_p"]


def test_questions_without_a_judges_verdict_are_excluded_from_a_comparison() -> None:
    first, second = _table([1, 1, None, 0]), _table([1, 0, 1, None])
    found = compare(first, second, "exact_match")
    assert (found["questions"], found["first"], found["second"]) == (2, 1.0, 0.5)
    assert (found["both"], found["only_first"]) == (1, 1)
    with pytest.raises(UsageError, match="no question has a score of exact_match from both"):
        compare(_table([1, None]), _table([None, 1]), "exact_match")


def test_scores_between_0_and_1_have_no_mcnemar() -> None:
    found = compare(_table([0.5, 1, 0, 0.2]), _table([0.1, 1, 0, 0]), "exact_match")
    assert "mcnemar_p" not in found
    assert "both" not in found


def test_other_questions_cannot_be_compared() -> None:
    table = _table([1.0] * 4)
    with pytest.raises(UsageError, match="4 and 3, 1 in only one, such as s1 turn 1"):
        compare(table, table.slice(0, 3), "exact_match")
    other = _table([1.0] * 4, expected=["x", "x", "y", "x"])
    with pytest.raises(UsageError, match="s1 turn 0: expected was 'x' for one and 'y'"):
        compare(table, other, "exact_match")

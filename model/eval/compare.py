"""Compares two checkpoints on the same questions: how much they differ, and whether by chance."""

from typing import Any

import numpy as np
import pyarrow as pa

from smolmix.errors import UsageError
from smolmix.model.eval.bootstrap import interval, mcnemar_p, sign_flip_p

_SAME = ("sample", "turn", "question", "expected", "media")


def compare(first: pa.Table, second: pa.Table, metric: str) -> dict[str, Any]:
    """Return the paired comparison of two tables of answers to the same questions.

    Args:
        first: scored predictions, as `smolmix evaluate` writes them.
        second: those of another checkpoint, in any order.
        metric: a column of scores in both. Questions without a score in either (a judge gave no
            verdict) are excluded.

    Returns:
        `questions`, `clusters`; the mean `first`, `second` and `difference` (first - second) with
        `low` and `high`, its 95 % confidence interval resampled by medium (null with one cluster);
        `sign_flip_p` by medium; and, if every score is 0 or 1, `both`, `only_first`,
        `only_second`, `neither` and the exact `mcnemar_p`, which takes questions as independent.

    Raises:
        UsageError: the questions differ, or none has a score in both.
    """
    a, b = (_by_question(t) for t in (first, second))
    if a.keys() != b.keys():
        unpaired = sorted(a.keys() ^ b.keys())
        sample, turn = unpaired[0]
        raise UsageError(
            f"--baseline: the two did not answer the same questions: {len(a)} and {len(b)}, "
            f"{len(unpaired)} in only one, such as {sample} turn {turn}; evaluate both on "
            "the same corpus with the same --questions"
        )
    for key, row in a.items():
        for name in _SAME:
            if row[name] != b[key][name]:
                raise UsageError(
                    f"--baseline: {key[0]} turn {key[1]}: {name} was {row[name]!r} for one and "
                    f"{b[key][name]!r} for the other; evaluate both on the same curated corpus"
                )
    keys = [k for k in a if a[k][metric] is not None and b[k][metric] is not None]
    if not keys:
        raise UsageError(f"--baseline: no question has a score of {metric} from both")
    scores = np.array([[t[k][metric] for t in (a, b)] for k in keys], np.float64)
    clusters = np.array([a[k]["cluster"] for k in keys], np.int64)
    differences = scores[:, 0] - scores[:, 1]
    ends = interval(differences, clusters)
    found: dict[str, Any] = {
        "metric": metric,
        "questions": len(keys),
        "clusters": len(np.unique(clusters)),
        "first": float(scores[:, 0].mean()),
        "second": float(scores[:, 1].mean()),
        "difference": float(differences.mean()),
        "low": None if ends is None else ends[0],
        "high": None if ends is None else ends[1],
        "sign_flip_p": sign_flip_p(differences, clusters),
    }
    if np.isin(scores, (0.0, 1.0)).all():
        right = scores == 1
        found |= {
            "both": int(right.all(1).sum()),
            "only_first": int((right[:, 0] & ~right[:, 1]).sum()),
            "only_second": int((right[:, 1] & ~right[:, 0]).sum()),
            "neither": int((~right.any(1)).sum()),
        }
        found["mcnemar_p"] = mcnemar_p(found["only_first"], found["only_second"])
    return found


def _by_question(table: pa.Table) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["sample"], r["turn"]): r for r in table.to_pylist()}

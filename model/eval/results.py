"""Scores of predictions: overall and by group, each with confidence interval and baseline."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smolmix.model.eval.bootstrap import Clusters, Scores, interval
from smolmix.model.eval.choices import choice_of, options
from smolmix.model.eval.metrics import AUTO, METRICS, fitting

GROUPS = (
    "category", "subset", "modality", "kind", "answer_length", "prompt_length", "duration",
)  # fmt: skip
_WORDS = (1, 4, 16, 64)
_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192)
_SECONDS = (30, 60, 120, 180, 300, 600)  # the same buckets of clips as in mixtures


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A mean score with its 95 % confidence interval, and the baseline's on the same questions."""

    questions: int
    clusters: int  # groups of questions that share media; the interval resamples these
    score: float
    low: float | None  # None with fewer than two clusters, which have no spread
    high: float | None
    baseline: float | None  # None for a judge's verdicts, which have no baseline

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def score_of(values: Scores, clusters: Clusters, baseline: Scores | None) -> dict[str, Any]:
    """Return the fields of a `Score`.

    Args:
        values: (questions,), their scores.
        clusters: of each question.
        baseline: scores of the baseline on the same questions.
    """
    ends = interval(values, clusters)
    return Score(
        questions=len(values),
        clusters=len(np.unique(clusters)),
        score=float(values.mean()),
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        baseline=None if baseline is None else float(baseline.mean()),
    ).to_json()


def answer_length(expected: str) -> str:
    """Return the bucket of the expected answer's words."""
    return _bucket(len(expected.split()), _WORDS, "words", 1)


def prompt_length(tokens: int) -> str:
    """Return the bucket of a prompt's tokens, including those of its media."""
    return _bucket(tokens, _TOKENS, "tokens", 1)


def duration(seconds: float) -> str:
    """Return the bucket of the clips' seconds; "" without a clip."""
    return _bucket(seconds, _SECONDS, "s", 0) if seconds > 0 else ""


def question_type(expected: str) -> str:
    """Return the kind of the expected answer: yes/no, number or other, as in the VQA benchmarks."""
    answer = expected.strip().casefold()
    if answer in ("yes", "no"):
        return "yes/no"
    digits = answer.removeprefix("-").replace(".", "", 1)
    return "number" if digits.isdecimal() else "other"


def scored(table: pa.Table, metrics: Sequence[str]) -> pa.Table:
    """Return the table with the scores of every metric, for the model and the baseline.

    Args:
        table: with `category`, `question`, `expected`, `answer` and `baseline_answer`.
        metrics: keys of `METRICS`, or `auto`; the first is the primary metric.

    Returns:
        Columns `<metric>` and `baseline_<metric>` for each; and for the primary metric `metric`
        (its name; with `auto`, that of the row), `score` and `baseline_score`. `choice` is the
        option that the answer names and `choice_by` how it does, see `Choice`; both are null for
        a question without options and for an answer that names none or several.
    """
    rows = table.to_pylist()
    choices = [
        choice_of(r["answer"], listed) if (listed := options(r["question"])) else None for r in rows
    ]
    named = pa.array([c and c.letter for c in choices], pa.string())
    table = _with(table, "choice", named)
    table = _with(table, "choice_by", pa.array([c and c.how for c in choices], pa.string()))
    for name in metrics:
        taken = [
            fitting(r["category"], r["question"], r["expected"]) if name == AUTO else name
            for r in rows
        ]
        for column, source in ((name, "answer"), (f"baseline_{name}", "baseline_answer")):
            values = [
                METRICS[metric](r[source], r["expected"], r["question"])
                for metric, r in zip(taken, rows, strict=True)
            ]
            table = _with(table, column, pa.array(values, pa.float64()))
        if name == metrics[0]:
            table = _with(table, "metric", pa.array(taken, pa.string()))
            table = _with(table, "score", table[name])
            table = _with(table, "baseline_score", table[f"baseline_{name}"])
    return table


def summary(table: pa.Table, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the scores of a scored table, overall and by group.

    Returns:
        `metric`, `overall` and `by_<group>` of the primary metric, and `metrics`: those of each.
    """
    every = {
        name: {
            "overall": _score(table, name),
            **{f"by_{group}": _scores_by(table, group, name) for group in GROUPS},
        }
        for name in metrics
    }
    return {"metric": metrics[0], **every[metrics[0]], "metrics": every}


def _scores_by(table: pa.Table, group: str, name: str) -> dict[str, Any]:
    names = sorted(set(table[group].to_pylist()), key=_order)
    if group == "duration":
        names = [n for n in names if n]  # without a clip there is no duration
    return {n: _score(table.filter(pc.equal(table[group], n)), name) for n in names}


def _score(table: pa.Table, name: str) -> dict[str, Any]:
    return score_of(
        table[name].to_numpy(), table["cluster"].to_numpy(), table[f"baseline_{name}"].to_numpy()
    )


def _order(name: str) -> tuple[float, str]:
    """Sort buckets by their numbers and everything else alphabetically."""
    first = name.replace(",", "").removeprefix("over ").partition(" ")[0]
    return (int(first) + 0.5 * name.startswith("over ") if first.isdecimal() else -1.0, name)


def _bucket(value: float, ends: Sequence[int], unit: str, step: int) -> str:
    """Return the name of the bucket; `step` is 1 for integers, whose buckets do not touch."""
    low = step
    for end in ends:
        if value <= end:
            return f"{low:,} to {end:,} {unit}" if low < end else f"{end:,} {unit.rstrip('s')}"
        low = end + step
    return f"over {ends[-1]:,} {unit}"


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)

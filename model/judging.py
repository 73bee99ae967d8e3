"""A judge's verdicts beside the scores: what it extracted, how that scores, what it said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smolmix.model.judge import Ask, Judge, Verdict
from smolmix.model.scores import GROUPS, score_of
from smolmix.model.scoring import METRICS, options
from smolmix.storage import Folder, digest_json

_TOGETHER = 32  # verdicts written at once
COLUMNS = ("judge_answer", "judge_score", "judge_reply", "judge_error")


class Kept:
    """A judge's verdicts, written down as they come: whatever ends an evaluation loses few."""

    def __init__(self, results: Folder, judge: str):
        """Keep them in `results`, below the judge's name."""
        self._folder = results.child("verdicts", digest_json(judge)[:12])

    def read(self) -> dict[Ask, Verdict]:
        """Return all that are kept."""
        return {
            Ask(
                question=one["question"],
                answer=one["answer"],
                options=tuple((key, words) for key, words in one["options"]),
            ): Verdict(answer=one["verdict"], reply=one["reply"])
            for name in self._folder.names(".json")
            for one in self._folder.read_json(name)
        }

    def write(self, found: Mapping[Ask, Verdict]) -> None:
        """Add verdicts; failures are left out, since they are asked for again."""
        rows = [
            {
                "question": ask.question,
                "answer": ask.answer,
                "options": ask.options,
                "verdict": verdict.answer,
                "reply": verdict.reply,
            }
            for ask, verdict in found.items()
            if verdict.answer is not None
        ]
        if rows:
            self._folder.write_json(f"{digest_json(rows)}.json", rows)


def _asked(judge: Judge, asks: Sequence[Ask], kept: Kept) -> dict[Ask, Verdict]:
    """Return the judge's verdicts, keeping each few dozen as soon as they are there."""
    found: dict[Ask, Verdict] = {}
    new: dict[Ask, Verdict] = {}
    try:
        for ask, verdict in zip(asks, judge.verdicts(asks), strict=True):
            new[ask] = found[ask] = verdict
            if len(new) == _TOGETHER:
                kept.write(new)
                new = {}
    finally:
        kept.write(new)
    return found


def judged(table: pa.Table, judge: Judge, kept: Kept) -> tuple[pa.Table, dict[str, Any]]:
    """Return the table with the judge's columns, and the scores of what it extracted.

    An answer is extracted without sight of the expected one and then scored by the row's own
    metric. Where the judge gave no verdict, answer and score are null, the error says why, and the
    row is counted in `failed` and left out of the judge's scores.

    Args:
        table: scored.
        judge: is asked once for each distinct question and answer.
        kept: verdicts of earlier calls, which are not asked for again; new ones are added.

    Returns:
        The table; and `name`, `judged`, `failed`, `errors` (how often each), `overall` and
        `by_<group>`, the last two null or empty where no verdict was given.
    """
    asks = [_ask(r) for r in table.select(["question", "answer"]).to_pylist()]
    known = kept.read()
    new = [a for a in dict.fromkeys(asks) if a not in known]
    verdicts = known | _asked(judge, new, kept)
    rows = table.select(["metric", "expected", "question"]).to_pylist()
    given = [verdicts[a] for a in asks]
    values = [
        None if v.answer is None else METRICS[r["metric"]](v.answer, r["expected"], r["question"])
        for v, r in zip(given, rows, strict=True)
    ]
    columns = (
        pa.array([v.answer for v in given], pa.string()),
        pa.array(values, pa.float64()),
        pa.array([v.reply for v in given], pa.string()),
        pa.array([v.error for v in given], pa.string()),
    )
    for name, column in zip(COLUMNS, columns, strict=True):
        table = table.append_column(name, column)
    whole = table.filter(pc.is_valid(table["judge_score"]))
    errors = Counter(v.error for v in given if v.answer is None)
    return table, {
        "name": judge.name,
        "judged": whole.num_rows,
        "failed": table.num_rows - whole.num_rows,
        "errors": dict(sorted(errors.items())),
        "overall": _score(whole) if whole.num_rows else None,
        **{f"by_{group}": _by(whole, group) for group in GROUPS},
    }


def without_verdicts(table: pa.Table) -> pa.Table:
    """Return the table without a judge's columns."""
    return table.drop_columns([c for c in COLUMNS if c in table.column_names])


def _ask(row: Mapping[str, Any]) -> Ask:
    listed = tuple(options(row["question"]).items())
    return Ask(question=row["question"], answer=row["answer"], options=listed)


def _score(table: pa.Table) -> dict[str, Any]:
    values = table["judge_score"].to_numpy().astype(np.float64)
    return score_of(values, table["cluster"].to_numpy(), None)


def _by(table: pa.Table, group: str) -> dict[str, Any]:
    names = sorted({n for n in table[group].to_pylist() if n or group != "duration"})
    return {n: _score(table.filter(pc.equal(table[group], n))) for n in names}

"""Answers held-out samples by generation and scores them, beside the question-only baseline."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.model.baseline import QuestionOnly
from smolmix.model.generate import generate
from smolmix.model.prompts import Prompt, prompts, tiles_of
from smolmix.profiles import Profile
from smolmix.sample import Sample, from_table
from smolmix.storage import Workspace, part_files
from smolmix.tokenize import tokenizer

_BATCH = 96
_RESAMPLES = 1000


def exact_match(answer: str, expected: str) -> float:
    """Return 1 where the answer is the expected one, spaces around and case aside."""
    return float(answer.strip().casefold() == expected.strip().casefold())


METRICS: dict[str, Callable[[str, str], float]] = {"exact_match": exact_match}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A mean with its 95 % bootstrap interval, and the baseline's on the same questions."""

    questions: int
    score: float
    low: float
    high: float
    baseline: float

    def to_json(self) -> dict[str, float]:
        """Return plain values."""
        return {
            "questions": self.questions, "score": self.score, "low": self.low, "high": self.high,
            "baseline": self.baseline,
        }  # fmt: skip


def samples_of(workspace: Workspace, corpus: str, split: str) -> Iterator[Sample]:
    """Yield the curated samples of a corpus's split.

    Raises:
        IncompleteError: the corpus is not curated.
    """
    folder = workspace.curated(corpus)
    for name in part_files(folder):
        with folder.open(name) as stream:
            table = pq.read_table(stream, filters=[("split", "=", split)])
        yield from from_table(table, where=f"curated/{corpus}/{name}")


def interval(values: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the mean."""
    if not len(values):
        return 0.0, 0.0
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, len(values)).mean() for _ in range(_RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def question_type(prompt: Prompt) -> str:
    """Return the kind of answer asked for: yes/no, number or other; after the VQA benchmarks."""
    answer = prompt.expected.strip().casefold()
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.replace(".", "", 1).isdigit() else "other"


def evaluate(
    model: Any,
    profile: Profile,
    workspace: Workspace,
    corpus: str,
    *,
    limit: int | None = None,
    max_new_tokens: int = 16,
    metric: str = "exact_match",
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[dict[str, Any], pa.Table]:
    """Return the scores of a corpus's held-out questions, and every prediction.

    Args:
        model: a SmolVLM, on its device.
        profile: as it was trained with.
        workspace: holds the curated corpus and its media.
        corpus: its id.
        limit: answer this many questions, spread evenly.
        max_new_tokens: longest answer.
        metric: a key of `METRICS`.
        watch: is told how many questions of how many are answered.

    Returns:
        Scores: overall, by category, by subset, by kind of answer; and a table with a row a
        question.

    Raises:
        DataError: the corpus has no held-out samples.
        IncompleteError: it is not curated.
    """
    vocabulary = tokenizer.load(profile.chat.tokenizer)
    asked = list(prompts(list(samples_of(workspace, corpus, "heldout")), profile, vocabulary))
    if not asked:
        raise DataError(f"{corpus}: no held-out samples; evaluate a corpus that has them")
    if limit is not None and limit < len(asked):
        asked = [asked[i] for i in np.linspace(0, len(asked) - 1, limit, dtype=int)]
    baseline = QuestionOnly(samples_of(workspace, corpus, "train"))
    said = _answers(model, asked, profile, workspace, vocabulary, max_new_tokens, watch)
    score = METRICS[metric]
    rows = [
        {
            "sample": p.sample, "turn": p.turn, "category": p.category, "subset": p.subset,
            "kind": question_type(p), "question": p.question, "expected": p.expected,
            "answer": a, "score": score(a, p.expected), "baseline_answer": b,
            "baseline_score": score(b, p.expected),
        }
        for p, a in zip(asked, said, strict=True)
        for b in (baseline.answer(p),)
    ]  # fmt: skip
    table = pa.Table.from_pylist(rows)
    result: dict[str, Any] = {"corpus": corpus, "metric": metric, "overall": _score(table)}
    for key in ("category", "subset", "kind"):
        names = sorted(set(table[key].to_pylist()))
        result[f"by_{key}"] = {n: _score(_where(table, key, n)) for n in names}
    return result, table


def _where(table: pa.Table, key: str, value: str) -> pa.Table:
    return table.filter(pc.equal(table[key], value))


def _score(table: pa.Table) -> dict[str, float]:
    scores = table["score"].to_numpy()
    low, high = interval(scores)
    return Score(
        questions=len(scores),
        score=float(scores.mean()),
        low=low,
        high=high,
        baseline=float(table["baseline_score"].to_numpy().mean()),
    ).to_json()


def _answers(
    model: Any,
    asked: Sequence[Prompt],
    profile: Profile,
    workspace: Workspace,
    vocabulary: tokenizer.Vocabulary,
    max_new_tokens: int,
    watch: Callable[[int, int], None],
) -> list[str]:
    """Answer all prompts, those of like length together."""
    reader = MediaReader(workspace)
    tiles = {}
    said = [""] * len(asked)
    for prompt in asked:  # media in the order in which they lie
        key = tuple(m.digest for m in prompt.media)
        if key not in tiles:
            tiles[key] = tiles_of(prompt, reader, profile.pixel)
    order = sorted(range(len(asked)), key=lambda i: len(asked[i].input_ids))
    model.eval()
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        out = generate(
            model,
            [asked[i].input_ids for i in batch],
            [tiles[tuple(m.digest for m in asked[i].media)] for i in batch],
            max_new_tokens=max_new_tokens,
        )
        for at, ids in zip(batch, out, strict=True):
            said[at] = vocabulary.decode(ids, skip_special=True).strip()
        watch(min(start + _BATCH, len(order)), len(order))
    return said

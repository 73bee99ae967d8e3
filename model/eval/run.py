"""Evaluates an opened checkpoint on a corpus and keeps the result beside the run.

`evaluation/<corpus>.parquet` has a row a question with every prediction, `<corpus>.json` the
scores. Answers are kept from one call to the next: another metric or a judge scores them anew
without asking the model again.
"""

import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.curated import read_samples
from smolmix.errors import DataError
from smolmix.model.eval.baseline import QuestionOnly
from smolmix.model.eval.bootstrap import clusters_of
from smolmix.model.eval.compare import compare
from smolmix.model.eval.generate import Batching, Watch, answers
from smolmix.model.eval.judge import Judge, Kept, judged, without_verdicts
from smolmix.model.eval.load import Opened
from smolmix.model.eval.metrics import AUTO, METRICS, metric_names
from smolmix.model.eval.prompts import Prompt, prompts
from smolmix.model.eval.results import (
    answer_length,
    duration,
    prompt_length,
    question_type,
    scored,
    summary,
)
from smolmix.profiles import Profile
from smolmix.sample import Media, Sample
from smolmix.storage import Folder, digest_json
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace, stage_record

MAX_NEW_TOKENS = 16
VERSION = 3  # raise it when prompts, scores or groups change

_ANSWERS = "smolmix.answers"  # of which weights, questions and corpus a table is


def evaluate_corpus(
    opened: Opened,
    workspace: Workspace,
    corpus: str,
    *,
    limit: int | None = None,
    metric: str = "exact_match",
    max_new_tokens: int = MAX_NEW_TOKENS,
    batching: Batching | None = None,
    judge: Judge | None = None,
) -> dict[str, Any]:
    """Return a corpus's scores; a result that is there for the same weights and data is reused.

    Args:
        opened: the checkpoint.
        workspace: holds the curated corpus.
        corpus: its id.
        limit: answer this many questions, spread evenly.
        metric: names of `smolmix.model.eval.metrics`, or `auto`, separated by commas; the first is
            the one of `overall` and `by_…`; exact match is always among `metrics`.
        max_new_tokens: longest answer.
        batching: how much goes through the model at once; changes no answer.
        judge: extracts the answers, for scores of its own under `judge`.

    Raises:
        UsageError: a metric is unknown, or the judge cannot be used as asked.
        DataError: the corpus is not curated, or has no held-out samples.
    """
    metrics = metric_names(metric)
    data = stage_record(workspace.curated(corpus)).digest
    answered = digest_json([VERSION, opened.digest, data, limit, max_new_tokens])
    key = digest_json([answered, metrics, judge.name if judge else None])
    name = f"{corpus}.json"
    before = opened.results.read_json(name) if opened.results.exists(name) else {}
    lost = before.get("judge", {}).get("failed", 0)
    if before.get("key") == key and not lost:
        return dict(before)
    kept = predictions(opened.results, corpus) if before.get("answers") == answered else None
    if kept is not None and _told_by(kept) == answered:
        table = kept
    else:
        table = answer_corpus(
            opened.model, opened.profile, workspace, corpus, limit=limit,
            max_new_tokens=max_new_tokens, batching=batching, watch=_tell,
        )  # fmt: skip
    table = scored(without_verdicts(table), metrics)
    result = {
        "corpus": corpus,
        "checkpoint": opened.name,
        "answers": answered,
        **summary(table, metrics),
    }
    if judge is not None:
        _write(opened.results, corpus, table, result)  # the answers outlive a judge that fails
        table, result["judge"] = judged(table, judge, Kept(opened.results, judge.name))
    result["key"] = key
    _write(opened.results, corpus, table, result)
    return result


def compare_on(first: Opened, second: Opened, corpus: str) -> dict[str, Any]:
    """Return the paired comparison of two evaluations of a corpus, one entry a metric.

    It is kept beside the first run, as `evaluation/against/<second>/<corpus>.json`.

    Raises:
        UsageError: they did not answer the same questions.
        DataError: one was not evaluated on the corpus.
    """
    a, b = (predictions(one.results, corpus) for one in (first, second))
    both = set(a.column_names) & set(b.column_names)
    shared = [
        m for m in (*METRICS, AUTO, "judge_score")
        if m in both and all(t[m].null_count < t.num_rows for t in (a, b))
    ]  # fmt: skip
    found = {
        "corpus": corpus,
        "first": first.name,
        "second": second.name,
        "metrics": {m: compare(a, b, m) for m in shared},
    }
    folder = first.results.child("against", second.results.path.rsplit("/", 2)[-2])
    folder.write_json(f"{corpus}.json", found)
    return found


def predictions(results: Folder, corpus: str) -> pa.Table:
    """Return the table of answers that an evaluation wrote.

    Raises:
        DataError: it is not there.
    """
    if not results.exists(f"{corpus}.parquet"):
        raise DataError(f"{results.at(corpus)}.parquet: no such file; `smolmix evaluate` writes it")
    with results.open(f"{corpus}.parquet") as stream:
        return pq.read_table(stream)


def _told_by(table: pa.Table) -> str:
    """Return what a table says of itself: two evaluations at once may leave one's table here."""
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    return metadata.get(_ANSWERS.encode(), b"").decode()


def _write(results: Folder, corpus: str, table: pa.Table, result: dict[str, Any]) -> None:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({_ANSWERS: result["answers"]})
    pq.write_table(table, sink, compression="zstd")
    results.remove(f"{corpus}.json")  # written last: it says what the table holds
    results.write_bytes(f"{corpus}.parquet", sink.getvalue().to_pybytes())
    results.write_json(f"{corpus}.json", result)


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if done == total else ""
        print(f"\r{done} of {total} questions answered", end=end, file=sys.stderr, flush=True)


def held_out(
    workspace: Workspace,
    corpus: str,
    profile: Profile,
    vocabulary: tokenizer.Vocabulary,
    limit: int | None = None,
) -> tuple[list[Prompt], list[Sample]]:
    """Return the questions to answer, at most `limit` spread evenly, and each one's sample.

    Raises:
        DataError: the corpus has no held-out samples.
        IncompleteError: it is not curated.
    """
    samples = list(read_samples(workspace.curated(corpus), split="heldout"))
    asked = list(prompts(samples, profile, vocabulary))
    if not asked:
        raise DataError(f"{corpus}: no held-out samples; evaluate a corpus that has them")
    if limit is not None and limit < len(asked):
        asked = [asked[i] for i in np.linspace(0, len(asked) - 1, limit, dtype=int)]
    by_id = {s.id: s for s in samples}
    return asked, [by_id[p.sample] for p in asked]


def answer_corpus(
    model: Any,
    profile: Profile,
    workspace: Workspace,
    corpus: str,
    *,
    limit: int | None = None,
    max_new_tokens: int = MAX_NEW_TOKENS,
    batching: Batching | None = None,
    watch: Watch = lambda _done, _all: None,
) -> pa.Table:
    """Return a row a held-out question: what it is about, what was expected and what was said.

    Args:
        model: a SmolVLM, on its device.
        profile: as it was trained with.
        workspace: holds the curated corpus and its media.
        corpus: its id.
        limit: answer this many questions, spread evenly.
        max_new_tokens: longest answer.
        batching: how much goes through the model at once.
        watch: is told how many questions of how many are answered.

    Raises:
        DataError: the corpus has no held-out samples.
        IncompleteError: it is not curated.
    """
    vocabulary = tokenizer.load(profile.chat.tokenizer)
    asked, samples = held_out(workspace, corpus, profile, vocabulary, limit)
    baseline = QuestionOnly(read_samples(workspace.curated(corpus), split="train"))
    said = answers(
        model, asked, profile, workspace, vocabulary,
        max_new_tokens=max_new_tokens, batching=batching, watch=watch,
    )  # fmt: skip
    media = [[_name(m) for m in p.media] for p in asked]
    shared = clusters_of([[p.sample, *m] for p, m in zip(asked, media, strict=True)])
    rows = [
        {
            "sample": prompt.sample,
            "turn": prompt.turn,
            "category": prompt.category,
            "subset": prompt.subset,
            "modality": sample.modality,
            "kind": question_type(prompt.expected),
            "answer_length": answer_length(prompt.expected),
            "prompt_length": prompt_length(len(prompt.input_ids)),
            "duration": duration(sample.duration_s),
            "question": prompt.question,
            "expected": prompt.expected,
            "answer": answer,
            "baseline_answer": baseline.answer(prompt),
            "prompt_tokens": len(prompt.input_ids),
            "duration_s": sample.duration_s,
            "media": names,
            "cluster": int(cluster),
        }
        for prompt, sample, answer, names, cluster in zip(
            asked, samples, said, media, shared, strict=True
        )
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _name(media: Media) -> str:
    """Return what tells a medium from others: its digest, or its place where it has none."""
    return media.digest or repr(media.refs)


_SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("turn", pa.int32()),  # which of the sample's answers
        ("category", pa.string()),
        ("subset", pa.string()),
        ("modality", pa.string()),
        ("kind", pa.string()),
        ("answer_length", pa.string()),
        ("prompt_length", pa.string()),
        ("duration", pa.string()),  # bucket of the clips' seconds; "" without one
        ("question", pa.string()),
        ("expected", pa.string()),
        ("answer", pa.string()),
        ("baseline_answer", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("duration_s", pa.float64()),
        ("media", pa.list_(pa.string())),  # digests, as shown
        ("cluster", pa.int64()),  # equal where questions share a medium or a sample
    ]
)

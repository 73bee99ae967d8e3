"""Evaluates a checkpoint on a corpus's held-out questions, and keeps the result with the run.

`evaluation/<corpus>.parquet` has a row a question with the prediction and its scores,
`<corpus>.json` the scores by group, `comparisons/<other run>/<corpus>.json` a comparison. Answers
are kept from call to call: another metric or a judge scores them without running the model again.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.curated import read_samples
from smolmix.errors import DataError
from smolmix.model.eval.baseline import QuestionOnly
from smolmix.model.eval.bootstrap import clusters_of
from smolmix.model.eval.compare import compare
from smolmix.model.eval.generate import Batching, Watch, answer_prompts
from smolmix.model.eval.judge import Judge, SavedVerdicts, judged, without_verdicts
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
from smolmix.model.train.run_record import predictions_file, read_predictions, scores_file
from smolmix.profiles import Profile
from smolmix.progress import Meter, progress
from smolmix.sample import Media, Sample
from smolmix.storage import Folder, digest_json
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace, stage_record

MAX_NEW_TOKENS = 16
VERSION = 4  # raise it when prompts, scores or groups change

_ANSWERS = "smolmix.answers"  # key of a table's metadata: identity of weights, questions, corpus


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
    quiet: bool = False,
) -> dict[str, Any]:
    """Return a corpus's scores, stored ones if weights, data and options are the same.

    Args:
        opened: the checkpoint.
        workspace: holds the curated corpus.
        corpus: its id.
        limit: answer this many questions, spread evenly.
        metric: metrics of `smolmix.model.eval.metrics`, or `auto`, separated by commas. The first
            is the primary metric, that of `overall` and `by_…`; `exact_match` is always computed.
        max_new_tokens: longest answer.
        batching: how much goes through the model at once; changes no answer.
        judge: extracts the answers, for scores of its own under `judge`.
        quiet: show no progress.

    Returns:
        `corpus`, `checkpoint`, `answers` and `key` (identities of the answers and of the result),
        what `summary` returns, and `judge`.

    Raises:
        UsageError: a metric is unknown, or the judge cannot be used.
        DataError: the corpus is not curated, or has no held-out samples.
    """
    metrics = metric_names(metric)
    data = stage_record(workspace.curated(corpus)).digest
    answers = digest_json([VERSION, opened.digest, data, limit, max_new_tokens])
    key = digest_json([answers, metrics, judge.name if judge else None])
    results, name = opened.results, scores_file(corpus)
    stored = results.read_json(name) if results.exists(name) else {}
    failed = stored.get("judge", {}).get("failed", 0)
    if stored.get("key") == key and not failed:
        return dict(stored)
    table = read_predictions(results, corpus) if stored.get("answers") == answers else None
    if table is None or _answers_of(table) != answers:
        with _progress(f"evaluate {corpus}", quiet=quiet) as watch:
            table = answer_corpus(
                opened.model, opened.profile, workspace, corpus, limit=limit,
                max_new_tokens=max_new_tokens, batching=batching, watch=watch,
            )  # fmt: skip
    table = scored(without_verdicts(table), metrics)
    result = {
        "corpus": corpus,
        "checkpoint": opened.name,
        "answers": answers,
        **summary(table, metrics),
    }
    if judge is not None:
        _write(results, corpus, table, result)  # so that a failing judge loses no answer
        table, result["judge"] = judged(table, judge, SavedVerdicts(results, judge.name))
    result["key"] = key
    _write(results, corpus, table, result)
    return result


def compare_on(first: Opened, second: Opened, corpus: str) -> dict[str, Any]:
    """Return the paired comparison of two evaluations of a corpus, one entry a metric.

    It is kept with the first run, in `evaluation/comparisons/<second>/<corpus>.json`.

    Raises:
        UsageError: they did not answer the same questions.
        DataError: one was not evaluated on the corpus.
    """
    a, b = (read_predictions(one.results, corpus) for one in (first, second))
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
    folder = first.results.child("comparisons", second.results.path.rsplit("/", 2)[-2])
    folder.write_json(scores_file(corpus), found)
    return found


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
    """Return a row for each held-out question: its groups, the expected answer and the model's.

    Args:
        model: a SmolVLM, on its device.
        profile: as the model was trained with.
        workspace: holds the curated corpus and its media.
        corpus: its id.
        limit: answer this many questions, spread evenly.
        max_new_tokens: longest answer.
        batching: how much goes through the model at once.
        watch: called with how many questions, of how many, are answered.

    Raises:
        DataError: the corpus has no held-out samples.
        IncompleteError: it is not curated.
    """
    vocabulary = tokenizer.load(profile.chat.tokenizer)
    questions, samples = held_out(workspace, corpus, profile, vocabulary, limit)
    baseline = QuestionOnly(read_samples(workspace.curated(corpus), split="train"))
    texts = answer_prompts(
        model, questions, profile, workspace, vocabulary,
        max_new_tokens=max_new_tokens, batching=batching, watch=watch,
    )  # fmt: skip
    media = [[_identity(m) for m in p.media] for p in questions]
    clusters = clusters_of([[p.sample, *m] for p, m in zip(questions, media, strict=True)])
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
            questions, samples, texts, media, clusters, strict=True
        )
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


_SCHEMA = pa.schema(
    [
        ("sample", pa.string()),
        ("turn", pa.int32()),  # which of the sample's answers, from 0
        ("category", pa.string()),
        ("subset", pa.string()),
        ("modality", pa.string()),
        ("kind", pa.string()),  # yes/no, number or other
        ("answer_length", pa.string()),  # bucket of the expected answer's words
        ("prompt_length", pa.string()),  # bucket of the prompt's tokens
        ("duration", pa.string()),  # bucket of the clips' seconds; "" without a clip
        ("question", pa.string()),
        ("expected", pa.string()),
        ("answer", pa.string()),
        ("baseline_answer", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("duration_s", pa.float64()),
        ("media", pa.list_(pa.string())),  # digests, as shown
        ("cluster", pa.int64()),  # equal for questions that share a medium or a sample
    ]
)


def held_out(
    workspace: Workspace,
    corpus: str,
    profile: Profile,
    vocabulary: tokenizer.Vocabulary,
    limit: int | None = None,
) -> tuple[list[Prompt], list[Sample]]:
    """Return the held-out questions, at most `limit` spread evenly, and the sample of each.

    Raises:
        DataError: the corpus has no held-out samples.
        IncompleteError: it is not curated.
    """
    samples = list(read_samples(workspace.curated(corpus), split="heldout"))
    questions = list(prompts(samples, profile, vocabulary))
    if not questions:
        raise DataError(f"{corpus}: no held-out samples; evaluate a corpus that has them")
    if limit is not None and limit < len(questions):
        questions = [questions[i] for i in np.linspace(0, len(questions) - 1, limit, dtype=int)]
    by_id = {s.id: s for s in samples}
    return questions, [by_id[p.sample] for p in questions]


def _identity(media: Media) -> str:
    """Return what distinguishes a medium from others: its digest, or its place without one."""
    return media.digest or repr(media.refs)


def _answers_of(table: pa.Table) -> str:
    """Return the identity of a table's answers, which another evaluation may have overwritten."""
    metadata: dict[bytes, bytes] = table.schema.metadata or {}
    return metadata.get(_ANSWERS.encode(), b"").decode()


def _write(results: Folder, corpus: str, table: pa.Table, result: dict[str, Any]) -> None:
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({_ANSWERS: result["answers"]})
    pq.write_table(table, sink, compression="zstd")
    results.remove(scores_file(corpus))  # written last, since it describes the table
    results.write_bytes(predictions_file(corpus), sink.getvalue().to_pybytes())
    results.write_json(scores_file(corpus), result)


@contextmanager
def _progress(title: str, *, quiet: bool) -> Iterator[Watch]:
    """Show the questions that are answered; their number is known at the first call."""
    meter: Meter | None = None
    with ExitStack() as shown:

        def watch(done: int, total: int) -> None:
            nonlocal meter
            if meter is None:
                bar = progress(title, total, unit="questions", quiet=quiet)
                meter = shown.enter_context(bar)
            meter.advance(done - meter.done)

        yield watch

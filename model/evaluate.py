"""Answers held-out samples by generation, beside the question-only baseline."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError
from smolmix.model.answering import Batching, Watch, answers
from smolmix.model.baseline import QuestionOnly
from smolmix.model.prompts import Prompt, prompts
from smolmix.model.resampling import clusters_of
from smolmix.model.scores import answer_length, duration, prompt_length, question_type
from smolmix.profiles import Profile
from smolmix.sample import Media, Sample, from_table
from smolmix.storage import Workspace, part_files
from smolmix.tokenize import tokenizer

MAX_NEW_TOKENS = 16


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
    samples = list(samples_of(workspace, corpus, "heldout"))
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
    baseline = QuestionOnly(samples_of(workspace, corpus, "train"))
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

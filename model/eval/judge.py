"""Judges: language models that extract the answer from free text, for a second score.

A judge sees the question and the model's answer, never the expected one; what it extracts is scored
by the question's own metric. It is a chat endpoint with OpenAI's protocol, or a text-only
checkpoint on this machine. Verdicts are kept next to the results and never requested twice.

Source: VLMEvalKit's answer extraction, arXiv 2407.11691 §3.2; the prompts are ours.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import requests

from smolmix.errors import UsageError
from smolmix.http import Retry, TryAgainError, is_busy, retry_after
from smolmix.model.eval.choices import expected_option, options
from smolmix.model.eval.metrics import METRICS
from smolmix.model.eval.results import GROUPS, score_of
from smolmix.storage import Folder, digest_json

KEY_VARIABLE = "SMOLMIX_JUDGE_KEY"  # read when a request is made; written nowhere
REPLY_TOKENS = 256
COLUMNS = ("judge_answer", "judge_score", "judge_reply", "judge_error")

_SAVED_AT_ONCE = 32  # verdicts in a file
_LOGGED_CHARACTERS = 2000  # of a reply that is not an answer
_RETRY = Retry(attempts=4, first_wait_s=1.0, longest_wait_s=60.0)
_ANSWER = re.compile(r"^\W*(?:final )?answer\W*:[*\s]*(\S.*?)[*\s]*$", re.IGNORECASE | re.MULTILINE)
_NONE = "none"
_OPEN = (
    "Somebody answered a question about something they were shown. Find the answer in what they "
    "said and copy it, as short as it can be: a word, a name, a number. Do not answer the question "
    "yourself and do not correct them.\n\nQuestion: {question}\n\nWhat they said: {answer}\n\n"
    "Reply with one line, `Answer: ` and what you found, or `Answer: none` if it holds no answer."
)
_CHOICE = (
    "Somebody answered a question by choosing one of its options. Find which option they meant, "
    "even where they put it in other words. Do not answer the question yourself and do not "
    "correct them.\n\nQuestion: {question}\n\nOptions:\n{options}\n\nWhat they said: {answer}\n\n"
    "Reply with one line, `Answer: ` and the option's letter, or `Answer: none` if they chose none."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeQuestion:
    """One question to the judge: which answer does this text give?"""

    question: str
    answer: str  # the evaluated model's
    options: tuple[tuple[str, str], ...] = ()  # letter and words, if the question lists them

    def prompt(self) -> str:
        """Return the judge's prompt."""
        if not self.options:
            return _OPEN.format(question=self.question, answer=self.answer)
        listed = "\n".join(f"{key}. {words}" for key, words in self.options)
        return _CHOICE.format(question=self.question, options=listed, answer=self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge extracted."""

    answer: str | None  # "": the text gives no answer; None: the judge gave no verdict
    reply: str = ""  # as received; the last one after retries
    error: str = ""  # why there is no verdict


class Judge(Protocol):
    """Anything that gives a verdict on each question."""

    name: str  # verdicts are kept under it

    def verdicts(self, questions: Sequence[JudgeQuestion]) -> Iterator[Verdict]:
        """Yield a verdict on each question, in order, as they arrive."""


def open_judge(where: str, model: str | None = None) -> Judge:
    """Return the judge at a URL, or of a checkpoint folder.

    Args:
        where: the URL above `/chat/completions`, or a folder in transformers' format.
        model: its name at the URL; None for the only one that it serves.

    Raises:
        UsageError: there is no usable judge.
    """
    if where.startswith(("http://", "https://")):
        return EndpointJudge(where, model=model)
    if model is not None:
        raise UsageError(f"--judge-model {model}: only a URL serves models by name")
    if not Path(where).is_dir():
        raise UsageError(
            f"--judge {where}: no such folder; name a folder, or a URL that begins with http"
        )
    return LocalJudge(where)


def judged(
    table: pa.Table, judge: Judge, saved: "SavedVerdicts"
) -> tuple[pa.Table, dict[str, Any]]:
    """Return the table with the judge's columns, and the scores of the answers it extracted.

    Where the judge gave no verdict, answer and score are null, the error says why, and the row is
    counted in `failed` and excluded from the judge's scores.

    Args:
        table: scored predictions.
        judge: receives each distinct pair of question and answer once.
        saved: verdicts of earlier calls, which are not requested again; new ones are added.

    Returns:
        The table; and `name`, `judged`, `failed`, `errors` (how often each occurred), `overall` and
        `by_<group>`, the last two null or empty if there is no verdict.
    """
    questions = [_judge_question(r) for r in table.select(["question", "answer"]).to_pylist()]
    known = saved.read()
    new = [q for q in dict.fromkeys(questions) if q not in known]
    verdicts = known | _request(judge, new, saved)
    rows = table.select(["metric", "expected", "question"]).to_pylist()
    given = [verdicts[q] for q in questions]
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
    with_verdict = table.filter(pc.is_valid(table["judge_score"]))
    errors = Counter(v.error for v in given if v.answer is None)
    return table, {
        "name": judge.name,
        "judged": with_verdict.num_rows,
        "failed": table.num_rows - with_verdict.num_rows,
        "errors": dict(sorted(errors.items())),
        "overall": _score(with_verdict) if with_verdict.num_rows else None,
        **{f"by_{group}": _scores_by(with_verdict, group) for group in GROUPS},
    }


def without_verdicts(table: pa.Table) -> pa.Table:
    """Return the table without a judge's columns."""
    return table.drop_columns([c for c in COLUMNS if c in table.column_names])


def _judge_question(row: Mapping[str, Any]) -> JudgeQuestion:
    listed = tuple(options(row["question"]).items())
    return JudgeQuestion(question=row["question"], answer=row["answer"], options=listed)


def _score(table: pa.Table) -> dict[str, Any]:
    values = table["judge_score"].to_numpy().astype(np.float64)
    return score_of(values, table["cluster"].to_numpy(), None)


def _scores_by(table: pa.Table, group: str) -> dict[str, Any]:
    names = sorted({n for n in table[group].to_pylist() if n or group != "duration"})
    return {n: _score(table.filter(pc.equal(table[group], n))) for n in names}


class SavedVerdicts:
    """A judge's verdicts on disk, saved as they arrive: an interrupted evaluation loses few."""

    def __init__(self, results: Folder, judge: str):
        """Open the folder of a judge's verdicts.

        Args:
            results: of the checkpoint's evaluations.
            judge: its name.
        """
        self._folder = results.child("verdicts", digest_json(judge)[:12])

    def read(self) -> dict[JudgeQuestion, Verdict]:
        """Return all saved verdicts."""
        return {
            JudgeQuestion(
                question=one["question"],
                answer=one["answer"],
                options=tuple((key, words) for key, words in one["options"]),
            ): Verdict(answer=one["verdict"], reply=one["reply"])
            for name in self._folder.names(".json")
            for one in self._folder.read_json(name)
        }

    def write(self, found: Mapping[JudgeQuestion, Verdict]) -> None:
        """Add verdicts, except failures, which are requested again."""
        rows = [
            {
                "question": question.question,
                "answer": question.answer,
                "options": question.options,
                "verdict": verdict.answer,
                "reply": verdict.reply,
            }
            for question, verdict in found.items()
            if verdict.answer is not None
        ]
        if rows:
            self._folder.write_json(f"{digest_json(rows)}.json", rows)


def _request(
    judge: Judge, questions: Sequence[JudgeQuestion], saved: SavedVerdicts
) -> dict[JudgeQuestion, Verdict]:
    """Return the judge's verdicts, saving each few dozen as soon as they are available."""
    found: dict[JudgeQuestion, Verdict] = {}
    unsaved: dict[JudgeQuestion, Verdict] = {}
    try:
        for question, verdict in zip(questions, judge.verdicts(questions), strict=True):
            unsaved[question] = found[question] = verdict
            if len(unsaved) == _SAVED_AT_ONCE:
                saved.write(unsaved)
                unsaved = {}
    finally:
        saved.write(unsaved)
    return found


def read_reply(reply: str, question: JudgeQuestion) -> Verdict:
    """Return the verdict in a reply; a reply without an `Answer:` line has none."""
    lines = _ANSWER.findall(reply)
    if not lines:
        return Verdict(answer=None, reply=reply, error="no answer line")
    found = lines[-1].strip("`\"' ")
    if found.casefold().rstrip(".") == _NONE:
        return Verdict(answer="", reply=reply)
    if not question.options:
        return Verdict(answer=found, reply=reply)
    letter = expected_option(found, dict(question.options))
    if letter is None:
        return Verdict(answer=None, reply=reply, error="no such option")
    return Verdict(answer=letter, reply=reply)


class _RefusedError(Exception):
    """This one request is wrong, such as a prompt too long; another may be right."""

    def __init__(self, reason: str, reply: str):
        super().__init__(reason)
        self.reason, self.reply = reason, reply


class EndpointJudge:
    """A chat endpoint that speaks OpenAI's protocol."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        retry: Retry = _RETRY,
        timeout_s: float = 60.0,
        workers: int = 8,
    ):
        """Open an endpoint.

        Args:
            url: the address above `/chat/completions`, http or https, without credentials; a key
                goes into `SMOLMIX_JUDGE_KEY`.
            model: its name there; None for the only one that it serves.
            retry: how often a question is tried, and the waits in between.
            timeout_s: of a request.
            workers: requests at the same time.

        Raises:
            UsageError: the address contains credentials, or no model was named and the endpoint
                does not serve exactly one.
        """
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query:
            raise UsageError(
                f"--judge {parts.scheme}://{parts.hostname}: credentials or a query in the "
                f"address, which results would keep; put the key into {KEY_VARIABLE}"
            )
        self._url = url.rstrip("/").removesuffix("/chat/completions")
        self._retry, self._timeout_s, self._workers = retry, timeout_s, workers
        self._model = model or self._only_model()
        self.name = f"{self._url} {self._model}"

    def verdicts(self, questions: Sequence[JudgeQuestion]) -> Iterator[Verdict]:
        """Yield a verdict on each question; one without an answer if all attempts fail.

        Raises:
            UsageError: the endpoint refuses the key or has no such model or address.
        """
        pool = ThreadPoolExecutor(self._workers)
        try:
            yield from pool.map(self._verdict, questions)
        finally:
            pool.shutdown(cancel_futures=True)  # an interrupted evaluation sends no more requests

    def _verdict(self, question: JudgeQuestion) -> Verdict:
        def attempt() -> Verdict:
            found = read_reply(self._reply(question.prompt()), question)
            if found.answer is None:
                raise TryAgainError(found.error, reply=found.reply)
            return found

        try:
            return self._retry.run(attempt)
        except (TryAgainError, _RefusedError) as error:
            return Verdict(answer=None, reply=error.reply, error=error.reason)

    def _reply(self, prompt: str) -> str:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "max_tokens": REPLY_TOKENS,
        }
        found = self._request("POST", "/chat/completions", body)
        try:
            content = found["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            reply = str(found)[:_LOGGED_CHARACTERS]
            raise TryAgainError("not a chat completion", reply=reply) from None
        return content if isinstance(content, str) else ""

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        key = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = requests.request(
                method, self._url + path, json=body, headers=headers, timeout=self._timeout_s
            )
        except requests.Timeout:
            raise TryAgainError("timeout") from None
        except requests.RequestException as error:
            raise TryAgainError(f"no connection: {type(error).__name__}") from None
        text, status = response.text[:_LOGGED_CHARACTERS], response.status_code
        if status in (401, 403, 404, 405):
            raise UsageError(
                f"--judge {self._url}{path}: HTTP {status}; give the address above "
                f"/chat/completions, a model it serves (--judge-model), and its key in "
                f"{KEY_VARIABLE}"
            )
        if is_busy(status):
            raise TryAgainError(f"HTTP {status}", retry_after(response.headers), reply=text)
        if status != 200:
            raise _RefusedError(f"HTTP {status}", text)
        try:
            return response.json()
        except ValueError:
            raise TryAgainError("not JSON", reply=text) from None

    def _only_model(self) -> str:
        try:
            served = [str(m["id"]) for m in self._request("GET", "/models")["data"]]
        except (TryAgainError, _RefusedError, KeyError, TypeError) as error:
            raise UsageError(
                f"--judge {self._url}: does not list the models it serves ({error}); "
                "name one with --judge-model"
            ) from error
        if len(served) != 1:
            raise UsageError(
                f"--judge {self._url}: serves {', '.join(served) or 'no model'}; "
                "name one with --judge-model"
            )
        return served[0]


class LocalJudge:
    """A text-only checkpoint in transformers' format, on this machine."""

    def __init__(self, folder: str, *, batch: int = 8, reply_tokens: int = REPLY_TOKENS):
        """Load the model and its tokenizer.

        Args:
            folder: with the weights, the tokenizer and its chat template.
            batch: questions in the model at once.
            reply_tokens: longest reply.

        Raises:
            UsageError: it is not a language model that can be opened, or has no chat template.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from smolmix.model.arch.build import weights_digest

        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
            model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise UsageError(
                f"--judge {folder}: not a language model that can be opened "
                f"({(str(error).splitlines() or [''])[0]}); name a folder in transformers' format, "
                "or a URL that begins with http"
            ) from error
        if not self._tokenizer.chat_template:
            raise UsageError(
                f"--judge {folder}: its tokenizer has no chat template; name a chat model"
            )
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        weights = weights_digest(model)[:8]  # another judge may have a folder of the same name
        self._model: Any = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._batch, self._reply_tokens = batch, reply_tokens
        self.name = f"{Path(folder).name or folder} {weights}"

    def verdicts(self, questions: Sequence[JudgeQuestion]) -> Iterator[Verdict]:
        """Yield a verdict on each question; decoding is greedy, so no question is tried again."""
        for start in range(0, len(questions), self._batch):
            batch = questions[start : start + self._batch]
            replies = self._replies([q.prompt() for q in batch])
            yield from (read_reply(r, q) for r, q in zip(replies, batch, strict=True))

    def _replies(self, prompts: Sequence[str]) -> list[str]:
        chats = [[{"role": "user", "content": p}] for p in prompts]
        inputs = self._tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, tokenize=True, return_dict=True,
            return_tensors="pt", padding=True,
        ).to(self._model.device)  # fmt: skip
        out = self._model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=self._reply_tokens,
            do_sample=False,
            pad_token_id=self._tokenizer.pad_token_id,
        )
        replies = out[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self._tokenizer.batch_decode(replies, skip_special_tokens=True)
        return texts

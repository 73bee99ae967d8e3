"""Judges: language models that say which answer a free text gives.

A judge sees the question and what was said, never what was expected. It is a chat endpoint that
speaks OpenAI's protocol, or a text-only checkpoint on this machine.

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

from smolmix import http
from smolmix.errors import UsageError
from smolmix.http import Retry, TryAgainError
from smolmix.model.eval.metrics import METRICS, chosen, options
from smolmix.model.eval.results import GROUPS, score_of
from smolmix.storage import Folder, digest_json

KEY_VARIABLE = "SMOLMIX_JUDGE_KEY"  # read when a request is made; written nowhere

REPLY_TOKENS = 256

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
class Ask:
    """One question to the judge."""

    question: str
    answer: str  # what the model said
    options: tuple[tuple[str, str], ...] = ()  # letter and words, where the question lists them

    def prompt(self) -> str:
        """Return the judge's prompt."""
        if not self.options:
            return _OPEN.format(question=self.question, answer=self.answer)
        listed = "\n".join(f"{key}. {words}" for key, words in self.options)
        return _CHOICE.format(question=self.question, options=listed, answer=self.answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge found."""

    answer: str | None  # "": the text holds no answer; None: the judge gave no verdict
    reply: str = ""  # as it came; the last one where it was asked again
    error: str = ""  # why there is no verdict


class Judge(Protocol):
    """Anything that gives a verdict on each question asked."""

    name: str  # what its verdicts are kept under

    def verdicts(self, asks: Sequence[Ask]) -> Iterator[Verdict]:
        """Yield a verdict for each, in order, as they come."""


def read_reply(reply: str, ask: Ask) -> Verdict:
    """Return the verdict a reply holds; one without an `Answer:` line holds none."""
    lines = _ANSWER.findall(reply)
    if not lines:
        return Verdict(answer=None, reply=reply, error="no answer line")
    found = lines[-1].strip("`\"' ")
    if found.casefold().rstrip(".") == _NONE:
        return Verdict(answer="", reply=reply)
    if not ask.options:
        return Verdict(answer=found, reply=reply)
    letter = chosen(found, dict(ask.options))
    if letter is None:
        return Verdict(answer=None, reply=reply, error="no such option")
    return Verdict(answer=letter, reply=reply)


class EndpointJudge:
    """A chat endpoint that speaks OpenAI's protocol."""

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        attempts: int = 4,
        first_wait_s: float = 1.0,
        timeout_s: float = 60.0,
        workers: int = 8,
    ):
        """Open `url`, the address that `/chat/completions` stands below.

        Args:
            url: http or https, without credentials; a key goes into `SMOLMIX_JUDGE_KEY`.
            model: its name there; None takes the one it serves.
            attempts: of a question, the first included.
            first_wait_s: before the second attempt; doubled before each further one.
            timeout_s: of a request.
            workers: questions under way at once.

        Raises:
            UsageError: the address holds credentials, or no model was named and it does not serve
                exactly one.
        """
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query:
            raise UsageError(
                f"--judge {parts.scheme}://{parts.hostname}: credentials or a query in the "
                f"address, which results would keep; put the key into {KEY_VARIABLE}"
            )
        self._url = url.rstrip("/").removesuffix("/chat/completions")
        self._retry = Retry(attempts=attempts, first_wait_s=first_wait_s)
        self._timeout_s, self._workers = timeout_s, workers
        self._model = model or self._only_model()
        self.name = f"{self._url} {self._model}"

    def verdicts(self, asks: Sequence[Ask]) -> Iterator[Verdict]:
        """Yield a verdict for each; failures are tried again, then left without an answer.

        Raises:
            UsageError: the endpoint refuses the key or has no such model or address.
        """
        pool = ThreadPoolExecutor(self._workers)
        try:
            yield from pool.map(self._verdict, asks)
        finally:
            pool.shutdown(cancel_futures=True)  # who stops listening pays for no more

    def _verdict(self, ask: Ask) -> Verdict:
        last: Verdict | None = None

        def once() -> Verdict:
            nonlocal last
            last = None
            last = read_reply(self._reply(ask.prompt()), ask)
            if last.answer is None:
                raise TryAgainError("no answer in the reply")
            return last

        try:
            return self._retry.run(once)
        except TryAgainError as error:
            return last or Verdict(answer=None, reply=error.reply, error=error.reason)
        except _Refused as error:
            return Verdict(answer=None, reply=error.args[1], error=error.args[0])

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
            raise TryAgainError("not a chat completion", reply=str(found)[:2000]) from None
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
        text, status = response.text[:2000], response.status_code
        if status in (401, 403, 404, 405):
            raise UsageError(
                f"--judge {self._url}{path}: HTTP {status}; give the address that "
                f"/chat/completions stands below, a model it serves (--judge-model), and its key "
                f"in {KEY_VARIABLE}"
            )
        if http.is_busy(status):
            raise TryAgainError(f"HTTP {status}", http.retry_after(response.headers), reply=text)
        if status != 200:
            raise _Refused(f"HTTP {status}", text)
        try:
            return response.json()
        except ValueError:
            raise TryAgainError("not JSON", reply=text) from None

    def _only_model(self) -> str:
        try:
            served = [str(m["id"]) for m in self._request("GET", "/models")["data"]]
        except (TryAgainError, _Refused, KeyError, TypeError) as error:
            raise UsageError(
                f"--judge {self._url}: does not say which models it serves ({error}); "
                "name one with --judge-model"
            ) from error
        if len(served) != 1:
            raise UsageError(
                f"--judge {self._url}: serves {', '.join(served) or 'no model'}; "
                "name one with --judge-model"
            )
        return served[0]


class _Refused(Exception):
    """This one request is wrong, such as a prompt too long; another may be right."""


class LocalJudge:
    """A text-only checkpoint in transformers' layout, on this machine."""

    def __init__(self, folder: str, *, batch: int = 8, reply_tokens: int = REPLY_TOKENS):
        """Load the model and its tokenizer.

        Args:
            folder: with the weights, the tokenizer and its chat template.
            batch: questions under way at once.
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
                f"({(str(error).splitlines() or [''])[0]}); name a folder in transformers' layout, "
                "or a URL that begins with http"
            ) from error
        if not self._tokenizer.chat_template:
            raise UsageError(f"--judge {folder}: its tokenizer has no chat template; a chat model")
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        weights = weights_digest(model)[:8]  # another judge may lie in a folder of that name
        self._model: Any = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._batch, self._reply_tokens = batch, reply_tokens
        self.name = f"{Path(folder).name or folder} {weights}"

    def verdicts(self, asks: Sequence[Ask]) -> Iterator[Verdict]:
        """Yield a verdict for each; its likeliest words, so asking again would change nothing."""
        for start in range(0, len(asks), self._batch):
            batch = asks[start : start + self._batch]
            replies = self._replies([a.prompt() for a in batch])
            yield from (read_reply(r, a) for r, a in zip(replies, batch, strict=True))

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
        said = out[:, inputs["input_ids"].shape[1] :]
        texts: list[str] = self._tokenizer.batch_decode(said, skip_special_tokens=True)
        return texts


def open_judge(where: str, model: str | None = None) -> Judge:
    """Return the judge at a URL, or of a checkpoint folder.

    Raises:
        UsageError: there is none that can be used.
    """
    if where.startswith(("http://", "https://")):
        return EndpointJudge(where, model=model)
    if model is not None:
        raise UsageError(f"--judge-model {model}: only a URL serves models by name")
    if not Path(where).is_dir():
        raise UsageError(f"--judge {where}: no such folder; a folder, or a URL that begins http")
    return LocalJudge(where)


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

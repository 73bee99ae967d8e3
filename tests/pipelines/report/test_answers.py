"""Answers of a run in the report, beside their samples."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from smolmix.pipelines.report.run import Report, build_report
from smolmix.pipelines.report.samples.answers import RIGHT, WRONG
from smolmix.sample import Media, MediaRef, Sample, turns_of
from smolmix.workspace import Workspace

COUNT = 40


@pytest.fixture
def evaluated(
    workspace: Workspace,
    make_corpus: Callable[[Workspace, Sequence[Sample]], None],
    make_mixture: Callable[[Workspace, dict[str, Any]], None],
    make_sample: Callable[..., Sample],
    hostile: str,
) -> Report:
    """A corpus of pictures, and a run that answered all of them, one in four rightly."""
    samples = []
    for n in range(COUNT):
        out = io.BytesIO()
        Image.new("RGB", (64, 48), (6 * n, 0, 90)).save(out, "PNG")
        uri = f"raw/shots/r1/{n}.png"
        workspace.write_bytes(uri, out.getvalue())
        shown = Media(
            kind="image", refs=(MediaRef(uri=uri),), digest=f"{n:032x}", format="png",
            width=64, height=48,
        )  # fmt: skip
        turns = turns_of(("user", [0, f"What is {n}?"]), ("assistant", f"It is {n}."))
        samples.append(make_sample("shots", n, modality="image", media=(shown,), turns=turns))
    make_corpus(workspace, samples)
    mixture = {"name": "one", "components": {"shots": {"corpus": "shots"}}}
    make_mixture(workspace, mixture)
    run = workspace.run("first")
    run.write_bytes("metrics.jsonl", b'{"step": 1, "loss": 2.0, "tokens": 9}\n')
    rows = [
        {"sample": s.id, "turn": 0, "category": "vqa", "subset": "ab"[n % 2],
         "question": f"What is {n}?", "expected": f"It is {n}.",
         "answer": f"It is {n}." if n % 4 == 0 else hostile, "baseline_answer": "It is 0.",
         "metric": "exact_match", "score": float(n % 4 == 0),
         "judge_answer": None if n % 4 else str(n), "judge_score": None if n % 4 else 1.0,
         "judge_reply": f"Answer: {n}", "judge_error": "HTTP 503" if n % 4 else ""}
        for n, s in enumerate(samples)
    ]  # fmt: skip
    gone = rows[0] | {"sample": "shots//gone"}
    with run.child("evaluation").open("shots.parquet", "wb") as stream:
        pl.DataFrame([*rows, gone]).write_parquet(stream)
    return build_report(workspace, "one")


def test_right_and_wrong_answers_are_shown_beside_their_samples(
    evaluated: Report, visit: Callable[..., Any], hostile: str
) -> None:
    here = visit()
    url = Path(evaluated.page).as_uri()
    here.open(url)
    page = here.page
    cards = [c for c in json.loads(page.text_content("#samples")) if "answered" in c]
    assert {s: sum(c["state"] == s for c in cards) for s in (RIGHT, WRONG)}[WRONG] == 12
    assert 9 <= sum(c["state"] == RIGHT for c in cards) <= 10
    assert all(c["media"][0]["picture"] for c in cards)
    page.select_option("[name=state]", WRONG)
    page.wait_for_timeout(350)
    assert page.text_content("#status") == "12 samples"
    assert "Expected: It is" in page.text_content("#cards")
    for state in (RIGHT, WRONG):
        card = next(c for c in cards if c["state"] == state)
        page.goto(f"{url}#sample={card['key']}")
        page.wait_for_selector(f"dialog[open] article[data-key='{card['key']}'] .answered")
        text = page.text_content("dialog .answered")
        number = int(card["id"][-3:])
        assert f"It is {number}." in text
        assert ("HTTP 503" in text) == (state == WRONG)
        assert (hostile in text) == (state == WRONG)
        assert page.locator("dialog .picture img").count() == 1
        page.keyboard.press("Escape")
    assert page.title() == "Mixture one"
    assert page.locator("img[src='x']").count() == 0
    assert here.faults == []


def test_the_same_seed_shows_the_same_answers(evaluated: Report, workspace: Workspace) -> None:
    before = Path(evaluated.page).read_bytes()
    assert Path(build_report(workspace, "one").page).read_bytes() == before
    assert Path(build_report(workspace, "one", seed=1).page).read_bytes() != before

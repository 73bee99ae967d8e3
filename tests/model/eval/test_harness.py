"""A nano checkpoint inside lmms-eval and VLMEvalKit, on a task of files made here, no network.

Neither package is one of ours: their tests run where they are installed (docs/evaluation.md says
how), and say so elsewhere.
"""

import base64
import importlib.util
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
import torch
from PIL import Image

from smolmix.model.arch.build import build
from smolmix.model.arch.checkpoint import save
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.eval.ask import ask
from smolmix.model.eval.harness.answerer import Answerer, Piece, picture_file
from smolmix.model.eval.load import Opened, open_checkpoint
from smolmix.profiles import profile
from smolmix.tokenize.tiles.image import decode
from smolmix.workspace import Workspace

QUESTIONS = 6
LONGEST = 4


def picture(number: int) -> Image.Image:
    width, height = [(64, 48), (96, 96), (30, 80)][number % 3]
    pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def opened(workspace: Workspace) -> Opened:
    model = build(ModelSpec(preset="tiny"))
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(8)  # at its initial size it would say the same to everything
    folder = Path(workspace.run("tiny").path) / "final"
    save(folder, model, {"digest": "d"}, None, profile("nano", style="inference"))
    return open_checkpoint("tiny", workspace)


def said(opened: Opened, tmp_path: Path) -> list[str]:
    """What `smolmix generate` answers to each question."""
    out = []
    for n in range(QUESTIONS):
        path = tmp_path / f"{n}.png"
        picture(n).save(path)
        pieces = ask(opened, f"What is number {n}?", images=[str(path)], max_new_tokens=LONGEST)
        out.append("".join(pieces).strip())
    return out


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed here; docs/evaluation.md says how")


def run(command: list[str], **environment: str) -> str:
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=500, check=False,
        env={**os.environ, **quiet, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_words_pictures_and_clips_are_answered_as_generate_does(
    opened: Opened, workspace: Workspace, tmp_path: Path
) -> None:
    answerer = Answerer("tiny", workspace=workspace.path)
    asked: list[list[Piece]] = [[picture(n), f"What is number {n}?"] for n in range(QUESTIONS)]
    answers = answerer.answers(asked, max_new_tokens=LONGEST)
    assert answers == said(opened, tmp_path)
    assert len(set(answers)) > 2
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 12 * i, np.uint8), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    wanted = "".join(ask(opened, "Why?", video=str(clip), max_new_tokens=LONGEST)).strip()
    two: list[Piece] = ["Is ", picture(0).convert("CMYK"), " like ", picture(1), "?"]
    found = answerer.answers([[clip, "Why?"], two, ["Only words?"]], max_new_tokens=LONGEST)
    assert found[0] == wanted
    assert all(found)


@pytest.mark.parametrize("exif", ["ignore", "apply"])
def test_a_turned_photo_is_shown_as_the_profile_shows_it(
    workspace: Workspace, tmp_path: Path, exif: Literal["ignore", "apply"]
) -> None:
    rates = profile("nano", style="inference")
    rates = replace(rates, pixel=replace(rates.pixel, exif=exif))
    folder = Path(workspace.run("turned").path) / "final"
    save(folder, build(ModelSpec(preset="tiny")), {"digest": "d"}, None, rates)
    path, turned = tmp_path / "photo.png", Image.Exif()
    turned[0x0112] = 6  # a quarter to the right
    picture(0).save(path, exif=turned)
    with Image.open(path) as photo:
        photo.load()
    made = picture_file(photo, exif)
    size = (made.media.width, made.media.height)
    assert size == ((64, 48) if exif == "ignore" else (48, 64))
    assert (
        decode(made.content, exif=exif).tobytes() == decode(path.read_bytes(), exif=exif).tobytes()
    )
    wanted = ask(open_checkpoint("turned", workspace), "What?", images=[str(path)])
    answerer = Answerer("turned", workspace=workspace.path)
    assert answerer.answers([[photo, "What?"]], max_new_tokens=128) == ["".join(wanted).strip()]


TASK = """
task: tiny_pictures
dataset_path: {data}
dataset_kwargs:
  load_from_disk: true
test_split: test
output_type: generate_until
doc_to_visual: !function reading.visuals
doc_to_text: !function reading.text
doc_to_target: answer
generation_kwargs:
  max_new_tokens: 4
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 0.0
"""
READING = """
def visuals(doc):
    return [doc["image"].convert("RGB")]

def text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"]
"""


@pytest.mark.nightly
def test_lmms_eval_runs_a_checkpoint_on_a_local_task(
    opened: Opened, workspace: Workspace, tmp_path: Path
) -> None:
    needs("lmms_eval")
    import datasets

    ours = said(opened, tmp_path)
    rows: dict[str, list[Any]] = {
        "image": [picture(n) for n in range(QUESTIONS)],
        "question": [f"What is number {n}?" for n in range(QUESTIONS)],
        "answer": [a if n % 2 else "something else" for n, a in enumerate(ours)],
    }
    kinds = {k: datasets.Value("string") for k in ("question", "answer")}
    features = datasets.Features(image=datasets.Image(), **kinds)
    data = datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows, features=features)})
    data.save_to_disk(str(tmp_path / "data"))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "tiny_pictures.yaml").write_text(TASK.format(data=tmp_path / "data"))
    (tasks / "reading.py").write_text(READING)
    printed = run([
        "-m", "lmms_eval", "--model", "smolmix", "--tasks", "tiny_pictures",
        "--model_args", f"pretrained=tiny,workspace={workspace.path}", "--batch_size", "4",
        "--include_path", str(tasks), "--output_path", str(tmp_path / "out"), "--log_samples",
    ])  # fmt: skip
    written = list((tmp_path / "out").rglob("*_results.json"))
    assert len(written) == 1, printed[-3000:]  # lmms-eval's exit status says nothing of failure
    found = json.loads(written[0].read_text())["results"]["tiny_pictures"]
    assert found["exact_match,none"] == pytest.approx(0.5)
    (log,) = (tmp_path / "out").rglob("*_samples_tiny_pictures.jsonl")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    theirs = {line["doc_id"]: line["filtered_resps"] for line in lines}
    assert [theirs[n] for n in range(QUESTIONS)] == ours


@pytest.mark.nightly
def test_vlmevalkit_runs_a_checkpoint_on_a_local_task(
    opened: Opened, workspace: Workspace, tmp_path: Path
) -> None:
    needs("vlmeval")
    import pandas as pd

    rows = []
    for n in range(QUESTIONS):
        out = io.BytesIO()
        picture(n).save(out, "PNG")
        image = base64.b64encode(out.getvalue()).decode()
        rows.append(
            {"index": n, "image": image, "question": f"What is number {n}?",
             "A": "red", "B": "blue", "answer": "AB"[n % 2]}
        )  # fmt: skip
    data = tmp_path / "lmu"
    data.mkdir()
    pd.DataFrame(rows).to_csv(data / "TinyPictures.tsv", sep="\t", index=False)
    run(
        [
            "-m", "smolmix.model.eval.harness.vlmevalkit", "tiny", "--workspace", workspace.path,
            "--max-new-tokens", str(LONGEST), "--", "--data", "TinyPictures",
            "--work-dir", str(tmp_path / "out"), "--judge", "exact_matching",
        ],
        LMUData=str(data),
    )  # fmt: skip
    tables = [p for p in (tmp_path / "out").rglob("*TinyPictures*") if p.suffix == ".xlsx"]
    predictions = next(p for p in tables if p.stem.endswith("TinyPictures"))
    theirs = pd.read_excel(predictions, keep_default_na=False)
    answerer = Answerer("tiny", workspace=workspace.path)
    for row in theirs.to_dict("records"):
        prompt = (
            f"Question: {row['question']}\nOptions:\nA. red\nB. blue\n"
            "Please select the correct answer from the options above. \n"
        )
        asked: list[list[Piece]] = [[picture(row["index"]), prompt]]
        assert [str(row["prediction"])] == answerer.answers(asked, max_new_tokens=LONGEST)
    assert len(theirs) == QUESTIONS
    assert list((tmp_path / "out").rglob("*acc*"))

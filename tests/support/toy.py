"""A corpus of questions, and two checkpoints that are right about some of them."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import tests.support.sequences  # noqa: F401  # its tiny preset
import torch
from PIL import Image

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.model.arch.build import build
from smolmix.model.arch.checkpoint import save
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.eval.load import Opened, open_checkpoint
from smolmix.model.eval.prompts import Prompt, prompts
from smolmix.model.eval.run import evaluate_corpus
from smolmix.profiles import profile
from smolmix.sample import Media, MediaRef, Sample, turns_of
from smolmix.schema import to_table
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace

NANO = profile("nano", style="inference")
LONGEST = 4  # tokens of an answer
KINDS = ("caption", "document", "chart", "vqa")
CHOICE = "What is it?\nA. a ball\nB. a box"


def _image(workspace: Workspace, number: int) -> Media:
    width, height = [(64, 48), (96, 96), (30, 80), (200, 50)][number % 4]
    pixels = np.random.default_rng(number).integers(0, 255, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    uri = f"raw/toy/{number}.png"
    workspace.write_bytes(uri, out.getvalue())
    return Media(
        kind="image", refs=(MediaRef(uri=uri),), digest=f"i{number}", width=width, height=height
    )


def _clip(workspace: Workspace) -> Media:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 12 * i, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    workspace.write_bytes("raw/toy/clip.mp4", out.getvalue())
    return Media(
        kind="video", refs=(MediaRef(uri="raw/toy/clip.mp4"),), digest="c0", width=64, height=64,
        frames=20, fps=10.0, duration_s=2.0,
    )  # fmt: skip


def samples(workspace: Workspace, instead: Mapping[str, str]) -> list[Sample]:
    """Text, images shared by several questions, two images at once, and a clip.

    Args:
        workspace: gets their media.
        instead: answers that are expected instead, by id.
    """
    images = [_image(workspace, n) for n in range(8)]
    out = []
    for n in range(40):
        if n % 10 == 9:
            media: tuple[Media, ...] = (_clip(workspace),)
        else:
            media = tuple(images[(n // 2 + k) % 8] for k in range((0, 1, 1, 1, 2)[n % 5]))
        question = CHOICE if n % 7 == 0 else f"What is {'very ' * (n % 6)}number {n}?"
        answer = "A" if n % 7 == 0 else (f"{n} " + "word " * (n % 9)).strip()
        answer = instead.get(f"toy//{n}", answer)
        modality = ("text", "image", "multi-image")[len(media)] if n % 10 != 9 else "video"
        one = Sample(
            id=f"toy//{n}", corpus="toy", subset=f"part-{n % 2}", modality=modality,  # type: ignore[arg-type]  # any text, not a literal
            category=KINDS[n % 4], split="heldout" if n >= 4 else "train", media=media,
            turns=turns_of(("user", [*range(len(media)), question]), ("assistant", answer)),
            licence="MIT", source_file="x", source_row=n,
        )  # fmt: skip
        out.append(one)
    return out


def conversation(*exchanges: tuple[str, str]) -> Sample:
    """A text sample of questions and answers."""
    turns = [t for q, a in exchanges for t in turns_of(("user", q), ("assistant", a))]
    return Sample(
        id="talk/0", corpus="talk", modality="text", category="vqa", turns=tuple(turns),
        licence="MIT", source_file="x", source_row=0,
    )  # fmt: skip


def prompt_of(sample: Sample) -> Prompt:
    """The last prompt of a sample."""
    return list(prompts([sample], NANO, tokenizer.load()))[-1]


def _write(unit: Unit[list[Sample]], context: UnitContext) -> Result:
    samples = unit.payload
    pq.write_table(to_table(samples), context.out / f"{unit.name}.parquet")
    n = len(samples)
    return Result(accounting=RowAccounting(rows=n, rows_adapted=n, samples=n, kept=n))


def _curate(workspace: Workspace, corpus: str, samples: Sequence[Sample]) -> None:
    unit = Unit(name="part-00000", inputs={"a": corpus}, params={}, payload=list(samples))
    stage = Stage(name="curate", version=1, run=_write)
    run_stage(stage, [unit], folder=workspace.curated(corpus), options=RunOptions(quiet=True))


def _checkpoint(workspace: Workspace, name: str, seed: int) -> Opened:
    model = build(ModelSpec(preset="tiny"), seed=seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(8)  # at its initial size it would say the same to everything
    save(Path(workspace.run(name).path) / "final", model, {"digest": name}, None, NANO)
    return open_checkpoint(name, workspace)


def answered_workspace(root: Path) -> Workspace:
    """A corpus whose expected answers are, for a third, what the checkpoints `a` and `b` say.

    A model of random weights is never right by itself; what it says does not depend on what is
    expected, so this makes it right somewhere.
    """
    workspace = Workspace(root / "workspace")
    drafts = samples(workspace, {})
    _curate(workspace, "draft", drafts)
    first, second = (_checkpoint(workspace, name, seed) for seed, name in enumerate("ab"))
    said: dict[tuple[str, str], str] = {}
    for one in (first, second):
        evaluate_corpus(one, workspace, "draft", max_new_tokens=LONGEST)
        for row in predictions(workspace, one.name, "draft").to_dicts():
            said[one.name, row["sample"]] = row["answer"]
    instead = {}
    for at, sample in enumerate(drafts):
        words = said.get(("ab"[at % 2], sample.id), "")
        if at % 3 == 0 and words:
            instead[sample.id] = f" {words.upper()} "
    _curate(workspace, "toy", samples(workspace, instead))
    return workspace


def predictions(workspace: Workspace, run: str, corpus: str) -> pl.DataFrame:
    """The written predictions of a run on a corpus."""
    return pl.read_parquet(f"{workspace.run(run).path}/evaluation/{corpus}.parquet")

"""Evaluation figures against the written predictions, and answers against transformers alone."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smolmix.engine import Result, Stage, Unit, UnitContext, run_stage
from smolmix.model import answering
from smolmix.model.answering import Batching, answers, batches
from smolmix.model.build import build
from smolmix.model.checkpoint import save
from smolmix.model.evaluate import held_out
from smolmix.model.evaluation import compare_on, evaluate_corpus
from smolmix.model.opened import Opened, open_checkpoint
from smolmix.model.recipe import ModelSpec
from smolmix.profiles import profile
from smolmix.sample import Media, MediaRef, Sample, Tally, to_table, turns_of
from smolmix.storage import Workspace
from smolmix.tokenize import tokenizer

NANO = profile("nano", style="inference")
LONGEST = 4  # tokens of an answer
METRICS = "auto,exact_match,relaxed,anls,overlap,letter"
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


def _samples(workspace: Workspace) -> list[Sample]:
    """Text, images shared by several questions, two images at once, and a clip."""
    images = [_image(workspace, n) for n in range(8)]
    out = []
    for n in range(40):
        if n % 10 == 9:
            media: tuple[Media, ...] = (_clip(workspace),)
        else:
            media = tuple(images[(n // 2 + k) % 8] for k in range((0, 1, 1, 1, 2)[n % 5]))
        question = CHOICE if n % 7 == 0 else f"What is {'very ' * (n % 6)}number {n}?"
        answer = "A" if n % 7 == 0 else f"{n} " + "word " * (n % 9)
        modality = ("text", "image", "multi-image")[len(media)] if n % 10 != 9 else "video"
        one = Sample(
            id=f"toy//{n}", corpus="toy", subset=f"part-{n % 2}", modality=modality,  # type: ignore[arg-type]
            category=KINDS[n % 4], split="heldout" if n >= 4 else "train", media=media,
            turns=turns_of(("user", [*range(len(media)), question]), ("assistant", answer.strip())),
            licence="MIT", source_file="x", source_row=n,
        )  # fmt: skip
        out.append(one)
    return out


def _write(unit: Unit, context: UnitContext) -> Result:
    samples: Any = unit.payload
    pq.write_table(to_table(samples), context.out / f"{unit.name}.parquet")
    n = len(samples)
    return Result(tally=Tally(rows=n, rows_adapted=n, samples=n, kept=n))


def _curate(workspace: Workspace, corpus: str, samples: Sequence[Sample]) -> None:
    unit = Unit(name="part-00000", inputs={"a": corpus}, params={}, payload=list(samples))
    stage = Stage(name="curate", version=1, run=_write)
    run_stage(stage, [unit], folder=workspace.curated(corpus), workers=0, quiet=True)


def _checkpoint(workspace: Workspace, name: str, seed: int) -> Opened:
    model = build(ModelSpec(preset="tiny"), seed=seed)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.mul_(8)  # at its initial size it would say the same to everything
    save(Path(workspace.run(name).path) / "final", model, {"digest": name}, None, NANO)
    return open_checkpoint(name, workspace)


def _answered(sample: Sample, answer: str) -> Sample:
    turns = (*sample.turns[:-1], *turns_of(("assistant", answer)))
    return replace(sample, turns=turns)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A corpus whose expected answers are, for a third, what the first checkpoint says.

    A model of random weights is never right by itself; what it says does not depend on what is
    expected, so this makes it right somewhere.
    """
    workspace = Workspace(tmp_path_factory.mktemp("predictions") / "workspace")
    samples = _samples(workspace)
    _curate(workspace, "draft", samples)
    first, second = (_checkpoint(workspace, name, seed) for seed, name in enumerate("ab"))
    said = {}
    for one in (first, second):
        evaluate_corpus(one, workspace, "draft", max_new_tokens=LONGEST)
        for row in _predictions(workspace, one.name, "draft").to_dicts():
            said[one.name, row["sample"]] = row["answer"]
    for at, sample in enumerate(samples):
        words = said.get(("ab"[at % 2], sample.id), "")
        if at % 3 == 0 and words:
            samples[at] = _answered(sample, f" {words.upper()} ")
    _curate(workspace, "toy", samples)
    return workspace


def _predictions(workspace: Workspace, run: str, corpus: str) -> pl.DataFrame:
    return pl.read_parquet(f"{workspace.run(run).path}/evaluation/{corpus}.parquet")


# What follows computes every figure once more, from the table alone and with nothing of ours.


def _distance(one: str, other: str) -> int:
    table = np.zeros((len(one) + 1, len(other) + 1), int)
    table[:, 0], table[0] = range(len(one) + 1), range(len(other) + 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            options = (table[i, j + 1] + 1, table[i + 1, j] + 1, table[i, j] + (a != b))
            table[i + 1, j + 1] = min(options)
    return int(table[-1, -1])


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    @cache
    def longest(i: int, j: int) -> int:
        if i == len(one) or j == len(other):
            return 0
        if one[i] == other[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    return longest(0, 0)


def _again(metric: str, answer: str, expected: str, category: str, question: str) -> float:
    a, e = answer.strip().lower(), expected.strip().lower()
    if metric == "auto":
        metric = {"caption": "overlap", "document": "anls", "chart": "relaxed"}.get(category, "")
        metric = "letter" if question == CHOICE and e in ("a", "b", "a ball") else metric
    if metric == "anls":
        most = max(len(a), len(e))
        far = _distance(" ".join(a.split()), " ".join(e.split())) / most if most else 0
        return 1 - far if far < 0.5 else 0
    if metric == "overlap":
        x, y = (tuple("".join(c if c.isalnum() else " " for c in t).split()) for t in (a, e))
        return 2 * _common(x, y) / (len(x) + len(y)) if x and y else float(x == y)
    if metric == "relaxed":
        try:
            return float(abs(float(a) - float(e)) <= 0.05 * abs(float(e)))
        except ValueError:
            return float(a == e)
    return float(a == e)


def _clusters(media: Sequence[Sequence[str]], samples: Sequence[str]) -> list[int]:
    label = list(range(len(samples)))
    changed = True
    while changed:
        changed = False
        for i in range(len(samples)):
            for j in range(len(samples)):
                linked = set(media[i]) & set(media[j]) or samples[i] == samples[j]
                if linked and label[i] != label[j]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    return label


def _bootstrap(values: np.ndarray[Any, Any], clusters: Sequence[int]) -> tuple[float, float]:
    rng = np.random.default_rng(99)
    groups = [values[np.array(clusters) == c] for c in sorted(set(clusters))]
    means = [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean()
        for _ in range(1000)
    ]
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _cut(values: pl.Expr, ends: dict[int, str]) -> pl.Expr:
    return pl.coalesce(pl.when(values <= end).then(pl.lit(name)) for end, name in ends.items())


GROUPS = {
    "category": pl.col("category"),
    "subset": pl.col("subset"),
    "modality": pl.col("modality"),
    "kind": pl.when(pl.col("expected").str.to_lowercase().is_in(["yes", "no"]))
    .then(pl.lit("yes/no"))
    .when(pl.col("expected").str.contains(r"^\d+(\.\d+)?$"))
    .then(pl.lit("number"))
    .otherwise(pl.lit("other")),
    "answer_length": _cut(
        pl.col("expected").str.count_matches(r"\S+"),
        {1: "1 word", 4: "2 to 4 words", 16: "5 to 16 words"},
    ),
    "prompt_length": _cut(
        pl.col("prompt_tokens"),
        {128: "1 to 128 tokens", 256: "129 to 256 tokens", 512: "257 to 512 tokens"},
    ),
    "duration": pl.when(pl.col("duration_s") > 0).then(pl.lit("0 to 30 s")),
}  # fmt: skip


def test_every_figure_follows_from_the_written_predictions(place: Workspace) -> None:
    result = evaluate_corpus(
        open_checkpoint("a", place), place, "toy", metric=METRICS, max_new_tokens=LONGEST
    )
    table = _predictions(place, "a", "toy")
    rows = table.to_dicts()
    clusters = _clusters(table["media"].to_list(), table["sample"].to_list())
    table = table.with_columns(pl.Series("mine", clusters))
    checked = 0
    for metric in METRICS.split(","):
        for prefix, said in (("", "answer"), ("baseline_", "baseline_answer")):
            again = [
                _again(metric, r[said], r["expected"], r["category"], r["question"]) for r in rows
            ]
            assert table[prefix + metric].to_list() == pytest.approx(again), metric
        figures = result["metrics"][metric]
        groups = [(figures["overall"], table)]
        for name, key in GROUPS.items():
            parts = table.with_columns(key.cast(pl.String).alias("_g")).drop_nulls("_g")
            found = parts.partition_by("_g", as_dict=True)
            assert figures[f"by_{name}"].keys() == {k[0] for k in found}, name
            groups += [(figures[f"by_{name}"][k[0]], part) for k, part in found.items()]
        for figure, part in groups:
            values = part[metric].to_numpy()
            assert figure["questions"] == part.height
            assert figure["clusters"] == part["mine"].n_unique()
            assert figure["score"] == pytest.approx(values.mean())
            assert figure["baseline"] == pytest.approx(part[f"baseline_{metric}"].mean())
            if figure["clusters"] == 1:
                assert figure["low"] is None
                continue
            if metric not in ("auto", "exact_match"):
                continue  # the same code draws them all
            ends = _bootstrap(values, part["mine"].to_list())
            assert (figure["low"], figure["high"]) == pytest.approx(ends, abs=0.07)
            checked += 1
    assert checked > 25
    whole = result["metrics"]["exact_match"]["overall"]
    assert 0.1 < whole["score"] < 0.9
    assert 3 < whole["clusters"] < whole["questions"]
    assert result["overall"] == result["metrics"]["auto"]["overall"]
    taken = dict(table.group_by("metric").len().iter_rows())
    assert {"letter", "overlap", "anls", "relaxed", "exact_match"} == taken.keys()
    assert table["score"].to_list() == table["auto"].to_list()


def test_another_metric_scores_the_answers_that_are_there(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_checkpoint("a", place)
    before = evaluate_corpus(opened, place, "toy", max_new_tokens=LONGEST)
    monkeypatch.setattr("smolmix.model.evaluation.answer_corpus", None)
    after = evaluate_corpus(opened, place, "toy", metric="anls", max_new_tokens=LONGEST)
    assert after["metric"] == "anls"
    assert after["metrics"]["exact_match"] == before["metrics"]["exact_match"]
    assert json.loads(Path(opened.results.at("toy.json")).read_text()) == after


def test_two_checkpoints_are_compared_on_the_same_questions(place: Workspace) -> None:
    a, b = (open_checkpoint(n, place) for n in "ab")
    for one in (a, b):
        evaluate_corpus(one, place, "toy", metric="exact_match,anls", max_new_tokens=LONGEST)
    found = compare_on(a, b, "toy")
    tables = [_predictions(place, n, "toy").sort("sample", "turn") for n in "ab"]
    first, second = (t["exact_match"].to_numpy() for t in tables)
    one = found["metrics"]["exact_match"]
    assert one["difference"] == pytest.approx(first.mean() - second.mean())
    assert one["only_first"] == ((first == 1) & (second == 0)).sum() > 0
    assert one["only_second"] == ((first == 0) & (second == 1)).sum() > 0
    means = [t["anls"].mean() for t in tables]
    assert [found["metrics"]["anls"][k] for k in ("first", "second")] == pytest.approx(means)
    kept = Path(a.results.at("against/b/toy.json"))
    assert json.loads(kept.read_text()) == found


def test_exact_match_is_the_same_through_transformers_alone(place: Workspace) -> None:
    from transformers import AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

    class Processor(SmolVLMProcessor):  # AutoProcessor wants torchvision for its video half
        def check_argument_for_proper_class(self, *_: object, **__: object) -> None:
            return None

    folder = f"{place.run('a').path}/final"
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    words = AutoTokenizer.from_pretrained(folder)
    images: Any = SmolVLMImageProcessorPil.from_pretrained(folder)
    clips = SimpleNamespace(num_frames=8, fps=2.0, model_input_names=["pixel_values"])
    processor: Any = Processor(
        images, words, clips, image_seq_len=4, chat_template=words.chat_template
    )
    result = evaluate_corpus(open_checkpoint("a", place), place, "toy", max_new_tokens=LONGEST)
    ours = {r["sample"]: r for r in _predictions(place, "a", "toy").to_dicts()}
    right, asked, answered = 0, 0, set()
    for sample in _samples(place):
        if sample.id not in ours or sample.modality == "video":
            continue
        parts = [
            {"type": "image"} if p.media is not None else {"type": "text", "text": p.text}
            for p in sample.turns[0].parts
        ]
        text = processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True
        )
        shown = [Image.open(f"{place.path}/{m.refs[0].uri}").convert("RGB") for m in sample.media]
        inputs = processor(text=[text], images=[shown] if shown else None, return_tensors="pt")
        out = model.generate(**inputs, max_new_tokens=LONGEST, do_sample=False)
        said: Any = words.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        row = ours[sample.id]
        assert said.strip() == row["answer"], sample.id
        match = said.strip().lower() == row["expected"].strip().lower()
        assert match == row["exact_match"]
        right, asked = right + match, asked + 1
        answered.add(said)
    videos = [r for r in ours.values() if r["modality"] == "video"]
    assert asked + len(videos) == result["overall"]["questions"]
    assert right + sum(r["exact_match"] for r in videos) == pytest.approx(
        result["overall"]["score"] * result["overall"]["questions"]
    )
    assert right > 3
    assert len(answered) > 5


def test_answers_do_not_depend_on_how_they_are_batched(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_checkpoint("a", place)
    vocabulary = tokenizer.load()
    asked, _ = held_out(place, "toy", NANO, vocabulary, limit=13)

    def said(batching: Batching | None = None) -> list[str]:
        return answers(
            opened.model, asked, NANO, place, vocabulary, max_new_tokens=3, batching=batching
        )

    together = said()
    assert said(Batching(prompts=1)) == together
    assert said(Batching(prompts=7, tiles=9)) == together
    monkeypatch.setattr(answering, "_WINDOW_BYTES", 12 * 3 * 32 * 32)  # a dozen tiles at once
    assert said(Batching(tokens=200)) == together
    assert len(set(together)) > 5


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 20)), max_size=30),
    st.builds(Batching, prompts=st.integers(1, 8), tokens=st.integers(1, 900)),
    st.integers(1, 60),
)
def test_no_batch_is_beyond_its_bounds_unless_one_prompt_is(
    sizes: list[tuple[int, int]], most: Batching, most_tiles: int
) -> None:
    tokens, tiles = [t for t, _ in sizes], [n for _, n in sizes]
    found = list(batches(range(len(sizes)), tokens, tiles, most, most_tiles))
    assert [at for batch in found for at in batch] == list(range(len(sizes)))
    for batch in found:
        if len(batch) > 1:
            assert len(batch) <= most.prompts
            assert len(batch) * max(tokens[at] for at in batch) <= most.tokens
            assert len(batch) * max(tiles[at] for at in batch) <= most_tiles

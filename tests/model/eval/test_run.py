import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import DataError, UsageError
from smolmix.model.arch.build import build
from smolmix.model.arch.checkpoint import save
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.eval.ask import ask
from smolmix.model.eval.generate import generate
from smolmix.model.eval.load import open_checkpoint
from smolmix.model.eval.prompts import PromptTiles, prompts
from smolmix.model.eval.run import compare_on, evaluate_corpus
from smolmix.model.train.run_record import read_predictions
from smolmix.profiles import profile
from smolmix.sample import Media, MediaRef, Sample, Split, turns_of
from smolmix.schema import to_table
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace

NANO = profile("nano", style="inference")


def png(seed: int, size: tuple[int, int] = (64, 64)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def sample(number: int, question: str, answer: str, split: Split, media: int = 1) -> Sample:
    shown = tuple(
        Media(
            kind="image", refs=(MediaRef(uri=f"raw/toy/{i}.png"),), digest=str(i),
            width=64, height=64,
        )
        for i in range(media)
    )  # fmt: skip
    parts = [*range(media), question]
    return Sample(
        id=f"toy/{number}", corpus="toy", modality="image" if media else "text", category="vqa",
        split=split, turns=turns_of(("user", parts), ("assistant", answer)), media=shown,
        licence="MIT", source_file="x", source_row=number,
    )  # fmt: skip


def _write(unit: Unit[list[Sample]], context: UnitContext) -> Result:
    samples = unit.payload
    pq.write_table(to_table(samples), context.out / f"{unit.name}.parquet")
    n = len(samples)
    return Result(accounting=RowAccounting(rows=n, rows_adapted=n, samples=n, kept=n))


@pytest.fixture
def curated(workspace: Workspace) -> Workspace:
    for i in range(2):
        workspace.write_bytes(f"raw/toy/{i}.png", png(i))
    samples = [sample(i, "what color?", "red" if i < 3 else "blue", "train") for i in range(5)]
    samples += [
        sample(10, "what color?", "red", "heldout"),
        sample(11, "what color?", "blue", "heldout", media=2),
        sample(12, "is it red?", "yes", "heldout", media=0),
    ]
    unit = Unit(name="part-00000", inputs={"a": "b"}, params={}, payload=samples)
    stage = Stage(name="curate", version=1, run=_write)
    run_stage(stage, [unit], folder=workspace.curated("toy"), options=RunOptions(quiet=True))
    return workspace


@pytest.fixture
def checkpoint(curated: Workspace) -> str:
    folder = Path(curated.run("toy-run").path) / "final"
    save(folder, build(ModelSpec(preset="tiny")), {"digest": "d"}, None, NANO)
    return "toy-run"


def test_held_out_questions_are_scored_with_their_baseline(
    curated: Workspace, checkpoint: str
) -> None:
    opened = open_checkpoint(checkpoint, curated)
    result = evaluate_corpus(opened, curated, "toy")
    assert result["overall"]["questions"] == 3
    assert result["overall"]["baseline"] == pytest.approx(1 / 3)  # "red" to every question
    assert set(result["by_kind"]) == {"yes/no", "other"}
    folder = Path(curated.run("toy-run").path) / "evaluation"
    assert json.loads((folder / "toy.json").read_text()) == result
    table = pq.read_table(folder / "toy.parquet").to_pylist()
    assert [r["expected"] for r in table] == ["red", "blue", "yes"]


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_is_shown_unless_quiet(
    curated: Workspace,
    checkpoint: str,
    quiet: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("smolmix.progress.EVERY_S", 0)
    evaluate_corpus(open_checkpoint(checkpoint, curated), curated, "toy", quiet=quiet)
    assert ("evaluate toy: " in capsys.readouterr().err) is not quiet


def test_a_stored_evaluation_is_not_repeated(curated: Workspace, checkpoint: str) -> None:
    opened = open_checkpoint(checkpoint, curated)
    first = evaluate_corpus(opened, curated, "toy")
    opened = replace(opened, model=None)  # it cannot answer any more
    assert evaluate_corpus(opened, curated, "toy") == first


def test_a_corpus_without_held_out_samples_is_an_error(curated: Workspace, checkpoint: str) -> None:
    opened = open_checkpoint(checkpoint, curated)
    with pytest.raises(DataError):
        evaluate_corpus(opened, curated, "nowhere")
    with pytest.raises(UsageError, match="did you mean 'exact_match'"):
        evaluate_corpus(opened, curated, "toy", metric="exact-match")


def test_batched_answers_are_those_of_each_prompt_alone(curated: Workspace) -> None:
    model = build(ModelSpec(preset="tiny"), seed=1).eval()
    asked = list(
        prompts([sample(i, "x " * i, "y", "train", media=i % 3) for i in range(6)], NANO,
                tokenizer.load())
    )  # fmt: skip
    rng = np.random.default_rng(0)
    shown = [
        PromptTiles.of(
            [rng.integers(0, 256, (5 * len(p.media), 32, 32, 3), dtype=np.uint8)],
            p.tile_groups, NANO.pixel,
        )
        for p in asked
    ]  # fmt: skip
    ids = [p.input_ids for p in asked]
    together = generate(model, ids, shown, max_new_tokens=4)
    alone = [
        generate(model, [i], [s], max_new_tokens=4)[0] for i, s in zip(ids, shown, strict=True)
    ]
    assert together == alone
    assert len({tuple(a) for a in alone}) > 1


def test_answers_stream_for_words_images_and_video(
    curated: Workspace, checkpoint: str, tmp_path: Path
) -> None:
    import av

    picture, clip = tmp_path / "a.png", tmp_path / "a.mp4"
    picture.write_bytes(png(7, (90, 60)))
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width = stream.height = 64
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 10 * i, np.uint8), "rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    opened = open_checkpoint(checkpoint, curated)
    for count in range(3):
        assert list(ask(opened, "what?", images=[str(picture)] * count, max_new_tokens=3)), count
    assert list(ask(opened, "what?", video=str(clip), max_new_tokens=3))
    with pytest.raises(UsageError, match="name an image or video file"):
        list(ask(opened, "what?", images=[str(tmp_path / "none.png")]))


def _answers_of(place: Workspace, name: str) -> list[str]:
    opened = open_checkpoint(name, place)
    evaluate_corpus(opened, place, "toy")
    answers: list[str] = read_predictions(opened.results, "toy")["answer"].to_pylist()
    return answers


def test_other_weights_under_the_same_name_are_answered_again(
    curated: Workspace, tmp_path: Path
) -> None:
    folder = tmp_path / "built"
    said = []
    for seed in (0, 1):
        save(folder, build(ModelSpec(preset="tiny"), seed=seed), {"digest": ""}, None, NANO)
        said.append(_answers_of(curated, str(folder)))
    assert said[0] != said[1]
    save(folder, build(ModelSpec(preset="tiny")), {"digest": ""}, None, NANO)
    assert _answers_of(curated, str(folder)) == said[0]


def test_folders_that_end_in_the_same_name_keep_results_of_their_own(
    curated: Workspace, checkpoint: str, tmp_path: Path
) -> None:
    before = _answers_of(curated, checkpoint)
    folders = [tmp_path / "one" / checkpoint, tmp_path / "two" / checkpoint]
    for seed, folder in enumerate(folders, 1):
        save(folder, build(ModelSpec(preset="tiny"), seed=seed), {"digest": ""}, None, NANO)
        assert _answers_of(curated, str(folder)) != before
    first, second = (open_checkpoint(str(f), curated) for f in folders)
    tables = [read_predictions(o.results, "toy")["answer"].to_pylist() for o in (first, second)]
    assert tables[0] != tables[1]
    assert compare_on(first, second, "toy")["metrics"]["exact_match"]["questions"] == 3
    run = open_checkpoint(checkpoint, curated)
    assert read_predictions(run.results, "toy")["answer"].to_pylist() == before

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.support.sequences import MemorySequences, documents_of_every_modality, packed
from transformers import AutoModelForImageTextToText
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.engine.lock import locked
from smolmix.errors import DataError, IncompleteError, UsageError
from smolmix.model.arch import checkpoint
from smolmix.model.arch.build import build
from smolmix.model.arch.presets import PRESETS
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.train import run_record
from smolmix.model.train.data import open_stages
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe
from smolmix.model.train.train import StageData, run_digest, train
from smolmix.workspace import Workspace


def recipe(**stage: Any) -> Recipe:
    base = {
        "mixture": "none", "sequence_tokens": 256, "sequences_per_step": 2,
        "learning_rate": {"vision": 1e-3, "connector": 1e-3, "lm": 1e-3},
        "checkpoint_every": 3, "keep": 2,
    }  # fmt: skip
    stages = [{**base, "name": "one", "steps": 5}, {**base, "name": "two", "steps": 4, **stage}]
    return Recipe.model_validate(
        {"name": "tiny", "profile": {"preset": "nano", "style": "inference"}, "threads": 1,
         "model": {"preset": "tiny"}, "stages": stages}
    )  # fmt: skip


def memory(stage: Any, group: ProcessGroup) -> StageData:
    return StageData(
        source=MemorySequences(rank=group.rank, size=group.size), sequences=100, digest="memory"
    )


def metrics(run: Path) -> bytes:
    return (run / "metrics.jsonl").read_bytes()


def test_two_runs_write_the_same_metrics_and_weights(tmp_path: Path) -> None:
    done = [train(recipe(), tmp_path / n, memory, tensorboard=False) for n in ("a", "b")]
    assert metrics(tmp_path / "a") == metrics(tmp_path / "b")
    assert len(metrics(tmp_path / "a").splitlines()) == 9 == done[0].steps
    weights = [(d.folder / "model.safetensors").read_bytes() for d in done]
    assert weights[0] == weights[1]
    assert checkpoint.read_record(done[0].folder)["mixtures"] == ["none"]


def test_a_complete_run_is_not_trained_again(tmp_path: Path) -> None:
    first = train(recipe(), tmp_path, memory, tensorboard=False)
    again = train(recipe(), tmp_path, memory, tensorboard=False)
    assert not first.already_complete
    assert again.already_complete


def test_another_recipe_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    train(recipe(), tmp_path, memory, tensorboard=False)
    with pytest.raises(UsageError, match="another recipe or mixture"):
        train(recipe(clip=0.5), tmp_path, memory, tensorboard=False)


def test_a_finished_run_without_checkpoints_is_not_overwritten_either(tmp_path: Path) -> None:
    first = train(recipe(), tmp_path, memory, tensorboard=False)
    for _, folder in run_record.checkpoints(tmp_path):
        shutil.rmtree(folder)
    before = (first.folder / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="another recipe or mixture"):
        train(recipe(clip=0.5), tmp_path, memory, tensorboard=False)
    assert (first.folder / "model.safetensors").read_bytes() == before


def test_a_preset_of_other_sizes_or_other_first_weights_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [memory(None, ProcessGroup())] * 2
    before = run_digest(recipe(), data)
    wider = replace(PRESETS["tiny"], lm=replace(PRESETS["tiny"].lm, layers=3))
    monkeypatch.setitem(PRESETS, "tiny", wider)
    assert run_digest(recipe(), data) != before
    monkeypatch.undo()
    assert run_digest(recipe(), data) == before

    first = tmp_path / "first"
    from_first = recipe().model_copy(update={"model": ModelSpec(checkpoint=str(first))})
    digests = []
    for seed in (0, 1, 0):
        profile = from_first.full_profile()
        checkpoint.save(first, build(ModelSpec(preset="tiny"), seed=seed), {}, None, profile)
        digests.append(run_digest(from_first, data))
    assert digests[0] == digests[2] != digests[1]


def test_two_processes_do_not_train_one_run(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(recipe().model_dump_json(exclude_none=True))
    with locked(workspace.run("tiny")):
        done = CliRunner().invoke(app, ["train", str(file), "--workspace", workspace.url])
    assert done.exit_code
    assert "locked by process" in f"{done.output}{done.exception}"


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from smolmix.model.train.train import train
    from tests.model.train.test_train import memory, recipe

    def watch(stage, progress):
        if stage.name == sys.argv[2] and progress.step == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

    train(recipe(), Path(sys.argv[1]), memory, tensorboard=False, watch=watch)
"""


@pytest.mark.parametrize(("stage", "step"), [("one", 4), ("two", 1)])
def test_a_killed_and_resumed_run_equals_the_undisturbed_one_bit_for_bit(
    tmp_path: Path, stage: str, step: int
) -> None:
    train(recipe(), tmp_path / "whole", memory, tensorboard=False)
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "cut"), stage, str(step)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "cut" / "final").exists()
    resumed = train(recipe(), tmp_path / "cut", memory, tensorboard=False)
    assert resumed.resumed_from > 0
    assert metrics(tmp_path / "cut") == metrics(tmp_path / "whole")
    whole, cut = (tmp_path / n / "final" / "model.safetensors" for n in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes()


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    train(recipe(), tmp_path, memory, tensorboard=False)
    assert [n for n, _ in run_record.checkpoints(tmp_path)] == [5, 8]


def test_checkpoint_opens_in_transformers_with_the_same_weights(tmp_path: Path) -> None:
    done = train(recipe(), tmp_path, memory, tensorboard=False)
    model = AutoModelForImageTextToText.from_pretrained(done.folder)
    assert type(model).__name__ == "SmolVLMForConditionalGeneration"
    assert model.config.text_config._attn_implementation == "sdpa"
    names = {p.name for p in done.folder.iterdir()}
    assert {"config.json", "generation_config.json", "tokenizer.json"} <= names
    assert {"preprocessor_config.json", "chat_template.jinja"} <= names


def test_frozen_towers_do_not_change_and_have_no_gradient(tmp_path: Path) -> None:
    frozen = recipe(learning_rate={"vision": 0, "connector": 1e-3, "lm": 0})
    done = train(frozen, tmp_path, memory, tensorboard=False)
    before = AutoModelForImageTextToText.from_pretrained(tmp_path / "checkpoint-5").state_dict()
    after = AutoModelForImageTextToText.from_pretrained(done.folder).state_dict()
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    assert changed == {"model.connector.modality_projection.proj.weight"}


def test_losses_are_reported_per_modality_and_corpus(tmp_path: Path) -> None:
    train(recipe(), tmp_path, memory, tensorboard=True)
    lines = [json.loads(line) for line in metrics(tmp_path).splitlines()]
    assert {"modality/image", "modality/video", "corpus/c-text"} <= set(lines[0]["losses"])
    assert lines[-1]["stage"] == "two"
    assert list((tmp_path / "tensorboard").iterdir())
    timing = [json.loads(x) for x in (tmp_path / "timing.jsonl").read_text().splitlines()]
    assert all(t["tokens_per_s"] > 0 for t in timing)


def test_sequences_that_end_early_are_an_error(tmp_path: Path) -> None:
    def short(stage: Any, group: ProcessGroup) -> StageData:
        return StageData(source=MemorySequences(limit=4), sequences=2, digest="short")

    with pytest.raises(DataError, match="ended at step 2 of 5"):
        train(recipe(), tmp_path, short, tensorboard=False)


class Listed:
    """Given sequences, in order."""

    def __init__(self, sequences: list[dict[str, Any]]):
        self.sequences = sequences

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        yield from self.sequences

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def test_a_step_of_several_sequences_weighs_tokens_as_one_sequence_would(tmp_path: Path) -> None:
    documents = documents_of_every_modality()
    results = []
    for name, sequences in (
        ("one", [packed(documents)]),
        ("two", [packed(documents[:2]), packed(documents[2:])]),
    ):
        base = recipe()
        stage = base.stages[0].model_copy(
            update={"steps": 1, "sequences_per_step": len(sequences), "clip": 1e9}
        )

        def data(
            _: Any, __: ProcessGroup, sequences: list[dict[str, Any]] = sequences
        ) -> StageData:
            return StageData(source=Listed(sequences), sequences=len(sequences), digest="l")

        one = base.model_copy(update={"stages": (stage,)})
        train(one, tmp_path / name, data, tensorboard=False)
        results.append(json.loads(metrics(tmp_path / name)))
    for key in ("loss", "gradient_norm", "supervised"):
        assert results[0][key] == pytest.approx(results[1][key], rel=1e-5), key


def test_a_mixture_that_is_not_tokenized_is_reported(workspace: Workspace) -> None:
    with pytest.raises(IncompleteError, match="smolmix tokenize"):
        open_stages(workspace, recipe())(recipe().stages[0], ProcessGroup())

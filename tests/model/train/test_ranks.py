"""Runs on several ranks: going on under another number of them, weights shared out or not."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from pydantic import ValidationError
from safetensors.torch import load_file
from tests.support import ranks
from tests.support.sequences import documents_of_every_modality, packed
from tests.support.small_workspace import clip_medium, image_medium, put_curated, put_selection
from tests.support.small_workspace import sample as made
from torch.distributed.tensor import DTensor

from smolmix.engine.stage import RunOptions
from smolmix.model.arch.build import build
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.train.recipe import Recipe
from smolmix.model.train.sharding import shard
from smolmix.model.train.step import PackedModel, pack
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import profile
from smolmix.workspace import Workspace

SEQUENCE = 160


def recipe(name: str, **changes: Any) -> Recipe:
    stage = {
        "name": "one", "mixture": "m", "sequence_tokens": SEQUENCE, "sequences_per_step": 2,
        "steps": 8, "checkpoint_every": 2,
        "learning_rate": {"vision": 1e-2, "connector": 1e-2, "lm": 1e-2},
    }  # fmt: skip
    base = {"name": name, "threads": 1, "profile": {"preset": "nano", "style": "inference"},
            "model": {"preset": "tiny"}, "stages": [stage]}  # fmt: skip
    return Recipe.model_validate(base | changes)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twenty sequences or more of every modality; many have no image."""
    workspace = Workspace(str(tmp_path_factory.mktemp("ranks")))
    media = [[image_medium(workspace, i, 40 + 9 * i, 60)] for i in range(3)]
    media += [[clip_medium(workspace, 20)]]
    put_curated(workspace, "seen", [made(n, "seen", media[n % 4]) for n in range(16)])
    put_curated(workspace, "said", [made(n, "said") for n in range(60)])
    put_selection(workspace, "m", ["seen", "said"])
    kept = tokenize_mixture(
        workspace, "m", profile("nano", style="inference"), SEQUENCE, options=RunOptions(quiet=True)
    )
    assert kept.record.sequences > 16
    return workspace


@pytest.fixture(scope="module")
def undisturbed(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The metrics of one rank that nothing disturbed."""
    one = recipe("undisturbed")
    assert ranks.run(one, filled, tmp_path_factory.mktemp("notes"), ranks=1) == [0]
    return ranks.metrics(filled, one)


def same(found: list[Any], wanted: list[Any]) -> None:
    """The same sequences in each step, and losses within 1e-5."""
    assert len(found) == len(wanted) == 8
    for a, b in zip(found, wanted, strict=True):
        for key in ("step", "tokens", "supervised", "tiles", "taken"):
            assert a[key] == b[key], key
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["losses"] == pytest.approx(b["losses"], abs=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)


def taken(notes: Path, size: int, steps: int) -> list[int]:
    """The places of the global order that `size` ranks trained on in `steps` steps."""
    each = [(notes / f"one-{size}-{r}.txt").read_text().split() for r in range(size)]
    return sorted(int(n) for places in each for n in places[: steps * 2 // size])


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_resumes_under_another_number_of_ranks(
    filled: Workspace, undisturbed: list[Any], tmp_path: Path, before: int, after: int
) -> None:
    one = recipe(f"from-{before}-to-{after}")
    killed = ranks.run(one, filled, tmp_path, ranks=before, die_at=5)
    assert killed[0] == -signal.SIGKILL
    assert len(ranks.metrics(filled, one)) == 5
    assert ranks.run(one, filled, tmp_path, ranks=after) == [0] * after
    same(ranks.metrics(filled, one), undisturbed)
    order = taken(tmp_path, before, 4) + taken(tmp_path, after, 4)  # the last checkpoint was at 4
    assert order == list(range(16))


def weights(workspace: Workspace, one: Recipe) -> dict[str, torch.Tensor]:
    return load_file(Path(workspace.run(one.name).path) / "final" / "model.safetensors")


def same_weights(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_resumes_with_weights_sharded_or_not(
    filled: Workspace, undisturbed: list[Any], tmp_path: Path, before: int, after: int
) -> None:
    """One rank alone holds the whole model: checkpoints are gathered and scattered."""
    one = recipe(f"fsdp-{before}-to-{after}", sharding="fsdp")
    assert ranks.run(one, filled, tmp_path, ranks=before, die_at=5)[0] == -signal.SIGKILL
    assert ranks.run(one, filled, tmp_path, ranks=after) == [0] * after
    same(ranks.metrics(filled, one), undisturbed)
    same_weights(weights(filled, one), weights(filled, recipe("undisturbed")))


def test_a_tower_frozen_in_one_stage_and_trained_in_the_next_can_be_sharded(
    filled: Workspace, tmp_path: Path
) -> None:
    stage = recipe("x").stages[0].model_dump() | {"steps": 2}
    frozen = stage | {"name": "zero", "learning_rate": {**stage["learning_rate"], "vision": 0}}
    stages = [frozen, stage]
    made = [recipe(f"stages-{n}", sharding="fsdp", stages=stages) for n in (1, 2)]
    for one, count in zip(made, (1, 2), strict=True):
        assert ranks.run(one, filled, tmp_path / one.name, ranks=count) == [0] * count
    whole, shared = (ranks.metrics(filled, one) for one in made)
    assert [m["loss"] for m in shared] == pytest.approx([m["loss"] for m in whole], abs=1e-5)
    same_weights(*(weights(filled, one) for one in made))


def test_every_weight_is_sharded_and_the_loss_stays(tmp_path: Path) -> None:
    model = build(ModelSpec(preset="tiny"))
    documents = documents_of_every_modality()
    sequences = [pack(packed(documents)), pack(packed(documents[1:2]))]  # the second has no tiles
    plain = [PackedModel(model)(s).detach() for s in sequences]
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/m", rank=0, world_size=1)
    try:
        shared = PackedModel(model)
        shard(shared, 1, torch.device("cpu"))
        assert all(isinstance(p, DTensor) for p in shared.parameters())
        for sequence, wanted in zip(sequences, plain, strict=True):
            losses = shared(sequence)
            torch.testing.assert_close(losses, wanted)
            losses.sum().backward()
            vision = [p.grad for p in model.model.vision_model.parameters()]
            assert all(g is not None for g in vision)  # reduced with the other ranks' whatever
    finally:
        dist.destroy_process_group()


def test_muon_cannot_be_sharded() -> None:
    stage = recipe("x").stages[0].model_dump() | {"optimizer": "muon"}
    with pytest.raises(ValidationError, match="muon needs complete matrices"):
        recipe("x", sharding="fsdp", stages=[stage])

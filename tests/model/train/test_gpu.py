"""What only a GPU can show; skipped without one. benchmarks/model/RESULTS.md: what was seen."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from tests.model.train.test_distributed import losses, opener, recipe
from tests.support.sequences import Document, documents_of_every_modality, packed
from torch import Tensor
from torch.distributed.tensor import DTensor
from transformers import AutoModelForImageTextToText

from smolmix.model.arch.build import build
from smolmix.model.arch.presets import IMAGE_ID
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.arch.varlen_attention import Documents, attention
from smolmix.model.eval.generate import generate
from smolmix.model.eval.prompts import PromptTiles
from smolmix.model.train.distributed import train_on_ray
from smolmix.model.train.sharding import gathered, shard
from smolmix.model.train.step import (
    PackedModel,
    compile_layers,
    hidden_states,
    pack,
    pixels,
    tower_states,
)
from smolmix.model.train.train import train
from smolmix.workspace import Workspace

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def nano(device: str = "cpu") -> Any:
    return build(ModelSpec(preset="nano"), seed=0).to(device)


def off(found: Tensor, wanted: Tensor) -> float:
    """The relative error, of norms."""
    difference = found.detach().double().cpu() - wanted.detach().double().cpu()
    return float(difference.norm() / wanted.detach().double().norm())


def half() -> Any:
    return torch.autocast("cuda", torch.bfloat16)


@pytest.mark.parametrize("lengths", [[300], [130, 1, 200, 3, 3, 90]])
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_flash_attention_by_document_equals_fp32_on_the_cpu(
    lengths: list[int], kv_heads: int
) -> None:
    torch.manual_seed(0)
    wide = [torch.randn(1, n, sum(lengths), 64) for n in (4, kv_heads, kv_heads)]
    results = []
    for device, dtype in (("cpu", torch.float32), ("cuda", torch.bfloat16)):
        q, k, v = (x.to(device, dtype).detach().requires_grad_() for x in wide)
        plan = Documents.of_lengths(lengths, device)
        out, _ = attention(torch.nn.Identity(), q, k, v, None, scaling=0.2, documents=plan)
        torch.autograd.backward((out.float() * torch.linspace(-1, 1, 64, device=device)).sum())
        results.append([out, q.grad, k.grad, v.grad])
    for wanted, found in zip(*results, strict=True):
        assert found is not None
        assert wanted is not None
        assert off(found, wanted) < 1e-2


def test_documents_do_not_attend_to_each_other(documents: list[Document]) -> None:
    model = nano("cuda")
    PackedModel(model)
    changed = [dict(documents[0]), *documents[1:]]
    changed[0]["ids"] = np.where(changed[0]["ids"] == IMAGE_ID, IMAGE_ID, 77)
    first = len(documents[0]["ids"])
    with torch.no_grad(), half():
        before, after = (
            hidden_states(model, pack(packed(d), "cuda")) for d in (documents, changed)
        )
    assert off(after[:first], before[:first]) > 1e-2
    assert torch.equal(before[first:], after[first:])


def test_fp32_states_equal_the_cpu(documents: list[Document]) -> None:
    results = []
    for device in ("cpu", "cuda"):
        model = nano(device)
        PackedModel(model)
        with torch.no_grad():
            results.append(hidden_states(model, pack(packed(documents), device)))
    assert off(results[1], results[0]) < 1e-5


def test_the_tower_sees_patches_where_transformers_does_on_the_cpu() -> None:
    tiles = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        wanted = nano().model.vision_model(pixel_values=pixels(tiles, torch.float32))
        found = tower_states(nano("cuda").model.vision_model, tiles.cuda())
    assert off(found, wanted.last_hidden_state) < 1e-5


@pytest.mark.parametrize("checkpointing", [False, True])
def test_bf16_losses_and_gradients_are_those_of_fp32_on_the_cpu(
    documents: list[Document], checkpointing: bool
) -> None:
    results = []
    for device in ("cpu", "cuda"):
        model = nano(device).train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        step = PackedModel(model)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            losses = step(pack(packed(documents), device))
        losses.mean().backward()
        grads = {n: p.grad for n, p in model.named_parameters()}
        results.append((losses, grads))
    (wanted, slopes), (found, found_slopes) = results
    assert off(found, wanted) < 1e-2
    assert all(p is not None for p in found_slopes.values())
    together = [
        torch.cat([g.flatten().double().cpu() for g in s.values() if g is not None])
        for s in (slopes, found_slopes)
    ]
    assert torch.nn.functional.cosine_similarity(together[0], together[1], dim=0) > 0.999


def test_a_step_never_makes_the_host_wait(documents: list[Document]) -> None:
    step = PackedModel(nano("cuda")).train()
    one = pack(packed(documents), "cuda")
    with half():
        step(one).sum().backward()  # what is done once may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        with half():
            losses = step(one)
        losses.sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_compiled_layers_have_the_losses_of_plain_ones(documents: list[Document]) -> None:
    model = nano("cuda").train()
    step, one = PackedModel(model), pack(packed(documents), "cuda")
    with torch.no_grad(), half():
        wanted = step(one)
        compile_layers(model)
        found = step(one)
    assert off(found, wanted) < 1e-2


def test_answers_are_those_of_the_cpu() -> None:
    tiles = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    ids = np.concatenate([[1], np.full(8, IMAGE_ID), np.arange(100, 120)]).astype(np.int64)
    shown = [PromptTiles(tiles=tiles, groups=(1, 1))]
    answers = [generate(nano(d).eval(), [ids], shown, max_new_tokens=8) for d in ("cpu", "cuda")]
    assert answers[0] == answers[1]
    averaged = [PromptTiles(tiles=torch.cat([tiles, tiles]), groups=(2, 2))]
    answers = [generate(nano(d).eval(), [ids], averaged, max_new_tokens=8) for d in ("cpu", "cuda")]
    assert answers[0] == answers[1]


TRAINED = """
    import os, signal, sys
    from pathlib import Path
    from smolmix.model.train import train
    from tests.model.train.test_train import memory, recipe

    def watch(stage, progress):
        if stage.name == "two" and progress.step == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

    train(recipe(), Path(sys.argv[1]), memory, tensorboard=False, watch=watch)
"""


def trained(run: Path, *, die_at: int = 0) -> int:
    command = [sys.executable, "-c", textwrap.dedent(TRAINED), str(run), str(die_at)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", ".", *sys.path])}
    return subprocess.run(command, env=env, check=False).returncode


def test_a_killed_run_resumes_and_opens_in_transformers(tmp_path: Path) -> None:
    assert trained(tmp_path / "whole") == 0
    assert trained(tmp_path / "cut", die_at=3) == -signal.SIGKILL
    assert trained(tmp_path / "cut") == 0
    whole_run, cut = losses(tmp_path / "whole"), losses(tmp_path / "cut")
    assert len(cut) == 9
    assert cut == pytest.approx(whole_run, rel=1e-3)
    opened: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "cut" / "final")
    opened.eval()
    documents = documents_of_every_modality(3)
    PackedModel(opened)
    with torch.no_grad():
        wanted = hidden_states(opened, pack(packed(documents)))
        found = hidden_states(opened.cuda(), pack(packed(documents), "cuda"))
    assert off(found, wanted) < 1e-5


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group(
        "nccl", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    yield
    dist.destroy_process_group()


def test_weights_sharded_over_nccl_have_the_gradients_of_unsharded_ones(
    documents: list[Document], one_rank: None
) -> None:
    results = []
    for sharded in (False, True):
        model = nano("cpu" if sharded else "cuda")
        step = PackedModel(model).train()
        if sharded:
            shard(step, 1, torch.device("cuda"))
            assert all(isinstance(p, DTensor) for p in model.parameters())
        with half():
            found = step(pack(packed(documents), "cuda"))
        found.mean().backward()
        results.append({n: gathered(p.grad).cpu() for n, p in model.named_parameters()})
    for name, wanted in results[0].items():
        assert off(results[1][name], wanted) < 2e-2, name


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_train_puts_a_worker_on_a_gpu_and_restarts_it(
    workspace: Workspace, ray_here: None, tmp_path: Path
) -> None:
    marker, seen = tmp_path / "killed", tmp_path / "seen"

    def watch(stage: Any, progress: Any) -> None:
        seen.write_text(f"{dist.get_backend()} {torch.cuda.memory_allocated() > 0}")
        if progress.step == 5 and not marker.exists():
            marker.write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    train_on_ray(
        recipe("on-ray"), workspace, workers=1, open_data=opener(), watch=watch, tensorboard=False
    )
    assert marker.exists()
    assert seen.read_text() == "nccl True"
    run = Path(workspace.run("alone").path)
    train(recipe("alone"), run, opener()(recipe("alone")), tensorboard=False)
    wanted = losses(run)
    assert losses(Path(workspace.run("on-ray").path)) == pytest.approx(wanted, rel=1e-3)

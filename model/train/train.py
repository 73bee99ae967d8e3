"""Trains a recipe: its stages in order, each from the last one's weights; resumable at any step."""

import contextlib
import ctypes
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from smolmix.model.arch import checkpoint
from smolmix.model.arch.build import build, check_profile
from smolmix.model.train import run_record
from smolmix.model.train.loop import StageLoop, StepReport
from smolmix.model.train.prefetch import Sequences
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe, StageSpec
from smolmix.model.train.sharding import gathered_weights
from smolmix.model.train.step import compile_layers
from smolmix.model.train.training_log import TrainingLog

_TRIM, _MMAP = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """The packed mixture of one stage, seen from one rank."""

    source: Sequences
    sequences: int  # of one pass, over all ranks
    digest: str  # of all that the sequences depend on


OpenData = Callable[[StageSpec, ProcessGroup], StageData]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a run ended."""

    folder: Path  # the final checkpoint
    steps: int
    resumed_from: int  # the step; 0: from the beginning
    already_complete: bool  # by an earlier call; nothing was trained
    seconds: float


def set_rope_base(model: Any, base: float) -> None:
    """Give the language model of a SmolVLM another RoPE base."""
    text = model.model.text_model
    text.config.rope_parameters = {**text.config.rope_parameters, "rope_theta": base}
    text.rotary_emb = LlamaRotaryEmbedding(config=text.config).to(text.embed_tokens.weight.device)


def keep_freed_memory() -> None:
    """Make glibc keep the memory that a step frees, so that the next step causes no page faults.

    Otherwise a step's largest tensors, gradients of the embedding and logits, go back to the
    kernel each time: 30,000 page faults a step of the demo, a tenth of its time. Does nothing with
    another C library.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP, 1 << 30)
        mallopt(_TRIM, (1 << 31) - 1)


def run_digest(recipe: Recipe, data: Sequence[StageData]) -> str:
    """Return the identity of a run: its recipe, its first weights, and the data it reads."""
    body = recipe.model_dump_json(exclude={"evaluate", "title", "threads", "sharding", "compiled"})
    parts = [body, json.dumps(recipe.model.origin(), sort_keys=True), *(d.digest for d in data)]
    return xxhash.xxh3_128_hexdigest("\n".join(parts).encode())


def train(
    recipe: Recipe,
    run: Path,
    open_data: OpenData,
    *,
    group: ProcessGroup | None = None,
    device: torch.device | None = None,
    tensorboard: bool = True,
    watch: Callable[[StageSpec, StepReport], None] = lambda _stage, _report: None,
) -> Trained:
    """Train all stages of a recipe into `run`, resuming from its last checkpoint.

    Args:
        recipe: what to train.
        run: the run's folder, on a local disk.
        open_data: opens a stage's sequences for a rank.
        group: the ranks that train together; this process alone by default.
        device: by default the GPU of this process, or the CPU.
        tensorboard: write its event files too.
        watch: called after each step, with the stage and what the step did.

    Raises:
        UsageError: `run` holds a run of another recipe, mixture or first weights, or the batch
            cannot be shared by the ranks.
        DataError: the data ended early, or a guard stopped the run.
    """
    started = time.perf_counter()
    keep_freed_memory()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    group = group or ProcessGroup()
    data = [open_data(stage, group) for stage in recipe.stages]
    one = _Run(
        recipe=recipe,
        folder=run,
        data=data,
        digest=run_digest(recipe, data),
        group=group,
        device=device or torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        watch=watch,
    )
    complete = run_record.is_complete(run, one.digest)
    resumed = one.steps if complete else one.train(tensorboard=tensorboard)
    return Trained(
        folder=run / run_record.FINAL,
        steps=one.steps,
        resumed_from=resumed,
        already_complete=complete,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    recipe: Recipe
    folder: Path
    data: Sequence[StageData]
    digest: str
    group: ProcessGroup
    device: torch.device
    watch: Callable[[StageSpec, StepReport], None]

    @property
    def plan(self) -> list[int]:
        """Steps of each stage."""
        pairs = zip(self.recipe.stages, self.data, strict=True)
        return [stage.total_steps(data.sequences) for stage, data in pairs]

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return sum(self.plan)

    def train(self, *, tensorboard: bool) -> int:
        """Train the remaining steps; return the step it resumed from."""
        resumed, at = run_record.resume_point(self.folder, self.digest)
        start, state = 0, {}
        if at is not None:
            start, state = checkpoint.read_record(at)["stage"], checkpoint.read_state(at)
        self.group.barrier()
        model = self._build(at)
        check_profile(model, self.recipe.full_profile().pixel)
        with contextlib.ExitStack() as open_files:
            log = None
            if self.group.rank == 0:
                log = open_files.enter_context(
                    TrainingLog(self.folder, resume_step=resumed, tensorboard=tensorboard)
                )
            for index in range(start, len(self.plan)):
                if self.sharded and index > start:  # sharding fixes what is frozen
                    model = self._build(run_record.checkpoints(self.folder)[-1][1])
                self._stage(model, index, state, log)
                state = {}
        self._write(model, run_record.FINAL, {"steps": self.steps})
        return resumed

    @property
    def sharded(self) -> bool:
        """Whether each rank holds only a part of the weights."""
        return self.recipe.sharding == "fsdp" and self.group.size > 1

    def _build(self, at: Path | None) -> Any:
        model = build(self.recipe.model, seed=self.recipe.seed, checkpoint=at)
        if self.recipe.compiled and self.device.type == "cuda":
            compile_layers(model)
        return model if self.sharded else model.to(self.device)

    def _stage(
        self, model: Any, index: int, state: Mapping[str, Any], log: TrainingLog | None
    ) -> None:
        stage, first = self.recipe.stages[index], sum(self.plan[:index])
        if stage.rope_base is not None:
            set_rope_base(model, stage.rope_base)

        def save(step: int, state: Mapping[str, Any]) -> None:
            name = run_record.checkpoint_name(first + step)
            self._write(model, name, {"stage": index, "step": step}, state)
            if self.group.rank == 0:
                run_record.remove_checkpoints(self.folder, keep=stage.keep)

        loop = StageLoop(
            model,
            stage,
            self.data[index].source,
            steps=self.plan[index],
            first_step=first,
            group=self.group,
            device=self.device,
            log=log,
            save=save,
            sharded=self.sharded,
            watch=lambda report: self.watch(stage, report),
        )
        if state:
            loop.load_state_dict(state)
        loop.run()
        if index + 1 < len(self.plan):  # the next stage starts from weights alone
            name = run_record.checkpoint_name(first + self.plan[index])
            self._write(model, name, {"stage": index + 1, "step": 0}, {})

    def _write(
        self,
        model: Any,
        name: str,
        facts: Mapping[str, int],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a checkpoint folder on rank 0 while the other ranks wait."""
        weights = gathered_weights(model) if self.sharded else None
        if self.group.rank == 0:
            mixtures = sorted({s.mixture for s in self.recipe.stages})  # for the report
            record: dict[str, Any] = {
                "digest": self.digest,
                "recipe": self.recipe.name,
                "mixtures": mixtures,
                **facts,
            }
            profile = self.recipe.full_profile()
            checkpoint.save(self.folder / name, model, record, state, profile, weights=weights)
        self.group.barrier()

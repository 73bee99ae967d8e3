"""Trains a recipe: its stages in order, each from the last one's weights, resumable anywhere."""

import contextlib
import ctypes
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from smolmix.errors import DataError, UsageError
from smolmix.model.arch import checkpoint
from smolmix.model.arch.build import build, check_profile
from smolmix.model.train.loop import Progress, StageLoop, total_steps
from smolmix.model.train.metrics import MetricsWriter
from smolmix.model.train.prefetch import Sequences
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe, StageSpec
from smolmix.model.train.sharding import whole_weights
from smolmix.model.train.step import compile_layers

FINAL = "final"
_TRIM, _MMAP = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class StageData:
    """The packed mixture of one stage, seen from one rank."""

    source: Sequences
    sequences: int  # of one pass, over all ranks
    digest: str  # of what the sequences depend on


OpenData = Callable[[StageSpec, ProcessGroup], StageData]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run ended with."""

    folder: Path  # the final checkpoint
    steps: int
    resumed_from: int  # 0: from the beginning
    already_whole: bool
    seconds: float


def set_rope_base(model: Any, base: float) -> None:
    """Give the language model another RoPE base."""
    text = model.model.text_model
    text.config.rope_parameters = {**text.config.rope_parameters, "rope_theta": base}
    text.rotary_emb = LlamaRotaryEmbedding(config=text.config).to(text.embed_tokens.weight.device)


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees, so that the next one faults no pages in.

    A step's largest tensors, gradients of the embedding and logits, otherwise go back to the
    kernel each time: 30,000 page faults a step of the demo, a tenth of its time; with this, none.
    Does nothing where the C library is another.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP, 1 << 30)
        mallopt(_TRIM, (1 << 31) - 1)


def run_digest(recipe: Recipe, data: Sequence[StageData]) -> str:
    """Return the identity of a run: its recipe, the weights it begins with, what it reads."""
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
    watch: Callable[[StageSpec, Progress], None] = lambda _stage, _progress: None,
) -> Trained:
    """Train all stages of a recipe into `run`, going on from the last whole checkpoint.

    Args:
        recipe: what to train.
        run: the run's folder, on a local disk.
        open_data: opens a stage's sequences for a rank.
        group: this process among the ranks; alone by default.
        device: by default the GPU of this process, or the CPU.
        tensorboard: write its event files beside the JSONL.
        watch: is told of each step on rank 0.

    Raises:
        UsageError: `run` holds a run of another recipe, mixture or first weights, or the batch
            cannot be shared.
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
    whole = one.is_whole()
    resumed = one.steps if whole else one.train(tensorboard=tensorboard)
    return Trained(
        folder=run / FINAL,
        steps=one.steps,
        resumed_from=resumed,
        already_whole=whole,
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
    watch: Callable[[StageSpec, Progress], None]

    @property
    def plan(self) -> list[int]:
        """Steps of each stage."""
        pairs = zip(self.recipe.stages, self.data, strict=True)
        return [total_steps(stage, data.sequences) for stage, data in pairs]

    @property
    def steps(self) -> int:
        """Steps of the run."""
        return sum(self.plan)

    def is_whole(self) -> bool:
        """Whether the run has ended before, with this recipe and data."""
        final = self.folder / FINAL
        return (final / checkpoint.RECORD).exists() and (
            checkpoint.read_record(final)["digest"] == self.digest
        )

    def train(self, *, tensorboard: bool) -> int:
        """Train what is left; return the step it went on from."""
        found = checkpoint.checkpoints(self.folder)[-1:]
        resumed, at = found[0] if found else (0, None)
        start, state = 0, {}
        final = self.folder / FINAL
        last = at or (final if (final / checkpoint.RECORD).exists() else None)
        if last is not None and checkpoint.read_record(last)["digest"] != self.digest:
            raise UsageError(
                f"{self.folder}: holds a run of another recipe or mixture, or one that began with "
                "other weights; give the recipe another name, or delete that folder"
            )
        if at is not None:
            start, state = checkpoint.read_record(at)["stage"], checkpoint.read_state(at)
        self.group.barrier()
        model = self._build(at)
        check_profile(model, self.recipe.full_profile().pixel)
        with contextlib.ExitStack() as open_files:
            writer = None
            if self.group.rank == 0:
                writer = open_files.enter_context(
                    MetricsWriter(self.folder, resume_step=resumed, tensorboard=tensorboard)
                )
            for index in range(start, len(self.plan)):
                if self.sharded and index > start:  # what is frozen is fixed when it is sharded
                    model = self._build(checkpoint.checkpoints(self.folder)[-1][1])
                self._stage(model, index, state, writer)
                state = {}
        self._write(model, FINAL, {"steps": self.steps})
        return resumed

    @property
    def sharded(self) -> bool:
        """Whether each rank holds a share of the weights."""
        return self.recipe.sharding == "fsdp" and self.group.size > 1

    def _build(self, at: Path | None) -> Any:
        model = build(self.recipe.model, seed=self.recipe.seed, checkpoint=at)
        if self.recipe.compiled and self.device.type == "cuda":
            compile_layers(model)
        return model if self.sharded else model.to(self.device)

    def _stage(
        self, model: Any, index: int, state: Mapping[str, Any], writer: MetricsWriter | None
    ) -> None:
        stage, first = self.recipe.stages[index], sum(self.plan[:index])
        if stage.rope_base is not None:
            set_rope_base(model, stage.rope_base)

        def save(step: int, state: Mapping[str, Any]) -> None:
            self._write(model, f"checkpoint-{first + step}", {"stage": index, "step": step}, state)
            if self.group.rank == 0:
                checkpoint.remove_old(self.folder, keep=stage.keep)

        loop = StageLoop(
            model,
            stage,
            self.data[index].source,
            steps=self.plan[index],
            first_step=first,
            group=self.group,
            device=self.device,
            writer=writer,
            save=save,
            sharded=self.sharded,
            watch=lambda progress: self.watch(stage, progress),
        )
        if state:
            loop.load_state_dict(state)
        loop.run()
        if index + 1 < len(self.plan):  # the next stage starts from weights alone
            name = f"checkpoint-{first + self.plan[index]}"
            self._write(model, name, {"stage": index + 1, "step": 0}, {})

    def _write(
        self,
        model: Any,
        name: str,
        facts: Mapping[str, int],
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a checkpoint folder on rank 0, and let the others wait for it."""
        weights = whole_weights(model) if self.sharded else None
        if self.group.rank == 0:
            mixtures = sorted({s.mixture for s in self.recipe.stages})  # the report asks for them
            record: dict[str, Any] = {
                "digest": self.digest,
                "recipe": self.recipe.name,
                "mixtures": mixtures,
                **facts,
            }
            profile = self.recipe.full_profile()
            checkpoint.save(self.folder / name, model, record, state, profile, weights=weights)
        self.group.barrier()


def local_run(folder: Any) -> Path:
    """Return a run's folder as a local path.

    Raises:
        UsageError: the workspace is not on a local disk.
    """
    if not folder.is_local:
        raise UsageError(
            f"{folder.url}: runs are written to a local disk; train in a local workspace and copy "
            "the run's folder afterwards"
        )
    return Path(folder.path)


def check_finished(run: Path) -> Path:
    """Return a run's final checkpoint, or its last one.

    Raises:
        DataError: the run has none.
    """
    if (run / FINAL).is_dir():
        return run / FINAL
    found = checkpoint.checkpoints(run)
    if not found:
        raise DataError(f"{run}: no checkpoint; run `smolmix train` first")
    print(f"{run}: not finished; using {found[-1][1].name}", file=sys.stderr)
    return found[-1][1]

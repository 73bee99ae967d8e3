"""The training loop of one stage: global batches, gradients, guards, metrics, checkpoints."""

import itertools
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from smolmix.errors import DataError, UsageError
from smolmix.model.train import optimizer, sharding
from smolmix.model.train.guards import Guard
from smolmix.model.train.prefetch import Prefetched, Sequences
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import StageSpec
from smolmix.model.train.step import Packed, PackedModel
from smolmix.model.train.training_log import TrainingLog, peak_memory_bytes


class Saver(Protocol):
    """Writes a checkpoint of the run."""

    def __call__(self, step: int, state: Mapping[str, Any]) -> None:
        """Write what a resumed run needs after `step` steps of the stage."""


@dataclass(slots=True, kw_only=True)
class StepReport:
    """What the loop reports after each step."""

    step: int  # of the stage, from 1
    steps: int  # of the stage
    loss: float  # mean over supervised tokens
    tokens_per_s: float
    seconds_left: float  # of the stage


def document_sums(packed: Packed, losses: torch.Tensor) -> torch.Tensor:
    """Return the sum of each document's losses, (documents,) float64, on the losses' device.

    Args:
        packed: the sequence.
        losses: (supervised tokens,), one loss a token.
    """
    sums = torch.zeros(len(packed.supervised_in), dtype=torch.float64, device=losses.device)
    return sums.index_add_(0, packed.owner, losses.detach().double())


def group_losses(
    sequence: Mapping[str, Any], counts: Sequence[int], sums: Sequence[float]
) -> dict[str, tuple[float, int]]:
    """Return (sum of losses, supervised tokens) by `modality/...` and `corpus/...`.

    Args:
        sequence: as the loader yields it, with the documents' `modalities` and `corpora`.
        counts: supervised tokens of each document.
        sums: the sum of each document's losses.
    """
    found: dict[str, tuple[float, int]] = {}
    for kind, key in (("modality", "modalities"), ("corpus", "corpora")):
        for name, total, count in zip(sequence.get(key, ()), sums, counts, strict=False):
            _add(found, {f"{kind}/{name}": (total, count)})
    return found


class StageLoop:
    """Trains one stage to its end."""

    def __init__(
        self,
        model: Any,
        stage: StageSpec,
        source: Sequences,
        *,
        steps: int,
        first_step: int,
        group: ProcessGroup,
        device: torch.device,
        log: TrainingLog | None,
        save: Saver,
        sharded: bool = False,
        watch: Callable[[StepReport], None] = lambda _: None,
    ):
        """Prepare the optimizer, and freeze what the stage does not train.

        Args:
            model: the SmolVLM, on `device`; a sharded one is moved there.
            stage: how to train.
            source: this rank's sequences.
            steps: optimizer steps of the stage.
            first_step: steps of earlier stages, for the numbering.
            group: the ranks that train together.
            device: of the computation.
            log: of metrics and timing; None on ranks other than 0.
            save: writes checkpoints.
            sharded: each rank holds a part of the weights.
            watch: called after each step.

        Raises:
            UsageError: the global batch cannot be shared by the ranks.
        """
        if stage.global_batch % group.size:
            raise UsageError(
                f"stage {stage.name}: {stage.global_batch} sequences a step cannot be shared by "
                f"{group.size} processes; use a number that divides it"
            )
        optimizer.freeze(model, stage.learning_rate)
        if stage.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        self.packed_model = PackedModel(model)
        self.packed_model.train()
        self.sharded = sharded
        if sharded:
            sharding.shard(self.packed_model, group.size, device)
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizers = optimizer.optimizers(model, stage)
        self.guard = Guard(stage.guards)
        self.stage, self.source, self.steps, self.first = stage, source, steps, first_step
        self.group, self.device = group, device
        self.log, self.save, self.watch = log, save, watch
        self.step = 0
        self.loader_state: dict[str, Any] = source.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come depend on."""
        return {
            "step": self.step,
            "optimizers": [sharding.gathered(o.state_dict()) for o in self.optimizers],
            "guard": self.guard.state_dict(),
            "loader": self.loader_state,
            "random": random_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue after the step that a checkpoint was written at."""
        self.step = state["step"]
        for one, saved in zip(self.optimizers, state["optimizers"], strict=True):
            sharding.load_optimizer(one, saved)
        self.guard.load_state_dict(state["guard"])
        self.loader_state = state["loader"]
        self.source.load_state_dict(state["loader"])
        restore_random_state(state["random"])

    def run(self) -> None:
        """Take the remaining steps.

        Raises:
            DataError: the data ended early, or a guard stopped the run.
        """
        separate = self.stage.separate_documents
        data = Prefetched(self.source, self.device, separate_documents=separate)
        started, done = time.perf_counter(), 0
        try:
            while self.step < self.steps:
                metrics, timing = self._one_step(data)
                done += 1
                left = (time.perf_counter() - started) / done * (self.steps - self.step)
                if self.log is not None:
                    self.log.write(self.first + self.step, metrics, timing)
                if self.step % self.stage.checkpoint_every == 0 and self.step < self.steps:
                    self.save(self.step, self.state_dict())
                self.watch(
                    StepReport(
                        step=self.step,
                        steps=self.steps,
                        loss=metrics["loss"],
                        tokens_per_s=timing["tokens_per_s"],
                        seconds_left=left,
                    )
                )
        finally:
            data.close()

    def _take(self, data: Prefetched) -> list[tuple[Mapping[str, Any], Packed]]:
        batch = []
        for _ in range(self.stage.global_batch // self.group.size):
            try:
                sequence, packed, self.loader_state = data.take()
            except StopIteration:
                raise DataError(
                    f"stage {self.stage.name}: the sequences ended at step {self.step} of "
                    f"{self.steps}; tokenize the mixture again or ask for fewer steps"
                ) from None
            batch.append((sequence, packed))
        return batch

    def _one_step(self, data: Prefetched) -> tuple[dict[str, Any], dict[str, Any]]:
        started, waited = time.perf_counter(), data.waited_s
        batch = self._take(data)
        waited = data.waited_s - waited
        group = self.group
        supervised = group.sum(sum(p.n_supervised for _, p in batch))
        sums = []
        for _, packed in batch:
            with self._autocast():
                losses = self.packed_model(packed)
            if losses.requires_grad:  # text trains nothing where only the vision side is trained
                ranks = group.size if self.sharded else 1  # FSDP averages over the ranks
                (losses.sum() * ranks / max(1.0, supervised)).backward()
            sums.append(document_sums(packed, losses))
        by_sequence = torch.split(torch.cat(sums).cpu(), [len(x) for x in sums])
        each = [x.tolist() for x in by_sequence]
        loss = group.sum(math.fsum(itertools.chain(*each))) / max(1.0, supervised)
        groups: dict[str, tuple[float, int]] = {}
        for (sequence, packed), of_documents in zip(batch, each, strict=True):
            _add(groups, group_losses(sequence, packed.supervised_in, of_documents))
        for parameter in self.trained:
            if parameter.grad is None:  # a tower that no sequence of this step used
                parameter.grad = torch.zeros_like(parameter)
        if not self.sharded:
            group.sum_gradients(self.trained)
        norm = float(
            sharding.gathered(torch.nn.utils.clip_grad_norm_(self.trained, self.stage.clip))
        )
        factor = optimizer.rate_factor(self.step, self.steps, self.stage.schedule)
        rates = optimizer.set_rates(self.optimizers, factor)
        taken = self.guard.allows(self.first + self.step + 1, loss, norm)
        for one in self.optimizers:
            if taken:
                one.step()
            one.zero_grad(set_to_none=True)
        self.step += 1
        tokens = group.sum(sum(p.input_ids.shape[0] for _, p in batch))
        tiles = group.sum(sum(p.tiles.shape[0] for _, p in batch))
        merged = group.merge(groups)
        seconds = time.perf_counter() - started
        metrics = {
            "stage": self.stage.name,
            "loss": loss,
            "gradient_norm": norm,
            "taken": taken,
            "rate": rates,
            "tokens": int(tokens),
            "supervised": int(supervised),
            "tiles": int(tiles),
            "losses": {k: s / c for k, (s, c) in merged.items() if c},
        }
        timing = {
            "seconds": seconds,
            "tokens_per_s": tokens / seconds,
            "supervised_per_s": supervised / seconds,
            "tiles_per_s": tiles / seconds,
            "data_wait": waited / seconds,
            "peak_memory_bytes": peak_memory_bytes(),
        }
        return metrics, timing

    def _autocast(self) -> Any:
        on = self.stage.precision == "bf16" or (
            self.stage.precision == "auto" and self.device.type == "cuda"
        )
        return torch.autocast(self.device.type, torch.bfloat16, enabled=on)


def _add(into: dict[str, tuple[float, int]], more: Mapping[str, tuple[float, int]]) -> None:
    for key, (value, count) in more.items():
        before = into.get(key, (0.0, 0))
        into[key] = (before[0] + value, before[1] + count)


def random_state() -> dict[str, Any]:
    """Return the states of Python's, numpy's and torch's random generators."""
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every random generator back to what `random_state` returned.

    Only this rank's own GPU is set: a run may resume on another number of GPUs.
    """
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])

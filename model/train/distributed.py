"""Trains on several processes or machines: Ray Train starts the ranks, the loop stays the same.

Ray starts the processes, joins them in a group (gloo on CPUs, NCCL on GPUs) and restarts them when
one dies; they then resume from the last checkpoint like any run, so no state passes through Ray.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from smolmix.errors import DataError, SmolmixError, UsageError
from smolmix.model.arch.checkpoint import read_record
from smolmix.model.train.data import open_stages
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe
from smolmix.model.train.run_record import FINAL, local_run
from smolmix.model.train.train import OpenData, Trained, train
from smolmix.workspace import Workspace

_FAILURES = 3  # worker failures before a run is given up


def _rank(config: dict[str, Any]) -> None:
    """Train as one rank, inside a Ray Train worker."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    recipe = Recipe.model_validate_json(config["recipe"])
    opener: Callable[[Recipe], OpenData] = config["open_data"]
    group = ProcessGroup(rank=dist.get_rank(), size=dist.get_world_size())
    device = None
    if torch.cuda.is_available():
        from ray.train.torch import get_device

        device = get_device()
        torch.cuda.set_device(device)
    elif recipe.threads is None:
        torch.set_num_threads(1)
    on_start: Callable[[int], None] | None = config["on_start"]
    if on_start is not None:
        on_start(group.rank)
    watch = config["watch"] or (lambda _stage, _report: None)
    train(
        recipe, Path(config["run"]), opener(recipe), group=group, device=device, watch=watch,
        tensorboard=config["tensorboard"],
    )  # fmt: skip


def train_on_ray(
    recipe: Recipe,
    workspace: Workspace,
    *,
    workers: int,
    ray_address: str | None = None,
    open_data: Callable[[Recipe], OpenData] | None = None,
    on_start: Callable[[int], None] | None = None,
    watch: Any = None,
    tensorboard: bool = True,
) -> Trained:
    """Train a recipe on `workers` processes; a worker that dies is restarted.

    Args:
        recipe: what to train.
        workspace: on a disk that all machines share.
        workers: ranks; one GPU each where there are GPUs.
        ray_address: a cluster to join; a local Ray by default.
        open_data: opens a stage's sequences, given the recipe; the workspace's by default.
        on_start: called in each worker with its rank, before training.
        watch: called on rank 0 after each step, with the stage and what the step did.
        tensorboard: write its event files too.

    Raises:
        UsageError: the global batch cannot be shared by the workers, or there are fewer GPUs.
        DataError: a worker died too often, or its training failed.
    """
    from smolmix.engine import ray_pool

    run = local_run(workspace.run(recipe.name))
    batches = [s.global_batch for s in recipe.stages if s.global_batch % workers]
    if batches:
        raise UsageError(
            f"recipe {recipe.name}: {batches[0]} sequences a step cannot be shared by {workers} "
            "processes; use a number that divides it"
        )
    url = workspace.url
    ray_pool.start(workers + 1, ray_address)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    available = sum(ray_pool.gpus())  # of the cluster; this machine may have none
    gpus = available > 0
    if gpus and workers > available:  # Ray would wait for them for ever
        raise UsageError(
            f"recipe {recipe.name}: {workers} processes need a GPU each, the cluster has "
            f"{available:g}; use at most {available:g}"
        )

    def from_workspace(recipe: Recipe) -> OpenData:
        return open_stages(Workspace(url), recipe)

    trainer = TorchTrainer(
        _rank,
        train_loop_config={
            "recipe": recipe.model_dump_json(),
            "run": str(run),
            "open_data": open_data or from_workspace,
            "on_start": on_start,
            "watch": watch,
            "tensorboard": tensorboard,
        },
        torch_config=TorchConfig(backend="nccl" if gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers, use_gpu=gpus, resources_per_worker={"CPU": 1, "GPU": int(gpus)}
        ),
        run_config=RunConfig(
            name=recipe.name,
            storage_path=str(run / "ray"),
            failure_config=FailureConfig(max_failures=_FAILURES),
        ),
    )
    try:
        trainer.fit()
    except SmolmixError:
        raise
    except Exception as error:  # Ray wraps a worker's exception in classes of its own
        raise DataError(f"run {recipe.name}: {_cause(error)}") from error
    steps = int(read_record(run / FINAL)["steps"])
    return Trained(
        folder=run / FINAL, steps=steps, resumed_from=0, already_complete=False, seconds=0.0
    )


def _cause(error: BaseException) -> str:
    """Return the last line of each failed worker's error."""
    failures: dict[int, BaseException] = getattr(error, "worker_failures", None) or {}
    causes = [f"worker {rank}: {_last_line(e)}" for rank, e in failures.items()]
    return "; ".join(causes) or _last_line(error)


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]

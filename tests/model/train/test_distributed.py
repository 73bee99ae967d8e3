"""Two ranks on this machine, over gloo, started by Ray Train."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tests.support.sequences as shared

from smolmix.errors import UsageError
from smolmix.model.train.distributed import train_on_ray
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe
from smolmix.model.train.train import OpenData, StageData, train
from smolmix.workspace import Workspace


def recipe(name: str) -> Recipe:
    stage = {
        "name": "one", "mixture": "none", "sequence_tokens": 256, "sequences_per_step": 2,
        "learning_rate": {"vision": 1e-3, "connector": 1e-3, "lm": 1e-3},
        "steps": 6, "checkpoint_every": 2,
    }  # fmt: skip
    return Recipe.model_validate(
        {"name": name, "profile": {"preset": "nano", "style": "inference"}, "threads": 1,
         "model": {"preset": "nano"}, "stages": [stage]}
    )  # fmt: skip


def opener() -> Callable[[Recipe], OpenData]:
    sequences = shared.MemorySequences

    def open_for(recipe: Recipe) -> OpenData:
        def open_stage(stage: Any, group: ProcessGroup) -> StageData:
            return StageData(
                source=sequences(rank=group.rank, size=group.size), sequences=100, digest="m"
            )

        return open_stage

    return open_for


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def alone(workspace: Workspace) -> list[float]:
    run = Path(workspace.run("alone").path)
    train(recipe("alone"), run, opener()(recipe("alone")), tensorboard=False)
    return losses(run)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_workers_have_the_losses_of_one_even_if_one_is_killed(
    workspace: Workspace, tmp_path: Path, ray_here: None
) -> None:
    marker = tmp_path / "killed"

    def watch(stage: Any, progress: Any) -> None:
        if progress.step == 5 and not marker.exists():
            marker.write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)

    done = train_on_ray(
        recipe("both"), workspace, workers=2, open_data=opener(), watch=watch,
        tensorboard=False,
    )  # fmt: skip
    assert marker.exists()
    both = losses(Path(workspace.run("both").path))
    assert done.steps == len(both) == 6
    assert both == pytest.approx(alone(workspace), abs=1e-5)


def test_a_batch_that_ranks_cannot_share_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="cannot be shared by 3"):
        train_on_ray(recipe("three"), workspace, workers=3)


def test_more_workers_than_the_cluster_has_gpus_are_refused(workspace: Workspace) -> None:
    """A cluster that says it has one GPU; Ray itself would wait for the second for ever."""
    import ray

    ray.shutdown()
    ray.init(num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
    try:
        with pytest.raises(UsageError, match="2 processes need a GPU each, the cluster has 1"):
            train_on_ray(recipe("two"), workspace, workers=2)
    finally:
        ray.shutdown()

"""Two ranks on this machine, over gloo, started by Ray Train."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tests.model.conftest as shared

from smolmix.errors import UsageError
from smolmix.model.distributed import train_on_ray
from smolmix.model.recipe import Recipe
from smolmix.model.train import OpenData, StageData, train
from smolmix.model.world import World
from smolmix.storage import Workspace


@pytest.fixture
def ray_here() -> Iterator[None]:
    import ray
    from ray import cloudpickle

    from smolmix import cluster

    ray.shutdown()
    cluster.start(3, None)
    cloudpickle.register_pickle_by_value(shared)  # type: ignore[no-untyped-call]
    yield
    cloudpickle.unregister_pickle_by_value(shared)  # type: ignore[no-untyped-call]
    ray.shutdown()


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
        def open_stage(stage: Any, world: World) -> StageData:
            return StageData(
                source=sequences(rank=world.rank, size=world.size), sequences=100, digest="m"
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

"""Ranks on this machine without Ray: processes from a fork server, joined over gloo."""

import json
import multiprocessing
import os
import pickle
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import tests.support.sequences  # noqa: F401  # its tiny preset
import torch
import torch.distributed as dist

from smolmix.model.train.data import open_stages
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe
from smolmix.model.train.train import OpenData, StageData, train
from smolmix.workspace import Workspace

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.support.ranks"])


class Noting:
    """A loader that writes down the places it takes sequences from, read ahead or not."""

    def __init__(self, source: Any, path: Path):
        self._source, self._path = source, path

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for item in self._source:
            with self._path.open("a") as stream:
                print(item["place"], file=stream)
            yield item

    def state_dict(self) -> dict[str, Any]:
        return dict(self._source.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._source.load_state_dict(state)


def _noted(workspace: Workspace, recipe: Recipe, notes: Path) -> OpenData:
    opened = open_stages(workspace, recipe)

    def open_stage(stage: Any, group: ProcessGroup) -> StageData:
        data = opened(stage, group)
        source = Noting(data.source, notes / f"{stage.name}-{group.size}-{group.rank}.txt")
        return StageData(source=source, sequences=data.sequences, digest=data.digest)

    return open_stage


def _one(
    rank: int, size: int, meeting: Path, recipe: str, workspace: str, notes: Path, die_at: int
) -> None:
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    one, place = Recipe.model_validate_json(recipe), Workspace(workspace)

    def watch(_stage: Any, progress: Any) -> None:
        if progress.step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    train(
        one, Path(place.run(one.name).path), _noted(place, one, notes),
        group=ProcessGroup(rank=rank, size=size), device=torch.device("cpu"), tensorboard=False,
        watch=watch,
    )  # fmt: skip
    if size > 1:
        dist.destroy_process_group()


def run(
    recipe: Recipe, workspace: Workspace, notes: Path, *, ranks: int, die_at: int = 0
) -> list[int | None]:
    """Train on so many ranks, all of them killed after step `die_at`; return exit codes."""
    notes.mkdir(parents=True, exist_ok=True)
    meeting = notes / "meeting"
    meeting.unlink(missing_ok=True)
    started = [
        _SERVER.Process(
            target=_one,
            args=(rank, ranks, meeting, recipe.model_dump_json(), workspace.url, notes, die_at),
        )
        for rank in range(ranks)
    ]
    for process in started:
        process.start()
    started[0].join()
    if die_at:  # the rank that dies takes its peers with it
        for process in started[1:]:
            process.kill()
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def _call(
    rank: int, size: int, meeting: Path, function: Callable[[ProcessGroup], Any], out: Path
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    found = function(ProcessGroup(rank=rank, size=size))
    (out / f"{rank}.pickle").write_bytes(pickle.dumps(found))
    dist.destroy_process_group()


def on_ranks(function: Callable[[ProcessGroup], Any], ranks: int) -> list[Any]:
    """Return what a module's function returns on each of so many ranks."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        started = [
            _SERVER.Process(target=_call, args=(rank, ranks, out / "meeting", function, out))
            for rank in range(ranks)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join()
        assert [p.exitcode for p in started] == [0] * ranks
        return [pickle.loads((out / f"{rank}.pickle").read_bytes()) for rank in range(ranks)]


def metrics(workspace: Workspace, recipe: Recipe) -> list[dict[str, Any]]:
    """Return what a run wrote, a step a row."""
    lines = (Path(workspace.run(recipe.name).path) / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]

"""Stages whose workers are actors: what one loads stays loaded from unit to unit."""

import json
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import UsageError
from smolmix.storage import Folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray


def _model(place: str) -> str:
    """Return this process's model, and leave a file for each one that was loaded."""
    held: Any = sys  # outlives this function, which is sent to the worker again with each job
    if not hasattr(held, "_model_of_the_test"):
        held._model_of_the_test = uuid.uuid4().hex
        Path(place, held._model_of_the_test).touch()
    name: str = held._model_of_the_test
    return name


def _score(unit: Unit[None], context: UnitContext) -> Result:
    import ray

    place, kills = unit.params["place"], unit.params["kills"]
    once = Path(place, f"killed-{unit.name}")
    used = {"model": _model(place), "actor": ray.get_runtime_context().get_actor_id()}
    if kills and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (context.out / f"{unit.name}.json").write_text(json.dumps(used))
    return Result(accounting=RowAccounting())


STAGE = Stage(name="score", version=1, run=_score, actors=True)


def _run(tmp_path: Path, *, kills: str = "") -> list[dict[str, str]]:
    folder, place = Folder(tmp_path / "out"), tmp_path / "loads"
    place.mkdir()
    units = [
        Unit(
            name=f"u{i}",
            inputs={},
            params={"place": str(place), "kills": kills == f"u{i}"},
            payload=None,
        )
        for i in range(7)
    ]
    run_stage(STAGE, units, folder=folder, options=RunOptions(workers=2, quiet=True))
    return [folder.read_json(f"u{i}.json") for i in range(7)]


def test_a_model_is_loaded_once_by_each_actor(tmp_path: Path) -> None:
    used = _run(tmp_path)
    actors = {u["actor"] for u in used}
    assert 1 <= len(actors) <= 2
    assert all(actors)
    loaded = {p.name for p in (tmp_path / "loads").iterdir()}
    assert len(loaded) == len(actors)
    assert len({(u["actor"], u["model"]) for u in used}) == len(actors)


def test_an_actor_that_dies_is_replaced_and_its_unit_done_again(tmp_path: Path) -> None:
    used = _run(tmp_path, kills="u3")
    assert len(used) == 7
    assert (tmp_path / "loads" / "killed-u3").exists()
    assert 2 <= len({u["actor"] for u in used}) <= 4


def test_gpus_that_no_machine_has_are_refused_instead_of_waited_for(tmp_path: Path) -> None:
    stage = Stage(name="score", version=1, run=_score, actors=True, num_gpus=999)
    unit = Unit(name="u0", inputs={}, params={}, payload=None)
    with pytest.raises(UsageError, match="needs 999 GPUs"):
        run_stage(
            stage,
            [unit],
            folder=Folder(tmp_path),
            options=RunOptions(workers=1, quiet=True),
        )

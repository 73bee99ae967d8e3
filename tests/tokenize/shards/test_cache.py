"""Generations of a cache: found when complete, read by what they record, withdrawn when damaged."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.storage import Folder
from smolmix.tokenize.shards import cache


def write_unit(unit: Unit[Sequence[str]], context: UnitContext) -> Result:
    """Write a shard that is only bytes, and its index."""
    (context.out / f"{unit.name}.arrow").write_bytes(b"rows of " + unit.name.encode())
    cache.write_index(context.out, unit.name, pl.DataFrame({"id": list(unit.payload)}))
    return Result(accounting=RowAccounting(samples=len(unit.payload), kept=len(unit.payload)))


STAGE = Stage(name="ids", version=1, run=write_unit)


def put(store: Folder, work: str, units: dict[str, list[str]], version: int = 1) -> Folder:
    folder = cache.new_generation(store, work)
    work_of: list[Unit[Sequence[str]]] = [
        Unit(name=n, inputs={"ids": n}, params={}, payload=ids) for n, ids in units.items()
    ]
    run_stage(
        STAGE,
        work_of,
        folder=folder,
        options=RunOptions(quiet=True),
        info={"version": version},
    )
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "workspace" / "ids" / "nano" / "corpus")


def test_an_absent_cache_is_empty(store: Folder) -> None:
    assert cache.generations(store) == []
    assert cache.frames(store, cache.INDEX_SUFFIX).is_empty()
    assert cache.withdraw_damaged(store) == []


def test_a_generation_is_named_by_its_work(store: Folder) -> None:
    names = {cache.new_generation(store, work).name for work in (["a"], ["b"], ["a"])}
    assert len(names) == 2
    assert all(len(name) == 16 for name in names)


def test_index_rows_say_in_which_row_of_which_shard_they_are(store: Folder) -> None:
    first = put(store, "1", {"part-0": ["a", "b"], "part-1": ["c"]})
    second = put(store, "2", {"part-0": ["d"]})
    found = cache.frames(store, cache.INDEX_SUFFIX, version=1)
    rows = {r["id"]: (r["shard"], r["row"]) for r in found.iter_rows(named=True)}
    here = "ids/nano/corpus"
    assert rows == {
        "a": (f"{here}/{first.name}/part-0.arrow", 0),
        "b": (f"{here}/{first.name}/part-0.arrow", 1),
        "c": (f"{here}/{first.name}/part-1.arrow", 0),
        "d": (f"{here}/{second.name}/part-0.arrow", 0),
    }


def test_generations_of_another_version_and_incomplete_ones_are_not_read(store: Folder) -> None:
    put(store, "1", {"part-0": ["a"]})
    put(store, "2", {"part-0": ["b"]}, version=2)
    put(store, "3", {"part-0": ["c"]}).remove("stage.json")
    assert len(cache.generations(store)) == 2
    found = {v: cache.frames(store, cache.INDEX_SUFFIX, version=v)["id"].to_list() for v in (1, 2)}
    assert found == {1: ["a"], 2: ["b"]}


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_damaged_unit_is_withdrawn_and_the_others_stay(store: Folder, damage: str) -> None:
    folder = put(store, "1", {"part-0": ["a"], "part-1": ["b"]})
    path = folder.local("part-1.arrow")
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1])
    assert cache.withdraw_damaged(store) == [str(path)]
    assert cache.generations(store) == []  # until its stage has run again
    again = put(store, "1", {"part-0": ["a"], "part-1": ["b"]})
    assert again.path == folder.path
    assert cache.withdraw_damaged(store) == []
    assert cache.frames(store, cache.INDEX_SUFFIX)["id"].to_list() == ["a", "b"]

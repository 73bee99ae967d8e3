"""What a stage is: a function over units, and what goes into it and comes out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smolmix.accounting import RowAccounting
from smolmix.storage import digest_json
from smolmix.workspace import StageRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """The smallest piece of work that is done, committed and redone as a whole."""

    name: str  # unique in the stage's folder; every file the unit writes starts with it
    inputs: Mapping[str, str]  # what it reads -> digest
    params: Mapping[str, Any]  # JSON parameters
    payload: object = None  # picklable, not in the key: implied by inputs and params

    def key_parts(self, stage: "Stage") -> dict[str, str]:
        """Return everything the key is made of, by a name fit for "… changed"."""
        parts = {f"input {name}": digest for name, digest in self.inputs.items()}
        for name, value in self.params.items():
            parts[f"parameter {name}"] = digest_json(value)
        return parts | {"stage version": f"{stage.name} {stage.version}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitContext:
    """What a unit's function is given beside the unit."""

    out: Path  # local scratch folder for the unit's files
    rows: range | None = None  # only these rows: a probe whose output is thrown away
    poison: frozenset[int] = frozenset()  # rows that killed a worker: drop, do not touch


@dataclass(slots=True, kw_only=True)
class Result:
    """What a unit's function returns."""

    accounting: RowAccounting
    stats: dict[str, Any] = field(default_factory=dict)  # deterministic numbers worth keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A function over units, and how to run it."""

    name: str
    version: int  # raise it when the function's output changes
    run: Callable[[Unit, UnitContext], Result]  # a module's function: deterministic, same bytes
    count_rows: Callable[[Unit], int] | None = None  # allows bisection of a deadly unit
    timeout_s: float | None = None  # a unit that runs longer is killed like a dead worker
    num_gpus: float = 0  # of one worker; a fraction shares a device
    memory_bytes: int = 0
    actors: bool = False  # workers live from unit to unit: what they load, a model, is loaded once
    filters: bool = False  # meant to drop something: says so when it drops nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run of a stage did."""

    stage: str
    done: int
    skipped: int
    redone: int  # of `done`, the units that were whole under another key
    seconds: float
    accounting: RowAccounting
    record: StageRecord
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One unit on its way to a worker."""

    unit: Unit
    stage: Stage
    url: str  # the stage's folder
    rows: range | None = None
    poison: frozenset[int] = frozenset()

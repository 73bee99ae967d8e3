"""A stage: a function over units of work, what it is given and what it returns.

A stage in full is a payload, a function, and one `Stage`:

    @dataclass(frozen=True, slots=True, kw_only=True)
    class CountInput:
        file: str

    def _count(unit: Unit[CountInput], context: UnitContext) -> Result:
        ...  # read unit.payload.file, write files named after unit.name into context.out
        return Result(accounting=RowAccounting(samples=n, kept=n))

    COUNT = Stage(name="count", version=1, run=_count)

`smolmix.engine.run.run_stage` runs it. A type checker holds that the units of a stage carry the
payload that its function reads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from smolmix.accounting import RowAccounting
from smolmix.storage import digest_json
from smolmix.workspace import StageRecord

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How stages run, and how much they print; no result depends on it."""

    workers: int = 0  # Ray workers; 0 runs in this process
    ray_address: str | None = None  # a cluster to join; its machines must see the workspace
    quiet: bool = False  # no progress and no summary
    verbose: bool = False  # also a summary for each step of a composite
    step: bool = False  # the stage is a step of a composite, which prints its own summary

    def for_steps(self) -> "RunOptions":
        """Return the options for the steps of a composite: a summary each only if verbose."""
        return replace(self, step=True)

    @property
    def summarises(self) -> bool:
        """Whether a stage run with these options prints its own summary."""
        return not self.quiet and (self.verbose or not self.step)


IN_THIS_PROCESS = RunOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit(Generic[P]):
    """The smallest piece of work that is done, committed and repeated as one."""

    name: str  # unique in the stage's folder; every file the unit writes starts with it
    inputs: Mapping[str, str]  # what it reads -> digest
    params: Mapping[str, Any]  # JSON parameters
    payload: P  # picklable; not in the key, because inputs and params imply it

    def key_parts(self, stage: "Stage[P]") -> dict[str, str]:
        """Return everything the key is made of, by a name that fits "… changed"."""
        parts = {f"input {name}": digest for name, digest in self.inputs.items()}
        for name, value in self.params.items():
            parts[f"parameter {name}"] = digest_json(value)
        return parts | {"stage version": f"{stage.name} {stage.version}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitContext:
    """What a stage's function gets in addition to the unit."""

    out: Path  # local scratch folder for the unit's files
    rows: range | None = None  # only these rows: a probe whose output is thrown away
    poison: frozenset[int] = frozenset()  # rows that killed a worker: drop them unread


@dataclass(slots=True, kw_only=True)
class Result:
    """What a stage's function returns."""

    accounting: RowAccounting
    stats: dict[str, Any] = field(default_factory=dict)  # deterministic numbers worth keeping


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Generic[P]):
    """A function over units, and how to run it."""

    name: str
    version: int  # raise it when the function's output changes
    run: Callable[[Unit[P], UnitContext], Result]  # a module's function: deterministic, same bytes
    count_rows: Callable[[Unit[P]], int] | None = None  # lets a unit that kills workers be bisected
    timeout_s: float | None = None  # a unit that runs longer is ended and counts as failed
    num_gpus: float = 0  # of one worker; a fraction shares a device
    memory_bytes: int = 0
    actors: bool = False  # workers live from unit to unit: a model is loaded once
    filters: bool = False  # meant to drop something: a note says when it drops nothing
    unit_noun: str = "files"  # what a unit is called in progress and summaries


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run of a stage did."""

    stage: str
    done: int
    skipped: int
    redone: int  # of `done`, the units that were complete under another key
    seconds: float
    accounting: RowAccounting
    record: StageRecord
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[P]):
    """One unit on its way to a worker."""

    unit: Unit[P]
    stage: Stage[P]
    url: str  # the stage's folder
    rows: range | None = None
    poison: frozenset[int] = frozenset()

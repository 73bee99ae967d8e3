"""The engine: a stage is a function over units; each unit is committed by its manifest.

Kill anything at any moment and run again: whole units with an equal key are skipped, the rest
are done, and the bytes are those of an undisturbed run. A unit's key digests its inputs, its
parameters and the stage's version. Units run on Ray (`smolmix.cluster`), or in this process
with `workers=0`. A unit that kills its worker is retried a bounded number of times, then
bisected until the guilty row stands alone and is dropped with that reason.
"""

import fcntl
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from smolmix.errors import (
    ConservationError,
    DataError,
    LockedError,
    SmolmixError,
    machine_fault,
)
from smolmix.progress import progress
from smolmix.sample import Tally
from smolmix.storage import (
    MANIFESTS,
    STAGE_FILE,
    FileEntry,
    Folder,
    Manifest,
    StageRecord,
    digest_file,
    digest_json,
    read_manifest,
    stage_record,
)

_SCRATCH = ".scratch"
_LOCK = ".lock"


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

    tally: Tally
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
    tally: Tally
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


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold the folder against other runs; a lock whose process died is free.

    Raises:
        LockedError: another run holds it.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    if not folder.is_local:
        if folder.exists(_LOCK):
            held = folder.read_bytes(_LOCK).decode()
            raise LockedError(f"{folder.url}: held by {held}; delete {_LOCK} if that run is dead")
        folder.write_bytes(_LOCK, owner.encode())
        try:
            yield
        finally:
            folder.remove(_LOCK)
        return
    path = folder.local(_LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            raise LockedError(
                f"{folder.url}: held by {stream.read() or 'another run'}; wait for it or stop it"
            ) from error
        stream.truncate(0)
        stream.write(owner)
        stream.flush()
        yield


def execute(job: Job) -> Tally | None:
    """Run one job in this process and commit it; a probe (`job.rows`) commits nothing.

    Raises:
        ConservationError: the unit lost or invented samples.
    """
    folder = Folder(job.url)
    root = str(folder.local(_SCRATCH)) if folder.is_local else None
    if root:
        os.makedirs(root, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{job.unit.name}-", dir=root))
    try:
        context = UnitContext(out=scratch, rows=job.rows, poison=job.poison)
        result = job.stage.run(job.unit, context)
        if job.rows is not None:
            return None
        if wrong := result.tally.imbalance():
            raise ConservationError(f"{job.stage.name} {job.unit.name}: {wrong}")
        _commit(folder, job, scratch, result)
        return result.tally
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _commit(folder: Folder, job: Job, scratch: Path, result: Result) -> None:
    unit, entries = job.unit, []
    before = read_manifest(folder, unit.name)
    folder.remove(f"{MANIFESTS}/{unit.name}.json")
    for path in sorted(scratch.iterdir()):
        assert path.name.startswith(unit.name), f"{path.name} does not start with {unit.name}"
        with open(path, "rb") as stream:
            digest = digest_file(stream)
        entries.append(FileEntry(name=path.name, size=path.stat().st_size, digest=digest))
        folder.put(path, path.name)
    parts = unit.key_parts(job.stage)
    manifest = Manifest(
        stage=job.stage.name,
        version=job.stage.version,
        unit=unit.name,
        key=digest_json(parts),
        inputs=parts,
        files=tuple(entries),
        tally=result.tally,
        stats=result.stats,
    )
    folder.write_json(f"{MANIFESTS}/{unit.name}.json", manifest.to_json())
    for name in {f.name for f in (before.files if before else ())} - {e.name for e in entries}:
        folder.remove(name)  # what the unit wrote under another key, and now does not


def _why(manifest: Manifest | None, parts: Mapping[str, str], present: frozenset[str]) -> str:
    """Return why the unit must be done: "new", "… changed", or "" where it is whole."""
    if manifest is None:
        return "new"
    if manifest.key != digest_json(parts):
        before = manifest.inputs
        changed = sorted(k for k in parts.keys() | before.keys() if parts.get(k) != before.get(k))
        return f"{', '.join(changed[:3])}{' and more' if len(changed) > 3 else ''} changed"
    missing = [f.name for f in manifest.files if f.name not in present]
    return f"{missing[0]} is missing" if missing else ""


def _remove_unit(folder: Folder, manifest: Manifest) -> None:
    folder.remove(f"{MANIFESTS}/{manifest.unit}.json")
    for entry in manifest.files:
        folder.remove(entry.name)


def _record(
    folder: Folder, stage: Stage, units: Sequence[Unit], info: Mapping[str, Any]
) -> StageRecord:
    digests, total = {}, Tally()
    for unit in units:
        manifest = read_manifest(folder, unit.name)
        assert manifest is not None, f"{unit.name} was committed and is gone"
        digests[unit.name] = digest_json([(f.name, f.digest) for f in manifest.files])
        total = total + manifest.tally
    return StageRecord(
        stage=stage.name,
        version=stage.version,
        units=digests,
        digest=digest_json([stage.name, stage.version, digests, dict(info)]),
        tally=total,
        info=dict(info),
    )


def _notes(stage: Stage, tally: Tally) -> tuple[str, ...]:
    notes = []
    if (tally.samples or tally.rows) and not tally.kept:
        notes.append(f"{stage.name} kept nothing of {tally.samples or tally.rows}")
    if stage.filters and tally.samples and tally.kept == tally.samples:
        notes.append(f"{stage.name} kept all {tally.samples}: no filter bit")
    return tuple(notes)


def run_stage(
    stage: Stage,
    units: Iterable[Unit],
    *,
    folder: Folder,
    workers: int,
    ray_address: str | None = None,
    info: Mapping[str, Any] | None = None,
    quiet: bool = False,
) -> Summary:
    """Do every unit that is not whole, check conservation, and write `stage.json`.

    Args:
        stage: what to run.
        units: all units of the stage; units on disk that are not among them are removed.
        folder: the stage's own folder.
        workers: Ray workers; 0 runs in this process.
        ray_address: a cluster to join; its machines must see `folder`.
        info: what readers of `stage.json` should know; part of the stage's digest. A `corpus` in it
            names the stage's lines of progress.
        quiet: no progress and no summary line.

    Raises:
        LockedError: another run holds the folder.
        DataError: some units failed; the others are whole and kept.
    """
    started = time.monotonic()
    units = sorted(units, key=lambda u: u.name)
    label = f"{stage.name} {(info or {}).get('corpus', folder.name)}"
    names = [u.name for u in units]
    if len(set(names)) != len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise DataError(f"{folder.url}: two units are named {twice}")
    with locked(folder):
        present = frozenset(folder.names())
        pending, redone = _plan(stage, units, folder, present, quiet)
        stale = [n[:-5] for n in folder.child(MANIFESTS).names(".json") if n[:-5] not in set(names)]
        if pending or stale:
            folder.remove(STAGE_FILE)
        for name in stale:
            manifest = read_manifest(folder, name)
            if manifest is not None:
                _remove_unit(folder, manifest)
        if folder.is_local:
            shutil.rmtree(folder.local(_SCRATCH), ignore_errors=True)
        failed = _run(stage, pending, folder, workers, ray_address, "" if quiet else label)
        if folder.is_local:
            shutil.rmtree(folder.local(_SCRATCH), ignore_errors=True)
        if failed:
            first = "; ".join(f"{name}: {why}" for name, why in sorted(failed.items())[:3])
            raise DataError(
                f"{folder.url}: {len(failed)} of {len(units)} units of {stage.name} failed "
                f"({first}); the others are kept, run the same again"
            )
        record = _record(folder, stage, units, info or {})
        if not folder.exists(STAGE_FILE) or stage_record(folder) != record:
            folder.write_json(STAGE_FILE, _stage_json(record))
    if wrong := record.tally.imbalance():
        raise ConservationError(f"{folder.url}: {wrong}")
    summary = Summary(
        stage=stage.name,
        done=len(pending),
        skipped=len(units) - len(pending),
        redone=redone,
        seconds=time.monotonic() - started,
        tally=record.tally,
        record=record,
        notes=_notes(stage, record.tally),
    )
    if not quiet:
        print(_line(label, summary), file=sys.stderr)
    return summary


def _stage_json(record: StageRecord) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(asdict(record)))
    return value


def _plan(
    stage: Stage, units: Sequence[Unit], folder: Folder, present: frozenset[str], quiet: bool
) -> tuple[list[Unit], int]:
    pending, reasons = [], dict[str, list[str]]()
    for unit in units:
        why = _why(read_manifest(folder, unit.name), unit.key_parts(stage), present)
        if why:
            pending.append(unit)
            reasons.setdefault(why, []).append(unit.name)
    again = {why: done for why, done in reasons.items() if why != "new"}
    if not quiet:
        for why, which in again.items():
            more = f" and {len(which) - 1} more" if len(which) > 1 else ""
            print(f"{stage.name}: redoing {which[0]}{more}: {why}", file=sys.stderr)
    return pending, sum(map(len, again.values()))


def _run(
    stage: Stage,
    pending: Sequence[Unit],
    folder: Folder,
    workers: int,
    ray_address: str | None,
    label: str,
) -> dict[str, str]:
    """Run the units; return what failed and why."""
    if not pending:
        return {}
    jobs = [Job(unit=unit, stage=stage, url=folder.url) for unit in pending]
    with progress(label, len(jobs), quiet=not label) as advance:
        if workers > 0:
            from smolmix import cluster

            return cluster.run_jobs(jobs, workers=workers, address=ray_address, advance=advance)
        failed = {}
        for job in jobs:
            try:
                execute(job)
            except SmolmixError as error:
                failed[job.unit.name] = str(error)
            except OSError as error:
                said = machine_fault(error)
                if said is None:
                    raise
                failed[job.unit.name] = said
            advance()
        return failed


def _line(label: str, summary: Summary) -> str:
    tally = summary.tally
    parts = [f"{label}: {summary.done} units done"]
    if summary.skipped:
        parts.append(f"{summary.skipped} already whole")
    if tally.samples:
        parts.append(f"{tally.kept:,} of {tally.samples:,} samples kept")
    if tally.duplicates:
        parts.append(f"{tally.duplicates:,} duplicates")
    if tally.merged:
        parts.append(f"{tally.merged:,} merged into others")
    gone = tally.rows_dropped | tally.dropped
    if gone:
        parts.append("dropped " + ", ".join(f"{n:,} {why}" for why, n in sorted(gone.items())))
    line = ", ".join(parts) + f" ({summary.seconds:.1f} s)"
    return "\n".join([line, *(f"note: {n}" for n in summary.notes)])

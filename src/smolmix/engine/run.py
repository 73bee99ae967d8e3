"""Runs a stage over its units; each unit is committed by its manifest, written last.

A run may be killed at any moment. The next one skips the units whose manifest has the same key and
does the others, and the bytes are those of an undisturbed run. A unit's key digests its inputs, its
parameters and the stage's version. Units run on Ray (`smolmix.engine.ray_pool`), or in this process
with `workers=0`. A unit that kills its worker is tried a bounded number of times, then bisected
until the row that does it is found; that row is dropped with this reason.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smolmix.accounting import RowAccounting
from smolmix.engine.lock import locked
from smolmix.engine.stage import (
    IN_THIS_PROCESS,
    Job,
    P,
    Result,
    RunOptions,
    Stage,
    Summary,
    Unit,
    UnitContext,
)
from smolmix.errors import (
    ConservationError,
    DataError,
    SmolmixError,
    machine_error,
)
from smolmix.progress import progress
from smolmix.storage import Folder, digest_file, digest_json
from smolmix.workspace import (
    MANIFESTS,
    STAGE_FILE,
    FileEntry,
    Manifest,
    StageRecord,
    read_manifest,
)

_SCRATCH = ".scratch"


def execute(job: Job[P]) -> int:
    """Run one job in this process, commit it and return its number of samples.

    A probe (`job.rows`) commits nothing.

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
            return 0
        if wrong := result.accounting.imbalance():
            raise ConservationError(f"{job.stage.name} {job.unit.name}: {wrong}")
        _commit(folder, job, scratch, result)
        return result.accounting.samples or result.accounting.rows
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _commit(folder: Folder, job: Job[P], scratch: Path, result: Result) -> None:
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
        accounting=result.accounting,
        stats=result.stats,
    )
    folder.write_json(f"{MANIFESTS}/{unit.name}.json", manifest.to_json())
    for name in {f.name for f in (before.files if before else ())} - {e.name for e in entries}:
        folder.remove(name)  # the unit wrote it under another key, and does not now


def _why(manifest: Manifest | None, parts: Mapping[str, str], present: frozenset[str]) -> str:
    """Return why the unit must be done: "new", "… changed", or "" if it is complete."""
    if manifest is None:
        return "new"
    if manifest.key != digest_json(parts):
        before = manifest.inputs
        changed = sorted(k for k in parts.keys() | before.keys() if parts.get(k) != before.get(k))
        return f"{', '.join(changed[:3])}{' and more' if len(changed) > 3 else ''} changed"
    missing = [f.name for f in manifest.files if f.name not in present]
    return f"{missing[0]} is missing" if missing else ""


def _remove_unit(folder: Folder, name: str) -> None:
    manifest = read_manifest(folder, name)
    folder.remove(f"{MANIFESTS}/{name}.json")
    for entry in manifest.files if manifest else ():
        folder.remove(entry.name)


def _record(
    folder: Folder, stage: Stage[P], units: Sequence[Unit[P]], info: Mapping[str, Any]
) -> StageRecord:
    digests, total = {}, RowAccounting()
    for unit in units:
        manifest = read_manifest(folder, unit.name)
        assert manifest is not None, f"{unit.name} was committed and is gone"
        digests[unit.name] = digest_json([(f.name, f.digest) for f in manifest.files])
        total = total + manifest.accounting
    return StageRecord(
        stage=stage.name,
        version=stage.version,
        units=digests,
        digest=digest_json([stage.name, stage.version, digests, dict(info)]),
        accounting=total,
        info=dict(info),
    )


def _notes(stage: Stage[P], accounting: RowAccounting) -> tuple[str, ...]:
    if stage.filters and accounting.samples and accounting.kept == accounting.samples:
        return (f"{stage.name} kept all {accounting.samples:,} samples: no filter dropped any",)
    return ()


def run_stage(
    stage: Stage[P],
    units: Iterable[Unit[P]],
    *,
    folder: Folder,
    options: RunOptions = IN_THIS_PROCESS,
    info: Mapping[str, Any] | None = None,
) -> Summary:
    """Do every unit that is not complete, check that no row was lost, and write `stage.json`.

    Args:
        stage: what to run.
        units: all units of the stage; other units in the folder are removed.
        folder: the stage's own folder.
        options: workers, and how much is printed.
        info: what readers of `stage.json` should know; part of the stage's digest. Its `corpus`
            names the lines of progress.

    Raises:
        LockedError: another run is writing to the folder.
        DataError: some units failed; the others are complete and kept.
    """
    started = time.monotonic()
    units = sorted(units, key=lambda u: u.name)
    label = f"{stage.name} {(info or {}).get('corpus', folder.name)}"
    names = [u.name for u in units]
    if len(set(names)) != len(names):
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise DataError(f"{folder.url}: two units are named {twice}")
    with locked(folder, quiet=options.quiet):
        present = frozenset(folder.names())
        pending, redone = _plan(stage, units, folder, present, label if options.summarises else "")
        stale = [n[:-5] for n in folder.child(MANIFESTS).names(".json") if n[:-5] not in set(names)]
        if pending or stale:
            folder.remove(STAGE_FILE)
        for name in stale:
            _remove_unit(folder, name)
        if folder.is_local:
            shutil.rmtree(folder.local(_SCRATCH), ignore_errors=True)
        failed = _run(stage, pending, folder, options, label)
        if folder.is_local:
            shutil.rmtree(folder.local(_SCRATCH), ignore_errors=True)
        if failed:
            first = "; ".join(f"{name}: {why}" for name, why in sorted(failed.items())[:3])
            raise DataError(
                f"{folder.url}: {len(failed)} of {len(units)} {stage.unit_noun} of {stage.name} "
                f"failed ({first}); the others are kept: run the same command again"
            )
        record = _record(folder, stage, units, info or {})
        value = _stage_json(record)
        if not folder.exists(STAGE_FILE) or folder.read_json(STAGE_FILE) != value:
            folder.write_json(STAGE_FILE, value)
    if wrong := record.accounting.imbalance():
        raise ConservationError(f"{folder.url}: {wrong}")
    summary = Summary(
        stage=stage.name,
        done=len(pending),
        skipped=len(units) - len(pending),
        redone=redone,
        seconds=time.monotonic() - started,
        accounting=record.accounting,
        record=record,
        notes=_notes(stage, record.accounting),
    )
    if options.summarises:
        units_done = _units_line(stage, summary)
        print_summary(label, units_done, summary.accounting, summary.seconds)
        for note in summary.notes:
            print(f"note: {note}", file=sys.stderr)
    return summary


def _stage_json(record: StageRecord) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(asdict(record)))
    return value


def _plan(
    stage: Stage[P],
    units: Sequence[Unit[P]],
    folder: Folder,
    present: frozenset[str],
    label: str,
) -> tuple[list[Unit[P]], int]:
    pending, reasons = [], dict[str, list[str]]()
    for unit in units:
        why = _why(read_manifest(folder, unit.name), unit.key_parts(stage), present)
        if why:
            pending.append(unit)
            reasons.setdefault(why, []).append(unit.name)
    again = {why: done for why, done in reasons.items() if why != "new"}
    if label:
        for why, which in again.items():
            more = f" and {len(which) - 1} more" if len(which) > 1 else ""
            print(f"{label}: {which[0]}{more} again: {why}", file=sys.stderr)
    return pending, sum(map(len, again.values()))


def _run(
    stage: Stage[P],
    pending: Sequence[Unit[P]],
    folder: Folder,
    options: RunOptions,
    label: str,
) -> dict[str, str]:
    """Run the units; return what failed and why."""
    if not pending:
        return {}
    jobs = [Job(unit=unit, stage=stage, url=folder.url) for unit in pending]
    with progress(
        label, len(jobs), unit=stage.unit_noun, item="samples", quiet=options.quiet
    ) as meter:
        if options.workers > 0:
            from smolmix.engine import ray_pool

            return ray_pool.run_jobs(
                jobs,
                execute,
                workers=options.workers,
                address=options.ray_address,
                meter=meter,
            )
        failed = {}
        for job in jobs:
            samples = 0
            try:
                samples = execute(job)
            except SmolmixError as error:
                failed[job.unit.name] = str(error)
            except OSError as error:
                problem = machine_error(error)
                if problem is None:
                    raise
                failed[job.unit.name] = problem
            meter.advance(items=samples)
        return failed


def _units_line(stage: Stage[P], summary: Summary) -> str:
    """Return how many units were done: "3 files processed, 2 up to date"."""
    if not summary.done:
        return "up to date"
    noun = stage.unit_noun.removesuffix("s") if summary.done == 1 else stage.unit_noun
    up_to_date = f", {summary.skipped:,} up to date" if summary.skipped else ""
    return f"{summary.done:,} {noun} processed{up_to_date}"


def print_summary(label: str, what: str, accounting: RowAccounting, seconds: float) -> None:
    """Print one line on standard error: what was done, and where every row and sample went.

    A second line says so if nothing was kept. A composite prints one summary for its stages, which
    it runs with `RunOptions.for_steps`.

    Args:
        label: what ran on what, as in "curate easy-vqa".
        what: what was done besides, as in "3 files processed", or "".
        accounting: of rows and samples.
        seconds: how long it took.
    """
    parts = [what] if what else []
    if accounting.rows:
        parts.append(f"{accounting.rows:,} rows")
    if accounting.samples:
        parts.append(f"{accounting.kept:,} of {accounting.samples:,} samples kept")
    if accounting.duplicates:
        parts.append(f"{accounting.duplicates:,} duplicates")
    if accounting.merged:
        parts.append(f"{accounting.merged:,} merged into others")
    dropped = accounting.rows_dropped | accounting.dropped
    if dropped:
        parts.append("dropped " + ", ".join(f"{n:,} {why}" for why, n in sorted(dropped.items())))
    print(f"{label}: {', '.join(parts)} ({seconds:.1f} s)", file=sys.stderr)
    if (accounting.samples or accounting.rows) and not accounting.kept:
        total = (
            f"{accounting.samples:,} samples" if accounting.samples else f"{accounting.rows:,} rows"
        )
        print(f"note: {label} kept none of {total}", file=sys.stderr)

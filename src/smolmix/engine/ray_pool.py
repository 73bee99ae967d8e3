"""Runs jobs on Ray: at most so many at once, a bounded number of retries, deadly rows isolated.

Ray alone retries a record that kills its worker for ever, or loses a block of rows for one bad
row. Here a unit gets three chances. Then, if the stage can count its rows, halves of it are
probed until each row that kills a worker is found; those rows are dropped as `worker-killed`,
and the rest of the unit is kept.
"""

import contextlib
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeAlias

from smolmix.engine import local_ray
from smolmix.engine.stage import Job, P
from smolmix.errors import SmolmixError, UsageError, machine_error
from smolmix.progress import Meter

Execute: TypeAlias = Callable[[Job[P]], int]  # runs and commits one job; returns its samples
Outcome: TypeAlias = tuple[str, int]  # why a job failed, or ""; its samples

_CHANCES = 3
_PROBES = 500  # worker deaths are about 1 s each: a bound on how long one unit is bisected
_POLL_S = 1.0


def start(workers: int, address: str | None) -> None:
    """Connect to Ray: the one already started, `address`, or a local one of `workers` CPUs.

    Raises:
        UsageError: no cluster answers at `address`.
        SmolmixError: Ray did not start here.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's
        import ray

        if ray.is_initialized():
            return
        if not address:
            local_ray.start(workers)
            return
        try:
            # Ray has its workers search the current folder for modules: from here, an empty one.
            with contextlib.chdir("/"):
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise UsageError(
                f"--ray-address {address}: no Ray cluster answers there ({error}); give the "
                "HOST:PORT that `ray start --head` printed, or leave it out for a local one"
            ) from error


def stop() -> None:
    """Leave Ray, stopping it if it was started here."""
    local_ray.stop()


def _in_worker(execute: Execute[P], job: Job[P], folder: str) -> Outcome:
    """Run one job; return why it failed, or an empty string, and how many samples it had.

    Args:
        execute: runs it.
        job: what to run.
        folder: the driver's current one, from which relative paths lead.
    """
    with contextlib.suppress(OSError):  # another machine may not have it
        os.chdir(folder)
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    # Started here because a job may have waited for a worker; the alarm ends whatever runs.
    signal.setitimer(signal.ITIMER_REAL, job.stage.timeout_s or 0)
    try:
        return "", execute(job)
    except SmolmixError as error:
        return str(error), 0
    except OSError as error:
        problem = machine_error(error)
        if problem is None:
            raise
        return problem, 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Worker:
    """An actor: a process that does one job after the other, and keeps what they load."""

    def run(self, execute: Execute[P], job: Job[P], folder: str) -> Outcome:
        """Run one job; return why it failed, or an empty string, and how many samples it had."""
        return _in_worker(execute, job, folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished(Generic[P]):
    """A job that ended."""

    job: Job[P]
    failure: str | None  # why it failed, or ""; None where its worker died
    samples: int = 0
    death: str = ""  # how its worker died


class _Pool(Generic[P]):
    """Submits jobs and tells a worker's death from a job's failure."""

    def __init__(self, execute: Execute[P]):
        import ray

        self.ray = ray
        self.execute = execute
        self.folder = os.getcwd()
        self.running: dict[Any, tuple[Job[P], Any]] = {}  # the actor, None for a task
        self.idle: list[Any] = []  # actors without a job

    def submit(self, job: Job[P]) -> None:
        """Start the job on a worker, or queue it in Ray until one is free."""
        stage = job.stage
        options = {
            "num_cpus": 1,
            "num_gpus": stage.num_gpus,
            "memory": stage.memory_bytes or None,
        }
        actor: Any = None
        if stage.actors:
            new = self.ray.remote(_Worker).options(**options, max_restarts=0)
            actor = self.idle.pop() if self.idle else new.remote()
            ref = actor.run.remote(self.execute, job, self.folder)
        else:
            name = f"{stage.name}:{job.unit.name}"
            task: Any = self.ray.remote(_in_worker).options(**options, max_retries=0, name=name)
            ref = task.remote(self.execute, job, self.folder)
        self.running[ref] = (job, actor)

    def finished(self) -> list[_Finished[P]]:
        """Wait a moment; return the jobs that ended meanwhile."""
        ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=_POLL_S)
        results: list[_Finished[P]] = []
        for ref in ready:
            job, actor = self.running.pop(ref)
            try:
                failure, samples = self.ray.get(ref)
                results.append(_Finished(job=job, failure=failure, samples=samples))
            except self.ray.exceptions.RayTaskError as error:
                results.append(_Finished(job=job, failure=_one_line(error)))
            except self.ray.exceptions.RayError as error:
                results.append(_Finished(job=job, failure=None, death=type(error).__name__))
                continue  # a dead actor takes no more jobs
            if actor is not None:
                self.idle.append(actor)
        return results

    def _kill(self, ref: Any, actor: Any) -> None:
        if actor is None:
            self.ray.cancel(ref, force=True)
        else:
            self.ray.kill(actor)

    def survives(self, job: Job[P]) -> bool:
        """Whether the job leaves its worker alive (it may still fail)."""
        self.submit(job)
        while True:
            for one in self.finished():
                return one.failure is not None

    def stop_idle(self) -> None:
        """Stop the actors that have no job, so that others get their CPUs and memory."""
        while self.idle:
            self.ray.kill(self.idle.pop())

    def close(self) -> None:
        """Stop every worker."""
        for ref, (_, actor) in self.running.items():
            self._kill(ref, actor)
        self.stop_idle()


def _one_line(error: Exception) -> str:
    print(error, file=sys.stderr)  # unexpected, so the worker's traceback helps
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0] if str(cause) else ''}"


def run_jobs(
    jobs: Sequence[Job[P]],
    execute: Execute[P],
    *,
    workers: int,
    address: str | None,
    meter: Meter,
) -> dict[str, str]:
    """Run all jobs; return the names of the units that failed and why.

    Args:
        jobs: what to run, in order.
        execute: runs one job in a worker, commits it and returns its number of samples; a
            module's function.
        workers: at most this many at once.
        address: a Ray cluster, or None for a local one.
        meter: counts the units that are finished and their samples.

    Raises:
        UsageError: a stage asks for more GPUs than any machine has.
    """
    start(workers, address)
    _check_gpus(jobs)
    pool = _Pool(execute)
    waiting, deaths = list(reversed(jobs)), dict[str, int]()
    deadly: dict[str, tuple[Job[P], str]] = {}
    failed: dict[str, str] = {}
    try:
        while waiting or pool.running:
            while waiting and len(pool.running) < workers:
                pool.submit(waiting.pop())
            meter.tick()
            for one in pool.finished():
                name = one.job.unit.name
                if one.failure is None:
                    deaths[name] = deaths.get(name, 0) + 1
                    if deaths[name] < _CHANCES:
                        waiting.insert(0, one.job)
                        continue
                    deadly[name] = (one.job, one.death)
                    continue
                if one.failure:
                    failed[name] = one.failure
                meter.advance(items=one.samples)
            if not waiting:  # an actor that still waits for a CPU gets an idle one's
                pool.stop_idle()
        for name, (job, death) in sorted(deadly.items()):
            why = _bisect(pool, job, death)
            if why:
                failed[name] = why
            meter.advance()
    finally:
        pool.close()
    return failed


def gpus() -> list[float]:
    """Return how many GPUs each machine of the cluster has; this one may have none."""
    import ray

    nodes: Any = ray.nodes  # untyped
    return [n["Resources"].get("GPU", 0) for n in nodes() if n["Alive"]]


def _check_gpus(jobs: Sequence[Job[P]]) -> None:
    """Refuse what no machine of the cluster could ever start: Ray would wait without end."""
    most = max(gpus(), default=0)
    for job in jobs:
        if job.stage.num_gpus > most:
            raise UsageError(
                f"{job.stage.name}: each worker needs {job.stage.num_gpus:g} GPUs, the largest "
                f"machine has {most:g}; use a machine that has them, or --workers 0"
            )


def _bisect(pool: _Pool[P], job: Job[P], death: str) -> str:
    """Run the job without the rows that kill its worker; return why it failed, if it did."""
    died = f"its worker died {_CHANCES} times ({death})"
    if job.stage.count_rows is None:
        return died
    guilty, probes = set[int](), 0
    halves = [range(job.stage.count_rows(job.unit))]
    while halves:
        rows = halves.pop()
        probes += 1
        if probes > _PROBES:
            return f"{died}; {len(guilty)} rows that kill a worker found, gave up looking for more"
        if not rows or pool.survives(replace(job, rows=rows)):
            continue
        if len(rows) == 1:
            guilty.add(rows.start)
            continue
        middle = rows.start + len(rows) // 2
        halves += [range(middle, rows.stop), range(rows.start, middle)]
    if not guilty:
        return (
            f"{died}, but no single row of it kills a worker: the unit probably ran out of memory"
        )
    pool.submit(replace(job, poison=frozenset(guilty)))
    while True:
        for one in pool.finished():
            return died if one.failure is None else one.failure

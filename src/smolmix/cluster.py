"""Units on Ray: started quietly, bounded in flight, bounded in retries, bisected when deadly.

Ray alone retries a record that kills its worker for ever and loses a whole block for one bad
row. Here a unit is given three chances; then, where the stage can count its rows, halves of it
are probed until each guilty row stands alone; those rows are dropped as `worker-killed` and the
rest of the unit is kept.
"""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from smolmix.engine import Job, execute
from smolmix.errors import SmolmixError

_CHANCES = 3
_PROBES = 500  # worker deaths are about 1 s each: a bound on how long one unit is bisected
_POLL_S = 1.0
_OBJECT_STORE_BYTES = 256 << 20


def start(workers: int, address: str | None) -> None:
    """Connect to Ray: the one already started, `address`, or a local one of `workers` CPUs."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    import ray

    if ray.is_initialized():
        return
    local: dict[str, Any] = {}
    if not address:
        local = {"num_cpus": workers, "object_store_memory": _OBJECT_STORE_BYTES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own deprecations are not the user's
        ray.init(
            address=address or "local",
            include_dashboard=None if address else False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            **local,
        )


def stop() -> None:
    """Leave Ray, stopping it if it was started here."""
    import ray

    if ray.is_initialized():
        ray.shutdown()


def _in_worker(job: Job) -> str:
    """Run one job; return why it failed, or an empty string."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    try:
        execute(job)
    except SmolmixError as error:
        return str(error)
    return ""


class _Pool:
    """Submits jobs, never more than `workers` at once, and tells death from failure."""

    def __init__(self, workers: int):
        import ray

        self.ray = ray
        self.workers = workers
        self.flying: dict[Any, tuple[Job, float]] = {}

    def submit(self, job: Job) -> None:
        task = self.ray.remote(_in_worker).options(
            num_cpus=1,
            num_gpus=job.stage.num_gpus,
            memory=job.stage.memory_bytes or None,
            max_retries=0,
            name=f"{job.stage.name}:{job.unit.name}",
        )
        self.flying[task.remote(job)] = (job, time.monotonic())

    def finished(self) -> list[tuple[Job, str | None, str]]:
        """Wait a moment; return (job, failure or None where the worker died, how it died)."""
        self._kill_late()
        ready, _ = self.ray.wait(list(self.flying), num_returns=1, timeout=_POLL_S)
        results: list[tuple[Job, str | None, str]] = []
        for ref in ready:
            job, _ = self.flying.pop(ref)
            try:
                results.append((job, self.ray.get(ref), ""))
            except self.ray.exceptions.RayTaskError as error:
                results.append((job, _one_line(error), ""))
            except self.ray.exceptions.RayError as error:
                results.append((job, None, type(error).__name__))
        return results

    def _kill_late(self) -> None:
        now = time.monotonic()
        for ref, (job, since) in self.flying.items():
            limit = job.stage.timeout_s
            if limit is not None and now - since > limit:
                self.ray.cancel(ref, force=True)

    def survives(self, job: Job) -> bool:
        """Whether the job leaves its worker alive (it may still fail)."""
        self.submit(job)
        while True:
            for _, failure, _ in self.finished():
                return failure is not None

    def cancel_all(self) -> None:
        for ref in self.flying:
            self.ray.cancel(ref, force=True)


def _one_line(error: Exception) -> str:
    print(error, file=sys.stderr)  # not foreseen: the worker's traceback is wanted
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0] if str(cause) else ''}"


def run_jobs(
    jobs: Sequence[Job], *, workers: int, address: str | None, advance: Callable[[], None]
) -> dict[str, str]:
    """Run all jobs; return the names of the units that failed and why.

    Args:
        jobs: what to run, in order.
        workers: at most this many at once.
        address: a Ray cluster, or None for a local one.
        advance: called once for each unit that is finished.
    """
    start(workers, address)
    pool = _Pool(workers)
    waiting, deaths, deadly = list(reversed(jobs)), dict[str, int](), dict[str, tuple[Job, str]]()
    failed: dict[str, str] = {}
    try:
        while waiting or pool.flying:
            while waiting and len(pool.flying) < workers:
                pool.submit(waiting.pop())
            for job, failure, death in pool.finished():
                name = job.unit.name
                if failure is None:
                    deaths[name] = deaths.get(name, 0) + 1
                    if deaths[name] < _CHANCES:
                        waiting.insert(0, job)
                        continue
                    deadly[name] = (job, death)
                    continue
                if failure:
                    failed[name] = failure
                advance()
        for name, (job, death) in sorted(deadly.items()):
            why = _bisect(pool, job, death)
            if why:
                failed[name] = why
            advance()
    except BaseException:
        pool.cancel_all()
        raise
    return failed


def _bisect(pool: _Pool, job: Job, death: str) -> str:
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
            return f"{died}; {len(guilty)} deadly rows found and more are left: gave up"
        if not rows or pool.survives(replace(job, rows=rows)):
            continue
        if len(rows) == 1:
            guilty.add(rows.start)
            continue
        middle = rows.start + len(rows) // 2
        halves += [range(middle, rows.stop), range(rows.start, middle)]
    if not guilty:
        return f"{died}, but no single row of it kills a worker: probably out of memory"
    pool.submit(replace(job, poison=frozenset(guilty)))
    while True:
        for _, failure, _ in pool.finished():
            return died if failure is None else failure

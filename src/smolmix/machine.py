"""How many CPUs this process may use, which may be fewer than the machine has."""

import os
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = "sys/fs/cgroup"


def available_cpus(root: Path = Path("/")) -> int:
    """Return the CPUs this process may use: by its affinity and by its cgroups' quotas; at least 1.

    Args:
        root: where `proc` and `sys` are.
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        allowed = os.cpu_count() or 1
    return max(1, min([allowed, *(int(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPUs that the process's cgroups and those above them allow, where one does."""
    for folder in _cgroup_folders(root):
        words = f"{_read(folder / 'cpu.max')} ".split()  # version 2: quota and period
        if not words:
            words = [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        try:
            quota, period = map(int, words)
        except ValueError:  # "max", or no such files
            continue
        if quota > 0 and period > 0:
            yield quota / period


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """Yield the folders of the process's CPU cgroups and of those above them.

    A container sees its own cgroup at the top, whatever path the file names.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            tops = [_CGROUPS, f"{_CGROUPS}/unified"]
        elif "cpu" in controllers.split(","):
            tops = [f"{_CGROUPS}/{name}" for name in dict.fromkeys((controllers, "cpu"))]
        else:
            continue
        parts = [p for p in path.split("/") if p not in ("", "..")]
        for top in tops:
            for depth in range(len(parts), -1, -1):
                yield root.joinpath(top, *parts[:depth])


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

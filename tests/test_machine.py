"""The CPUs that may be used: by affinity and by the quota of a cgroup, of either version."""

import os
from pathlib import Path

import pytest

from smolmix.machine import available_cpus

V1 = "4:memory:/a\n1:cpu,cpuacct:{path}\n0::/\n"


@pytest.fixture(autouse=True)
def _eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)


def _cpus(root: Path, cgroup: str, files: dict[str, str]) -> int:
    for name, text in {"proc/self/cgroup": cgroup, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return available_cpus(root)


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 8), ("250000 100000", 2), ("8000 100000", 1), ("6400000 100000", 8), ("", 8)],
)
def test_version_2(tmp_path: Path, quota: str, cpus: int) -> None:
    assert _cpus(tmp_path, "0::/job", {"sys/fs/cgroup/job/cpu.max": quota}) == cpus


@pytest.mark.parametrize(
    ("quota", "cpus"), [("-1", 8), ("300000", 3), ("8000", 1), ("6400000", 8), ("0", 8)]
)
def test_version_1(tmp_path: Path, quota: str, cpus: int) -> None:
    for name in ("cpu", "cpu,cpuacct"):
        folder = f"sys/fs/cgroup/{name}/job"
        files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
        assert _cpus(tmp_path / name, V1.format(path="/job"), files) == cpus


def test_a_cgroup_above_bounds_those_below(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/slurm/cpu.max": "400000 100000",
        "sys/fs/cgroup/slurm/job/cpu.max": "max 100000",
        "sys/fs/cgroup/slurm/job/step/cpu.max": "600000 100000",
    }
    assert _cpus(tmp_path, "0::/slurm/job/step", files) == 4


def test_a_container_finds_its_own_cgroup_at_the_top(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "200000 100000"}
    assert _cpus(tmp_path, "0::/docker/0123456789ab", files) == 2


def test_without_cgroups_affinity_decides(tmp_path: Path) -> None:
    assert available_cpus(tmp_path) == 8

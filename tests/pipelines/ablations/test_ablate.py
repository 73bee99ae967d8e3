"""A plan run to its end, and one killed and resumed, through the command line."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from smolmix.storage import Folder

Written = Callable[..., Path]
SMOLMIX = [sys.executable, "-c", "from smolmix.cli import main; main()"]
FILES = ("table.json", "table.md", "figure.svg")


def _start(plan: Path, workspace: Path) -> subprocess.Popen[bytes]:
    command = [*SMOLMIX, "ablate", str(plan), "-w", str(workspace), "--workers", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _finish(plan: Path, workspace: Path) -> str:
    running = _start(plan, workspace)
    said = running.communicate(timeout=500)[0].decode()
    assert running.returncode == 0, said
    return said


def _made(workspace: Path) -> dict[str, bytes]:
    return {name: (workspace / "ablations" / "two-arms" / name).read_bytes() for name in FILES}


@pytest.fixture
def plan(written: Written) -> Path:
    return written(seeds=[0, 1], questions=12)


def test_killed_and_run_again_it_gives_the_same_table(plan: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    assert "| longer |" in _finish(plan, workspace)
    whole = _made(workspace)
    for name in ("ablations", "runs"):
        shutil.rmtree(workspace / name)

    running = _start(plan, workspace)
    trials = workspace / "ablations" / "two-arms" / "trials"
    until = time.monotonic() + 400
    while not (trials / "_manifests" / "as-it-is.s0.json").exists():
        assert running.poll() is None, (running.stdout or sys.stdin).read()
        assert time.monotonic() < until
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    assert not (trials / "longer.s1.json").exists()
    assert "3 trials processed, 1 up to date" in _finish(plan, workspace)
    assert _made(workspace) == whole

    scores = Folder(trials).read_json("longer.s1.json")
    predictions = workspace / "runs" / scores["run"] / "evaluation" / "worked-sums.parquet"
    right = pl.read_parquet(predictions)["score"].mean()
    assert right == scores["scores"]["worked-sums"]["overall"]["score"]

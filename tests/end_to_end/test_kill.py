"""Kill the driver or a worker during curate and tokenize, run again: the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.small_workspace import image_medium, put_curated, put_selection, sample

from smolmix.storage import Folder
from smolmix.workspace import MANIFESTS, Manifest, Workspace

CORPUS = "word-problems"
MIXTURE = """
name: killed
profile: {preset: nano, style: inference}
total: max
components:
  problems: {corpus: word-problems}
"""
CURATE = ("curate", CORPUS, "--workers", "2")
TOKENIZE = ("tokenize", "killed", "--sequence-length", "1024", "--workers", "2")
DEADLINE_S = 240.0


def _command(*args: str) -> list[str]:
    return [sys.executable, "-c", "from smolmix.cli import main; main()", *args]


def _smolmix(*args: str, workspace: Path) -> None:
    done = subprocess.run(
        [*_command(*args), "--workspace", str(workspace)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _whole_units(stage: Path) -> Iterator[Manifest]:
    for path in sorted(stage.rglob(f"{MANIFESTS}/*.json")):
        folder = Folder(path.parents[1])
        yield Manifest.from_json(folder.read_json(f"{MANIFESTS}/{path.name}"))


def _digests(workspace: Path, *stages: str) -> dict[str, str]:
    """Return the digest of every committed file of the stages."""
    found = {
        f"{manifest.stage}/{manifest.unit}/{entry.name}": entry.digest
        for stage in stages
        for manifest in _whole_units(workspace / stage)
        for entry in manifest.files
    }
    assert found, f"nothing whole under {stages}"
    return found


def _ray_workers(driver: psutil.Process, stage: str) -> list[psutil.Process]:
    """Return the Ray workers that are running a unit of `stage` at this moment."""
    found = []
    for process in driver.children(recursive=True):
        try:
            if any(f"ray::{stage}" in part for part in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _disturb(kill: str, stage: str, args: tuple[str, ...], workspace: Path) -> int:
    """Run a verb, kill its driver or a worker while units of `stage` run; return its exit code."""
    process = subprocess.Popen(
        [*_command(*args), "--workspace", str(workspace)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    driver, deadline = psutil.Process(process.pid), time.monotonic() + DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline:
        workers = _ray_workers(driver, stage)
        if workers:
            victim = driver if kill == "driver" else workers[0]
            os.kill(victim.pid, signal.SIGKILL)
            break
        time.sleep(0.005)
    else:
        pytest.fail(f"no worker was seen running {stage}")
    process.communicate(timeout=DEADLINE_S)
    return process.returncode


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which nothing was killed."""
    workspace = tmp_path_factory.mktemp("undisturbed") / "workspace"
    _smolmix("fetch", CORPUS, workspace=workspace)
    shutil.copytree(workspace, workspace.with_name("fetched"))
    _smolmix(*CURATE, workspace=workspace)
    (workspace / "killed.yaml").write_text(MIXTURE)
    _smolmix("mix", "build", str(workspace / "killed.yaml"), workspace=workspace)
    shutil.copytree(workspace, workspace.with_name("mixed"))
    _smolmix(*TOKENIZE, workspace=workspace)
    return workspace


def _killed_twice(stage: str, args: tuple[str, ...], workspace: Path) -> None:
    """Kill the driver, run again and kill a worker: that run must end by itself, whole."""
    assert _disturb("driver", stage, args, workspace) == -signal.SIGKILL
    assert _disturb("worker", stage, args, workspace) == 0


def _same_sequences(found: Path, wanted: Path) -> None:
    sequences = [p for p in wanted.glob("sequences/*/*/*") if not p.name.startswith(".")]
    assert sequences
    for path in sequences:
        again = found / path.relative_to(wanted)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_curate_killed_at_its_driver_and_a_worker_gives_the_same_bytes(
    undisturbed: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(undisturbed.with_name("fetched"), workspace)
    _killed_twice("measure", CURATE, workspace)
    stages = ("measured", "curated")
    assert _digests(workspace, *stages) == _digests(undisturbed, *stages)
    assert Workspace(workspace).corpora() == [CORPUS]


def test_tokenize_killed_at_its_driver_and_a_worker_gives_the_same_bytes(
    undisturbed: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(undisturbed.with_name("mixed"), workspace)
    _killed_twice("tokenize-ids", TOKENIZE, workspace)
    assert _digests(workspace, "ids") == _digests(undisturbed, "ids")
    _same_sequences(workspace, undisturbed)


@pytest.mark.parametrize(("kill", "code"), [("driver", -signal.SIGKILL), ("worker", 0)])
def test_tiles_cut_by_a_killed_driver_or_worker_are_the_same_bytes(
    kill: str, code: int, tmp_path: Path
) -> None:
    workspace, whole = (tmp_path / n for n in ("workspace", "whole"))
    place = Workspace(workspace)
    put_curated(
        place, "seen", [sample(n, "seen", [image_medium(place, n, 900, 600)]) for n in range(40)]
    )
    put_selection(place, "seen", ["seen"])
    shutil.copytree(workspace, whole)
    verb = ("tokenize", "seen", "--codec", "png", "--sequence-length", "2048", "--workers", "2")
    _smolmix(*verb, workspace=whole)
    assert _disturb(kill, "tokenize-tiles", verb, workspace) == code
    _smolmix(*verb, workspace=workspace)
    stages = ("tiles", "ids")
    assert _digests(workspace, *stages) == _digests(whole, *stages)
    _same_sequences(workspace, whole)

"""A Ray of one's own: on loopback, whatever TMPDIR and whatever files the current folder holds."""

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil
import pytest
import ray
from ray import cloudpickle

from smolmix.accounting import RowAccounting
from smolmix.engine import ray_pool
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import SmolmixError, UsageError
from smolmix.storage import Folder

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray

NAMES = ("av", "xxhash", "signal", "typer", "datasets")  # the installed modules of these names


def _put_modules(folder: Path) -> None:
    """Write the user's own files, which leave a trace if one is run."""
    folder.mkdir(parents=True)
    for name in NAMES:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'ran')!r}, 'a').write({name!r})\n")


def _look(_unit: Unit[None], context: UnitContext) -> Result:
    import importlib
    import json

    found = {
        "modules": [importlib.import_module(name).__file__ for name in ("av", "xxhash", "signal")],
        "relative": Path("notes.txt").read_text(),
        "path": [os.path.abspath(p) for p in sys.path],
        "tmpdir": os.environ["TMPDIR"],
    }
    (context.out / "u.json").write_text(json.dumps(found))
    return Result(accounting=RowAccounting())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a run on Ray left to see."""

    user: Path  # the current folder of the driver
    tmpdir: Path
    worker: dict[str, Any]
    listening: set[str]  # addresses of the driver's processes
    commands: list[str]
    environment: tuple[dict[str, str], dict[str, str]]  # of this process, before and after
    folders: tuple[bool, bool] = field(default=(False, False))  # Ray's is there: running, stopped


def _ray_folder(commands: list[str]) -> Path:
    (name,) = {
        word.partition("=")[2] for c in commands for word in c.split() if "--session-dir=" in word
        or "--session_dir=" in word
    }  # fmt: skip
    return Path(name).parent


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Seen]:
    user = tmp_path_factory.mktemp("user") / "project"
    _put_modules(user)
    (user / "notes.txt").write_text("as from the driver")
    tmpdir = user.parent / "slurm_jobdir" / "1355700" / "node-0123.cluster.example" / "tmp.t0016"
    tmpdir.mkdir(parents=True)
    assert len(str(tmpdir)) > 85
    stage = Stage(name="look", version=1, run=_look)
    ray_pool.stop()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(user)
        patch.setenv("TMPDIR", str(tmpdir))
        patch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}")
        patch.setattr(tempfile, "tempdir", None)
        before = dict(os.environ)
        folder, unit = (
            Folder(user.parent / "out"),
            Unit(name="u", inputs={}, params={}, payload=None),
        )
        run_stage(stage, [unit], folder=folder, options=RunOptions(workers=1, quiet=True))
        after = dict(os.environ)
        children = psutil.Process().children(recursive=True)
        sockets = [c for p in (psutil.Process(), *children) for c in p.net_connections("inet")]
        commands = [" ".join(p.cmdline()) for p in children]
        ours = _ray_folder(commands)
        running = ours.is_dir()
        ray_pool.stop()
        yield _Seen(
            user=user,
            tmpdir=tmpdir,
            worker=folder.read_json("u.json"),
            listening={c.laddr.ip for c in sockets if c.status == psutil.CONN_LISTEN},
            commands=commands,
            environment=(before, after),
            folders=(running, ours.exists()),
        )


def test_a_worker_imports_nothing_from_the_current_folder(seen: _Seen) -> None:
    assert not (seen.user / "ran").exists()
    assert str(seen.user) not in seen.worker["path"]
    assert len(seen.worker["modules"]) == 3


def test_a_worker_reads_relative_paths_as_the_driver_does(seen: _Seen) -> None:
    assert seen.worker["relative"] == "as from the driver"


def test_ray_runs_where_tmpdir_is_too_long_for_its_sockets(seen: _Seen) -> None:
    assert seen.worker["tmpdir"] == str(seen.tmpdir)  # other temporary files may be there
    assert not list(seen.tmpdir.iterdir())
    assert seen.folders == (True, False)


def test_ray_listens_on_loopback_alone_and_has_no_dashboard(seen: _Seen) -> None:
    assert {a.removeprefix("::ffff:") for a in seen.listening} == {"127.0.0.1"}
    assert not [c for c in seen.commands if "dashboard/dashboard.py" in c]
    assert [c for c in seen.commands if "raylet" in c]


def test_the_environment_of_this_process_stays(seen: _Seen) -> None:
    before, after = seen.environment
    inherited = ("PYTHONPATH", "PYTHONSAFEPATH", "RAY_TMPDIR", "TMPDIR", "HOME")
    assert [after.get(name) for name in inherited] == [before.get(name) for name in inherited]


def test_the_command_imports_nothing_from_the_current_folder(tmp_path: Path) -> None:
    _put_modules(tmp_path / "project")
    (tmp_path / "project" / "typer.py").unlink()  # imported before the command can prevent it
    (tmp_path / "project" / "signal.py").unlink()
    command = "from smolmix.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "stats", "absent", "-w", str(tmp_path / "ws")],
        cwd=tmp_path / "project",
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, ""])},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "absent" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "project" / "ran").exists()


def _fails(times: int) -> tuple[Callable[..., None], list[Path]]:
    """Return a `ray.init` that fails so often, and the folders that it was given."""
    folders: list[Path] = []

    def init(**options: Any) -> None:
        folders.append(Path(options["_temp_dir"]))
        assert folders[-1].is_dir()
        assert Path.cwd() == folders[-1] / "empty"
        if len(folders) <= times:
            raise Exception("The current node timed out during startup. This could happen …")

    return init, folders


def test_a_slow_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_pool.stop()
    init, folders = _fails(2)
    monkeypatch.setattr(ray, "init", init)
    ray_pool.start(1, None)
    assert [f.exists() for f in folders] == [False, False, True]
    ray_pool.stop()
    assert not folders[-1].exists()


def test_a_start_that_fails_for_good_is_one_line_that_names_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray_pool.stop()
    init, folders = _fails(99)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SmolmixError, match=r"did not start .*timed out.*: --workers 0") as caught:
        ray_pool.start(1, None)
    assert "\n" not in str(caught.value)
    assert 2 <= len(folders) <= 5
    assert not [f for f in folders if f.exists()]


def test_processes_of_a_start_that_failed_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_pool.stop()
    left: list[subprocess.Popen[bytes]] = []

    def init(**options: Any) -> None:
        sleep = [sys.executable, "-c", "import time; time.sleep(300)", options["_temp_dir"] + "/s"]
        left.append(subprocess.Popen(sleep))
        while b"sleep" not in Path(f"/proc/{left[-1].pid}/cmdline").read_bytes():
            time.sleep(0.01)
        raise RuntimeError("no GCS")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(SmolmixError, match="no GCS"):
        ray_pool.start(1, None)
    assert [process.wait(timeout=60) for process in left] == [-9] * len(left)


def test_the_folder_of_ray_is_where_file_locks_are(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_pool.stop()
    init, folders = _fails(0)
    flock = fcntl.flock
    wanted = Path(tempfile.mkdtemp(prefix="r", dir="/tmp"))

    def on_nfs(stream: IO[str], operation: int) -> None:
        if Path(stream.name).is_relative_to(wanted):
            raise OSError(errno.ENOLCK, "No locks available")
        flock(stream, operation)

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_TMPDIR", str(wanted))
    for lock in (flock, on_nfs):
        monkeypatch.setattr(fcntl, "flock", lock)
        ray_pool.start(1, None)
        ray_pool.stop()
    assert [folder.is_relative_to(wanted) for folder in folders] == [True, False]
    wanted.rmdir()  # nothing is left in it


def test_without_a_folder_for_sockets_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ray_pool.stop()

    def none(**_options: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", none)
    with pytest.raises(UsageError, match="set RAY_TMPDIR to one"):
        ray_pool.start(1, None)

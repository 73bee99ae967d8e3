"""One run at a time writes to a folder; the lock of a dead process is free."""

import errno
import fcntl
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smolmix.engine.lock import locked
from smolmix.errors import LockedError
from smolmix.storage import Folder


@contextmanager
def _file_system_without_flock(number: int) -> Iterator[None]:
    def flock(_stream: object, _operation: int) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        if number:
            patch.setattr(fcntl, "flock", flock)
        yield


def _hold(
    path: str,
    number: int,
    ready: multiprocessing.Queue,  # type: ignore[type-arg]  # of bool
) -> None:
    with _file_system_without_flock(number), locked(Folder(path)):
        ready.put(True)
        time.sleep(60)


@pytest.mark.parametrize("number", [0, errno.ENOSYS])
def test_another_process_is_named_and_its_death_frees_the_folder(
    tmp_path: Path, number: int
) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    process = context.Process(target=_hold, args=(str(tmp_path), number, ready))
    process.start()
    ready.get(timeout=60)
    with _file_system_without_flock(number):
        with (
            pytest.raises(LockedError, match=f"locked by process {process.pid} on .*; wait for it"),
            locked(Folder(tmp_path)),
        ):
            pass
        process.kill()
        process.join()
        with locked(Folder(tmp_path)):
            pass
        with locked(Folder(tmp_path)):
            pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_flock_one_run_at_a_time_has_the_folder(tmp_path: Path, number: int) -> None:
    folder = Folder(tmp_path)
    with _file_system_without_flock(number):
        with (
            locked(folder),
            locked(folder.child("other")),
            pytest.raises(LockedError, match=f"locked by process {os.getpid()} on "),
            locked(folder),
        ):
            pass
        with pytest.raises(ValueError, match="inside"), locked(folder):
            raise ValueError("inside")
        with locked(folder):
            pass
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [".lock"]


def test_another_error_of_the_lock_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    with (
        _file_system_without_flock(errno.EIO),
        pytest.raises(OSError, match="Input/output error"),
        locked(Folder(tmp_path)),
    ):
        pass


def _left_behind(folder: Path, **changes: object) -> Path:
    """Return the lock file of a run that died, with the changes in what it says."""
    with locked(Folder(folder)):
        (path,) = folder.glob(".lock-*")
        content = json.loads(path.read_bytes())
    assert not path.exists()
    path.write_text(json.dumps(content | changes))
    return path


def test_without_flock_a_lock_of_another_machine_is_free_after_some_minutes(tmp_path: Path) -> None:
    with _file_system_without_flock(errno.ENOSYS):
        path = _left_behind(tmp_path, machine="another", owner="process 7 on node12")
        for _ in range(2):
            with (
                pytest.raises(LockedError, match=r"process 7 on node12; .*free \d+ minutes later"),
                locked(Folder(tmp_path)),
            ):
                pass
        before = path.stat().st_mtime - 3600
        os.utime(path, (before, before))
        with locked(Folder(tmp_path)):
            assert json.loads(path.read_bytes())["machine"] != "another"


@pytest.mark.parametrize("change", [{"started": "1"}, {"pid": 2**22 + 1}])
def test_without_flock_another_process_of_the_same_number_holds_nothing(
    tmp_path: Path, change: dict[str, object]
) -> None:
    with _file_system_without_flock(errno.ENOSYS):
        _left_behind(tmp_path, **change)
        with locked(Folder(tmp_path)):
            pass


def test_a_note_says_once_that_there_is_no_flock(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _file_system_without_flock(errno.EINVAL):
        for name in "ab":
            with locked(Folder(tmp_path / name), quiet=True):
                pass
        assert capsys.readouterr().err == ""
        for name in "ab":
            with locked(Folder(tmp_path / name)):
                pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("note: the workspace's file system has no file locks (Invalid argument)")


def test_a_folder_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(Folder(tmp_path / "new")):
        raise ValueError("inside")
    with locked(Folder(tmp_path / "new")):
        pass


def test_two_folders_are_locked_apart(tmp_path: Path) -> None:
    with locked(Folder(tmp_path / "a")), locked(Folder(tmp_path / "b")):
        pass


def test_on_an_object_store_a_file_stands_for_the_lock() -> None:
    folder = Folder("memory://locks/one")
    with (
        locked(folder),
        pytest.raises(LockedError, match=r"locked by process .*delete \.lock if it has died"),
        locked(folder),
    ):
        pass
    with locked(folder):
        pass

"""One run at a time writes to a folder; the lock of a dead process is free."""

import multiprocessing
import time
from pathlib import Path

import pytest

from smolmix.engine.lock import locked
from smolmix.errors import LockedError
from smolmix.storage import Folder


def _hold(path: str, ready: multiprocessing.Queue) -> None:  # type: ignore[type-arg]  # of bool
    with locked(Folder(path)):
        ready.put(True)
        time.sleep(60)


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    process = context.Process(target=_hold, args=(str(tmp_path), ready))
    process.start()
    ready.get(timeout=60)
    with (
        pytest.raises(LockedError, match=f"locked by process {process.pid} on .*; wait for it"),
        locked(Folder(tmp_path)),
    ):
        pass
    process.kill()
    process.join()
    with locked(Folder(tmp_path)):
        pass


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

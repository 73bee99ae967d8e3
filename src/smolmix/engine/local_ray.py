"""Starts Ray on this machine, for this process alone.

Ray by default listens on the network, asks the metadata address of a cloud who owns the machine,
searches the current folder for modules before the installed packages, and puts its sockets below
`TMPDIR`, whose path may be too long for them. Here it listens on loopback, has no dashboard, starts
from an empty folder, and keeps its files in a folder of a short path, deleted when it stops.
"""

import atexit
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from smolmix.errors import SmolmixError, UsageError, machine_error

_TRIES = 3  # Ray waits 30 s for its own processes, which a busy machine may exceed once
_OBJECT_STORE_BYTES = 256 << 20
_SOCKET_PATH_BYTES = 107 if sys.platform == "linux" else 103
# The longest that Ray makes below its folder; a process id has at most seven digits.
_SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.10"
_PREFIX = "ray-"
_BASE_BYTES = _SOCKET_PATH_BYTES - len(_SOCKET) - len(f"/{_PREFIX}12345678")
_BASES = ("/tmp", "/var/tmp", "/dev/shm")

_started = list[Path]()  # the folder of the Ray that runs


def start(workers: int) -> None:
    """Start Ray with this many CPUs; a start that fails is tried again.

    Raises:
        SmolmixError: Ray did not start.
        UsageError: there is no folder for its sockets.
    """
    import ray

    atexit.unregister(stop)  # once is enough
    atexit.register(stop)
    for tries_left in reversed(range(_TRIES)):
        folder = _new_folder()
        _started.append(folder)
        try:
            with _settings(folder), _without_dashboard(), contextlib.chdir(folder / "empty"):
                ray.init(
                    address="local",
                    include_dashboard=False,
                    num_cpus=workers,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _temp_dir=str(folder),
                )
            return
        except Exception as error:  # Ray raises plain ones where its processes do not answer
            stop()
            if isinstance(error, OSError) and machine_error(error):
                raise
            if not tries_left:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise SmolmixError(
                    f"Ray did not start in {_TRIES} tries ({reason}); the machine is busy, or this "
                    "process may use too little CPU or memory; run the same command later, or "
                    "without Ray: --workers 0"
                ) from error


def stop() -> None:
    """Stop the Ray that was started here, if one was, and delete its folder."""
    import ray

    ray.shutdown()
    while _started:
        folder = _started.pop()
        _end_processes(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder() -> Path:
    """Create the folder for Ray's files, with an empty one in it: the first base that will do.

    Raises:
        UsageError: none will do.
    """
    wanted = os.environ.get("RAY_TMPDIR")
    bases = [b for b in (wanted, tempfile.gettempdir(), *_BASES) if b]
    for base in dict.fromkeys(map(os.path.abspath, bases)):
        if len(os.fsencode(base)) > _BASE_BYTES:
            continue
        try:
            os.makedirs(base, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
        except OSError:
            continue
        try:
            _check_file_system(folder)
            (folder / "empty").mkdir()
            return folder
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
    raise UsageError(
        f"Ray needs a folder for its sockets: none of {', '.join(dict.fromkeys(bases))} is "
        f"writable, has a path of at most {_BASE_BYTES} bytes and allows sockets and file locks; "
        "set RAY_TMPDIR to one that does, or run without Ray: --workers 0"
    )


def _check_file_system(folder: Path) -> None:
    """Raise an OSError where sockets are impossible, or Ray would wait for a file lock for ever.

    The locks that Ray uses do without flock where it is not implemented (ENOSYS), not where it
    fails in another way, as on NFS without a lock daemon.
    """
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket"))
    with open(folder / "lock", "w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
    for name in ("socket", "lock"):
        (folder / name).unlink()


def _end_processes(folder: Path) -> None:
    """End what is left of Ray after a failed start: the folder is in their command lines."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if os.fsencode(f"{folder}/") in file.read_bytes():
                os.kill(int(file.parent.name), signal.SIGKILL)


@contextlib.contextmanager
def _settings(folder: Path) -> Iterator[None]:
    """Set the environment that Ray's processes inherit; this process's own stays as it is."""
    set_here: Mapping[str, str] = {
        "RAY_TMPDIR": str(folder),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one machine: loopback, on any system
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": _python_path(),
    }
    before = {name: os.environ.get(name) for name in set_here}
    os.environ.update(set_here)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _python_path() -> str:
    """Return `PYTHONPATH` without what this process does not search, from whatever folder.

    An empty entry means the current folder, and a relative one would be another folder in Ray's.
    """
    searched = {os.path.abspath(p) for p in sys.path if p}
    entries = (os.path.abspath(p) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)
    return os.pathsep.join(p for p in entries if p in searched)


@contextlib.contextmanager
def _without_dashboard() -> Iterator[None]:
    """Start Ray without the process that serves its dashboard, and with loopback addresses.

    Even with `include_dashboard=False` and without usage reports that process starts, and asks the
    cloud's metadata address. Ray runs without it where its packages are not installed.
    """
    from ray._private import ray_constants, services

    changes: list[tuple[Any, str, Any]] = [
        (services, "start_api_server", lambda *_args, **_kwargs: (None, None)),
        (ray_constants, "ENABLE_RAY_CLUSTER", False),  # read from the environment when imported
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, value in changes:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)

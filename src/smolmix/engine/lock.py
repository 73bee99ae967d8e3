"""The one lock: only one run at a time writes to a folder.

The operating system's lock (`flock`) is free as soon as its process ends. Some file systems have
none: Lustre mounted without it, NFS without a lock daemon, some in user space. There a file stands
for the lock, created exclusively: it names its process and is touched while that runs. It is stale
if the process is gone from this machine, or has not touched it for some minutes from another.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from smolmix.errors import LockedError
from smolmix.storage import Folder

_LOCK = ".lock"
_OWNER = ".lock-owner"  # the file that stands for the lock where there is no flock
_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_TOUCH_S = 20.0
_STALE_S = 600.0  # a process may be stopped for a while, or its file system hang


@contextmanager
def locked(folder: Folder, *, quiet: bool = False) -> Iterator[None]:
    """Keep other runs out of the folder; the lock of a process that died is free.

    On an object store a file stands for the lock, and must be deleted by hand after a crash.

    Args:
        folder: which is created.
        quiet: print no note where the file system has no locks.

    Raises:
        LockedError: another run is writing there.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    if not folder.is_local:
        if folder.exists(_LOCK):
            other = folder.read_bytes(_LOCK).decode()
            raise LockedError(
                f"{folder.url}: locked by {other}; wait for it, or delete {_LOCK} if it has died"
            )
        folder.write_bytes(_LOCK, owner.encode())
        try:
            yield
        finally:
            folder.remove(_LOCK)
        return
    path = folder.local(_LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack, open(path, "a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            other = stream.read() or "another run"
            raise LockedError(
                f"{folder.url}: locked by {other}; wait for it, or stop it"
            ) from error
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise
            if not quiet:
                _note(error.strerror or str(error))
            stack.enter_context(_owned(folder, owner))
        stream.truncate(0)
        stream.write(owner)
        stream.flush()
        yield


@cache  # once for each cause
def _note(reason: str) -> None:
    print(
        f"note: the workspace's file system has no file locks ({reason}); a file, {_OWNER}, stands "
        "for the lock of a folder",
        file=sys.stderr,
    )


@contextmanager
def _owned(folder: Folder, owner: str) -> Iterator[None]:
    """Lock the folder by a file that only its owner can have created.

    Raises:
        LockedError: another run is writing there.
    """
    path = folder.local(_OWNER)
    mine = json.dumps({"owner": owner, "machine": _machine(), "pid": os.getpid(),
                       "started": _started(os.getpid()), "id": uuid.uuid4().hex})  # fmt: skip
    if not _create(path, mine):
        found = _read(path)
        if _is_alive(path, found) or not (_take_away(path, found) and _create(path, mine)):
            other = _value(found).get("owner", "another run")
            raise LockedError(
                f"{folder.url}: locked by {other}; wait for it, or stop it (if it died on another "
                f"machine, the lock is free {_STALE_S / 60:.0f} minutes later)"
            )
    ended = threading.Event()
    thread = threading.Thread(target=_touch, args=(path, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if _read(path) == mine:
            path.unlink(missing_ok=True)


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_TOUCH_S):
        with contextlib.suppress(OSError):
            os.utime(path)


def _create(path: Path, content: str) -> bool:
    """Create the file; return whether it did not exist."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with open(handle, "w") as stream:
        stream.write(content)
    return True


def _take_away(path: Path, stale: str) -> bool:
    """Remove a stale lock; return whether it was that one and not, by now, another run's."""
    aside = path.with_name(f"{_OWNER}-{uuid.uuid4().hex}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:  # another run took it away
        return True
    removed = _read(aside) == stale
    if not removed:
        with contextlib.suppress(OSError):
            os.link(aside, path)  # unlike a rename, it replaces nothing
    aside.unlink()
    return removed


def _is_alive(path: Path, content: str) -> bool:
    """Whether the process that owns the lock is running, as far as can be seen from here."""
    value = _value(content)
    if value.get("machine") == _machine():
        return bool(_started(value["pid"]) == value["started"])
    try:
        return _now(path) - path.stat().st_mtime < _STALE_S
    except FileNotFoundError:
        return False


def _now(path: Path) -> float:
    """Return the time by the clock of the file system, which may be another machine's."""
    probe = path.with_name(f"{_OWNER}-{uuid.uuid4().hex}")
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _value(content: str) -> dict[str, str]:
    try:
        value: dict[str, str] = json.loads(content)
    except ValueError:  # its process is writing it, or died before it could
        return {}
    return value


def _machine() -> str:
    """Return what is the same for all processes that can see each other, here and after a boot."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int | str) -> str:
    """Return when a process of this machine was started; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        pass
    else:
        return stat.rpartition(")")[2].split()[19]
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(int(pid), 0)  # no signal: only whether it exists
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "unknown"

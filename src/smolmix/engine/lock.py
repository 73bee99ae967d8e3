"""The one lock: only one run at a time writes to a folder."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from smolmix.errors import LockedError
from smolmix.storage import Folder

_LOCK = ".lock"


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Keep other runs out of the folder; the lock of a process that died is free.

    On an object store a file stands for the lock, and must be deleted by hand after a crash.

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
    with open(path, "a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            other = stream.read() or "another run"
            raise LockedError(
                f"{folder.url}: locked by {other}; wait for it, or stop it"
            ) from error
        stream.truncate(0)
        stream.write(owner)
        stream.flush()
        yield

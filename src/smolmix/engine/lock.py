"""The lock of a stage's folder: one run at a time writes there."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from smolmix.errors import (
    LockedError,
)
from smolmix.storage import Folder

_LOCK = ".lock"


@contextmanager
def locked(folder: Folder) -> Iterator[None]:
    """Hold the folder against other runs; a lock whose process died is free.

    Raises:
        LockedError: another run holds it.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    if not folder.is_local:
        if folder.exists(_LOCK):
            held = folder.read_bytes(_LOCK).decode()
            raise LockedError(f"{folder.url}: held by {held}; delete {_LOCK} if that run is dead")
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
            raise LockedError(
                f"{folder.url}: held by {stream.read() or 'another run'}; wait for it or stop it"
            ) from error
        stream.truncate(0)
        stream.write(owner)
        stream.flush()
        yield

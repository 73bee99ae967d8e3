"""The exceptions smolmix raises, and what each means to the caller.

    SmolmixError              everything below; the CLI prints it as one line
    ├── UsageError            the call or a spec is wrong: nothing was done         (exit 2)
    │   └── InfeasibleError   a mixture's wishes contradict each other or the data  (exit 2)
    └── DataError             the data is wrong, damaged or missing                 (exit 1)
        ├── IntegrityError    a file's bytes are not what its manifest recorded
        ├── IncompleteError   a stage's output that another stage needs is not whole
        ├── LockedError       another run holds the folder
        └── ConservationError rows in are not rows kept plus rows dropped

A sample that cannot be used is never an exception that leaves a stage: it is a
`smolmix.sample.Dropped`.

Messages follow one form: *where: what was found; what is allowed; what to do.*
"""

import difflib
import errno
import os
from collections.abc import Iterable

_MACHINE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "use a file system that holds larger files",
    errno.EROFS: "make it writable, or name another --workspace",
    errno.EACCES: "get leave to read and write it",
    errno.EPERM: "get leave to read and write it",
    errno.EMFILE: "raise `ulimit -n`",
    errno.EIO: "look after the disk",
}


class SmolmixError(Exception):
    """Anything smolmix refuses, with a message fit to be shown to a person."""

    exit_code = 1


class UsageError(SmolmixError):
    """The call, a spec or a recipe is wrong; nothing was done."""

    exit_code = 2


class InfeasibleError(UsageError):
    """No mixture satisfies the spec; the message names the constraints that bind."""


class DataError(SmolmixError):
    """The data is wrong, damaged or missing."""


class IntegrityError(DataError):
    """A file's bytes differ from what its manifest or checksum recorded."""


class IncompleteError(DataError):
    """An input folder is missing or its stage has not finished."""


class LockedError(DataError):
    """Another run is writing to the folder."""


class ConservationError(DataError):
    """Samples were lost or invented: what came in is not what went out plus what was dropped."""


def machine_fault(error: OSError) -> str | None:
    """Return what the machine lacks and what helps, or None for an error of another kind."""
    number = error.errno or 0
    if number not in _MACHINE:
        return None
    place = error.filename2 or error.filename  # of a copy: where it was to go
    where = f"{place}: " if place else ""
    return f"{where}{os.strerror(number)}; {_MACHINE[number]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name closest to `name`, or an empty string."""
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""

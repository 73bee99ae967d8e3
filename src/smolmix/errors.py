"""The exceptions smolmix raises, and what each means to the caller.

    SmolmixError              everything below; the CLI prints it as one line
    ├── UsageError            the call or a spec is wrong: nothing was done            (exit 2)
    │   └── InfeasibleError   a mixture's constraints contradict each other or the data (exit 2)
    └── DataError             the data is wrong, damaged or missing                    (exit 1)
        ├── IntegrityError    a file's bytes are not what its manifest recorded
        ├── IncompleteError   a stage's output that another stage needs is not finished
        ├── StaleError        an output was made from an input that has changed since
        ├── LockedError       another run is writing to the folder
        └── ConservationError the rows that came in are not those kept plus those dropped

A sample that cannot be used is never an exception that leaves a stage: it is a
`smolmix.sample.Dropped`.

Messages have one form: *where: what was found; what is allowed; what to do.*
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
    errno.EACCES: "get permission to read and write it",
    errno.EPERM: "get permission to read and write it",
    errno.EMFILE: "raise `ulimit -n`",
    errno.EIO: "check the disk",
}


class SmolmixError(Exception):
    """Anything smolmix refuses, with a message that can be shown to a user."""

    exit_code = 1


class UsageError(SmolmixError):
    """The call, a spec or a recipe is wrong; nothing was done."""

    exit_code = 2


class InfeasibleError(UsageError):
    """No mixture satisfies the spec; the message names the binding constraints."""


class DataError(SmolmixError):
    """The data is wrong, damaged or missing."""


class IntegrityError(DataError):
    """A file's bytes differ from what its manifest or checksum recorded."""


class IncompleteError(DataError):
    """An input folder is missing or its stage has not finished."""


class StaleError(DataError):
    """An output was made from an input that has changed since; made by `stale`."""


class LockedError(DataError):
    """Another run is writing to the folder."""


class ConservationError(DataError):
    """Rows were lost or invented: what came in is not what was kept plus what was dropped."""


def stale(what: str, *, source: str, changed: str, command: str) -> StaleError:
    """Return the error for an output whose input has changed.

    Every reader that finds one raises this, so that the same finding has one wording.

    Args:
        what: the output, as in `mixtures/demo`.
        source: the input, as in `curated/easy-vqa`.
        changed: what is different now, as in "part-00000: row 3 is another sample".
        command: what makes the output again, as in `smolmix mix build demo.yaml`.
    """
    return StaleError(
        f"{what} was made from {source} as it was then; {source} has changed since ({changed}); "
        f"run `{command}`"
    )


def machine_error(error: OSError) -> str | None:
    """Return what the machine lacks and what helps; None for an error of another kind."""
    number = error.errno or 0
    if number not in _MACHINE:
        return None
    place = error.filename2 or error.filename  # the target, where a copy or a move failed
    where = f"{place}: " if place else ""
    return f"{where}{os.strerror(number)}; {_MACHINE[number]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the known name closest to `name`, or an empty string."""
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""

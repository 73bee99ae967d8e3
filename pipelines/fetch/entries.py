"""The files of a user's folder: the one walker behind rows, archives and loose media.

Links that the owner put there are followed, to files and to folders. What cannot be read is
returned with the reason instead: a pipe, which would be waited for without end, a link to nothing
(git-annex, DVC), a name that is not UTF-8, a folder that may not be opened.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smolmix.storage import Folder

_Id = tuple[int, int]  # device and inode


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file below a folder, or something there that is not read."""

    path: str  # below the folder; printable also where the file's name is not UTF-8
    size: int = 0
    file: str = ""  # the same for all names of one file: links to it, and to folders above it
    refused: str = ""  # why it is not read
    special: bool = False  # refused: a pipe, a socket or a device, which holds no data
    via_link: bool = False  # a link, or below one


def entries(folder: Folder) -> list[Entry]:
    """Return all files below a folder, in order of path, with what is refused."""
    if folder.is_local:
        root = folder.local()
        found = list(_local(root, "", frozenset({_id(os.stat(root))}), via_link=False))
    else:
        listed = folder.fs.find(folder.path, detail=True)
        found = [
            Entry(
                path=str(path).removeprefix(folder.path).lstrip("/"),
                size=int(info.get("size") or 0),
                file=str(path),
            )
            for path, info in listed.items()
        ]
    return sorted(found, key=lambda entry: entry.path)


def refusals(found: Sequence[Entry]) -> str:
    """Return one line about what is not read."""
    first = "; ".join(f"{one.path!r} is {one.refused}" for one in found[:3])
    more = f"; and {len(found) - 3:,} more" if len(found) > 3 else ""
    return f"{len(found):,} entries are not read: {first}{more}"


def _local(root: Path, below: str, above: frozenset[_Id], *, via_link: bool) -> Iterator[Entry]:
    """Yield the entries of a folder.

    Args:
        root: the folder walked.
        below: the folder, from `root`.
        above: the folders that lead to it: a link to one of them would lead round in a circle.
        via_link: whether a link leads to it.
    """
    try:
        listed = list(os.scandir(root / below))
    except OSError as error:
        yield Entry(path=below or ".", refused=f"a folder that cannot be opened ({error.strerror})")
        return
    for one in listed:
        path = f"{below}/{one.name}" if below else one.name
        try:
            path.encode()
        except UnicodeEncodeError:
            printable = os.fsencode(path).decode(errors="backslashreplace")
            yield Entry(path=printable, refused="a name that is not UTF-8; rename it")
            continue
        try:
            facts = one.stat()  # of what a link points at
        except OSError as error:
            yield Entry(path=path, refused=_broken(root / path, error))
            continue
        linked = via_link or one.is_symlink()
        if stat.S_ISDIR(facts.st_mode):
            if _id(facts) in above:
                yield Entry(path=path, refused="a link to a folder that it is in")
            else:
                yield from _local(root, path, above | {_id(facts)}, via_link=linked)
        elif stat.S_ISREG(facts.st_mode):
            file = f"{facts.st_dev}:{facts.st_ino}"
            yield Entry(path=path, size=facts.st_size, file=file, via_link=linked)
        else:
            yield Entry(path=path, refused="a pipe, a socket or a device", special=True)


def _id(facts: os.stat_result) -> _Id:
    return facts.st_dev, facts.st_ino


def _broken(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return f"a link to {os.readlink(path)}, which cannot be read ({error.strerror})"
    return f"a file that cannot be opened ({error.strerror})"

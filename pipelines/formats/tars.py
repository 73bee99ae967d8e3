"""The members of plain tar files, each with the position of its bytes.

`tarfile` stops without an error at a header that is damaged, and at the end mark of the first of
two tars that were joined. Here a damaged header is an error and the second tar is read, so that a
tar is read to its last byte or not at all. Links are followed inside the archive only.
"""

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

from smolmix.errors import DataError

_MAX_LINKS = 16  # of a chain of links to links


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in a tar, or an entry that is not read."""

    name: str  # cleaned: relative, no "..", no leading "./"
    offset: int  # of its bytes in the tar
    size: int
    refused: str = ""  # why it is not read: a link to nothing, a device, a sparse file


def safe_name(name: str) -> str | None:
    """Return the cleaned member name, or None where it would leave the folder."""
    try:
        name.encode()
    except UnicodeEncodeError:  # no UTF-8, as tarfile keeps it: an old tar's Latin-1
        name = name.encode(errors="surrogateescape").decode("latin-1")
    cleaned = posixpath.normpath(name.replace("\\", "/"))
    first = cleaned.split("/", 1)[0]
    if cleaned in (".", "") or cleaned.startswith("/") or first == ".." or ":" in first:
        return None
    return None if "\0" in cleaned else cleaned


def members(stream: IO[bytes], where: str) -> Iterator[Member]:
    """Yield the files of a plain tar that can be read, in the tar's order.

    Raises:
        DataError: the stream is not a tar, it is cut, or a header is damaged.
    """
    return (entry for entry in entries(stream, where) if not entry.refused)


def entries(stream: IO[bytes], where: str) -> Iterator[Member]:
    """Yield the files of a plain tar in its order, with those that are refused and the reason.

    A link is the file that it points at, under its own name. A link to a folder gives the files
    of that folder, last.

    Raises:
        DataError: the stream is not a tar, it is cut, or a header is damaged.
    """
    found: dict[str, Member] = {}
    links: dict[str, str] = {}  # cleaned name -> cleaned target, of links not resolved yet
    waiting: list[Member | str] = []  # in the tar's order: what follows an unresolved link
    try:
        with checked_tar(stream, "r:") as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # not a million headers
                entry = _entry(info, found)
                if entry is None:
                    continue
                if isinstance(entry, tuple):
                    name, target = entry
                    links[name] = target
                    waiting.append(name)
                    continue
                if not entry.refused:
                    found[entry.name] = entry
                if waiting:
                    waiting.append(entry)
                else:
                    yield entry
    except tarfile.TarError as error:
        raise DataError(
            f"{where}: not a complete tar ({error}); delete it and fetch again"
        ) from error
    folders: dict[str, str] = {}
    for one in waiting:
        if isinstance(one, Member):
            yield one
            continue
        goal = _followed(one, links)
        if goal in found:
            yield replace(found[goal], name=one)
        elif goal is not None and any(name.startswith(f"{goal}/") for name in found):
            folders[one] = goal
        else:
            yield _refused(one, f"a link to {links[one]}, which is not in the archive")
    for link, folder in folders.items():
        for name, member in found.items():
            if name.startswith(f"{folder}/"):
                yield replace(member, name=f"{link}{name[len(folder) :]}")


def checked_tar(stream: IO[bytes], mode: Literal["r:", "r|"]) -> tarfile.TarFile:
    """Return a tar whose iteration raises `tarfile.ReadError` where it is cut or damaged.

    Joined tars are read as one.
    """
    at_end_mark = False

    class CheckedHeader(tarfile.TarInfo):
        """A header; one that is damaged is an error that `tarfile` does not skip."""

        @classmethod
        def frombuf(cls, buf: Any, encoding: str, errors: str) -> "CheckedHeader":
            nonlocal at_end_mark
            try:
                header: CheckedHeader = super().frombuf(buf, encoding, errors)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # not in typeshed
                at_end_mark = True
                raise
            except tarfile.EmptyHeaderError as error:  # type: ignore[attr-defined]  # not in typeshed
                if at_end_mark:
                    raise
                raise tarfile.ReadError("it ends without an end mark: it was cut") from error
            except tarfile.HeaderError as error:
                raise tarfile.ReadError(f"a damaged header: {error}") from error
            at_end_mark = False
            return header

    return tarfile.open(fileobj=stream, mode=mode, tarinfo=CheckedHeader, ignore_zeros=True)


def _entry(info: tarfile.TarInfo, found: dict[str, Member]) -> Member | tuple[str, str] | None:
    """Return a member, a link that is not resolved yet (name, target), or None for a folder."""
    if info.isdir():
        return None
    name = safe_name(info.name)
    if name is None:
        return _refused(info.name, "a name that leaves the archive's folder")
    if info.issparse():
        return _refused(name, "a sparse file")
    if info.isreg():
        return Member(name=name, offset=info.offset_data, size=info.size)
    if info.islnk() or info.issym():
        target = link_target(info, name)
        if target is None:
            return _refused(name, f"a link to {info.linkname}, outside the archive")
        if target in found:
            return replace(found[target], name=name)
        return name, target
    return _refused(name, "a device or a pipe")


def link_target(info: tarfile.TarInfo, name: str) -> str | None:
    """Return what a hard or symbolic link leads to inside its archive.

    Args:
        info: the entry.
        name: its cleaned name: a symbolic link starts from its own folder.

    Returns:
        A cleaned name; None for a link that leads out of the archive, and for other entries.
    """
    if not (info.islnk() or info.issym()) or info.linkname.startswith("/"):
        return None
    above = posixpath.dirname(name) if info.issym() else ""
    return safe_name(posixpath.join(above, info.linkname))


def _refused(name: str, why: str) -> Member:
    printable = name.encode(errors="backslashreplace").decode()
    return Member(name=printable, offset=0, size=0, refused=why)


def _followed(name: str, links: dict[str, str]) -> str | None:
    """Return what a link leads to through other links, or None if it leads round in a circle."""
    target = name
    for _ in range(_MAX_LINKS):
        if target not in links:
            return target
        target = links[target]
    return None

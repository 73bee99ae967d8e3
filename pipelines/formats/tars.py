"""The members of plain tar files, each with the position of its bytes."""

import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from smolmix.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One regular file in a tar."""

    name: str  # cleaned: relative, no "..", no leading "./"
    offset: int  # of its bytes in the tar
    size: int


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
    """Yield the regular files of a plain tar; links, devices and unsafe names are skipped.

    Raises:
        DataError: the stream is not a tar, or it is cut.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for info in archive:
                name = safe_name(info.name)
                if info.isreg() and not info.issparse() and name is not None:
                    yield Member(name=name, offset=info.offset_data, size=info.size)
    except tarfile.TarError as error:
        raise DataError(
            f"{where}: not a complete tar ({error}); delete it and fetch again"
        ) from error

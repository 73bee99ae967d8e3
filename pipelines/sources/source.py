"""The description of a corpus: where its files are, their format, and what samples a row gives."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from smolmix.pipelines.formats.format import FileFormat
from smolmix.pipelines.sources.row import Row
from smolmix.sample import Sample, Split

Role = Literal[
    "long-context",
    "short-context",
    "text-sft",
    "cot",
    "vision",
    "multi-image",
    "video",
    "benchmark",
    "demo",
    "user",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subset:
    """A published part of a corpus: a config, a folder, one file."""

    name: str
    rows: int | None = None
    licence: str = ""  # if it differs from that of the corpus
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """A dataset repository on the Hugging Face hub."""

    repo: str
    revision: str = "main"  # resolved to a commit by fetch
    media_repos: tuple[tuple[str, str], ...] = ()  # (folder, repo): media published elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Files at fixed addresses."""

    urls: tuple[tuple[str, str], ...]  # (path in the corpus's folder, address)
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """Files written on this machine: copied out of an installed package, or generated."""

    kind: Literal["package", "generated"]
    name: str  # of the package or the generator
    revision: Callable[[], str]
    write: Callable[[Path], None]  # into an empty folder; the same bytes each time


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The user's own files, which are not copied if they are on a local disk."""

    url: str  # a folder on disk or on any fsspec store
    media: tuple[str, ...] = ()  # the folders of the media, if they are others
    zip_names: str = ""  # the encoding of names in zips that do not mark them as UTF-8

    @property
    def roots(self) -> tuple[str, ...]:
        """The folders that media are below, as the user writes them and with links followed."""
        places = [place.rstrip("/") for place in self.media or (self.url,)]
        real = [os.path.realpath(place) for place in places if "://" not in place]
        return tuple(dict.fromkeys([*places, *real]))


Origin = Hub | Http | Generated | Local


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One corpus. `adapt` returns the samples of one published row; it never opens media."""

    id: str
    title: str
    role: Role
    modality: str  # of most samples: text | image | multi-image | video
    licence: str
    origin: Origin
    format: FileFormat
    adapt: Callable[[Row], Iterable[Sample]]
    rows_in: tuple[str, ...]  # globs, relative to the revision's folder: files that hold rows
    media_in: tuple[str, ...] = ()  # globs: archives and loose files that rows name
    rows_not_in: tuple[str, ...] = ()  # globs: exceptions to `rows_in`
    # When an archive is rewritten: the members that one member becomes (ink also gives a picture).
    expand: Callable[[str, bytes], Iterable[tuple[str, bytes]]] | None = None
    version: int = 1  # of the adapter; raise it when the same row gives other samples
    gated: bool = False
    rows: int | None = None
    verified: bool = True  # format and columns were checked in a primary source
    unverified: str = ""  # what was not
    subsets: tuple[Subset, ...] = ()
    subset_of: str = ""  # regex over a row file's path; its group 1 is the subset
    heldout: str = ""  # regex over a row file's path: rows kept for evaluation only
    warnings: tuple[str, ...] = ()
    refused: str = ""  # why it cannot be fetched, and what to use instead
    catalogue: dict[str, Any] | None = None  # the entry of a user's own catalogue
    media_from_user: str = ""  # where to get media that are not published with the rows

    @property
    def hub_id(self) -> str:
        """Where it is published: a hub id, an address, a package or a folder."""
        if isinstance(self.origin, Hub):
            return self.origin.repo
        if isinstance(self.origin, Http):
            return self.origin.urls[0][1]
        return self.origin.name if isinstance(self.origin, Generated) else self.origin.url

    @property
    def revision(self) -> str:
        """The published revision that fetch starts from."""
        if isinstance(self.origin, Generated):
            return self.origin.revision()
        return "local" if isinstance(self.origin, Local) else self.origin.revision

    def holds_rows(self, path: str) -> bool:
        """Whether a file holds rows, by its path below the revision's folder."""
        return self._matches(path, self.rows_in) and not _any(path, self.rows_not_in)

    def holds_media(self, path: str) -> bool:
        """Whether a file holds media that rows name."""
        return self._matches(path, self.media_in)

    def _matches(self, path: str, globs: Iterable[str]) -> bool:
        """Whether a glob matches; endings of a user's own files may be in capitals."""
        globs = tuple(globs)
        stem, dot, ending = path.rpartition(".")
        lower = f"{stem}{dot}{ending.lower()}"
        return _any(path, globs) or (self.role == "user" and _any(lower, globs))

    def subset(self, path: str) -> str:
        """Return the subset of a file of rows, by its path below the revision's folder, or ""."""
        return _group(self.subset_of, path) if self.subset_of else ""

    def licence_of(self, subset: str) -> str:
        """Return the licence of the rows of a subset."""
        return next((s.licence for s in self.subsets if s.name == subset and s.licence), "") or (
            self.licence
        )

    def split(self, path: str) -> Split:
        """Return the split of a file of rows."""
        held = self.role == "benchmark" or (self.heldout and re.search(self.heldout, path))
        return "heldout" if held else "train"


def _any(path: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(path, glob) for glob in globs)


@lru_cache(maxsize=4096)
def _group(pattern: str, path: str) -> str:
    match = re.search(pattern, path)
    return match.group(1) if match else ""

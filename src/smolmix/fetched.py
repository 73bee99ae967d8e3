"""What is in `raw/<corpus>`: the record of a fetch, `fetch.json`.

The only module that knows the file's name, keys and checks. `pipelines.fetch` writes it, file by
file; everybody else asks here which files are complete, at which revision, and what was requested.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from smolmix.errors import DataError, IncompleteError
from smolmix.workspace import Workspace

FETCH_FILE = "fetch.json"
SHARDS = "_shards"  # folder of archives that were rewritten into plain tars
INDEX = "_index"  # folder of the media index


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    """One file of a corpus that was fetched completely."""

    path: str  # relative to the workspace
    size: int
    sha256: str
    url: str = ""
    rewritten: bool = False  # its bytes are in shards now, the file itself is deleted
    parts: tuple[str, ...] = ()  # of a shard: the published archive's files
    row_groups: tuple[int, ...] | None = None  # of a parquet file that is sparse elsewhere
    rows_digest: str = ""  # which rows those row groups were fetched for

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the file that `to_json` wrote."""
        groups = value.get("row_groups")
        return cls(
            path=value["path"],
            size=value.get("size") or 0,
            sha256=value.get("sha256", ""),
            url=value.get("url", ""),
            rewritten=value.get("rewritten", False),
            parts=tuple(value.get("parts", ())),
            row_groups=None if groups is None else tuple(groups),
            rows_digest=value.get("rows_digest", ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the file as JSON values, keys without a value omitted."""
        value: dict[str, Any] = {
            "path": self.path,
            "size": self.size,
            "sha256": self.sha256,
            "url": self.url,
        }
        if self.rewritten:
            value["rewritten"] = True
        if self.parts:
            value["parts"] = list(self.parts)
        if self.row_groups is not None:
            value |= {"row_groups": list(self.row_groups), "rows_digest": self.rows_digest}
        return value

    def exists(self, workspace: Workspace) -> bool:
        """Whether the file is in the workspace with its size, or its bytes are in shards."""
        if self.rewritten:
            return True
        path = workspace.at(self.path)
        return bool(workspace.fs.exists(path)) and int(workspace.fs.size(path)) == self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMedia:
    """The user's own media, indexed but not copied."""

    folder: str
    files: int
    digest: str  # of the paths and sizes
    more: tuple[str, ...] = ()  # further folders

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders."""
        return (self.folder, *self.more)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRecord:
    """fetch.json of one corpus."""

    corpus: str
    revision: str
    hub_id: str = ""
    licence: str = ""
    scope: Mapping[str, Any] = field(default_factory=dict)  # what was requested, as JSON values
    files: tuple[FetchedFile, ...] = ()  # in order of path
    media: UserMedia | None = None
    media_repos: Mapping[str, str] = field(default_factory=dict)  # repository -> commit: media
    # that are published in other repositories than the rows
    catalogue: Mapping[str, Any] | None = None  # the entry of a user's own corpus
    complete: bool = False

    @property
    def root(self) -> str:
        """The revision's folder, relative to the workspace."""
        return f"raw/{self.corpus}/{self.revision}"

    @property
    def limit(self) -> int | None:
        """How many rows were requested; None: all."""
        limit: int | None = self.scope.get("limit")
        return limit

    @property
    def readable(self) -> tuple[FetchedFile, ...]:
        """The files that can be opened: all but archives that were rewritten."""
        return tuple(f for f in self.files if not f.rewritten)

    def published_path(self, path: str) -> str:
        """Return the path that patterns of a source match: below the revision's folder."""
        return path.removeprefix(f"{self.root}/").removeprefix(f"{SHARDS}/")

    def with_files(self, files: Iterable[FetchedFile]) -> Self:
        """Return the record with other files, in order of path."""
        return replace(self, files=tuple(sorted(files, key=lambda f: f.path)))

    def write(self, workspace: Workspace) -> None:
        """Write fetch.json in one step."""
        value: dict[str, Any] = {
            "corpus": self.corpus,
            "hub_id": self.hub_id,
            "revision": self.revision,
            "licence": self.licence,
            "scope": dict(self.scope),
            "limit": self.limit,
            "files": [f.to_json() for f in self.files],
            "complete": self.complete,
        }
        if self.media is not None:
            value["media"] = {
                "folder": self.media.folder,
                "files": self.media.files,
                "digest": self.media.digest,
                "more": list(self.media.more),
            }
        if self.media_repos:
            value["media_repos"] = dict(self.media_repos)
        if self.catalogue is not None:
            value["catalogue"] = dict(self.catalogue)
        workspace.raw(self.corpus).write_json(FETCH_FILE, value)


def read_record(workspace: Workspace, corpus: str) -> FetchRecord | None:
    """Return the corpus's fetch record, complete or not, or None without one.

    Raises:
        DataError: the file is damaged.
    """
    raw = workspace.raw(corpus)
    if not raw.exists(FETCH_FILE):
        return None
    value = raw.read_json(FETCH_FILE)
    try:
        media = value.get("media")
        scope = dict(value.get("scope", {}))
        scope.setdefault("limit", value.get("limit"))
        return FetchRecord(
            corpus=corpus,
            revision=value.get("revision", ""),
            hub_id=value.get("hub_id", ""),
            licence=value.get("licence", ""),
            scope=scope,
            files=tuple(sorted(map(FetchedFile.from_json, value["files"]), key=lambda f: f.path)),
            media=UserMedia(**media | {"more": tuple(media.get("more", ()))}) if media else None,
            media_repos=value.get("media_repos", {}),
            catalogue=value.get("catalogue"),
            complete=value.get("complete", False),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{raw.at(FETCH_FILE)}: damaged ({type(error).__name__}: {error}); delete it and run "
            f"`smolmix fetch {corpus}` again: files that are complete are not downloaded again"
        ) from error


def fetched(workspace: Workspace, corpus: str) -> FetchRecord:
    """Return the record of a corpus that was fetched completely.

    Raises:
        IncompleteError: it was not fetched, or the fetch stopped half-way.
    """
    record = read_record(workspace, corpus)
    if record is None:
        raise IncompleteError(
            f"{workspace.raw(corpus).url}: corpus {corpus} is not fetched; "
            f"run `smolmix fetch {corpus}`"
        )
    if not record.complete:
        raise IncompleteError(
            f"{workspace.raw(corpus).at(FETCH_FILE)}: the fetch stopped half-way; run "
            f"`smolmix fetch {corpus}` again: it resumes where it stopped"
        )
    return record


def fetched_corpora(workspace: Workspace) -> list[str]:
    """Return the corpora with a fetch record, complete or not, in order of name."""
    return [c for c in workspace.child("raw").folders() if workspace.raw(c).exists(FETCH_FILE)]

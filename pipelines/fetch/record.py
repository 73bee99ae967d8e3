"""fetch.json: what of a corpus is there, at which revision, and which part of it was asked for."""

from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Self

from smolmix.pipelines.fetch.listing import Remote
from smolmix.pipelines.sources.raw_units import FETCH_FILE
from smolmix.storage import digest_json
from smolmix.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which part of a corpus to download. The default is all of it."""

    limit: int | None = None  # rows: files of rows are downloaded until they hold this many
    files: tuple[str, ...] = ()  # globs over published paths
    max_bytes: int | None = None  # rows first, then media, in order, while they fit
    picked: tuple[tuple[str, tuple[int, ...]], ...] = ()  # published files a mixture needs, and
    # the rows of each (none: the whole file)
    named: tuple[str, ...] = ()  # media a mixture needs, each by the names its row knows, a line
    # each; fetch finds the published files that hold them
    annotations: bool = False  # rows without the media that lie in other files; with `picked`
    # or `named`: the rows, and of the media those

    def of(self, files: tuple[Remote, ...]) -> tuple[Remote, ...]:
        """Return the files that are wanted, rows first."""
        if self.picked:
            names = {path for path, _ in self.picked}
            picked = tuple(f for f in files if f.path in names)
            if not self.annotations:
                return picked
            rows = replace(self, picked=()).of(files)
            return (*rows, *(f for f in picked if f not in rows))
        found: list[Remote] = []
        total = 0
        for file in files:
            if self.files and not any(fnmatchcase(file.path, glob) for glob in self.files):
                continue
            if self.annotations and file.kind == "media":
                continue
            total += file.target.size or 0
            if self.max_bytes is not None and total > self.max_bytes:
                break
            found.append(file)
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Return the selection as it stands in fetch.json."""
        value = asdict(self) | {"files": list(self.files)}
        named = value.pop("named")
        picked = [self.picked, named] if named else self.picked
        value["picked"] = digest_json(picked) if picked else ""
        return value

    def beside(self, before: dict[str, Any]) -> Self:
        """Return this selection for a corpus whose rows were fetched without their media.

        What a mixture selects is then added to those rows, which stay as they were asked for.

        Args:
            before: the selection in fetch.json.
        """
        if not (self.picked or self.named) or not before.get("annotations"):
            return self
        asked = (self.limit, self.files, self.max_bytes)
        if asked != (None, (), None):
            return replace(self, annotations=True)
        return replace(
            self,
            annotations=True,
            limit=before.get("limit"),
            files=tuple(before.get("files", ())),
            max_bytes=before.get("max_bytes"),
        )


def read_record(workspace: Workspace, corpus: str) -> dict[str, Any]:
    """Return the corpus's fetch.json, or an empty one."""
    raw = workspace.raw(corpus)
    if not raw.exists(FETCH_FILE):
        return {"files": [], "complete": False}
    record: dict[str, Any] = raw.read_json(FETCH_FILE)
    return record


def write_record(workspace: Workspace, record: dict[str, Any]) -> None:
    """Write fetch.json whole."""
    workspace.raw(str(record["corpus"])).write_json(FETCH_FILE, record)


def is_there(workspace: Workspace, entry: dict[str, Any]) -> bool:
    """Whether the file an entry speaks of is there, with its size."""
    if entry.get("rewritten"):
        return True
    path = workspace.at(str(entry["path"]))
    return bool(workspace.fs.exists(path)) and int(workspace.fs.size(path)) == entry["size"]

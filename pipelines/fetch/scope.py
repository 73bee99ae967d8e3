"""Which part of a corpus to download."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Self

from smolmix.pipelines.fetch.listing import Remote
from smolmix.storage import digest_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which part of a corpus to download. The default is all of it.

    Attributes:
        limit: rows: files of rows are downloaded until they hold this many.
        files: globs over published paths.
        max_bytes: files are downloaded while they fit, rows first, then media, in order of path.
        selected: published files that a mixture needs, and the rows of each that it needs (none:
            the complete file).
        named: media that a mixture needs and that are not fetched yet. Each is one text: the names
            by which its row knows it, one a line. Fetch finds the published files that hold them.
        annotations: rows only, without media that are stored in separate files. Together with
            `selected` or `named`: the rows, and only those media.
    """

    limit: int | None = None
    files: tuple[str, ...] = ()
    max_bytes: int | None = None
    selected: tuple[tuple[str, tuple[int, ...]], ...] = ()
    named: tuple[str, ...] = ()
    annotations: bool = False

    def of(self, files: tuple[Remote, ...]) -> tuple[Remote, ...]:
        """Return the files that are in scope, rows first."""
        if self.selected:
            names = {path for path, _ in self.selected}
            chosen = tuple(f for f in files if f.path in names)
            if not self.annotations:
                return chosen
            rows = replace(self, selected=()).of(files)
            return (*rows, *(f for f in chosen if f not in rows))
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
        """Return the scope as fetch.json keeps it: what a mixture needs as one digest."""
        value = asdict(self) | {"files": list(self.files)}
        named = value.pop("named")
        selected = [self.selected, named] if named else self.selected
        value["selected"] = digest_json(selected) if selected else ""
        return value

    def in_addition_to(self, previous: Mapping[str, Any]) -> Self:
        """Return this scope for a corpus whose rows were fetched without their media.

        What a mixture needs is then downloaded in addition to those rows, whose limits stay.

        Args:
            previous: the scope in fetch.json.
        """
        if not (self.selected or self.named) or not previous.get("annotations"):
            return self
        if (self.limit, self.files, self.max_bytes) != (None, (), None):
            return replace(self, annotations=True)
        return replace(
            self,
            annotations=True,
            limit=previous.get("limit"),
            files=tuple(previous.get("files", ())),
            max_bytes=previous.get("max_bytes"),
        )

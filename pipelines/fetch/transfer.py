"""Files of a listing into the workspace, each recorded as soon as it is there."""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smolmix.pipelines.fetch.download import Downloader, digests
from smolmix.pipelines.fetch.listing import Remote
from smolmix.pipelines.fetch.range_reads import download_row_groups
from smolmix.pipelines.fetch.record import write_record
from smolmix.storage import digest_json
from smolmix.workspace import Workspace


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Downloads files of one revision; may be used from several threads at once."""

    workspace: Workspace
    root: str
    downloader: Downloader
    record: dict[str, Any]
    have: dict[str, dict[str, Any]]  # entries that are there, by path
    say: Callable[[str], None]
    rows: dict[str, tuple[int, ...]] = field(default_factory=dict)  # of a file, where not all
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def missing(self, wanted: Iterable[Remote]) -> list[Remote]:
        """Return those that still have to be downloaded."""
        return [f for f in wanted if not self._is_here(f)]

    def download(self, files: Iterable[Remote]) -> None:
        """Download each file that is not here; its entry is written to fetch.json at once."""
        for file in self.missing(files):
            partial = self._partial(file)
            rows = self._some_rows(file)
            if rows:
                # Apart from a whole file's bytes: it has the file's size from the first byte on.
                partial = partial.with_name(f"{partial.name}.rows")
                groups = download_row_groups(self.downloader, file.target, rows, partial)
                sha256 = digests(partial)[0]
            else:
                sha256 = self.downloader.download(file.target, partial)
            size = partial.stat().st_size
            path = f"{self.root}/{file.path}"
            self.workspace.put(partial, path)
            entry = {"path": path, "size": size, "sha256": sha256, "url": file.target.url}
            if rows:
                entry |= {"row_groups": groups, "picked": digest_json(rows)}
            with self._lock:
                self.have[path] = entry
                self.record["files"] = sorted(self.have.values(), key=lambda f: str(f["path"]))
                write_record(self.workspace, self.record)
            self.say(f"{file.path}  {size:,} bytes")

    def _is_here(self, file: Remote) -> bool:
        entry = self.have.get(f"{self.root}/{file.path}")
        if entry is None:
            return False
        if entry.get("row_groups") is not None:
            rows = self._some_rows(file)
            return bool(rows) and entry["picked"] == digest_json(rows)
        size, sha256 = file.target.size, file.target.sha256
        return size in (None, entry["size"]) and sha256 in ("", entry["sha256"])

    def _some_rows(self, file: Remote) -> tuple[int, ...]:
        """Return the rows that are wanted of a parquet file, or none where it is wanted whole."""
        known = file.path.endswith(".parquet") and file.target.size is not None
        return self.rows.get(file.path, ()) if known else ()

    def _partial(self, file: Remote) -> Path:
        """Return where the bytes gather: beside the workspace's files where that is a disk."""
        name = hashlib.sha256(f"{self.root}/{file.path}".encode()).hexdigest()[:24]
        if self.workspace.is_local:
            return self.workspace.local(f"{self.root}/.partial/{name}")
        place = hashlib.sha256(self.workspace.url.encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"smolmix-partial-{place}", name)

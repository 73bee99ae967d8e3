"""Files of a listing into the workspace, each recorded as soon as it is there."""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smolmix.pipelines.fetching.download import Downloader
from smolmix.pipelines.fetching.listing import Remote
from smolmix.pipelines.fetching.record import write_record
from smolmix.storage import Workspace


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Brings files of one revision; may be used from several threads at once."""

    workspace: Workspace
    root: str
    downloader: Downloader
    record: dict[str, Any]
    have: dict[str, dict[str, Any]]  # entries that are there, by path
    say: Callable[[str], None]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def missing(self, wanted: Iterable[Remote]) -> list[Remote]:
        """Return those that still have to be brought."""
        return [f for f in wanted if not self._is_here(f)]

    def bring(self, files: Iterable[Remote]) -> None:
        """Bring each file that is not here; its entry is written to fetch.json at once."""
        for file in self.missing(files):
            partial = self._partial(file)
            sha256 = self.downloader.bring(file.target, partial)
            size = partial.stat().st_size
            path = f"{self.root}/{file.path}"
            self.workspace.put(partial, path)
            entry = {"path": path, "size": size, "sha256": sha256, "url": file.target.url}
            with self._lock:
                self.have[path] = entry
                self.record["files"] = sorted(self.have.values(), key=lambda f: str(f["path"]))
                write_record(self.workspace, self.record)
            self.say(f"{file.path}  {size:,} bytes")

    def _is_here(self, file: Remote) -> bool:
        entry = self.have.get(f"{self.root}/{file.path}")
        if entry is None:
            return False
        size, sha256 = file.target.size, file.target.sha256
        return size in (None, entry["size"]) and sha256 in ("", entry["sha256"])

    def _partial(self, file: Remote) -> Path:
        """Return where the bytes gather: beside the workspace's files where that is a disk."""
        name = hashlib.sha256(f"{self.root}/{file.path}".encode()).hexdigest()[:24]
        if self.workspace.is_local:
            return self.workspace.local(f"{self.root}/.partial/{name}")
        place = hashlib.sha256(self.workspace.url.encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"smolmix-partial-{place}", name)

"""Files of a listing into the workspace, each recorded as soon as it is complete."""

import hashlib
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from smolmix.fetched import FetchedFile, FetchRecord
from smolmix.pipelines.fetch.download import Downloader, digests
from smolmix.pipelines.fetch.listing import Remote
from smolmix.pipelines.fetch.range_reads import download_row_groups
from smolmix.storage import digest_json
from smolmix.workspace import Workspace


class Transfer:
    """Downloads files of one revision.

    Attributes:
        record: the fetch record with every file that is complete so far.
    """

    def __init__(
        self,
        workspace: Workspace,
        record: FetchRecord,
        downloader: Downloader,
        *,
        rows: Mapping[str, tuple[int, ...]],
        say: Callable[[str], None],
    ):
        """Start from the files of the record that are still in the workspace.

        Args:
            workspace: where to.
            record: of the revision; it is written again after each file.
            downloader: for the publisher's server.
            rows: path -> the rows that are needed of a parquet file, where not all are.
            say: called with a line for each file.
        """
        self._workspace, self._downloader = workspace, downloader
        self._rows, self._say = rows, say
        self._have = {f.path: f for f in record.files if f.exists(workspace)}
        self._lock = threading.Lock()
        self.record = record.with_files(self._have.values())

    def missing(self, files: Iterable[Remote]) -> list[Remote]:
        """Return those of the files that still have to be downloaded."""
        return [f for f in files if not self._is_complete(f)]

    def download(self, files: Iterable[Remote], *, at_once: int = 1) -> None:
        """Download each file that is missing; each is added to fetch.json at once."""
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(self._download, self.missing(files)))

    def _download(self, file: Remote) -> None:
        partial = self._partial(file)
        rows = self._some_rows(file)
        if rows:
            # Another name: a sparse file has the complete file's size from the start.
            partial = partial.with_name(f"{partial.name}.rows")
            groups = download_row_groups(self._downloader, file.target, rows, partial)
            sha256 = digests(partial)[0]
        else:
            sha256 = self._downloader.download(file.target, partial)
        path = f"{self.record.root}/{file.path}"
        entry = FetchedFile(
            path=path, size=partial.stat().st_size, sha256=sha256, url=file.target.url
        )
        if rows:
            entry = replace(entry, row_groups=tuple(groups), rows_digest=digest_json(rows))
        self._workspace.put(partial, path)
        with self._lock:
            self._have[path] = entry
            self.record = self.record.with_files(self._have.values())
            self.record.write(self._workspace)
        self._say(f"{file.path}  {entry.size:,} bytes")

    def _is_complete(self, file: Remote) -> bool:
        entry = self._have.get(f"{self.record.root}/{file.path}")
        if entry is None:
            return False
        if entry.row_groups is not None:
            rows = self._some_rows(file)
            return bool(rows) and entry.rows_digest == digest_json(rows)
        size, sha256 = file.target.size, file.target.sha256
        return size in (None, entry.size) and sha256 in ("", entry.sha256)

    def _some_rows(self, file: Remote) -> tuple[int, ...]:
        """Return the rows that are needed of a parquet file, or none where all are."""
        known = file.path.endswith(".parquet") and file.target.size is not None
        return self._rows.get(file.path, ()) if known else ()

    def _partial(self, file: Remote) -> Path:
        """Return where the bytes are collected: on the workspace's disk, if it is on a disk."""
        path = f"{self.record.root}/{file.path}"
        name = hashlib.sha256(path.encode()).hexdigest()[:24]
        if self._workspace.is_local:
            return self._workspace.local(f"{self.record.root}/.partial/{name}")
        place = hashlib.sha256(self._workspace.url.encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir(), f"smolmix-partial-{place}", name)

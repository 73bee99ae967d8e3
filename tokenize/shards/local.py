"""Local copies of a workspace's files: themselves on a local disk, a bounded cache of a remote."""

import os
import tempfile
import threading
from pathlib import Path

import xxhash

from smolmix.errors import IntegrityError
from smolmix.storage import Folder

DEFAULT_BYTES = 50 << 30


class LocalCopies:
    """Gives a local path for a file of a workspace, wherever the workspace is.

    Files of a remote workspace are fetched when first asked for; the ones longest unused are
    deleted when all copies together exceed `max_bytes`. Processes may share the folder.
    """

    def __init__(
        self, workspace: Folder, folder: Path | None = None, max_bytes: int = DEFAULT_BYTES
    ):
        """Keep copies in `folder`; by default a folder of the user's cache named by the URL."""
        self._workspace = workspace
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        mark = xxhash.xxh3_64_hexdigest(workspace.url.encode())
        self._folder = folder or root / "smolmix" / f"copies-{mark}"
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def path(self, name: str, *, version: str = "") -> Path:
        """Return where the file can be mapped.

        Args:
            name: path below the workspace.
            version: of a file that may be rewritten under one name; a copy is kept of each.

        Raises:
            IntegrityError: the workspace has no such file.
        """
        if self._workspace.is_local:
            return self._workspace.local(name)
        copy = self._folder / (f"{name}.{version}" if version else name)
        with self._lock:
            try:
                os.utime(copy)
            except FileNotFoundError:
                self._fetch(name, copy)
        return copy

    def _fetch(self, name: str, copy: Path) -> None:
        remote = self._workspace.at(name)
        try:
            size = int(self._workspace.fs.size(remote))
        except FileNotFoundError as error:
            raise IntegrityError(
                f"{self._workspace.url}/{name}: missing; run `smolmix tokenize` again"
            ) from error
        self._make_room(size)
        copy.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=copy.parent, prefix=".")
        os.close(handle)
        self._workspace.fs.get_file(remote, temporary)
        os.replace(temporary, copy)

    def copies(self) -> list[Path]:
        """Return the files kept, longest unused first."""
        found = [p for p in self._folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
        return sorted(found, key=lambda p: (p.stat().st_mtime_ns, str(p)))

    def _make_room(self, size: int) -> None:
        """Delete copies, longest unused first; a file mapped elsewhere stays readable there."""
        kept = self.copies()
        used = sum(p.stat().st_size for p in kept)
        while kept and used + size > self._max_bytes:
            oldest = kept.pop(0)
            used -= oldest.stat().st_size
            oldest.unlink(missing_ok=True)

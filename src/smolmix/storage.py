"""Folders on a local disk or on any fsspec store, and digests of JSON and files.

A file appears under its name complete or not at all: by a rename on a local disk, as one upload
elsewhere. Manifests (`smolmix.workspace`) list which files belong together.
"""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

import fsspec
import xxhash
from fsspec.implementations.local import LocalFileSystem

from smolmix.errors import DataError, nearest

_CHUNK = 1 << 20


def digest_json(value: object) -> str:
    """Return xxh3_128 hex of the value as canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def digest_file(stream: IO[bytes]) -> str:
    """Return xxh3_128 hex of a stream's bytes."""
    state = xxhash.xxh3_128()
    while chunk := stream.read(_CHUNK):
        state.update(chunk)
    return state.hexdigest()


class Folder:
    """A folder on a local disk or on any fsspec store."""

    def __init__(self, url: str | os.PathLike[str], fs: fsspec.AbstractFileSystem | None = None):
        """Open `url`, creating nothing."""
        if fs is None:
            fs, path = fsspec.url_to_fs(os.fspath(url))
        else:
            path = os.fspath(url)
        self.fs: fsspec.AbstractFileSystem = fs
        self.path = path.rstrip("/") or "/"

    def __repr__(self) -> str:
        """Return the folder's URL as a user would write it."""
        return f"Folder({self.url!r})"

    @property
    def is_local(self) -> bool:
        """Whether the folder is on a local disk."""
        return isinstance(self.fs, LocalFileSystem)

    @property
    def url(self) -> str:
        """The folder's URL, or its plain path where it is local."""
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def child(self, *parts: str) -> "Folder":
        """Return the folder below this one; it need not exist."""
        return Folder("/".join((self.path.rstrip("/"), *parts)), self.fs)

    def at(self, name: str) -> str:
        """Return the path of a file in this folder, as the file system writes it."""
        return f"{self.path}/{name}"

    def local(self, name: str = "") -> Path:
        """Return a local path, for code that must map or seek a file.

        Raises:
            DataError: the folder is not on a local disk.
        """
        if not self.is_local:
            raise DataError(f"{self.url}: not on a local disk; this step needs a local workspace")
        return Path(self.path, name)

    def exists(self, name: str = "") -> bool:
        """Whether the file exists; without a name, whether the folder does."""
        return bool(self.fs.exists(self.at(name) if name else self.path))

    def open(self, name: str, mode: str = "rb") -> IO[Any]:
        """Open a file; writing creates the folders above it."""
        path = self.at(name)
        if "w" in mode:
            self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        stream: IO[Any] = self.fs.open(path, mode)
        return stream

    def read_bytes(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            DataError: there is no such file.
        """
        try:
            return bytes(self.fs.cat_file(self.at(name)))
        except FileNotFoundError as error:
            raise DataError(f"{self.at(name)}: no such file") from error

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file: on a local disk by a rename, elsewhere as one upload."""
        path = self.at(name)
        if not self.is_local:
            self.fs.pipe_file(path, data)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)

    def write_json(self, name: str, value: object) -> None:
        """Write canonical, indented JSON."""
        self.write_bytes(name, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Return the parsed file.

        Raises:
            DataError: the file is missing or is not JSON.
        """
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise DataError(f"{self.at(name)}: not JSON ({error})") from error

    def put(self, source: Path, name: str) -> None:
        """Move a local file into this folder under `name`, from this disk or another."""
        path = self.at(name)
        self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        if self.is_local:
            try:
                os.replace(source, path)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                copy = f"{path.rsplit('/', 1)[0]}/.{source.name}.{os.getpid()}"
                shutil.move(source, copy)
                os.replace(copy, path)
        else:
            self.fs.put_file(str(source), path)
            source.unlink()

    def remove(self, name: str) -> None:
        """Delete a file if it exists."""
        if self.fs.exists(self.at(name)):
            self.fs.rm_file(self.at(name))

    def remove_tree(self) -> None:
        """Delete the folder and all below it, if it exists."""
        if not self.fs.exists(self.path):
            return
        if self.is_local or not set("*?[") & set(self.path):
            self.fs.rm(self.path, recursive=True)
            return
        for path in self.fs.find(self.path):  # `rm` would take the path for a pattern
            self.fs.rm_file(path)

    def names(self, suffix: str = "") -> list[str]:
        """Return the sorted names of the files directly in this folder that end in `suffix`."""
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path):
            return []
        found = (p.rsplit("/", 1)[-1] for p in self.fs.ls(self.path, detail=False))
        return sorted(n for n in found if n.endswith(suffix) and not n.startswith("."))

    def folders(self) -> list[str]:
        """Return the sorted names of the folders directly in this one, without hidden ones."""
        self.fs.invalidate_cache()
        if not self.fs.isdir(self.path):
            return []
        found = (str(e["name"]).rstrip("/") for e in self.fs.ls(self.path, detail=True)
                 if e["type"] == "directory")  # fmt: skip
        names = (path.rsplit("/", 1)[-1] for path in found)
        return sorted(n for n in names if not n.startswith(("_", ".")))

    def instead(self) -> str:
        """Return the end of a message: the folders that could have been named instead of this one.

        Those in it if it exists, else those next to it; empty if there are none of either.
        """
        if inside := self.folders():
            return f"; it contains {', '.join(inside)}"
        siblings = Folder(self.path.rsplit("/", 1)[0] or "/", self.fs).folders()
        if not siblings or self.exists():
            return ""
        return f"; available: {', '.join(siblings)}{nearest(self.name, siblings)}"

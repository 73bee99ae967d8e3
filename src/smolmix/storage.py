"""Where things lie: the workspace, its folders on disk or on any fsspec store, and manifests.

A stage's folder holds its units' files, one manifest a unit under `_manifests/`, and
`stage.json`, written when every unit is whole. Readers trust only manifests: a file without one
is not there. This holds on object stores too, where a rename is not atomic.
"""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

import fsspec
import xxhash
from fsspec.implementations.local import LocalFileSystem

from smolmix.errors import DataError, IncompleteError, IntegrityError, nearest
from smolmix.sample import Tally

MANIFESTS = "_manifests"
STAGE_FILE = "stage.json"
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
        """Return the folder's place as a person would write it."""
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
        """Whether the file, or the folder itself, is there."""
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
        """Write a file whole: on a local disk by renaming, elsewhere as one upload."""
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
        """Move a local file into this folder under `name`, whole, from whatever disk."""
        path = self.at(name)
        self.fs.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        if self.is_local:
            try:
                os.replace(source, path)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                beside = f"{path.rsplit('/', 1)[0]}/.{source.name}.{os.getpid()}"
                shutil.move(source, beside)
                os.replace(beside, path)
        else:
            self.fs.put_file(str(source), path)
            source.unlink()

    def remove(self, name: str) -> None:
        """Delete a file if it is there."""
        if self.fs.exists(self.at(name)):
            self.fs.rm_file(self.at(name))

    def remove_tree(self) -> None:
        """Delete the folder and all below it if it is there."""
        if self.fs.exists(self.path):
            self.fs.rm(self.path, recursive=True)

    def names(self, suffix: str = "") -> list[str]:
        """Return the sorted names of the files directly in this folder that end in `suffix`."""
        self.fs.invalidate_cache()
        if not self.fs.exists(self.path):
            return []
        found = (p.rsplit("/", 1)[-1] for p in self.fs.ls(self.path, detail=False))
        return sorted(n for n in found if n.endswith(suffix) and not n.startswith("."))

    def folders(self) -> list[str]:
        """Return the sorted names of the folders directly in this one, hidden ones left out."""
        self.fs.invalidate_cache()
        if not self.fs.isdir(self.path):
            return []
        found = (str(e["name"]).rstrip("/") for e in self.fs.ls(self.path, detail=True)
                 if e["type"] == "directory")  # fmt: skip
        names = (path.rsplit("/", 1)[-1] for path in found)
        return sorted(n for n in names if not n.startswith(("_", ".")))

    def instead(self) -> str:
        """Return what can be named in place of this folder, to end a message with.

        Folders in it, where it is there, else those beside it; empty where there are none.
        """
        if inside := self.folders():
            return f"; in it are {', '.join(inside)}"
        beside = Folder(self.path.rsplit("/", 1)[0] or "/", self.fs).folders()
        if not beside or self.exists():
            return ""
        return f"; there are {', '.join(beside)}{nearest(self.name, beside)}"


class Workspace(Folder):
    """The one folder everything lives under; each stage writes only its own folder."""

    def raw(self, corpus: str) -> Folder:
        """`raw/<corpus>`: files as published, one folder per revision."""
        return self.child("raw", corpus)

    def measured(self, corpus: str) -> Folder:
        """`measured/<corpus>`: every adapted sample with its measures, before any policy."""
        return self.child("measured", corpus)

    def curated(self, corpus: str) -> Folder:
        """`curated/<corpus>`: the samples a policy keeps, and what left and why."""
        return self.child("curated", corpus)

    def counts(self, profile: str, corpus: str) -> Folder:
        """`counts/<profile>/<corpus>`: tokens and tiles of each curated sample."""
        return self.child("counts", profile, corpus)

    def mixture(self, name: str) -> Folder:
        """`mixtures/<name>`: lock.json and picks.parquet."""
        return self.child("mixtures", name)

    def run(self, name: str) -> Folder:
        """`runs/<name>`: checkpoints, metrics, evaluations."""
        return self.child("runs", name)

    def report(self, name: str) -> Folder:
        """`reports/<name>`."""
        return self.child("reports", name)

    def corpora(self, stage: str = "curated") -> list[str]:
        """Return the corpora that have a whole output of `stage` (raw: that were fetched)."""
        here = self.child(stage)
        if not self.fs.exists(here.path):
            return []
        names = sorted(
            p.rstrip("/").rsplit("/", 1)[-1] for p in self.fs.ls(here.path, detail=False)
        )
        if stage == "raw":
            return names
        return [n for n in names if here.child(n).exists(STAGE_FILE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of a unit, and what its bytes must be."""

    name: str
    size: int
    digest: str  # xxh3_128 hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The commit of one unit. Holds nothing that differs between two equal runs."""

    stage: str
    version: int
    unit: str
    key: str  # digest of inputs, parameters and stage version
    inputs: Mapping[str, str]  # what each part of the key was, to say what changed
    files: tuple[FileEntry, ...]
    tally: Tally
    stats: Mapping[str, Any]  # numbers the stage wants to show, deterministic

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        fields = dict(value)
        fields["files"] = tuple(FileEntry(**f) for f in fields["files"])
        fields["tally"] = Tally(**fields["tally"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """`stage.json`: the stage is whole. Its digest is what a later stage depends on."""

    stage: str
    version: int
    units: Mapping[str, str]  # unit -> digest of its files
    digest: str
    tally: Tally
    info: Mapping[str, Any]  # what the stage wants readers to know: profile, revision, licence...


def read_manifest(folder: Folder, unit: str) -> Manifest | None:
    """Return the unit's manifest, or None where the unit is not whole."""
    name = f"{MANIFESTS}/{unit}.json"
    if not folder.exists(name):
        return None
    return Manifest.from_json(folder.read_json(name))


def stage_record(folder: Folder) -> StageRecord:
    """Return the stage's record.

    Raises:
        IncompleteError: the folder is missing or its stage has not finished.
    """
    if not folder.exists(STAGE_FILE):
        raise IncompleteError(
            f"{folder.url}: not there or not whole; run the stage that writes it first"
            f"{folder.instead()}"
        )
    value = folder.read_json(STAGE_FILE)
    value["tally"] = Tally(**value["tally"])
    return StageRecord(**value)


def manifests(folder: Folder) -> Iterator[Manifest]:
    """Yield the manifests of a whole stage, in order of unit name.

    Raises:
        IncompleteError: the stage is not whole.
    """
    for unit in stage_record(folder).units:
        manifest = read_manifest(folder, unit)
        if manifest is None:
            raise IncompleteError(f"{folder.url}: unit {unit} has no manifest; run its stage again")
        yield manifest


def part_files(folder: Folder, suffix: str = ".parquet", *, without: str = ".dropped") -> list[str]:
    """Return the names of a whole stage's files ending in `suffix`, in order of unit.

    Args:
        folder: the stage's folder.
        suffix: `.parquet` for samples, `.dropped.parquet` for what left.
        without: names containing this are left out unless `suffix` contains it.
    """
    skip = without if without not in suffix else None
    return [
        f.name
        for m in manifests(folder)
        for f in m.files
        if f.name.endswith(suffix) and not (skip and skip in f.name)
    ]


def verify_files(folder: Folder) -> int:
    """Re-read every file of a whole stage against its manifest; return how many were checked.

    A damaged unit's manifest is withdrawn, so that running its stage again makes it anew.

    Raises:
        IncompleteError: the stage is not whole.
        IntegrityError: files are missing or their bytes changed.
    """
    checked, damaged = 0, []
    for manifest in manifests(folder):
        for entry in manifest.files:
            checked += 1
            if not folder.exists(entry.name):
                damage = "missing"
            else:
                with folder.open(entry.name) as stream:
                    found = digest_file(stream)
                if found == entry.digest:
                    continue
                damage = f"digest {found}, its manifest says {entry.digest}"
            damaged.append(f"{folder.at(entry.name)}: {damage}")
            folder.remove(f"{MANIFESTS}/{manifest.unit}.json")
    if damaged:
        folder.remove(STAGE_FILE)
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise IntegrityError(f"{damaged[0]}{more}; withdrawn: run its stage again to make it anew")
    return checked

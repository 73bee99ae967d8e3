"""The workspace: every path that a stage writes, and the manifests that commit its files."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from smolmix.accounting import RowAccounting
from smolmix.errors import IncompleteError, IntegrityError
from smolmix.storage import Folder, digest_file

MANIFESTS = "_manifests"


STAGE_FILE = "stage.json"


class Workspace(Folder):
    """The folder that holds everything; each stage writes only to its own folder in it."""

    def raw(self, corpus: str) -> Folder:
        """`raw/<corpus>`: files as published, one folder per revision."""
        return self.child("raw", corpus)

    def measured(self, corpus: str) -> Folder:
        """`measured/<corpus>`: every adapted sample with its measures, before any policy."""
        return self.child("measured", corpus)

    def curated(self, corpus: str) -> Folder:
        """`curated/<corpus>`: the samples a policy keeps, and what it dropped and why."""
        return self.child("curated", corpus)

    def counts(self, profile: str, corpus: str) -> Folder:
        """`counts/<profile>/<corpus>`: tokens and tiles of each curated sample."""
        return self.child("counts", profile, corpus)

    def mixture(self, name: str) -> Folder:
        """`mixtures/<name>`: lock.json and selection.parquet."""
        return self.child("mixtures", name)

    def run(self, name: str) -> Folder:
        """`runs/<name>`: checkpoints, metrics, evaluations."""
        return self.child("runs", name)

    def report(self, name: str) -> Folder:
        """`reports/<name>`."""
        return self.child("reports", name)

    def corpora(self, stage: str = "curated") -> list[str]:
        """Return the corpora whose `stage` is finished (for raw: all that were fetched)."""
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
    inputs: Mapping[str, str]  # what each part of the key was, to name what changed
    files: tuple[FileEntry, ...]
    accounting: RowAccounting
    stats: Mapping[str, Any]  # deterministic numbers worth keeping

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        fields = dict(value)
        fields["files"] = tuple(FileEntry(**f) for f in fields["files"])
        fields["accounting"] = RowAccounting(**fields["accounting"])
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """`stage.json`: the stage is finished. A later stage depends on its digest."""

    stage: str
    version: int
    units: Mapping[str, str]  # unit -> digest of its files
    digest: str
    accounting: RowAccounting
    info: Mapping[str, Any]  # for readers: profile, revision, licence...


def read_manifest(folder: Folder, unit: str) -> Manifest | None:
    """Return the unit's manifest; None if the unit is not finished, or by another smolmix."""
    name = f"{MANIFESTS}/{unit}.json"
    if not folder.exists(name):
        return None
    try:
        return Manifest.from_json(folder.read_json(name))
    except (TypeError, KeyError):  # other fields: written by another version
        return None


def stage_record(folder: Folder) -> StageRecord:
    """Return the stage's record.

    Raises:
        IncompleteError: the folder is missing or its stage has not finished.
    """
    if not folder.exists(STAGE_FILE):
        raise IncompleteError(
            f"{folder.url}: missing or not finished; run the stage that writes it first"
            f"{folder.instead()}"
        )
    value = folder.read_json(STAGE_FILE)
    try:
        return StageRecord(**value | {"accounting": RowAccounting(**value["accounting"])})
    except (TypeError, KeyError) as error:
        raise IncompleteError(
            f"{folder.at(STAGE_FILE)}: written by another version of smolmix; run its stage again"
        ) from error


def manifests(folder: Folder) -> Iterator[Manifest]:
    """Yield the manifests of a finished stage, in order of unit name.

    Raises:
        IncompleteError: the stage is not finished.
    """
    for unit in stage_record(folder).units:
        manifest = read_manifest(folder, unit)
        if manifest is None:
            raise IncompleteError(f"{folder.url}: unit {unit} has no manifest; run its stage again")
        yield manifest


def part_files(folder: Folder, suffix: str = ".parquet", *, without: str = ".dropped") -> list[str]:
    """Return the names of a finished stage's files that end in `suffix`, in order of unit.

    Args:
        folder: the stage's folder.
        suffix: `.parquet` for samples, `.dropped.parquet` for what was dropped.
        without: names that contain this are excluded, unless `suffix` contains it.
    """
    skip = without if without not in suffix else None
    return [
        f.name
        for m in manifests(folder)
        for f in m.files
        if f.name.endswith(suffix) and not (skip and skip in f.name)
    ]


def verify_files(folder: Folder) -> int:
    """Compare every file of a finished stage with its manifest; return how many were compared.

    A damaged unit's manifest is deleted, so that its stage writes the unit again.

    Raises:
        IncompleteError: the stage is not finished.
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
                damage = f"digest {found}, not {entry.digest} as in its manifest"
            damaged.append(f"{folder.at(entry.name)}: {damage}")
            folder.remove(f"{MANIFESTS}/{manifest.unit}.json")
    if damaged:
        folder.remove(STAGE_FILE)
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise IntegrityError(f"{damaged[0]}{more}; run its stage again to rebuild it")
    return checked

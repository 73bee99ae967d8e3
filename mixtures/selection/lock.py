"""`lock.json`: everything that decided a mixture, and the digest of its selection."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from smolmix.errors import DataError
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace, stage_record

LOCK_FILE = "lock.json"
FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusLock:
    """The state of one corpus that the selection refers to."""

    curated: str  # digest of the stage
    counts: str
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumLock:
    """One stratum of the solution."""

    component: str
    tags: Mapping[str, str]
    available: int  # distinct samples
    drawn: int  # samples drawn, each copy counted
    totals: Mapping[str, float]  # tokens and seconds of video of the samples drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A built mixture."""

    format: int
    smolmix: str  # version that solved it
    scipy: str = ""
    name: str
    spec_file: str
    spec: Mapping[str, Any]  # after `extends`, without the sources of numbers
    sources: Mapping[str, str]  # key path -> source of the number
    seed: int
    profile: str  # name of the profile, with its digest
    corpora: Mapping[str, CorpusLock]
    removals: str  # digest of the removals across corpora, or ""
    excluded: Mapping[str, int]  # why curated samples were no candidates -> how many
    available: Mapping[str, int] = field(default_factory=dict)  # component -> samples before `take`
    unpublished: Mapping[str, str]
    solution: Sequence[StratumLock]
    achieved: Mapping[str, float]  # key of each constraint -> its value in the mixture
    licences: Mapping[str, int]  # licence -> samples drawn
    samples: int  # samples drawn, each copy counted
    selection: str  # digest of the selection's content
    not_fetched: Mapping[str, int] = field(default_factory=dict)  # corpus -> samples drawn whose
    # media are not fetched: their costs are assumed, and they cannot be tokenized

    def to_json(self) -> dict[str, Any]:
        """Return the lock as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Self:
        """Return the lock that `to_json` wrote.

        Args:
            value: what the file holds.
            where: the file, for messages.

        Raises:
            DataError: the file is not a lock, or has another format.
        """
        if value.get("format") != FORMAT:
            raise DataError(
                f"{where}: lock format {value.get('format')!r}; this version reads format "
                f"{FORMAT}; run `smolmix mix build` on the spec again"
            )
        fields = dict(value)
        try:
            fields["corpora"] = {k: CorpusLock(**v) for k, v in fields["corpora"].items()}
            fields["solution"] = tuple(StratumLock(**s) for s in fields["solution"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise DataError(
                f"{where}: not a lock ({error}); run `smolmix mix build` on the spec again"
            ) from error

    def fetch_steps(self) -> str:
        """Return the commands that fetch the selection's missing media and rebuild the mixture."""
        corpora = " ".join(sorted(self.not_fetched))
        return (
            f"run `smolmix fetch {corpora} --for {self.name}`, then `smolmix curate {corpora}` and "
            f"`smolmix mix build {self.spec_file}`"
        )


def read_lock(folder: Folder, name: str = LOCK_FILE) -> Lock:
    """Return the lock in a mixture's folder.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    return Lock.from_json(folder.read_json(name), folder.at(name))


def write_lock(folder: Folder, lock: Lock) -> None:
    """Write the lock to a mixture's folder."""
    folder.write_json(LOCK_FILE, lock.to_json())


def lock_digest(folder: Folder) -> str:
    """Return the digest of the lock in a mixture's folder.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    return digest_json(folder.read_json(LOCK_FILE))


def corpus_lock(workspace: Workspace, corpus: str, profile: str) -> CorpusLock:
    """Return the present state of a curated and counted corpus.

    Raises:
        IncompleteError: it is not curated, or not counted under the profile.
    """
    curated = stage_record(workspace.curated(corpus))
    counts = stage_record(workspace.counts(profile, corpus))
    return CorpusLock(
        curated=curated.digest,
        counts=counts.digest,
        revision=str(curated.info.get("revision", "")),
        licence=str(curated.info.get("licence", "")),
    )

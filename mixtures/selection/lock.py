"""`lock.json`: everything that decided a mixture, and the digest of its picks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from smolmix.errors import DataError
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record

LOCK_FILE = "lock.json"
PICKS_FILE = "picks.parquet"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusLock:
    """The state of one corpus that the picks refer to."""

    curated: str  # digest of the stage
    counts: str
    revision: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumLock:
    """One stratum of the solution."""

    component: str
    tags: Mapping[str, str]
    available: int
    draws: int
    totals: Mapping[str, float]  # what the draws add up to: tokens, seconds of video


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A built mixture."""

    format: int
    smolmix: str  # versions that solved it
    scipy: str = ""
    name: str
    spec_file: str
    spec: Mapping[str, Any]  # after `extends`, sources taken off
    sources: Mapping[str, str]
    seed: int
    profile: str  # name of the profile, with its digest
    corpora: Mapping[str, CorpusLock]
    removals: str  # digest of the removals across corpora, or ""
    left_out: Mapping[str, int]
    there: Mapping[str, int] = field(default_factory=dict)  # component -> samples before `take`
    unpublished: Mapping[str, str]
    solution: Sequence[StratumLock]
    reached: Mapping[str, float]  # key of each wish -> what it came to
    licences: Mapping[str, int]  # licence -> draws
    draws: int
    picks: str  # digest of the picks' content
    assumed: Mapping[str, int] = field(default_factory=dict)  # corpus -> picks whose media are
    # not fetched: what they cost is assumed, and they cannot be tokenized

    def to_json(self) -> dict[str, Any]:
        """Return the lock as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            DataError: it is no lock, or one of another format.
        """
        if value.get("format") != FORMAT:
            raise DataError(
                f"{where}: lock format {value.get('format')!r}; this smolmix reads {FORMAT}; "
                "run smolmix mix build on the spec again"
            )
        fields = dict(value)
        try:
            fields["corpora"] = {k: CorpusLock(**v) for k, v in fields["corpora"].items()}
            fields["solution"] = tuple(StratumLock(**s) for s in fields["solution"])
            return cls(**fields)
        except (KeyError, TypeError) as error:
            raise DataError(f"{where}: not a lock of smolmix ({error})") from error


def read_lock(folder: Folder, name: str = LOCK_FILE) -> Lock:
    """Return the lock in a mixture's folder.

    Raises:
        DataError: there is none, or it cannot be read.
    """
    return Lock.from_json(folder.read_json(name), folder.at(name))


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

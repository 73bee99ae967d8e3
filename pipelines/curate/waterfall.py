"""The waterfall of a corpus: raw rows, each reason with its count, kept samples."""

from dataclasses import asdict, dataclass, field

from smolmix.pipelines.curate.dedup.merge import MERGED
from smolmix.storage import Folder
from smolmix.workspace import Workspace, manifests, stage_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """How many rows and samples of a corpus were dropped for which reason; the lines add up."""

    corpus: str
    policy: str
    rows: int
    rows_dropped: dict[str, int]  # while adapting: reason -> rows
    lost: dict[str, int]  # adapted samples without media they name: reason -> samples
    samples: int  # measured
    dropped: dict[str, int]  # by the policy: reason -> samples
    duplicates: dict[str, int]  # reason -> samples
    kept: int
    merged: int = 0  # samples merged into another one
    turns_dropped: dict[str, int] = field(default_factory=dict)
    not_fetched: int = 0  # samples whose media are not fetched
    keys_not_read: dict[str, int] = field(default_factory=dict)  # key -> rows that have a value
    dense_buckets: dict[str, dict[str, int]] = field(default_factory=dict)  # kind of medium ->

    def to_json(self) -> dict[str, object]:
        """Return the waterfall as plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the waterfall as a table for a terminal."""
        steps: list[tuple[str, int, str]] = [("raw rows", self.rows, "")]
        steps += [(f"- {r}", n, "adapt") for r, n in self.rows_dropped.items()]
        whole = self.samples + sum(self.lost.values())
        steps.append(("samples", whole, "" if whole == self.rows else "rows may hold several"))
        steps += [(f"- {r}", n, "measure") for r, n in self.lost.items()]
        steps += [(f"- {r}", n, "") for r, n in self.dropped.items()]
        steps += [(f"- {r}", n, "") for r, n in self.duplicates.items()]
        if self.merged:
            steps.append((f"- {MERGED}", self.merged, "into other conversations"))
        raw = whole + sum(self.rows_dropped.values())
        share = f"{self.kept / raw:.2%} of raw samples" if raw else ""
        steps.append(("kept", self.kept, share))
        width = max(len(name) for name, _, _ in steps)
        digits = max(len(f"{n:,}") for _, n, _ in steps)
        lines = [f"{self.corpus} (policy {self.policy})"]
        lines += [f"  {name:<{width}}  {n:>{digits},}  {note}".rstrip() for name, n, note in steps]
        if self.not_fetched:
            lines.append(
                f"  media of {self.not_fetched:,} samples are not fetched: no rule on media, no "
                "near-duplicate or contamination check of media was applied to them"
            )
        if self.turns_dropped:
            gone = ", ".join(f"{n:,} {r}" for r, n in self.turns_dropped.items())
            lines.append(f"  turns dropped: {gone}")
        if self.keys_not_read:
            keys = ", ".join(f"{key} ({n:,} rows)" for key, n in self.keys_not_read.items())
            lines.append(f"  keys not read: {keys}")
        for kind, count in self.dense_buckets.items():
            lines.append(
                f"  {count['dense']:,} media ({kind}) are in dense buckets, where hashes are too "
                f"similar: {count['pairs']:,} nearest pairs were compared by finer descriptors, "
                f"{count['not_compared']:,} other pairs were not compared"
            )
        return lines


def waterfall(workspace: Workspace, corpus: str, curated: Folder | None = None) -> Waterfall:
    """Return the waterfall of a curated corpus.

    Args:
        workspace: where it was curated.
        corpus: its id.
        curated: its curated folder where that is not `curated/<corpus>`.
    """
    folder = curated or workspace.curated(corpus)
    measured = workspace.measured(corpus)
    before = stage_record(measured).accounting
    after = stage_record(folder)
    duplicates: dict[str, int] = {}
    for manifest in manifests(folder):
        for reason, count in manifest.stats["duplicates"].items():
            duplicates[reason] = duplicates.get(reason, 0) + count
    unread: dict[str, int] = {}
    for manifest in manifests(measured):
        for key, count in manifest.stats.get("keys_not_read", {}).items():
            unread[key] = unread.get(key, 0) + count
    return Waterfall(
        corpus=corpus,
        policy=str(after.info.get("policy", "")),
        rows=before.rows,
        rows_dropped=dict(before.rows_dropped),
        lost=dict(before.dropped),
        samples=after.accounting.samples,
        dropped=dict(after.accounting.dropped),
        duplicates=dict(sorted(duplicates.items())),
        kept=after.accounting.kept,
        merged=after.accounting.merged,
        turns_dropped=(before + after.accounting).turns_dropped,
        not_fetched=sum(int(m.stats.get("not_fetched", 0)) for m in manifests(measured)),
        keys_not_read=dict(sorted(unread.items())),
        dense_buckets=dict(after.info.get("dense_buckets", {})),
    )

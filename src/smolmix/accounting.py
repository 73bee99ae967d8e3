"""Row accounting: what a stage did with its rows, and the proof that none was lost."""

from dataclasses import dataclass, field
from typing import Self

from smolmix.sample import Dropped


@dataclass(slots=True, kw_only=True)
class RowAccounting:
    """What a stage did to its rows, and the proof that none was lost.

    rows = rows_adapted + dropped rows (one row may become several samples);
    samples = kept + dropped + duplicates + merged.
    """

    rows: int = 0
    rows_adapted: int = 0
    rows_dropped: dict[str, int] = field(default_factory=dict)  # reason -> rows
    samples: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # reason -> samples
    duplicates: int = 0
    merged: int = 0  # samples whose turns were appended to another sample
    turns_dropped: dict[str, int] = field(default_factory=dict)  # reason -> turns

    def __add__(self, other: Self) -> "RowAccounting":
        total = RowAccounting()
        for one in (self, other):
            for name in ("rows", "rows_adapted", "samples", "kept", "duplicates", "merged"):
                setattr(total, name, getattr(total, name) + getattr(one, name))
            for name in ("rows_dropped", "dropped", "turns_dropped"):
                into: dict[str, int] = getattr(total, name)
                for reason, count in getattr(one, name).items():
                    into[reason] = into.get(reason, 0) + count
        for name in ("rows_dropped", "dropped", "turns_dropped"):
            setattr(total, name, dict(sorted(getattr(total, name).items())))
        return total

    def then(self, after: Self) -> "RowAccounting":
        """Return the accounting of this stage and the one after it, which took what it kept."""
        both = self + after
        both.samples, both.kept = self.samples, after.kept
        return both

    def drop(self, dropped: Dropped) -> None:
        """Count one dropped row or sample."""
        into = self.rows_dropped if dropped.rows else self.dropped
        into[dropped.reason] = into.get(dropped.reason, 0) + 1

    def imbalance(self) -> str:
        """Return what does not add up, or an empty string."""
        rows_out = self.rows_adapted + sum(self.rows_dropped.values())
        if self.rows != rows_out:
            return (
                f"{self.rows} rows came in, {self.rows_adapted} were adapted and "
                f"{sum(self.rows_dropped.values())} dropped: {self.rows - rows_out} unaccounted for"
            )
        out = self.kept + sum(self.dropped.values()) + self.duplicates + self.merged
        if self.samples != out:
            return (
                f"{self.samples} samples came in, {self.kept} were kept, "
                f"{sum(self.dropped.values())} dropped, {self.duplicates} were duplicates and "
                f"{self.merged} merged: {self.samples - out} unaccounted for"
            )
        return ""

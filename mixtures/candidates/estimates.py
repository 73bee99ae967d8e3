"""A number and how it is known: measured, declared, assumed or unknown."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Known = Literal["measured", "declared", "assumed", "unknown"]
_RANK: dict[Known, int] = {"measured": 0, "declared": 1, "assumed": 2, "unknown": 3}
MARKS: dict[Known, str] = {"measured": "", "declared": "d", "assumed": "a", "unknown": "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number, how it is known, and where it is from."""

    value: float | None
    known: Known
    source: str = ""

    def __str__(self) -> str:
        """Return the number with its mark."""
        if self.value is None:
            return "?"
        text = f"{self.value:,.0f}" if abs(self.value) >= 100 else f"{self.value:,.4g}"
        return f"{text}{MARKS[self.known]}"


UNKNOWN = Figure(value=None, known="unknown")


def worst(kinds: Iterable[Known]) -> Known:
    """Return the least certain of several."""
    return max(kinds, key=lambda k: _RANK[k], default="measured")


def summed(figures: Iterable[Figure]) -> Figure:
    """Return the sum: as certain as its least certain part, a lower bound where one is unknown."""
    parts = list(figures)
    there = [f.value for f in parts if f.value is not None]
    known = worst(f.known for f in parts)
    if not there:
        return UNKNOWN if parts else Figure(value=0.0, known="measured")
    missing = len(parts) - len(there)
    return Figure(
        value=sum(there),
        known=known,
        source=f"at least: {missing} of {len(parts)} parts unknown" if missing else "",
    )

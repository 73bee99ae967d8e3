"""A number and how it is known: measured, declared, assumed or unknown."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Known = Literal["measured", "declared", "assumed", "unknown"]
_RANK: dict[Known, int] = {"measured": 0, "declared": 1, "assumed": 2, "unknown": 3}
MARKS: dict[Known, str] = {"measured": "", "declared": "d", "assumed": "a", "unknown": "?"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number, how it is known, and its source."""

    value: float | None
    known: Known
    source: str = ""

    def __str__(self) -> str:
        """Return the number with its mark."""
        if self.value is None:
            return "?"
        text = f"{self.value:,.0f}" if abs(self.value) >= 100 else f"{self.value:,.4g}"
        return f"{text}{MARKS[self.known]}"


UNKNOWN = Estimate(value=None, known="unknown")


def least_certain(kinds: Iterable[Known]) -> Known:
    """Return the least certain of several."""
    return max(kinds, key=lambda k: _RANK[k], default="measured")


def summed(estimates: Iterable[Estimate]) -> Estimate:
    """Return the sum: as certain as its least certain part, a lower bound where one is unknown."""
    parts = list(estimates)
    values = [e.value for e in parts if e.value is not None]
    known = least_certain(e.known for e in parts)
    if not values:
        return UNKNOWN if parts else Estimate(value=0.0, known="measured")
    missing = len(parts) - len(values)
    return Estimate(
        value=sum(values),
        known=known,
        source=f"at least: {missing} of {len(parts)} parts unknown" if missing else "",
    )

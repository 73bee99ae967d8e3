"""A spec's wishes as linear constraints over the strata's draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import UsageError, nearest
from smolmix.mixtures.spec import Bounds, Spec, Unit
from smolmix.mixtures.supply import Floats, Supply

Kind = Literal["share", "cap", "mean", "total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One wish: a share of the whole, a hard cap, the mean of a quantity, or the total."""

    key: str  # where the spec says it: "shares.modality.text"
    kind: Kind
    members: NDArray[np.bool_]  # (strata,)
    unit: str  # a Unit, or "duration_s" for a mean
    low: float
    high: float

    def rows(self, costs: Mapping[str, Floats]) -> list[tuple[Floats, float, float]]:
        """Return (coefficients, lower, upper) rows that are linear in the draws.

        Args:
            costs: unit -> (strata,) cost of one draw.
        """
        cost, inside = costs[self.unit], self.members.astype(np.float64)
        if self.kind == "total":
            return [(cost * inside, self.low, self.high)]
        if self.kind == "mean":
            margin = (self.high - self.low) / 20  # whole draws come out a little off
            rows = [(inside * (cost - self.high + margin), -math.inf, 0.0)]
            return [*rows, (inside * (cost - self.low - margin), 0.0, math.inf)]
        if self.low == self.high:
            return [((inside - self.low) * cost, 0.0, 0.0)]
        rows = []
        if self.low > 0:
            rows.append(((inside - self.low) * cost, 0.0, math.inf))
        if self.high < 1:
            rows.append(((inside - self.high) * cost, -math.inf, 0.0))
        return rows

    def value(self, totals: Mapping[str, Floats]) -> float:
        """Return what was reached: the share, the mean or the total.

        Args:
            totals: unit -> (strata,) what the chosen draws add up to.
        """
        inside = float(totals[self.unit][self.members].sum())
        if self.kind == "total":
            return inside
        whole = totals["samples"][self.members] if self.kind == "mean" else totals[self.unit]
        count = float(whole.sum())
        return inside / count if count else 0.0

    def say(self) -> str:
        """Return the wish as a person would write it."""
        if self.kind == "total":
            return f"{self.key} = {self.low:,.0f} {self.unit}"
        if self.kind == "mean":
            return f"{self.key} = {(self.low + self.high) / 2:g} ± {(self.high - self.low) / 2:g} s"
        if self.low == self.high:
            return f"{self.key} = {100 * self.low:g} % of {self.unit}"
        if self.low <= 0:
            return f"{self.key} ≤ {100 * self.high:g} % of {self.unit}"
        if self.high >= 1:
            return f"{self.key} ≥ {100 * self.low:g} % of {self.unit}"
        return f"{self.key} in {100 * self.low:g} to {100 * self.high:g} % of {self.unit}"


def _share(
    spec: Spec, supply: Supply, key: str, family: str, value: str, bounds: Bounds
) -> Constraint:
    unit: Unit = bounds.unit or spec.unit
    members = supply.members(family, value)
    if bounds.min > 0 and not members.any():
        known = sorted({supply.tag(i, family) for i in range(len(supply.strata))} - {""})
        raise UsageError(
            f"{key}: no sample carries {family} {value!r}; there are: {', '.join(known)}"
            f"{nearest(value, known)}"
        )
    return Constraint(
        key=key,
        kind="share",
        members=members,
        unit=unit,
        low=bounds.min,
        high=bounds.max,
    )


def constraints(spec: Spec, supply: Supply) -> list[Constraint]:
    """Return every wish of the spec but availability, which is a bound on the draws.

    Raises:
        UsageError: a share is asked of a tag that no sample carries.
    """
    found: list[Constraint] = []
    for family, members in spec.shares.items():
        for value, bounds in members.items():
            key = f"shares.{family}.{value}"
            found.append(_share(spec, supply, key, family, value, bounds))
    for name, component in spec.components.items():
        if component.share is not None:
            key = f"components.{name}.share"
            found.append(_share(spec, supply, key, "component", name, component.share))
    for kind, cap in (("declared", spec.caps.cot), ("detected", spec.caps.cot_detected)):
        if cap.max < 1 or cap.min > 0:
            found.append(
                Constraint(
                    key="caps.cot" if kind == "declared" else "caps.cot_detected",
                    kind="cap",
                    members=supply.members("cot", kind),
                    unit="samples",
                    low=cap.min,
                    high=cap.max,
                )
            )
    length = spec.caps.duration_s
    if length.mean is not None:
        within = length.within or length.mean / 100
        found.append(
            Constraint(
                key="caps.duration_s.mean",
                kind="mean",
                members=supply.members("modality", "video"),
                unit="duration_s",
                low=length.mean - within,
                high=length.mean + within,
            )
        )
    total = spec.total
    if total.samples is not None or total.tokens is not None:
        wanted = float(total.samples or total.tokens or 0)
        found.append(
            Constraint(
                key="total",
                kind="total",
                members=np.ones(len(supply.strata), np.bool_),
                unit="samples" if total.samples is not None else "tokens",
                low=wanted,
                high=wanted,
            )
        )
    return found

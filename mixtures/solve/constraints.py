"""A spec's wishes as linear constraints over the strata's draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import InfeasibleError, UsageError, nearest
from smolmix.mixtures.candidates.supply import Floats, Supply
from smolmix.mixtures.spec.spec import ROUNDED, Bounds, Spec, Unit

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


def _whole(found: list[Constraint]) -> list[Constraint]:
    """Return the shares, fixed ones scaled to 1 where they were written rounded: 33.33 % thrice.

    Fixed shares that leave nothing free, or that come to more than the whole, have to add up to 1.
    """
    fixed = [w for w in found if w.low == w.high]
    if len(fixed) != len(found) or len({w.unit for w in fixed}) != 1:
        return found
    sum_, times = sum(w.low for w in fixed), sum(w.members.astype(int) for w in fixed)
    off = sum_ - 1
    if (
        not 1e-12 < abs(off) <= ROUNDED + 1e-9
        or np.any(times > 1)
        or (off < 0 and np.any(times < 1))
    ):
        return found
    return [replace(w, low=w.low / sum_, high=w.high / sum_) for w in fixed]


def _check_mean(wish: Constraint, supply: Supply) -> None:
    """Refuse a mean length that no choice of videos could have."""
    if not wish.members.any():
        raise InfeasibleError(f"{wish.key}: no sample is a video; leave it out or add a component")
    shortest, longest = supply.range("duration_s", wish.members)
    if longest < wish.low or shortest > wish.high:
        raise InfeasibleError(
            f"{wish.key}: {wish.low:g} to {wish.high:g} s is asked; the videos that are there "
            f"last {shortest:g} to {longest:g} s"
        )


def constraints(spec: Spec, supply: Supply) -> list[Constraint]:
    """Return every wish of the spec but availability, which is a bound on the draws.

    Raises:
        UsageError: a share is asked of a tag that no sample carries.
        InfeasibleError: a mean length is asked that the videos do not have.
    """
    found: list[Constraint] = []
    for family, members in spec.shares.items():
        at = f"shares.{family}"
        found += _whole(
            [_share(spec, supply, f"{at}.{v}", family, v, b) for v, b in members.items()]
        )
    found += _whole(
        [
            _share(spec, supply, f"components.{name}.share", "component", name, component.share)
            for name, component in spec.components.items()
            if component.share is not None
        ]
    )
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
        mean = Constraint(
            key="caps.duration_s.mean",
            kind="mean",
            members=supply.members("modality", "video"),
            unit="duration_s",
            low=length.mean - within,
            high=length.mean + within,
        )
        _check_mean(mean, supply)
        found.append(mean)
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

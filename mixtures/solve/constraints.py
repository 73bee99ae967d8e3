"""A spec's shares, caps and total as linear constraints on what each stratum gives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import InfeasibleError, UsageError, nearest
from smolmix.mixtures.candidates.strata import Candidates, Floats
from smolmix.mixtures.spec.spec import ROUNDED, Bounds, Spec, Unit

Kind = Literal["share", "cap", "mean", "total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One constraint: a share of the mixture, a hard cap, the mean of a quantity, or the total."""

    key: str  # of the spec, as in "shares.modality.text"
    kind: Kind
    members: NDArray[np.bool_]  # (strata,)
    unit: str  # a Unit, or "duration_s" for a mean
    low: float
    high: float

    def rows(
        self, costs: Mapping[str, Floats], inset: float = 0.05
    ) -> list[tuple[Floats, float, float]]:
        """Return (coefficients, lower, upper) of each row, linear in the samples drawn.

        Args:
            costs: unit -> (strata,) cost of one sample.
            inset: the part of a mean's range that is left free at each end, because rounding to
                whole samples moves the mean a little.
        """
        cost, inside = costs[self.unit], self.members.astype(np.float64)
        if self.kind == "total":
            return [(cost * inside, self.low, self.high)]
        if self.kind == "mean":
            margin = inset * (self.high - self.low)
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
        """Return what is achieved: the share, the mean or the total.

        Args:
            totals: unit -> (strata,) of the samples drawn.
        """
        inside = float(totals[self.unit][self.members].sum())
        if self.kind == "total":
            return inside
        whole = totals["samples"][self.members] if self.kind == "mean" else totals[self.unit]
        count = float(whole.sum())
        return inside / count if count else 0.0

    def __str__(self) -> str:
        """Return the constraint as a person would write it."""
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
    spec: Spec, candidates: Candidates, key: str, family: str, value: str, bounds: Bounds
) -> Constraint:
    unit: Unit = bounds.unit or spec.unit
    members = candidates.members(family, value)
    if bounds.min > 0 and not members.any():
        known = sorted({candidates.tag(i, family) for i in range(len(candidates.strata))} - {""})
        raise UsageError(
            f"{key}: no sample has {family} {value!r}; known: {', '.join(known)}"
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


def _complete(found: list[Constraint]) -> list[Constraint]:
    """Return the shares; fixed ones that were written rounded, as 33.33 % thrice, scaled to 1.

    Fixed shares that leave nothing free, or that come to more than 1, have to add up to 1.
    """
    fixed = [c for c in found if c.low == c.high]
    if len(fixed) != len(found) or len({c.unit for c in fixed}) != 1:
        return found
    sum_, times = sum(c.low for c in fixed), sum(c.members.astype(int) for c in fixed)
    off = sum_ - 1
    if (
        not 1e-12 < abs(off) <= ROUNDED + 1e-9
        or np.any(times > 1)
        or (off < 0 and np.any(times < 1))
    ):
        return found
    return [replace(c, low=c.low / sum_, high=c.high / sum_) for c in fixed]


def _check_mean(constraint: Constraint, candidates: Candidates) -> None:
    """Refuse a mean length that no choice of videos could have."""
    if not constraint.members.any():
        raise InfeasibleError(
            f"{constraint.key}: no sample is a video; remove the key or add a component with videos"
        )
    shortest, longest = candidates.range("duration_s", constraint.members)
    if longest < constraint.low or shortest > constraint.high:
        raise InfeasibleError(
            f"{constraint.key}: the target is {constraint.low:g} to {constraint.high:g} s; the "
            f"available videos last {shortest:g} to {longest:g} s"
        )


def spec_constraints(spec: Spec, candidates: Candidates) -> list[Constraint]:
    """Return the constraints of a spec; what is available is a bound on each stratum instead.

    Raises:
        UsageError: a share of a tag that no sample has.
        InfeasibleError: a mean length that no choice of the videos has.
    """
    found: list[Constraint] = []
    for family, members in spec.shares.items():
        at = f"shares.{family}"
        found += _complete(
            [_share(spec, candidates, f"{at}.{v}", family, v, b) for v, b in members.items()]
        )
    found += _complete(
        [
            _share(spec, candidates, f"components.{name}.share", "component", name, component.share)
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
                    members=candidates.members("cot", kind),
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
            members=candidates.members("modality", "video"),
            unit="duration_s",
            low=length.mean - within,
            high=length.mean + within,
        )
        _check_mean(mean, candidates)
        found.append(mean)
    total = spec.total
    if total.samples is not None or total.tokens is not None:
        wanted = float(total.samples or total.tokens or 0)
        found.append(
            Constraint(
                key="total",
                kind="total",
                members=np.ones(len(candidates.strata), np.bool_),
                unit="samples" if total.samples is not None else "tokens",
                low=wanted,
                high=wanted,
            )
        )
    return found

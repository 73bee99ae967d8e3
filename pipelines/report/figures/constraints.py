"""The constraints of a mixture's spec, next to the values that its lock achieved."""

import math
from dataclasses import dataclass

from smolmix.mixtures.selection.lock import Lock
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Bounds, Cap, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintResult:
    """A constraint (share, cap, mean or total) and the value that the mixture achieved."""

    key: str  # as in the spec: "shares.modality.text"
    kind: str  # share | cap | mean | total
    unit: str
    low: float | None  # None: not bounded on this side
    high: float | None
    achieved: float
    binding: str  # "", "at its minimum", "at its maximum" or "fixed"

    def words(self) -> tuple[str, str]:
        """Return the allowed range and the achieved value as text."""
        if self.kind in ("share", "cap"):
            achieved = f"{100 * self.achieved:.3f} %"
            bounds = [f"{100 * b:g} %" for b in (self.low, self.high) if b is not None]
        else:
            achieved = f"{self.achieved:,.1f}"
            bounds = [f"{b:,.1f}" for b in (self.low, self.high) if b is not None]
        if self.low is not None and self.low == self.high:
            return bounds[0], achieved
        if len(bounds) == 2:
            return " to ".join(bounds), achieved
        if bounds:
            return f"at {'least' if self.low is not None else 'most'} {bounds[0]}", achieved
        return "any", achieved


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A stratum that is used up: more data in it would change the mixture."""

    component: str
    tags: str
    samples_drawn: int


def read_spec(lock: Lock) -> Spec:
    """Return the spec that a lock was built from."""
    return parse_spec(lock.spec, lock.spec_file).spec


def _bounds(spec: Spec, key: str) -> tuple[str, str, Bounds | Cap] | None:
    """Return the kind, unit and bounds of a share or cap."""
    family, _, rest = key.partition(".")
    if key in ("caps.cot", "caps.cot_detected"):
        return "cap", "samples", spec.caps.cot if key == "caps.cot" else spec.caps.cot_detected
    share: Bounds | None = None
    if family == "shares":
        name, _, value = rest.partition(".")
        share = spec.shares[name][value]
    elif family == "components":
        share = spec.components[rest.removesuffix(".share")].share
    return ("share", share.unit or spec.unit, share) if share is not None else None


def _binding(low: float | None, high: float | None, achieved: float, slack: float) -> str:
    if low is not None and low == high:
        return "fixed"
    if high is not None and achieved >= high - slack:
        return "at its maximum"
    if low is not None and achieved <= low + slack:
        return "at its minimum"
    return ""


def constraint_results(lock: Lock) -> list[ConstraintResult]:
    """Return every constraint of the lock's spec with its achieved value, in the spec's order."""
    spec = read_spec(lock)
    found = []
    for key, achieved in lock.achieved.items():
        low: float | None
        high: float | None
        unit: str
        slack = 1.0 / max(lock.samples, 1)
        known = _bounds(spec, key)
        if known is not None:
            kind, unit, bounds = known
            low = bounds.min if bounds.min > 0 else None
            high = bounds.max if bounds.max < 1 else None
        elif key == "caps.duration_s.mean":
            kind, unit, mean = "mean", "seconds", spec.caps.duration_s.mean or 0.0
            within = spec.caps.duration_s.within or mean / 100
            low, high, slack = mean - within, mean + within, within / 100
        elif key == "total":
            kind, unit = "total", "samples" if spec.total.samples is not None else "tokens"
            low = high = float(spec.total.samples or spec.total.tokens or 0)
        else:
            kind, unit, low, high = "share", spec.unit, None, None
        if not math.isfinite(achieved):
            continue
        found.append(
            ConstraintResult(
                key=key,
                kind=kind,
                unit=unit,
                low=low,
                high=high,
                achieved=achieved,
                binding=_binding(low, high, achieved, slack),
            )
        )
    return found


def exhausted(lock: Lock) -> list[Exhausted]:
    """Return the strata whose every sample is used as often as the epochs cap allows."""
    spec = read_spec(lock)
    return [
        Exhausted(
            component=s.component,
            tags=", ".join(f"{k} {v}" for k, v in s.tags.items() if v),
            samples_drawn=s.drawn,
        )
        for s in lock.solution
        if s.available and s.drawn >= s.available * spec.epochs(s.component)
    ]

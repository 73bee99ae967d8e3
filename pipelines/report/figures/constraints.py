"""What a mixture's spec asked beside what its lock reached."""

import math
from dataclasses import dataclass

from smolmix.mixtures.selection.lock import Lock
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Bounds, Cap, Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One share, cap, mean or total."""

    key: str  # as in the spec: "shares.modality.text"
    kind: str  # share | cap | mean | total
    unit: str
    low: float | None  # None: not bounded on this side
    high: float | None
    reached: float
    binds: str  # "", "at its minimum", "at its maximum", "fixed"

    def words(self) -> tuple[str, str]:
        """Return what was asked and what was reached, as a person reads them."""
        if self.kind in ("share", "cap"):
            reached = f"{100 * self.reached:.3f} %"
            bounds = [f"{100 * b:g} %" for b in (self.low, self.high) if b is not None]
        else:
            reached = f"{self.reached:,.1f}"
            bounds = [f"{b:,.1f}" for b in (self.low, self.high) if b is not None]
        if self.low is not None and self.low == self.high:
            return bounds[0], reached
        if len(bounds) == 2:
            return " to ".join(bounds), reached
        if bounds:
            return f"at {'least' if self.low is not None else 'most'} {bounds[0]}", reached
        return "any", reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """A stratum of which every allowed draw is in the mixture: more data would change it."""

    component: str
    tags: str
    draws: int


def read_spec(lock: Lock) -> Spec:
    """Return the spec a lock was built from."""
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


def _binds(low: float | None, high: float | None, reached: float, slack: float) -> str:
    if low is not None and low == high:
        return "fixed"
    if high is not None and reached >= high - slack:
        return "at its maximum"
    if low is not None and reached <= low + slack:
        return "at its minimum"
    return ""


def wishes(lock: Lock) -> list[Wish]:
    """Return every wish of the lock's spec with what was reached, in the spec's order."""
    spec = read_spec(lock)
    found = []
    for key, reached in lock.achieved.items():
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
        if not math.isfinite(reached):
            continue
        found.append(
            Wish(
                key=key,
                kind=kind,
                unit=unit,
                low=low,
                high=high,
                reached=reached,
                binds=_binds(low, high, reached, slack),
            )
        )
    return found


def exhausted(lock: Lock) -> list[Exhausted]:
    """Return the strata whose every sample is drawn as often as the epochs cap allows."""
    spec = read_spec(lock)
    return [
        Exhausted(
            component=s.component,
            tags=", ".join(f"{k} {v}" for k, v in s.tags.items() if v),
            draws=s.drawn,
        )
        for s in lock.solution
        if s.available and s.drawn >= s.available * spec.epochs(s.component)
    ]

"""Round the linear program's solution to whole samples that keep every cap and every share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.strata import Candidates, Floats, Ints
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.order import CapsDoNotFitError, place_capped

SHARE_TOLERANCE = 1e-3  # a tenth of a percentage point; one sample, where that is coarser
_GOOD = 1e-4  # no further repair below this
_MOVES = 400
_CANDIDATES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Achieved:
    """What a constraint was set to, and its value in the mixture."""

    key: str
    kind: str
    unit: str
    low: float
    high: float
    value: float
    within: float  # what one sample more or less changes

    @property
    def error(self) -> float:
        """How far the value is outside its bounds; 0 inside."""
        return max(0.0, self.value - self.high, self.low - self.value)


class _Totals:
    """The value of every constraint while single samples are moved between strata."""

    def __init__(self, candidates: Candidates, constraints: Sequence[Constraint], drawn: Ints):
        self.candidates, self.constraints = candidates, constraints
        self.units = sorted({"samples", *(c.unit for c in constraints)})
        self.drawn = drawn.copy()
        self.inside = np.array(
            [c.members for c in constraints], np.float64
        )  # (constraints, strata)
        self.refresh()

    def refresh(self) -> None:
        at = {u: self.candidates.total(u, self.drawn) for u in self.units}
        more = {u: self.candidates.total(u, self.drawn + 1) - at[u] for u in self.units}
        less = {
            u: at[u] - self.candidates.total(u, np.maximum(self.drawn - 1, 0)) for u in self.units
        }
        self.totals = at
        constraints = self.constraints
        self.part = np.array([float(at[c.unit][c.members].sum()) for c in constraints])
        self.whole = np.array([self._whole(c, at) for c in constraints])
        self.part_more = np.array([more[c.unit] for c in constraints]) * self.inside
        self.part_less = np.array([less[c.unit] for c in constraints]) * self.inside
        self.whole_more = np.array([self._whole_step(c, more) for c in constraints])
        self.whole_less = np.array([self._whole_step(c, less) for c in constraints])
        self.step = {u: float(np.maximum(more[u], less[u]).max(initial=0.0)) for u in self.units}

    @staticmethod
    def _whole(constraint: Constraint, totals: Mapping[str, Floats]) -> float:
        if constraint.kind == "total":
            return 1.0
        if constraint.kind == "mean":
            return float(totals["samples"][constraint.members].sum())
        return float(totals[constraint.unit].sum())

    @staticmethod
    def _whole_step(constraint: Constraint, steps: Mapping[str, Floats]) -> Floats:
        if constraint.kind == "total":
            return np.zeros(len(constraint.members))
        if constraint.kind == "mean":
            return np.where(constraint.members, 1.0, 0.0)
        return steps[constraint.unit]

    def score(self, part: Floats, whole: Floats) -> Floats:
        """Return (...,) the squared errors of all constraints.

        Args:
            part: (constraints, ...) numerators.
            whole: (constraints, ...) denominators.
        """
        total = np.zeros(part.shape[1:])
        for i, constraint in enumerate(self.constraints):
            value = part[i] / np.where(whole[i] > 0, whole[i], 1.0)
            size = 1.0 if constraint.kind in ("share", "cap") else max(constraint.high, 1.0)
            error = (
                np.maximum(np.maximum(value - constraint.high, constraint.low - value), 0.0) / size
            )
            hard = constraint.kind == "cap" or (
                constraint.kind == "total" and constraint.unit != "samples"
            )
            over = np.maximum(value - constraint.high, 0.0) / size
            total += error**2 + (1e6 * over if hard else 0.0)
        return total


def _start(drawn: Floats, constraints: Sequence[Constraint], candidates: Candidates) -> Ints:
    """Return whole samples by largest remainder, with exactly the target or the largest total."""
    floor = np.array([s.fixed or 0 for s in candidates.strata], np.int64)
    limit = np.array([s.limit if s.fixed is None else s.fixed for s in candidates.strata], np.int64)
    rounded = np.clip(np.floor(drawn + 1e-6).astype(np.int64), floor, limit)
    target = math.floor(float(drawn.sum()) + 1e-3)
    for constraint in constraints:
        if constraint.kind == "total" and constraint.unit == "samples":
            target = int(constraint.high)
    free = np.ones(len(drawn), np.bool_)
    for constraint in constraints:
        if constraint.kind == "cap" and constraint.high < 1:
            free &= ~constraint.members
            most = math.floor(float(drawn[constraint.members].sum()) + 1e-6)
            _add(
                rounded,
                np.where(constraint.members & (rounded < limit), drawn - rounded, -1.0),
                most - int(rounded[constraint.members].sum()),
            )
    _add(
        rounded,
        np.where(free & (rounded < limit), drawn - rounded, -1.0),
        target - int(rounded.sum()),
    )
    return rounded


def _add(rounded: Ints, rest: Floats, count: int) -> None:
    """Add one sample to each of the `count` strata with the largest remainder, if not negative."""
    for i in np.argsort(-rest, kind="stable")[: max(count, 0)]:
        if rest[i] >= 0:
            rounded[i] += 1


def _capped(constraints: Sequence[Constraint]) -> list[Constraint]:
    return [c for c in constraints if c.kind == "cap" and c.high < 1]


def _ordered(rounded: Ints, capped: Sequence[Constraint], total: int) -> bool:
    """Whether some order of that many samples keeps every cap at every prefix."""
    counts = [int(rounded[c.members].sum()) for c in capped]
    if any(k > math.floor(c.high * total + 1e-9) for k, c in zip(counts, capped, strict=True)):
        return False
    try:
        place_capped(counts, [c.high for c in capped], total)
    except CapsDoNotFitError:
        return False
    return True


def _keep_caps(rounded: Ints, constraints: Sequence[Constraint], floor: Ints) -> None:
    """Remove samples of capped groups until each cap holds, and an order that keeps it exists."""
    capped = [c for c in _capped(constraints) if rounded[c.members].any()]
    _trim(rounded, capped, floor, 0)
    if not _ordered(rounded, capped, int(rounded.sum())):
        _trim(rounded, capped, floor, len(capped) - 1)


def _trim(rounded: Ints, capped: Sequence[Constraint], floor: Ints, spare: int) -> None:
    """Remove samples of capped groups until each cap holds for all samples but `spare`."""
    changed = True
    while changed:  # what one cap removes lowers the limit of another
        before = int(rounded.sum())
        for constraint in capped:
            while True:
                allowed = math.floor(constraint.high * (int(rounded.sum()) - spare) + 1e-9)
                over = int(rounded[constraint.members].sum()) - allowed
                movable = np.where(constraint.members, rounded - floor, 0)
                if over <= 0 or movable.max(initial=0) <= 0:
                    break
                most = int(np.argmax(movable))
                rounded[most] -= min(over, int(movable[most]))
        changed = int(rounded.sum()) != before


def _repair(sums: _Totals, floor: Ints, limit: Ints, keep_total: bool) -> None:
    """Move single samples as long as that moves the constraints nearer to their targets."""
    for _ in range(_MOVES):
        now = float(sums.score(sums.part[:, None], sums.whole[:, None])[0])
        if now <= _GOOD**2:
            return
        can_add = np.flatnonzero(sums.drawn < limit)
        can_drop = np.flatnonzero(sums.drawn > floor)
        add = sums.score(
            sums.part[:, None] + sums.part_more[:, can_add],
            sums.whole[:, None] + sums.whole_more[:, can_add],
        )
        drop = sums.score(
            sums.part[:, None] - sums.part_less[:, can_drop],
            sums.whole[:, None] - sums.whole_less[:, can_drop],
        )
        best, move = now, (-1, -1)
        if not keep_total and len(add) and add.min() < best:
            best, move = float(add.min()), (int(can_add[add.argmin()]), -1)
        if not keep_total and len(drop) and drop.min() < best:
            best, move = float(drop.min()), (-1, int(can_drop[drop.argmin()]))
        a = can_add[np.argsort(add, kind="stable")[:_CANDIDATES]]
        d = can_drop[np.argsort(drop, kind="stable")[:_CANDIDATES]]
        if len(a) and len(d):
            swap = sums.score(
                sums.part[:, None, None]
                + sums.part_more[:, a][:, :, None]
                - sums.part_less[:, d][:, None, :],
                sums.whole[:, None, None]
                + sums.whole_more[:, a][:, :, None]
                - sums.whole_less[:, d][:, None, :],
            )
            swap[a[:, None] == d[None, :]] = math.inf
            if swap.min() < best:
                best = float(swap.min())
                i, j = np.unravel_index(int(swap.argmin()), swap.shape)
                move = (int(a[i]), int(d[j]))
        if best >= now * (1 - 1e-9):
            return
        if move[0] >= 0:
            sums.drawn[move[0]] += 1
        if move[1] >= 0:
            sums.drawn[move[1]] -= 1
        sums.refresh()


def achieved_by(
    candidates: Candidates, constraints: Sequence[Constraint], drawn: Ints
) -> list[Achieved]:
    """Return the value of each constraint with these numbers of samples."""
    sums = _Totals(candidates, constraints, drawn)
    return [
        Achieved(
            key=c.key,
            kind=c.kind,
            unit=c.unit,
            low=c.low,
            high=c.high,
            value=c.value(sums.totals),
            within=sums.step[c.unit] / max(sums.whole[i], 1.0),
        )
        for i, c in enumerate(constraints)
    ]


def check(found: Sequence[Achieved]) -> list[Achieved]:
    """Return the constraints that are missed by more than their tolerance."""
    missed = []
    for one in found:
        if one.kind == "cap":
            bad = one.value > one.high + 1e-12 or one.low - one.value > max(
                SHARE_TOLERANCE, one.within
            )
        elif one.kind == "total":
            short = 0.0 if one.unit == "samples" else one.within
            bad = one.value > one.high or one.low - one.value > short
        elif one.kind == "mean":
            bad = one.error > one.within
        else:
            bad = one.error > max(SHARE_TOLERANCE, one.within) + 1e-9
        if bad:
            missed.append(one)
    return missed


def is_valid(candidates: Candidates, constraints: Sequence[Constraint], drawn: Ints) -> bool:
    """Whether these samples meet every constraint and have an order that keeps the caps."""
    total = int(drawn.sum())
    return (
        total > 0
        and not check(achieved_by(candidates, constraints, drawn))
        and _ordered(drawn, _capped(constraints), total)
    )


def round_to_samples(
    candidates: Candidates, constraints: Sequence[Constraint], drawn: Floats
) -> Ints:
    """Return (strata,) whole samples that keep every cap and meet every share.

    Shares are met within a tenth of a percentage point, or within what one sample changes where
    that is coarser.

    Args:
        candidates: the strata.
        constraints: of the spec.
        drawn: (strata,) the linear program's solution.

    Raises:
        InfeasibleError: no rounding that was tried meets them: the mixture is too small for its
            shares.
    """
    floor = np.array([s.fixed or 0 for s in candidates.strata], np.int64)
    limit = np.array([s.limit if s.fixed is None else s.fixed for s in candidates.strata], np.int64)
    start = _start(drawn, constraints, candidates)
    _keep_caps(start, constraints, floor)
    keep_total = any(c.kind == "total" and c.unit == "samples" for c in constraints)
    if keep_total:
        _refill(start, constraints, drawn, floor, limit)
    if not constraints:
        return start
    sums = _Totals(candidates, constraints, start)
    _repair(sums, floor, limit, keep_total)
    _keep_caps(sums.drawn, constraints, floor)
    if keep_total:
        _refill(sums.drawn, constraints, drawn, floor, limit)
    missed = check(achieved_by(candidates, constraints, sums.drawn))
    capped = _capped(constraints)
    if not missed and not _ordered(sums.drawn, capped, int(sums.drawn.sum())):
        keys = " and ".join(c.key for c in capped)
        raise InfeasibleError(
            f"no order of {int(sums.drawn.sum()):,} samples keeps {keys} at every prefix; "
            "lower one of them"
        )
    if missed:
        values = "; ".join(
            f"{m.key} is {m.value:g}, the target is {m.low:g} to {m.high:g}" for m in missed
        )
        raise InfeasibleError(
            f"{int(sums.drawn.sum()):,} samples are too few for these shares in whole samples: "
            f"{values}; raise the total, or write a share as a range"
        )
    return sums.drawn


def _refill(
    rounded: Ints, constraints: Sequence[Constraint], drawn: Floats, floor: Ints, limit: Ints
) -> None:
    """Add what the caps removed from the target total: to uncapped strata, then where caps allow.

    The second is rare and small: a sample that rounding removed from each of two capped groups.
    """
    target = next(int(c.high) for c in constraints if c.kind == "total")
    free = limit > floor
    capped = _capped(constraints)
    for constraint in capped:
        free &= ~constraint.members
    while (short := target - int(rounded.sum())) > 0:
        gap = np.where(free & (rounded < limit), drawn - rounded, -math.inf)
        best = int(np.argmax(gap))
        if not math.isfinite(gap[best]):
            break
        rounded[best] += 1 if short < 1000 else min(short // 2, int(limit[best] - rounded[best]))
    while target > int(rounded.sum()):
        for i in np.argsort(rounded - drawn, kind="stable"):
            if floor[i] < limit[i] > rounded[i]:
                rounded[i] += 1
                if _ordered(rounded, capped, target):
                    break
                rounded[i] -= 1
        else:
            return

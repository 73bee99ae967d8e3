"""From the linear program's draws to whole numbers that keep every cap and every share."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.supply import Floats, Ints, Supply
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.order import CapsDoNotFitError, place_capped

SHARE_TOLERANCE = 1e-3  # a tenth of a percentage point; one sample, where that is coarser
_GOOD = 1e-4  # no further repair below this
_MOVES = 400
_CANDIDATES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What a wish came to."""

    key: str
    kind: str
    unit: str
    low: float
    high: float
    value: float
    within: float  # what one sample more or less may change

    @property
    def error(self) -> float:
        """How far outside its bounds the value lies; 0 inside."""
        return max(0.0, self.value - self.high, self.low - self.value)


class _Sums:
    """Running totals of every wish while whole draws are moved about."""

    def __init__(self, supply: Supply, wishes: Sequence[Constraint], draws: Ints):
        self.supply, self.wishes = supply, wishes
        self.units = sorted({"samples", *(w.unit for w in wishes)})
        self.draws = draws.copy()
        self.inside = np.array([w.members for w in wishes], np.float64)  # (wishes, strata)
        self.refresh()

    def refresh(self) -> None:
        at = {u: self.supply.total(u, self.draws) for u in self.units}
        more = {u: self.supply.total(u, self.draws + 1) - at[u] for u in self.units}
        less = {u: at[u] - self.supply.total(u, np.maximum(self.draws - 1, 0)) for u in self.units}
        self.totals = at
        wishes = self.wishes
        self.part = np.array([float(at[w.unit][w.members].sum()) for w in wishes])
        self.whole = np.array([self._whole(w, at) for w in wishes])
        self.part_more = np.array([more[w.unit] for w in wishes]) * self.inside
        self.part_less = np.array([less[w.unit] for w in wishes]) * self.inside
        self.whole_more = np.array([self._whole_step(w, more) for w in wishes])
        self.whole_less = np.array([self._whole_step(w, less) for w in wishes])
        self.step = {u: float(np.maximum(more[u], less[u]).max(initial=0.0)) for u in self.units}

    @staticmethod
    def _whole(wish: Constraint, totals: Mapping[str, Floats]) -> float:
        if wish.kind == "total":
            return 1.0
        if wish.kind == "mean":
            return float(totals["samples"][wish.members].sum())
        return float(totals[wish.unit].sum())

    @staticmethod
    def _whole_step(wish: Constraint, steps: Mapping[str, Floats]) -> Floats:
        if wish.kind == "total":
            return np.zeros(len(wish.members))
        if wish.kind == "mean":
            return np.where(wish.members, 1.0, 0.0)
        return steps[wish.unit]

    def score(self, part: Floats, whole: Floats) -> Floats:
        """Return (...,) squared errors of all wishes, given (wishes, ...) parts and wholes."""
        total = np.zeros(part.shape[1:])
        for i, wish in enumerate(self.wishes):
            value = part[i] / np.where(whole[i] > 0, whole[i], 1.0)
            size = 1.0 if wish.kind in ("share", "cap") else max(wish.high, 1.0)
            error = np.maximum(np.maximum(value - wish.high, wish.low - value), 0.0) / size
            hard = wish.kind == "cap" or (wish.kind == "total" and wish.unit != "samples")
            over = np.maximum(value - wish.high, 0.0) / size
            total += error**2 + (1e6 * over if hard else 0.0)
        return total


def _start(draws: Floats, wishes: Sequence[Constraint], supply: Supply) -> Ints:
    """Return whole draws by largest remainder, with exactly the wished or reached total."""
    floor = np.array([s.fixed or 0 for s in supply.strata], np.int64)
    limit = np.array([s.limit if s.fixed is None else s.fixed for s in supply.strata], np.int64)
    whole = np.clip(np.floor(draws + 1e-6).astype(np.int64), floor, limit)
    wanted = math.floor(float(draws.sum()) + 1e-3)
    for wish in wishes:
        if wish.kind == "total" and wish.unit == "samples":
            wanted = int(wish.high)
    free = np.ones(len(draws), np.bool_)
    for wish in wishes:
        if wish.kind == "cap" and wish.high < 1:
            free &= ~wish.members
            most = math.floor(float(draws[wish.members].sum()) + 1e-6)
            _add(
                whole,
                np.where(wish.members & (whole < limit), draws - whole, -1.0),
                most - int(whole[wish.members].sum()),
            )
    _add(whole, np.where(free & (whole < limit), draws - whole, -1.0), wanted - int(whole.sum()))
    return whole


def _add(whole: Ints, rest: Floats, count: int) -> None:
    """Add one draw each to the `count` strata with the largest remainder; negative ones are not
    to grow.
    """
    for i in np.argsort(-rest, kind="stable")[: max(count, 0)]:
        if rest[i] >= 0:
            whole[i] += 1


def _capped(wishes: Sequence[Constraint]) -> list[Constraint]:
    return [w for w in wishes if w.kind == "cap" and w.high < 1]


def _ordered(whole: Ints, capped: Sequence[Constraint], total: int) -> bool:
    """Whether an order of that many draws keeps every cap at every prefix."""
    counts = [int(whole[w.members].sum()) for w in capped]
    if any(k > math.floor(w.high * total + 1e-9) for k, w in zip(counts, capped, strict=True)):
        return False
    try:
        place_capped(counts, [w.high for w in capped], total)
    except CapsDoNotFitError:
        return False
    return True


def _keep_caps(whole: Ints, wishes: Sequence[Constraint], floor: Ints) -> None:
    """Take draws out of capped groups until each cap holds, and an order that keeps it exists."""
    capped = [w for w in _capped(wishes) if whole[w.members].any()]
    _trim(whole, capped, floor, 0)
    if not _ordered(whole, capped, int(whole.sum())):
        _trim(whole, capped, floor, len(capped) - 1)


def _trim(whole: Ints, capped: Sequence[Constraint], floor: Ints, spare: int) -> None:
    """Take draws out of capped groups until each cap holds for all draws but `spare`."""
    changed = True
    while changed:  # what one cap takes out shrinks the room of another
        before = int(whole.sum())
        for wish in capped:
            while True:
                allowed = math.floor(wish.high * (int(whole.sum()) - spare) + 1e-9)
                over = int(whole[wish.members].sum()) - allowed
                movable = np.where(wish.members, whole - floor, 0)
                if over <= 0 or movable.max(initial=0) <= 0:
                    break
                most = int(np.argmax(movable))
                whole[most] -= min(over, int(movable[most]))
        changed = int(whole.sum()) != before


def _repair(sums: _Sums, floor: Ints, limit: Ints, keep_total: bool) -> None:
    """Move single draws while that brings the wishes nearer."""
    for _ in range(_MOVES):
        now = float(sums.score(sums.part[:, None], sums.whole[:, None])[0])
        if now <= _GOOD**2:
            return
        can_add = np.flatnonzero(sums.draws < limit)
        can_drop = np.flatnonzero(sums.draws > floor)
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
            sums.draws[move[0]] += 1
        if move[1] >= 0:
            sums.draws[move[1]] -= 1
        sums.refresh()


def reached(supply: Supply, wishes: Sequence[Constraint], draws: Ints) -> list[Reached]:
    """Return what each wish came to with these whole draws."""
    sums = _Sums(supply, wishes, draws)
    return [
        Reached(
            key=w.key,
            kind=w.kind,
            unit=w.unit,
            low=w.low,
            high=w.high,
            value=w.value(sums.totals),
            within=sums.step[w.unit] / max(sums.whole[i], 1.0),
        )
        for i, w in enumerate(wishes)
    ]


def check(found: Sequence[Reached]) -> list[Reached]:
    """Return the wishes that were missed by more than their tolerance."""
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


def whole_draws(supply: Supply, wishes: Sequence[Constraint], draws: Floats) -> Ints:
    """Return whole draws that keep every cap and reach every share.

    Shares are reached within a tenth of a percentage point, or within what one sample changes
    where that is coarser.

    Raises:
        InfeasibleError: no rounding that was tried reaches them; the mixture is too small for its
            shares.
    """
    floor = np.array([s.fixed or 0 for s in supply.strata], np.int64)
    limit = np.array([s.limit if s.fixed is None else s.fixed for s in supply.strata], np.int64)
    start = _start(draws, wishes, supply)
    _keep_caps(start, wishes, floor)
    keep_total = any(w.kind == "total" and w.unit == "samples" for w in wishes)
    if keep_total:
        _refill(start, wishes, draws, floor, limit)
    if not wishes:
        return start
    sums = _Sums(supply, wishes, start)
    _repair(sums, floor, limit, keep_total)
    _keep_caps(sums.draws, wishes, floor)
    if keep_total:
        _refill(sums.draws, wishes, draws, floor, limit)
    missed = check(reached(supply, wishes, sums.draws))
    if missed:
        said = "; ".join(
            f"{m.key} comes to {m.value:g}, wished {m.low:g} to {m.high:g}" for m in missed
        )
        raise InfeasibleError(
            f"{int(sums.draws.sum()):,} samples are too few for these shares in whole samples: "
            f"{said}; make the total larger or a share ranged"
        )
    return sums.draws


def _refill(
    whole: Ints, wishes: Sequence[Constraint], draws: Floats, floor: Ints, limit: Ints
) -> None:
    """Give back what the caps took from the wished total: where no cap is, then where one allows.

    The second is rare and small: a draw that rounding took from each of two capped groups.
    """
    wanted = next(int(w.high) for w in wishes if w.kind == "total")
    free = limit > floor
    capped = _capped(wishes)
    for wish in capped:
        free &= ~wish.members
    while (short := wanted - int(whole.sum())) > 0:
        gap = np.where(free & (whole < limit), draws - whole, -math.inf)
        best = int(np.argmax(gap))
        if not math.isfinite(gap[best]):
            break
        whole[best] += 1 if short < 1000 else min(short // 2, int(limit[best] - whole[best]))
    while wanted > int(whole.sum()):
        for i in np.argsort(whole - draws, kind="stable"):
            if floor[i] < limit[i] > whole[i]:
                whole[i] += 1
                if _ordered(whole, capped, wanted):
                    break
                whole[i] -= 1
        else:
            return

"""Choose whole samples of every stratum by an integer program, for mixtures that rounding fails.

The linear program knows the mean cost of a stratum's samples, and rounding moves single samples.
In a small mixture the samples that are really drawn cost more or less than the mean, and an exact
share beside a tight cap needs several moves at once. Here each stratum chooses one of a list of
counts, at what its first samples really cost. A small mixture lists every count, so that the
answer is exact; a large one lists the counts around the linear program's solution, and some of all
sizes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smolmix.mixtures.candidates.strata import Candidates, Floats, Ints
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.rounding import SHARE_TOLERANCE, is_valid

_COUNTS = 3000  # counts listed in all; HiGHS chooses among them within seconds
_LEAST = 32  # counts listed of each stratum, however many strata there are
_NODES = 2000  # of the search tree: a limit in seconds would depend on the machine
_SECONDS = 60.0  # only a guard: the limit on nodes is met long before


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What the integer program found; without a solution, whether there is none."""

    drawn: Ints | None  # (strata,)
    certain: bool  # every count was listed and the search was completed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """The counts that each stratum may choose, one after the other."""

    owner: Ints  # (choices,) stratum
    count: Ints  # (choices,) samples
    totals: Mapping[str, Floats]  # unit -> (choices,) what that many samples cost
    complete: bool  # no count is missing


def _listed(floor: int, limit: int, near: float, room: int) -> Ints:
    """Return at most about `room` counts: all, or those around `near` and some of all sizes."""
    if limit - floor < room:
        return np.arange(floor, limit + 1)
    half = room // 3
    at = int(np.clip(round(near), floor, limit))
    around = np.arange(max(floor, at - half), min(limit, at + half) + 1)
    coarse = np.linspace(floor, limit, room - 2 * half).round().astype(np.int64)
    return np.unique(np.concatenate([around, coarse]))


def _choices(candidates: Candidates, units: Sequence[str], near: Floats) -> _Choices:
    strata = candidates.strata
    room = max(_LEAST, _COUNTS // max(len(strata), 1))
    floor = [s.fixed or 0 for s in strata]
    limit = [s.limit if s.fixed is None else s.fixed for s in strata]
    lists = [_listed(a, b, x, room) for a, b, x in zip(floor, limit, near, strict=True)]
    longest = max(len(counts) for counts in lists)
    padded = np.array([np.pad(counts, (0, longest - len(counts)), "edge") for counts in lists])
    real = np.array([np.arange(longest) < len(counts) for counts in lists])
    totals = {
        unit: np.column_stack([candidates.total(unit, padded[:, j]) for j in range(longest)])[real]
        for unit in units
    }
    return _Choices(
        owner=np.repeat(np.arange(len(strata)), [len(counts) for counts in lists]),
        count=padded[real],
        totals=totals,
        complete=all(
            len(counts) == b - a + 1 for counts, a, b in zip(lists, floor, limit, strict=True)
        ),
    )


def _rows(
    constraint: Constraint, choices: _Choices, free: float, whole: float
) -> list[tuple[Floats, float, float]]:
    """Return (coefficients, lower, upper) over the choices; tolerances as rounding's check has.

    Args:
        constraint: of the spec.
        choices: of all strata.
        free: how much of the constraint's unit it may be off; one sample or less.
        whole: about what the mixture has of the unit, which decides the coarser tolerance.
    """
    cost, count = choices.totals[constraint.unit], choices.totals["samples"]
    inside = constraint.members[choices.owner].astype(np.float64)
    low, high = constraint.low, constraint.high
    if constraint.kind == "total":
        short = 0.0 if constraint.unit == "samples" else free
        return [(cost * inside, low - short, high)]
    if constraint.kind == "mean":
        return [
            (inside * count, 1.0, np.inf),
            (inside * (cost - high * count), -np.inf, free),
            (inside * (cost - low * count), -free, np.inf),
        ]
    part = 0.9 * SHARE_TOLERANCE
    if free > part * whole:
        part = 0.0
    else:
        free = 0.0
    rows = []
    if low > 0:
        rows.append(((inside - low + part) * cost, -free, np.inf))
    if high < 1:
        hard = constraint.kind == "cap"
        over = high if hard else high + part
        rows.append(((inside - over) * cost, -np.inf, 0.0 if hard else free))
    return rows


def _order_row(
    capped: Sequence[Constraint], choices: _Choices, total: int | None
) -> tuple[Floats, float, float]:
    """Return a row that leaves the capped samples an order that keeps the caps at every prefix.

    From position t on there are N - t + 1 places; a group with cap c can have at most ⌊c·(t - 1)⌋
    samples before t. Where N is not known, two samples fewer than the caps allow are enough.
    """
    count = choices.totals["samples"]
    inside = np.sum([c.members for c in capped], axis=0)[choices.owner]
    if total is None:
        return (inside - sum(c.high for c in capped)) * count, -np.inf, -float(len(capped))
    before = np.arange(total)
    room = total - before + sum(np.floor(c.high * before + 1e-9) for c in capped)
    return inside * count, -np.inf, float(room.min())


def _solved(
    choices: _Choices,
    rows: Sequence[tuple[Floats, float, float]],
    objective: Floats,
    strata: int,
) -> tuple[Ints | None, bool]:
    """Return (strata,) the chosen counts or None, and whether the search was completed."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    size = len(choices.owner)
    one_each = csr_matrix((np.ones(size), (choices.owner, np.arange(size))), shape=(strata, size))
    limits = [LinearConstraint(one_each, 1.0, 1.0)]
    if rows:
        scale = np.array([max(float(np.abs(r).max(initial=0.0)), 1e-9) for r, _, _ in rows])
        limits.append(
            LinearConstraint(
                np.array([r for r, _, _ in rows]) / scale[:, None],
                np.array([low for _, low, _ in rows]) / scale,
                np.array([high for _, _, high in rows]) / scale,
            )
        )
    found = milp(
        objective,
        integrality=np.ones(size),
        bounds=Bounds(0, 1),
        constraints=limits,
        options={"node_limit": _NODES, "time_limit": _SECONDS, "mip_rel_gap": 1e-2},
    )
    if found.x is None:
        return None, found.status == 2
    chosen = np.zeros(strata, np.int64)
    picked = np.flatnonzero(found.x > 0.5)
    chosen[choices.owner[picked]] = choices.count[picked]
    return chosen, True


def search(
    candidates: Candidates, constraints: Sequence[Constraint], near: Floats, unit: str
) -> Search:
    """Return whole samples that keep every cap and meet every share, near a solution in fractions.

    Args:
        candidates: the strata.
        constraints: of the spec.
        near: (strata,) the linear program's solution, or the nearest it has.
        unit: what "as large as possible" counts.
    """
    if int(candidates.limit.sum()) == 0:
        return Search(drawn=None, certain=True)
    units = sorted({"samples", unit, *(c.unit for c in constraints)})
    choices = _choices(candidates, units, near)
    strata = len(candidates.strata)
    total = next((c for c in constraints if c.kind == "total"), None)
    if total is None:
        worth = choices.totals[unit]
        objective = -worth / max(float(worth.max(initial=0.0)), 1.0)
    else:
        objective = np.abs(choices.count - near[choices.owner]) / max(float(near.sum()), 1.0)
    capped = [c for c in constraints if c.kind == "cap" and c.high < 1]
    known = int(total.high) if total is not None and total.unit == "samples" else None
    at = {u: float(candidates.total(u, near).sum()) for u in units}
    start = np.round(near)
    step = {
        u: float((candidates.total(u, start + 1) - candidates.total(u, start)).max(initial=0.0))
        for u in units
    }
    everything = np.ones(strata, np.bool_)
    largest = {u: candidates.range(u, everything)[1] if u != "samples" else 1.0 for u in units}
    certain = choices.complete
    # The tolerance depends on what is drawn: half of it, none, and last more than all of it.
    for free in ({u: s / 2 for u, s in step.items()}, dict.fromkeys(units, 0.0), largest):
        rows = [(choices.totals["samples"], 1.0, np.inf)]
        for c in constraints:
            rows += _rows(c, choices, free[c.unit], at[c.unit])
        orders: list[list[tuple[Floats, float, float]]] = [[]]
        if len(capped) > 1:
            orders.append([_order_row(capped, choices, known)])
        for more in orders:
            drawn, done = _solved(choices, [*rows, *more], objective, strata)
            certain &= done
            if drawn is None:
                break
            if is_valid(candidates, constraints, drawn):
                return Search(drawn=drawn, certain=True)
            certain = False
    return Search(drawn=None, certain=certain)

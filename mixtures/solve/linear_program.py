"""Solve a mixture: how many samples each stratum gives.

Two linear programs, solved by HiGHS. The first finds the largest total, or whether the target total
is possible. The second, at that total, stays as close as it can to using every sample equally
often. That closeness is a convex function, cut into straight pieces that are refined around the
solution.

Token shares need the cost of the samples that are really drawn, not the mean of the stratum: the
two programs are solved again with the mean over the samples drawn until the constraints hold.

A mixture is infeasible only where the first program is, whatever the samples that are drawn cost
(`proven_infeasible`): a stratum's first samples may cost more or less than its mean. The second
program is held to the first one's optimum, which HiGHS knows to a tolerance only, so it is given
more room where it fails.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.strata import Candidates, Floats
from smolmix.mixtures.solve.constraints import Constraint

_PIECES = 16  # straight pieces of a stratum's evenness, in each round of refinement
_REFINEMENTS = 3
_SETTLING = 8  # the programs are solved at most this often, each time with new mean costs
_SETTLED = 1e-4  # constraints are met to a hundredth of a percentage point
# HiGHS's tolerances depend on its method and on presolve: each has its say before "infeasible".
_METHODS: Sequence[tuple[str, Mapping[str, bool]]] = (
    ("highs", {}),
    ("highs-ds", {"presolve": False}),
    ("highs-ipm", {}),
)
_ROOM = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)  # part of the optimum that the second program may lose


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Samples of each stratum as the linear program returns them: fractions, not yet rounded."""

    drawn: Floats  # (strata,)
    binding: Sequence[str]  # keys of the constraints that keep the total from growing
    shadow_prices: Mapping[str, float]  # exhausted component -> growth of the total by one sample
    exact: bool = True  # False: at mean costs nothing meets the constraints; this comes nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`low ≤ matrix · drawn ≤ high`, and bounds on what is drawn from each stratum."""

    matrix: Floats  # (rows, strata)
    low: Floats  # (rows,)
    high: Floats  # (rows,)
    floor: Floats  # (strata,)
    limit: Floats  # (strata,)
    keys: Sequence[str]  # (rows,) the constraint that each row belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The solution of a program; `drawn` is None where HiGHS found none."""

    drawn: Floats | None
    rows: Floats | None = None  # (rows,) marginal value of each row
    limits: Floats | None = None  # (strata,) marginal value of each upper bound


def program(
    candidates: Candidates,
    constraints: Sequence[Constraint],
    costs: Mapping[str, Floats],
    inset: float = 0.05,
) -> Program:
    """Return the constraints as one program, its rows scaled to the same size.

    Args:
        candidates: the strata.
        constraints: of the spec.
        costs: unit -> (strata,) cost of one sample.
        inset: of a mean's range; see `Constraint.rows`.
    """
    rows, low, high, keys = [], [], [], []
    for constraint in constraints:
        for coefficients, lower, upper in constraint.rows(costs, inset):
            scale = float(np.abs(coefficients).max(initial=0.0)) or 1.0
            rows.append(coefficients / scale)
            low.append(lower / scale)
            high.append(upper / scale)
            keys.append(constraint.key)
    fixed = [s.fixed for s in candidates.strata]
    limit = np.array(
        [s.limit if f is None else f for s, f in zip(candidates.strata, fixed, strict=True)],
        np.float64,
    )
    for constraint in constraints:
        if constraint.kind == "total" and np.isfinite(constraint.high):
            # No stratum gives more than the total: keeps corpora of unknown size in scale.
            most = 2 * constraint.high / np.maximum(costs[constraint.unit], 1e-9)
            limit = np.minimum(limit, np.maximum(most, [f or 0.0 for f in fixed]))
    return Program(
        matrix=np.array(rows).reshape(len(rows), len(candidates.strata)),
        low=np.array(low),
        high=np.array(high),
        floor=np.array([f or 0 for f in fixed], np.float64),
        limit=limit,
        keys=keys,
    )


def optimise(p: Program, objective: Floats) -> Answer:
    """Return what minimises `objective · drawn`, by the first method of HiGHS that finds it."""
    for method, options in _METHODS:
        answer = _optimised(p, objective, method, options)
        if answer.drawn is not None:
            break
    return answer


def _optimised(p: Program, objective: Floats, method: str, options: Mapping[str, bool]) -> Answer:
    """Return what one method finds; variables are scaled by their limits inside."""
    # Imported here: it takes half a second, which a mixture of fixed amounts can save.
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    scale = np.where(p.limit > 0, p.limit, 1.0)
    big = float(scale.max(initial=1.0))
    matrix = p.matrix * (scale / big)
    upper, lower = np.isfinite(p.high), np.isfinite(p.low)
    equal = upper & lower & (p.low == p.high)
    up, down = upper & ~equal, lower & ~equal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HiGHS warns of tolerances; the status decides
        found = linprog(
            objective * scale / big,
            A_ub=csr_matrix(np.vstack([matrix[up], -matrix[down]])),
            b_ub=np.concatenate([p.high[up], -p.low[down]]) / big,
            A_eq=csr_matrix(matrix[equal]),
            b_eq=p.low[equal] / big,
            bounds=np.column_stack([p.floor / scale, p.limit / scale]),
            method=method,
            options=dict(options),
        )
    if found.status != 0:
        return Answer(drawn=None)
    marginals = np.zeros(len(p.keys))
    marginals[up] = found.ineqlin.marginals[: int(up.sum())]
    marginals[down] = found.ineqlin.marginals[int(up.sum()) :]
    marginals[equal] = found.eqlin.marginals
    drawn = np.clip(found.x * scale, p.floor, p.limit)
    return Answer(drawn=drawn, rows=marginals, limits=found.upper.marginals)


def _pieces(limit: Floats, around: Floats | None, step: float) -> list[Floats]:
    """Return, for each stratum, rising breakpoints between 0 and its limit."""
    coarse = np.linspace(0.0, 1.0, _PIECES + 1)
    if around is None:
        return [coarse * top for top in limit]
    fine = np.linspace(-1.0, 1.0, 2 * _PIECES + 1) * step
    return [
        np.unique(np.clip(np.concatenate([coarse * top, at + fine * top]), 0.0, top))
        for at, top in zip(around, limit, strict=True)
    ]


def _holds(p: Program, drawn: Floats) -> bool:
    values = p.matrix @ drawn
    slack = 1e-7 * max(float(drawn.sum()), 1.0)
    return bool(np.all(values <= p.high + slack) and np.all(values >= p.low - slack))


def _evenly(
    p: Program, weight: Floats, cost: Floats, around: Floats | None = None
) -> Floats | None:
    """Return the feasible solution nearest to using every sample equally often, or None.

    Args:
        p: the constraints.
        weight: (strata,) distinct samples.
        cost: (strata,) of one sample, in the unit of the shares.
        around: a solution that is nearly right; one round of refinement is then enough.
    """
    movable = p.limit > p.floor
    drawn = around
    rounds = _REFINEMENTS if around is None else 1
    step = 1.0 / _PIECES if around is None else 1.0 / _PIECES ** (_REFINEMENTS - 1)
    size = int(movable.sum())
    if size == 0:
        return p.floor if _holds(p, p.floor) else None
    from scipy.sparse import csr_matrix

    for _ in range(rounds):
        cuts = _pieces(p.limit[movable], None if drawn is None else drawn[movable], step)
        owner = np.concatenate([np.full(max(len(c) - 1, 0), i) for i, c in enumerate(cuts)])
        width = np.concatenate([np.diff(c) for c in cuts])
        middle = np.concatenate([(c[1:] + c[:-1]) / 2 for c in cuts])
        index = np.flatnonzero(movable)
        # Unevenness n·cost·(drawn/n)²/2 has slope cost·drawn/n, so that shares of tokens fill all
        # strata to the same level; pieces fill from the cheapest up.
        slope = cost[movable][owner] * middle / weight[movable][owner]
        spread = csr_matrix(
            (np.ones(len(owner)), (index[owner], np.arange(len(owner)))),
            shape=(len(p.limit), len(owner)),
        )
        fixed = np.where(movable, 0.0, p.floor)
        shift = p.matrix @ fixed
        pieces = Program(
            matrix=(csr_matrix(p.matrix) @ spread).toarray(),
            low=p.low - shift,
            high=p.high - shift,
            floor=np.zeros(len(width)),
            limit=width,
            keys=p.keys,
        )
        answer = optimise(pieces, slope)
        if answer.drawn is None:
            return None
        drawn = np.clip(fixed + spread @ answer.drawn, p.floor, p.limit)
        step /= _PIECES
    return drawn


def _with_total(p: Program, cost: Floats, low: float, high: float) -> Program:
    scale = float(np.abs(cost).max(initial=0.0)) or 1.0
    return Program(
        matrix=np.vstack([p.matrix, cost / scale]),
        low=np.append(p.low, low / scale),
        high=np.append(p.high, high / scale),
        floor=p.floor,
        limit=p.limit,
        keys=[*p.keys, "total"],
    )


def _binding(p: Program, answer: Answer) -> list[str]:
    assert answer.rows is not None
    return sorted({p.keys[int(i)] for i in np.flatnonzero(np.abs(answer.rows) > 1e-9)})


def _shadow_prices(p: Program, candidates: Candidates, answer: Answer) -> dict[str, float]:
    """Return how much one more sample of each exhausted component adds to the total."""
    assert answer.limits is not None
    gain = np.where((p.limit > p.floor) & (p.limit > 0), -answer.limits, 0.0)
    gain *= float(p.limit.max(initial=1.0)) / np.maximum(p.limit, 1.0)
    prices: dict[str, float] = {}
    for i in np.flatnonzero(gain > 1e-6):
        name = candidates.strata[int(i)].component
        prices[name] = max(prices.get(name, 0.0), float(gain[i]))
    return dict(sorted(prices.items(), key=lambda kv: (-kv[1], kv[0])))


def _positive(cost: Floats) -> Floats:
    mean = float(cost.mean()) if len(cost) else 1.0
    mean = mean or 1.0
    return np.maximum(cost / mean, 0.01)


def _settled(candidates: Candidates, constraints: Sequence[Constraint], drawn: Floats) -> bool:
    """Whether the constraints hold for what these samples really cost."""
    totals = {u: candidates.total(u, drawn) for u in {"samples", *(c.unit for c in constraints)}}
    for constraint in constraints:
        value = constraint.value(totals)
        size = 1.0 if constraint.kind in ("share", "cap") else constraint.high
        if max(value - constraint.high, constraint.low - value) > _SETTLED * size:
            return False
    return True


def _largest(p: Program, cost: Floats) -> tuple[Answer, Program]:
    """Return a solution with the largest total, and the program in the scale of that total.

    HiGHS keeps constraints to 1e-7 of the largest limit. Where the largest total is far below that
    limit, that is many samples; the program is solved again with limits near the total.
    """
    while True:
        answer = optimise(p, -cost)
        largest = float((p.limit * cost).max(initial=0.0))
        if answer.drawn is None:
            return answer, p
        most = 2 * (float(answer.drawn @ cost) + 1e-6 * largest)
        if largest <= 1e3 * most:
            return answer, p
        needed = np.minimum(p.limit, most / np.maximum(cost, 1e-9))
        p = replace(p, limit=np.maximum(p.floor, needed))


def _largest_evenly(
    p: Program, largest: Answer, weight: Floats, cost: Floats, around: Floats | None
) -> Floats:
    """Return the most even solution with the largest total.

    Args:
        p: the constraints.
        largest: a solution with the largest total.
        weight: (strata,) distinct samples.
        cost: (strata,) of one sample, in the unit of the total.
        around: a solution that is nearly right, or None.
    """
    assert largest.drawn is not None
    top = float(largest.drawn @ cost)
    for room in _ROOM:
        held = _with_total(p, cost, top * (1 - room), np.inf)
        found = _evenly(held, weight, _positive(cost), around)
        if found is not None:
            return found
    return largest.drawn


def _target_evenly(
    p: Program, weight: Floats, cost: Floats, around: Floats | None
) -> Floats | None:
    """Return the most even solution of a program with a target total; None if infeasible."""
    found = _evenly(p, weight, _positive(cost), around)
    return optimise(p, np.zeros(len(p.limit))).drawn if found is None else found


def nearest(p: Program) -> Floats:
    """Return (strata,) the samples that come nearest to meeting every row."""
    rows, strata = p.matrix.shape
    most = np.abs(p.matrix) @ p.limit + np.where(np.isfinite(p.low), np.abs(p.low), 0.0)
    elastic = Program(
        matrix=np.hstack([p.matrix, np.eye(rows), -np.eye(rows)]),
        low=p.low,
        high=p.high,
        floor=np.concatenate([p.floor, np.zeros(2 * rows)]),
        limit=np.concatenate([p.limit, most, most]),
        keys=p.keys,
    )
    answer = optimise(elastic, np.concatenate([np.zeros(strata), np.ones(2 * rows)]))
    return p.limit if answer.drawn is None else answer.drawn[:strata]


def _deviations(candidates: Candidates, unit: str) -> tuple[Floats, Floats]:
    """Return (strata,) the least and the most that first samples cost beside as many means."""
    low, high = np.zeros(len(candidates.strata)), np.zeros(len(candidates.strata))
    running = candidates.running
    if unit == "samples" or running is None or unit not in running.sums:
        return low, high
    means, sums = candidates.means(unit), running.sums[unit]
    for i in np.flatnonzero(np.diff(running.starts) > 0):
        own = sums[running.starts[i] : running.starts[i + 1] + 1].astype(np.float64)
        off = own - own[0] - means[i] * np.arange(len(own))
        low[i], high[i] = off.min(), off.max()
    return low, high


def proven_infeasible(candidates: Candidates, constraints: Sequence[Constraint], unit: str) -> bool:
    """Whether nothing meets the constraints, whatever samples of the strata are drawn.

    Each row is given as much room as the cost of first samples, however many, is away from as many
    means. A program that has no solution even so has none.

    Args:
        candidates: the strata.
        constraints: of the spec.
        unit: what "as large as possible" counts.
    """
    units = sorted({"samples", unit, *(c.unit for c in constraints)})
    costs = {u: candidates.means(u) for u in units}
    strata = len(candidates.strata)
    some = Constraint(
        key="total",
        kind="total",
        members=np.ones(strata, np.bool_),
        unit="samples",
        low=1.0,
        high=np.inf,
    )
    blocks: list[Floats] = []
    low, high = [], []
    floor = np.array([s.fixed or 0 for s in candidates.strata], np.float64)
    limit = np.array([s.limit if s.fixed is None else s.fixed for s in candidates.strata], float)
    off = {u: _deviations(candidates, u) for u in units}
    for constraint in [*constraints, some]:
        if constraint.kind == "total":  # keeps corpora of unknown size in scale
            cost = costs[constraint.unit]
            most = (constraint.high - off[constraint.unit][0]) / np.maximum(cost, 1e-9)
            limit = np.minimum(limit, np.maximum(most, floor))
        unit_ = constraint.unit
        plain = constraint.rows(costs, 0.0)
        moved = constraint.rows({**costs, unit_: costs[unit_] + 1.0}, 0.0)
        for (row, lower, upper), (more, _, _) in zip(plain, moved, strict=True):
            change = more - row  # of the row when one sample's cost grows by one
            ends = np.array([change * off[unit_][0], change * off[unit_][1]])
            scale = float(np.abs(row).max(initial=0.0)) or 1.0
            blocks.append(row / scale)
            low.append((lower - float(ends.max(axis=0).sum())) / scale)
            high.append((upper - float(ends.min(axis=0).sum())) / scale)
    p = Program(
        matrix=np.array(blocks),
        low=np.array(low),
        high=np.array(high),
        floor=floor,
        limit=limit,
        keys=[""] * len(low),
    )
    return optimise(p, np.zeros(strata)).drawn is None


def solve(candidates: Candidates, constraints: Sequence[Constraint], unit: str) -> Solution:
    """Return samples of each stratum that meet every constraint; the most, without a total.

    Args:
        candidates: the strata.
        constraints: of the spec.
        unit: what "as large as possible" counts.

    Raises:
        InfeasibleError: nothing meets the constraints; `smolmix.mixtures.solve.explain` says why.
    """
    units = {"samples", unit, *(c.unit for c in constraints)}
    has_total = any(c.kind == "total" for c in constraints)
    costs = {u: candidates.means(u) for u in units}
    weight = np.maximum(candidates.available.astype(np.float64), 1.0)
    drawn: Floats | None = None
    exact = True
    binding: list[str] = []
    shadow_prices: dict[str, float] = {}
    for _ in range(_SETTLING):
        p = program(candidates, constraints, costs)
        found: Floats | None = None
        if not has_total and (p.limit > p.floor).any():
            largest, p = _largest(p, costs[unit])
            if largest.drawn is not None and largest.drawn.sum() >= 1 - 1e-6:
                binding = _binding(p, largest)
                shadow_prices = _shadow_prices(p, candidates, largest)
                found = _largest_evenly(p, largest, weight, costs[unit], drawn)
        else:
            found = _target_evenly(p, weight, costs[unit], drawn)
        if found is not None:
            exact = True
        elif drawn is None:
            if proven_infeasible(candidates, constraints, unit):
                raise InfeasibleError("no samples, or only none, meet the constraints")
            exact, found = False, nearest(_with_total(p, np.ones(len(p.limit)), 1.0, np.inf))
        elif exact:
            break  # the new mean costs alone make it so: the last solution is near, and is rounded
        else:
            found = nearest(_with_total(p, np.ones(len(p.limit)), 1.0, np.inf))
        drawn = found
        if candidates.running is None or units == {"samples"}:
            break
        if _settled(candidates, constraints, found):
            break
        costs = {u: candidates.mean_at(u, found) for u in units}
    assert drawn is not None
    return Solution(drawn=drawn, binding=binding, shadow_prices=shadow_prices, exact=exact)

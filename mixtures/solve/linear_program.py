"""Solve a mixture: how many draws each stratum gives.

Two linear programs (scipy's HiGHS). The first finds the largest total, or that the wished one is
possible; the second, at that total, stays as close as it can to using every sample equally often.
That closeness is a convex function, cut into straight pieces that are refined around the solution.

Token shares need the cost of the draws that are really taken, not the mean of the stratum: the two
programs are solved again with the mean over the chosen prefix until the wishes hold.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.supply import Floats, Supply
from smolmix.mixtures.solve.constraints import Constraint

_PIECES = 16  # straight pieces of a stratum's evenness, in each round of refinement
_REFINEMENTS = 3
_SETTLING = 8  # at most this often are the prefix means taken anew
_SETTLED = 1e-4  # wishes are off by less than a hundredth of a percentage point


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Draws of each stratum, as the linear program leaves them: not whole numbers yet."""

    draws: Floats  # (strata,)
    binding: Sequence[str]  # what keeps a mixture "as large as possible" from growing
    worth: Mapping[str, float]  # component that is spent -> growth of the total by one more sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """`low ≤ matrix · draws ≤ high` and bounds on each draw."""

    matrix: Floats  # (rows, strata)
    low: Floats  # (rows,)
    high: Floats  # (rows,)
    floor: Floats  # (strata,)
    limit: Floats  # (strata,)
    keys: Sequence[str]  # (rows,) the wish behind each row


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What HiGHS says: the draws, or none where the program is infeasible."""

    draws: Floats | None
    bound: Floats | None = None  # (rows,) marginal value of each row
    limit: Floats | None = None  # (strata,) marginal value of each upper bound


def program(supply: Supply, wishes: Sequence[Constraint], costs: Mapping[str, Floats]) -> Program:
    """Return the wishes as one program, its rows scaled to the same size."""
    rows, low, high, keys = [], [], [], []
    for wish in wishes:
        for coefficients, lower, upper in wish.rows(costs):
            scale = float(np.abs(coefficients).max(initial=0.0)) or 1.0
            rows.append(coefficients / scale)
            low.append(lower / scale)
            high.append(upper / scale)
            keys.append(wish.key)
    fixed = [s.fixed for s in supply.strata]
    limit = np.array(
        [s.limit if f is None else f for s, f in zip(supply.strata, fixed, strict=True)], np.float64
    )
    for wish in wishes:
        if wish.kind == "total" and np.isfinite(wish.high):
            # No stratum gives more than the whole: keeps corpora of unknown size in scale.
            most = 2 * wish.high / np.maximum(costs[wish.unit], 1e-9)
            limit = np.minimum(limit, np.maximum(most, [f or 0.0 for f in fixed]))
    return Program(
        matrix=np.array(rows).reshape(len(rows), len(supply.strata)),
        low=np.array(low),
        high=np.array(high),
        floor=np.array([f or 0 for f in fixed], np.float64),
        limit=limit,
        keys=keys,
    )


def optimise(p: Program, objective: Floats) -> Answer:
    """Minimise `objective · draws`; draws are measured in units of their limit inside."""
    # Imported here: half a second that a mixture of fixed amounts need not wait.
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix

    scale = np.where(p.limit > 0, p.limit, 1.0)
    big = float(scale.max(initial=1.0))
    matrix = p.matrix * (scale / big)
    upper, lower = np.isfinite(p.high), np.isfinite(p.low)
    equal = upper & lower & (p.low == p.high)
    up, down = upper & ~equal, lower & ~equal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # HiGHS remarks on tolerances; the status is what counts
        found = linprog(
            objective * scale / big,
            A_ub=csr_matrix(np.vstack([matrix[up], -matrix[down]])),
            b_ub=np.concatenate([p.high[up], -p.low[down]]) / big,
            A_eq=csr_matrix(matrix[equal]),
            b_eq=p.low[equal] / big,
            bounds=np.column_stack([p.floor / scale, p.limit / scale]),
            method="highs",
        )
    if found.status != 0:
        return Answer(draws=None)
    marginals = np.zeros(len(p.keys))
    marginals[up] = found.ineqlin.marginals[: int(up.sum())]
    marginals[down] = found.ineqlin.marginals[int(up.sum()) :]
    marginals[equal] = found.eqlin.marginals
    draws = np.clip(found.x * scale, p.floor, p.limit)
    return Answer(draws=draws, bound=marginals, limit=found.upper.marginals)


def _pieces(limit: Floats, around: Floats | None, step: float) -> list[Floats]:
    """Return, for each stratum, rising breakpoints of its fill between 0 and its limit."""
    coarse = np.linspace(0.0, 1.0, _PIECES + 1)
    if around is None:
        return [coarse * top for top in limit]
    fine = np.linspace(-1.0, 1.0, 2 * _PIECES + 1) * step
    return [
        np.unique(np.clip(np.concatenate([coarse * top, at + fine * top]), 0.0, top))
        for at, top in zip(around, limit, strict=True)
    ]


def _holds(p: Program, draws: Floats) -> bool:
    reached = p.matrix @ draws
    slack = 1e-7 * max(float(draws.sum()), 1.0)
    return bool(np.all(reached <= p.high + slack) and np.all(reached >= p.low - slack))


def _evenly(
    p: Program, weight: Floats, cost: Floats, around: Floats | None = None
) -> Floats | None:
    """Return the feasible draws nearest to using every sample equally often.

    Args:
        p: the wishes.
        weight: (strata,) distinct samples.
        cost: (strata,) of a draw, in the unit of the shares.
        around: draws that are nearly the solution; one round of refinement is enough then.
    """
    movable = p.limit > p.floor
    draws = around
    rounds = _REFINEMENTS if around is None else 1
    step = 1.0 / _PIECES if around is None else 1.0 / _PIECES ** (_REFINEMENTS - 1)
    size = int(movable.sum())
    if size == 0:
        return p.floor if _holds(p, p.floor) else None
    from scipy.sparse import csr_matrix

    for _ in range(rounds):
        cuts = _pieces(p.limit[movable], None if draws is None else draws[movable], step)
        owner = np.concatenate([np.full(max(len(c) - 1, 0), i) for i, c in enumerate(cuts)])
        width = np.concatenate([np.diff(c) for c in cuts])
        middle = np.concatenate([(c[1:] + c[:-1]) / 2 for c in cuts])
        index = np.flatnonzero(movable)
        # Unevenness n·cost·(draws/n)²/2 has slope cost·draws/n, so that wishes in tokens fill all
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
        if answer.draws is None:
            return None
        draws = np.clip(fixed + spread @ answer.draws, p.floor, p.limit)
        step /= _PIECES
    return draws


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
    assert answer.bound is not None
    return sorted({p.keys[int(i)] for i in np.flatnonzero(np.abs(answer.bound) > 1e-9)})


def _worth(p: Program, supply: Supply, answer: Answer) -> dict[str, float]:
    """Return how much one more sample of each spent component adds to the total."""
    assert answer.limit is not None
    gain = np.where((p.limit > p.floor) & (p.limit > 0), -answer.limit, 0.0)
    gain *= float(p.limit.max(initial=1.0)) / np.maximum(p.limit, 1.0)
    worth: dict[str, float] = {}
    for i in np.flatnonzero(gain > 1e-6):
        name = supply.strata[int(i)].component
        worth[name] = max(worth.get(name, 0.0), float(gain[i]))
    return dict(sorted(worth.items(), key=lambda kv: (-kv[1], kv[0])))


def _positive(cost: Floats) -> Floats:
    mean = float(cost.mean()) or 1.0
    return np.maximum(cost / mean, 0.01)


def _settled(supply: Supply, wishes: Sequence[Constraint], draws: Floats) -> bool:
    """Whether the wishes hold for what these draws really cost."""
    totals = {u: supply.total(u, draws) for u in {"samples", *(w.unit for w in wishes)}}
    for wish in wishes:
        value = wish.value(totals)
        size = 1.0 if wish.kind in ("share", "cap") else wish.high
        if max(value - wish.high, wish.low - value) > _SETTLED * size:
            return False
    return True


def solve(supply: Supply, wishes: Sequence[Constraint], unit: str) -> Solution:
    """Return draws that meet every wish, as many as possible where no total is wished.

    Args:
        supply: the strata.
        wishes: the spec's constraints.
        unit: what "as large as possible" counts.

    Raises:
        InfeasibleError: no draws meet the wishes; `smolmix.mixtures.solve.explain` says why.
    """
    units = {"samples", unit, *(w.unit for w in wishes)}
    has_total = any(w.kind == "total" for w in wishes)
    costs = {u: supply.means(u) for u in units}
    weight = supply.available.astype(np.float64)
    draws: Floats | None = None
    binding: list[str] = []
    worth: dict[str, float] = {}
    for _ in range(_SETTLING):
        p = program(supply, wishes, costs)
        if not has_total and (p.limit > p.floor).any():
            largest = optimise(p, -costs[unit])
            if largest.draws is None and draws is None:
                raise InfeasibleError("infeasible")
            if largest.draws is None:
                break
            binding, worth = _binding(p, largest), _worth(p, supply, largest)
            top = float(largest.draws @ costs[unit])
            if largest.draws.sum() < 1 and draws is None:
                raise InfeasibleError("only the empty mixture meets the wishes")
            p = _with_total(p, costs[unit], top * (1 - 1e-9), np.inf)
        found = _evenly(p, np.maximum(weight, 1.0), _positive(costs[unit]), draws)
        if found is None and draws is None:
            raise InfeasibleError("infeasible")
        if found is None:
            break  # only the prefix means make it so: the last draws are near, rounding judges them
        draws = found
        if supply.prefix is None or units == {"samples"} or _settled(supply, wishes, found):
            break
        costs = {u: supply.mean_at(u, found) for u in units}
    assert draws is not None
    return Solution(draws=draws, binding=binding, worth=worth)

"""Why no mixture satisfies a spec: the constraints in conflict, and the nearest feasible ones."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from smolmix.mixtures.candidates.strata import Candidates, Floats
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.linear_program import Program, optimise, program

UNSURE = "whether one exists is not known"
_DIGITS = (4, 0, 3, 2)  # of the nearest share, tried in this order; 0 is a range
_VISIBLE, _LARGE = 1e-6, 5e-4  # of a share or of a mean
_STEPS = (0.0, 1e-4, 1e-3, 1e-2, 0.05)  # part of the nearest total that is given up until it solves


def _feasible(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats]
) -> bool:
    p = program(candidates, constraints, costs)
    return optimise(p, np.zeros(len(p.limit))).drawn is not None


def _conflict(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats]
) -> list[Constraint]:
    """Return constraints that cannot hold together; without any one of them, the others can."""
    kept = list(constraints)
    for constraint in constraints:
        without = [c for c in kept if c is not constraint]
        if not _feasible(candidates, without, costs):
            kept = without
    return kept


def _relaxed(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats]
) -> list[tuple[Constraint, float, float]]:
    """Return what constraints would have to become and by how much, with the least change."""
    total = next((c for c in constraints if c.kind == "total"), None)
    unit = total.unit if total is not None else "samples"
    size = total.low if total is not None else _scale(candidates, costs[unit])
    soft = [c for c in constraints if c.kind in ("share", "mean")]
    hard = [c for c in constraints if c.kind not in ("share", "mean", "total")]
    n = len(candidates.strata)
    p = program(candidates, hard, costs)
    blocks, low, high = (
        [np.hstack([p.matrix, np.zeros((len(p.keys), 2 * len(soft)))])],
        [*p.low],
        [*p.high],
    )
    row = np.zeros((1, n + 2 * len(soft)))
    row[0, :n] = costs[unit] / max(float(costs[unit].max(initial=0.0)), 1.0)
    blocks.append(row)
    low.append(size * (1 - 1e-6) / max(float(costs[unit].max(initial=0.0)), 1.0))
    most = size * (1 + 1e-6) if total is not None else np.inf
    high.append(most / max(float(costs[unit].max(initial=0.0)), 1.0))
    for i, constraint in enumerate(soft):
        for coefficients, lower, upper in constraint.rows(costs):
            scale = float(np.abs(coefficients).max(initial=0.0)) or 1.0
            row = np.zeros((1, n + 2 * len(soft)))
            row[0, :n] = coefficients / scale
            row[0, n + 2 * i], row[0, n + 2 * i + 1] = 1.0, -1.0
            blocks.append(row)
            low.append(lower / scale)
            high.append(upper / scale)
    slack = np.full(2 * len(soft), max(size, 1.0) * 1e3)
    elastic = Program(
        matrix=np.vstack(blocks),
        low=np.array(low),
        high=np.array(high),
        floor=np.concatenate([p.floor, np.zeros(2 * len(soft))]),
        limit=np.concatenate([p.limit, slack]),
        keys=[""] * len(low),
    )
    objective = np.concatenate([np.zeros(n), np.ones(2 * len(soft))])
    answer = optimise(elastic, objective)
    if answer.drawn is None:
        return []
    drawn = answer.drawn[:n]
    totals = {u: c * drawn for u, c in costs.items()}
    changes = []
    for constraint in soft:
        value = constraint.value(totals)
        size = max(1.0, constraint.low, constraint.high)
        off = max(value - constraint.high, constraint.low - value) / size
        if off > _VISIBLE:
            changes.append((constraint, value, off))
    return changes


def _moved(constraint: Constraint, value: float, digits: int) -> tuple[Constraint, str]:
    """Return the constraint with its bound moved to the value in so many digits, and that value.

    The last digit of a share is rounded away from what the spec asks, which leaves room. With no
    digits a fixed share becomes a range in four digits that includes the value.
    """
    if constraint.kind == "mean":
        near, within = float(f"{value:.4g}"), (constraint.high - constraint.low) / 2
        return replace(constraint, low=near - within, high=near + within), f"{near:.4g} s"
    power = 10.0 ** ((digits or 4) - 3 - math.floor(math.log10(value))) if value > 0 else 1.0
    down = math.floor(round(100 * value * power, 6)) / power
    up = min(100.0, math.ceil(round(100 * value * power, 6)) / power)
    near = down if value < constraint.low else up
    if constraint.low < constraint.high:
        low = near / 100 if value < constraint.low else constraint.low
        high = near / 100 if value > constraint.high else constraint.high
        return replace(constraint, low=low, high=high), f"{near:.4g} %"
    if digits:
        return replace(constraint, low=near / 100, high=near / 100), f"{near:.4g} %"
    return replace(constraint, low=down / 100, high=up / 100), f"{down:.4g} to {up:.4g} %"


def _nearest_shares(
    constraints: Sequence[Constraint],
    changes: Sequence[tuple[Constraint, float, float]],
    solves: Callable[[Sequence[Constraint]], bool],
) -> list[str]:
    """Return the changes as they are printed, tried as they are printed; none if none solves.

    Changes that rounding may make up for are left out first.
    """
    large = [change for change in changes if change[2] > _LARGE]
    tries = [(chosen, d) for d in _DIGITS for chosen in (large, changes) if chosen]
    for chosen, digits in tries:
        moved = [(c, *_moved(c, value, digits)) for c, value, _ in chosen]
        new = {c.key: other for c, other, _ in moved}
        if solves([new.get(c.key, c) for c in constraints]):
            return [f"{c} becomes {text}" for c, _, text in moved]
    return []


def _nearest_total(
    candidates: Candidates,
    constraints: Sequence[Constraint],
    costs: dict[str, Floats],
    solves: Callable[[Sequence[Constraint]], bool],
) -> str:
    """Return the nearest total that was found to be possible with all else unchanged, if any."""
    total = next(c for c in constraints if c.kind == "total")
    least, most = _extremes(candidates, constraints, costs, total.unit)
    grows = total.low < least
    for step in _STEPS:
        size = math.ceil(least * (1 + step)) if grows else math.floor(most * (1 - step) + 1e-6)
        if size >= 1 and solves(
            [replace(c, low=size, high=size) if c is total else c for c in constraints]
        ):
            return f"{size:,} {total.unit}"
    return ""


def _available(candidates: Candidates, constraint: Constraint, costs: dict[str, Floats]) -> str:
    """Return how much is available for the constraint, epochs counted."""
    inside = candidates.limit * constraint.members
    if constraint.kind == "total":
        return f"{float(inside @ costs[constraint.unit]):,.0f} {constraint.unit} in all"
    count = float(inside.sum())
    if constraint.kind == "mean":
        mean = float(inside @ costs[constraint.unit]) / count if count else 0.0
        return f"{count:,.0f} videos with a mean of {mean:.4g} s"
    return f"{float(inside @ costs[constraint.unit]):,.0f} {constraint.unit} for {constraint.key}"


def _scale(candidates: Candidates, cost: Floats) -> float:
    fixed = np.array([s.fixed or 0 for s in candidates.strata], np.float64)
    taken = float(fixed @ cost)
    return taken if taken else 0.01 * float(candidates.limit @ cost)


def _extremes(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats], unit: str
) -> tuple[float, float]:
    """Return the smallest and the largest total that the other constraints allow, or zeros."""
    p = program(candidates, [c for c in constraints if c.kind != "total"], costs)
    found = [optimise(p, sign * costs[unit]).drawn for sign in (1, -1)]
    least, most = (0.0 if d is None else float(d @ costs[unit]) for d in found)
    return least, most


def explain(
    candidates: Candidates,
    constraints: Sequence[Constraint],
    unit: str,
    *,
    solves: Callable[[Sequence[Constraint]], bool],
    certain: bool = True,
) -> str:
    """Return, in a few lines, the constraints in conflict and the nearest feasible specs.

    Args:
        candidates: the strata.
        constraints: of the spec; nothing meets them all.
        unit: what "as large as possible" counts.
        solves: whether a mixture meets other constraints; each spec is tried before it is named.
        certain: whether it is proven that nothing meets the constraints.
    """
    units = {"samples", unit, *(c.unit for c in constraints)}
    costs = {u: candidates.means(u) for u in units}
    total = next((c for c in constraints if c.kind == "total"), None)
    lines = ["no mixture satisfies it" if certain else f"no mixture was found; {UNSURE}"]
    if int(candidates.limit.sum()) == 0:
        return "no mixture satisfies it: no sample is available; loosen where, caps or subset"
    tested: list[Constraint] = list(constraints)
    if total is None:  # without a total the empty mixture is feasible: require some samples
        everything = np.ones(len(candidates.strata), np.bool_)
        least = max(1.0, 1e-3 * _scale(candidates, costs[unit]))
        tested.append(
            Constraint(
                key="total", kind="total", members=everything, unit=unit, low=least, high=np.inf
            )
        )
    binding = _conflict(candidates, tested, costs)
    if binding:
        named = [str(c) for c in binding if not (total is None and c.key == "total")]
        what = (
            "in conflict" if certain else "in conflict where samples cost what they cost on average"
        )
        lines.append(f"{what}: {'; '.join(named) or 'what the components take'}")
        lines.append(f"available: {'; '.join(_available(candidates, c, costs) for c in binding)}")
    taken = sum(s.fixed or 0 for s in candidates.strata)
    if taken:
        lines.append(f"`take` fixes {taken:,} samples; `flexible: true` makes it an upper bound")
    if total is not None:
        size = _nearest_total(candidates, constraints, costs, solves)
        lines.append(f"nearest: total {size}, all else unchanged" if size else "")
    changes = _nearest_shares(constraints, _relaxed(candidates, constraints, costs), solves)
    if changes:
        kept = "with the same total" if total is not None else "with the least change"
        lines.append(f"nearest, {kept}: {'; '.join(changes)}")
    return "\n  ".join(line for line in lines if line)

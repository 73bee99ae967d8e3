"""Why no mixture satisfies a spec: the constraints in conflict, and the nearest feasible ones."""

from collections.abc import Sequence

import numpy as np

from smolmix.mixtures.candidates.strata import Candidates, Floats
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.linear_program import Program, optimise, program


def _feasible(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats]
) -> bool:
    p = program(candidates, constraints, costs)
    return optimise(p, np.zeros(len(p.limit))).drawn is not None


def _conflict(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats]
) -> list[Constraint]:
    """Return constraints that cannot hold together, though any of them less could."""
    kept = list(constraints)
    for constraint in constraints:
        without = [c for c in kept if c is not constraint]
        if not _feasible(candidates, without, costs):
            kept = without
    return kept


def _relaxed(
    candidates: Candidates, constraints: Sequence[Constraint], costs: dict[str, Floats]
) -> list[str]:
    """Return what each constraint would have to become, with the least change in total."""
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
        if value < constraint.low - 5e-4 * max(
            1.0, constraint.low
        ) or value > constraint.high + 5e-4 * max(1.0, constraint.high):
            shown = f"{value:.4g} s" if constraint.kind == "mean" else f"{100 * value:.4g} %"
            changes.append(f"{constraint} becomes {shown}")
    return changes


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


def explain(candidates: Candidates, constraints: Sequence[Constraint], unit: str) -> str:
    """Return, in a few lines, the constraints in conflict and the nearest feasible specs.

    Args:
        candidates: the strata.
        constraints: of the spec; nothing meets them all.
        unit: what "as large as possible" counts.
    """
    units = {"samples", unit, *(c.unit for c in constraints)}
    costs = {u: candidates.means(u) for u in units}
    total = next((c for c in constraints if c.kind == "total"), None)
    lines = ["no mixture satisfies it"]
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
        lines.append(f"in conflict: {'; '.join(named) or 'what the components take'}")
        lines.append(f"available: {'; '.join(_available(candidates, c, costs) for c in binding)}")
    taken = sum(s.fixed or 0 for s in candidates.strata)
    if taken:
        lines.append(f"`take` fixes {taken:,} samples; `flexible: true` makes it an upper bound")
    if total is not None:
        least, most = _extremes(candidates, constraints, costs, total.unit)
        nearest = least if total.low < least else most
        if nearest >= 1:
            lines.append(f"nearest: total {nearest:,.0f} {total.unit}, all else unchanged")
    changes = _relaxed(candidates, constraints, costs)
    if changes:
        kept = "with the same total" if total is not None else "with the least change"
        lines.append(f"nearest, {kept}: {'; '.join(changes)}")
    return "\n  ".join(line for line in lines if line)

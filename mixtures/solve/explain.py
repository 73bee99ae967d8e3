"""Why no mixture satisfies a spec, which wishes bind, and the nearest that would do."""

from collections.abc import Sequence

import numpy as np

from smolmix.mixtures.candidates.supply import Floats, Supply
from smolmix.mixtures.solve.constraints import Constraint
from smolmix.mixtures.solve.linear_program import Program, optimise, program


def _feasible(supply: Supply, wishes: Sequence[Constraint], costs: dict[str, Floats]) -> bool:
    p = program(supply, wishes, costs)
    return optimise(p, np.zeros(len(p.limit))).draws is not None


def _conflict(
    supply: Supply, wishes: Sequence[Constraint], costs: dict[str, Floats]
) -> list[Constraint]:
    """Return wishes that cannot be met together, while any one fewer could be."""
    kept = list(wishes)
    for wish in wishes:
        without = [w for w in kept if w is not wish]
        if not _feasible(supply, without, costs):
            kept = without
    return kept


def _relaxed(supply: Supply, wishes: Sequence[Constraint], costs: dict[str, Floats]) -> list[str]:
    """Return what each wish would have to become, changing as little as possible in all."""
    total = next((w for w in wishes if w.kind == "total"), None)
    unit = total.unit if total is not None else "samples"
    size = total.low if total is not None else _scale(supply, costs[unit])
    soft = [w for w in wishes if w.kind in ("share", "mean")]
    hard = [w for w in wishes if w.kind not in ("share", "mean", "total")]
    n = len(supply.strata)
    p = program(supply, hard, costs)
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
    for i, wish in enumerate(soft):
        for coefficients, lower, upper in wish.rows(costs):
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
    if answer.draws is None:
        return []
    draws = answer.draws[:n]
    totals = {u: c * draws for u, c in costs.items()}
    changes = []
    for wish in soft:
        value = wish.value(totals)
        if value < wish.low - 5e-4 * max(1.0, wish.low) or value > wish.high + 5e-4 * max(
            1.0, wish.high
        ):
            shown = f"{value:.4g} s" if wish.kind == "mean" else f"{100 * value:.4g} %"
            changes.append(f"{wish.say()} becomes {shown}")
    return changes


def _there(supply: Supply, wish: Constraint, costs: dict[str, Floats]) -> str:
    """Return how much the wish has to draw on, epochs counted."""
    inside = supply.limit * wish.members
    if wish.kind == "total":
        return f"{float(inside @ costs[wish.unit]):,.0f} {wish.unit} in all"
    count = float(inside.sum())
    if wish.kind == "mean":
        mean = float(inside @ costs[wish.unit]) / count if count else 0.0
        return f"{count:,.0f} videos with a mean of {mean:.4g} s"
    return f"{float(inside @ costs[wish.unit]):,.0f} {wish.unit} for {wish.key}"


def _scale(supply: Supply, cost: Floats) -> float:
    fixed = np.array([s.fixed or 0 for s in supply.strata], np.float64)
    taken = float(fixed @ cost)
    return taken if taken else 0.01 * float(supply.limit @ cost)


def _extremes(
    supply: Supply, wishes: Sequence[Constraint], costs: dict[str, Floats], unit: str
) -> tuple[float, float]:
    """Return the smallest and the largest total that the other wishes allow, or zeros."""
    p = program(supply, [w for w in wishes if w.kind != "total"], costs)
    found = [optimise(p, sign * costs[unit]).draws for sign in (1, -1)]
    least, most = (0.0 if d is None else float(d @ costs[unit]) for d in found)
    return least, most


def explain(supply: Supply, wishes: Sequence[Constraint], unit: str) -> str:
    """Return, in a few lines, what binds and the nearest specs that are feasible.

    Args:
        supply: the strata.
        wishes: the spec's constraints, which no draws meet.
        unit: what "as large as possible" counts.
    """
    units = {"samples", unit, *(w.unit for w in wishes)}
    costs = {u: supply.means(u) for u in units}
    total = next((w for w in wishes if w.kind == "total"), None)
    lines = ["no mixture satisfies it"]
    if int(supply.limit.sum()) == 0:
        return "no mixture satisfies it: no sample is left; loosen where, caps or subset"
    tested: list[Constraint] = list(wishes)
    if total is None:  # feasible with nothing at all: ask for something
        everything = np.ones(len(supply.strata), np.bool_)
        least = max(1.0, 1e-3 * _scale(supply, costs[unit]))
        tested.append(
            Constraint(
                key="total", kind="total", members=everything, unit=unit, low=least, high=np.inf
            )
        )
    binding = _conflict(supply, tested, costs)
    if binding:
        said = [w.say() for w in binding if not (total is None and w.key == "total")]
        lines.append(f"these bind together: {'; '.join(said) or 'what the components take'}")
        lines.append(f"there are: {'; '.join(_there(supply, w, costs) for w in binding)}")
    taken = sum(s.fixed or 0 for s in supply.strata)
    if taken:
        lines.append(f"components take {taken:,} samples whatever the rest; `flexible` frees them")
    if total is not None:
        least, most = _extremes(supply, wishes, costs, total.unit)
        nearest = least if total.low < least else most
        if nearest >= 1:
            lines.append(f"nearest: total {nearest:,.0f} {total.unit}, all else kept")
    changes = _relaxed(supply, wishes, costs)
    if changes:
        kept = "with the total kept" if total is not None else "with the least change"
        lines.append(f"nearest, {kept}: {'; '.join(changes)}")
    return "\n  ".join(line for line in lines if line)

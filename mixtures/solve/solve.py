"""From a supply to whole draws and their order: solve, round, place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.candidates.supply import Floats, Ints, Supply
from smolmix.mixtures.solve.constraints import Constraint, constraints
from smolmix.mixtures.solve.explain import explain
from smolmix.mixtures.solve.linear_program import solve
from smolmix.mixtures.solve.order import CapsDoNotFitError, mix_order
from smolmix.mixtures.solve.rounding import Reached, reached, whole_draws
from smolmix.mixtures.spec.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A solved mixture."""

    supply: Supply
    wishes: Sequence[Constraint]
    draws: Ints  # (strata,)
    reached: Sequence[Reached]
    binding: Sequence[str]
    worth: Mapping[str, float]


def solve_spec(spec: Spec, supply: Supply, where: str) -> Mix:
    """Return whole draws of each stratum.

    Raises:
        InfeasibleError: none meet the spec; the message names what binds and what would do.
    """
    try:
        wishes = constraints(spec, supply)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {error}") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    unit = spec.unit
    try:
        found = solve(supply, wishes, unit)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {explain(supply, wishes, unit)}") from error
    try:
        draws = whole_draws(supply, wishes, found.draws)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {error}") from error
    if draws.sum() == 0:
        raise InfeasibleError(f"{where}: {explain(supply, wishes, unit)}")
    return Mix(
        supply=supply,
        wishes=wishes,
        draws=draws,
        reached=reached(supply, wishes, draws),
        binding=found.binding,
        worth=found.worth,
    )


def _draw_costs(supply: Supply, draws: Ints, unit: str) -> Floats:
    """Return the cost of each draw, in order of stratum and draw."""
    assert supply.prefix is not None
    size = np.diff(supply.prefix.starts)
    sums = supply.prefix.sums[unit]
    strata = np.repeat(np.arange(len(draws)), draws)
    within = np.arange(len(strata)) - np.repeat(np.cumsum(draws) - draws, draws)
    at = supply.prefix.starts[strata] + within % size[strata]
    return np.asarray(sums[at + 1] - sums[at], np.float64)


def arrange(spec: Spec, mix: Mix) -> tuple[Ints, Ints]:
    """Return, for each position of the mixture, the stratum and which of its draws stands there.

    Raises:
        InfeasibleError: capped draws cannot be placed so that every prefix keeps the caps.
    """
    supply = mix.supply
    cells = sorted(set(spec.shares) | ({"component"} if _component_shares(spec) else set()))
    capped: dict[str, tuple[NDArray[np.bool_], float]] = {
        w.key: (w.members, w.high) for w in mix.wishes if w.kind == "cap" and w.high < 1
    }
    costs = _draw_costs(supply, mix.draws, spec.unit) if spec.unit != "samples" else None
    try:
        return mix_order(
            supply,
            mix.draws,
            cells=cells or ["modality"],
            capped=capped,
            costs=costs,
            seed=spec.seed,
        )
    except CapsDoNotFitError as error:
        raise InfeasibleError(
            f"{spec.name}: caps {' and '.join(capped)} leave no order that keeps them at every "
            "prefix; lower one of them"
        ) from error


def _component_shares(spec: Spec) -> bool:
    return any(c.share is not None for c in spec.components.values())

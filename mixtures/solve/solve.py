"""From candidates to whole numbers of samples and their order: solve, round, order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.candidates.strata import Candidates, Floats, Ints
from smolmix.mixtures.solve.constraints import Constraint, spec_constraints
from smolmix.mixtures.solve.explain import explain
from smolmix.mixtures.solve.linear_program import solve
from smolmix.mixtures.solve.order import CapsDoNotFitError, mix_order
from smolmix.mixtures.solve.rounding import Achieved, achieved_by, round_to_samples
from smolmix.mixtures.spec.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """A solved mixture."""

    candidates: Candidates
    constraints: Sequence[Constraint]
    drawn: Ints  # (strata,) samples, each copy counted
    achieved: Sequence[Achieved]
    binding: Sequence[str]  # keys of the constraints that keep the total from growing
    shadow_prices: Mapping[str, float]  # exhausted component -> growth of the total by one sample


def solve_spec(spec: Spec, candidates: Candidates, where: str) -> Mix:
    """Return the solved mixture: how many samples each stratum gives.

    Args:
        spec: the mixture.
        candidates: the strata.
        where: the spec's file, for messages.

    Raises:
        InfeasibleError: nothing meets the spec; the message names the binding constraints and the
            nearest feasible ones.
    """
    try:
        constraints = spec_constraints(spec, candidates)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {error}") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    unit = spec.unit
    try:
        found = solve(candidates, constraints, unit)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {explain(candidates, constraints, unit)}") from error
    try:
        drawn = round_to_samples(candidates, constraints, found.drawn)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {error}") from error
    if drawn.sum() == 0:
        raise InfeasibleError(f"{where}: {explain(candidates, constraints, unit)}")
    return Mix(
        candidates=candidates,
        constraints=constraints,
        drawn=drawn,
        achieved=achieved_by(candidates, constraints, drawn),
        binding=found.binding,
        shadow_prices=found.shadow_prices,
    )


def _sample_costs(candidates: Candidates, drawn: Ints, unit: str) -> Floats:
    """Return the cost of each sample drawn, in order of stratum and hash."""
    assert candidates.running is not None
    size = np.diff(candidates.running.starts)
    sums = candidates.running.sums[unit]
    strata = np.repeat(np.arange(len(drawn)), drawn)
    within = np.arange(len(strata)) - np.repeat(np.cumsum(drawn) - drawn, drawn)
    at = candidates.running.starts[strata] + within % size[strata]
    return np.asarray(sums[at + 1] - sums[at], np.float64)


def arrange(spec: Spec, mix: Mix) -> tuple[Ints, Ints]:
    """Return (samples,) each position's stratum, and which of the stratum's samples it gets.

    Args:
        spec: the mixture.
        mix: its solution.

    Raises:
        InfeasibleError: capped samples cannot be placed so that every prefix keeps the caps.
    """
    candidates = mix.candidates
    cells = sorted(set(spec.shares) | ({"component"} if _component_shares(spec) else set()))
    capped: dict[str, tuple[NDArray[np.bool_], float]] = {
        c.key: (c.members, c.high) for c in mix.constraints if c.kind == "cap" and c.high < 1
    }
    costs = _sample_costs(candidates, mix.drawn, spec.unit) if spec.unit != "samples" else None
    try:
        return mix_order(
            candidates,
            mix.drawn,
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

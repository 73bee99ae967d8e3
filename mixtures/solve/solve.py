"""From candidates to whole numbers of samples and their order: solve, round, order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.candidates.strata import Candidates, Floats, Ints
from smolmix.mixtures.solve.constraints import Constraint, spec_constraints
from smolmix.mixtures.solve.explain import UNSURE, explain
from smolmix.mixtures.solve.linear_program import Solution, solve
from smolmix.mixtures.solve.order import CapsDoNotFitError, mix_order
from smolmix.mixtures.solve.rounding import Achieved, achieved_by, round_to_samples
from smolmix.mixtures.solve.whole_samples import search
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
        InfeasibleError: nothing meets the spec, or nothing was found that does, and the message
            says which; it names the binding constraints and the nearest feasible ones.
    """
    try:
        constraints = spec_constraints(spec, candidates)
    except InfeasibleError as error:
        raise InfeasibleError(f"{where}: {error}") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    found = _attempt(candidates, constraints, spec.unit)
    if found.drawn is None or found.solution is None:
        raise InfeasibleError(f"{where}: {_refusal(candidates, constraints, spec.unit, found)}")
    return Mix(
        candidates=candidates,
        constraints=constraints,
        drawn=found.drawn,
        achieved=achieved_by(candidates, constraints, found.drawn),
        binding=found.solution.binding,
        shadow_prices=found.solution.shadow_prices,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What was found for some constraints: whole samples, or why there are none."""

    solution: Solution | None  # of the linear program; None where it proves that there is none
    drawn: Ints | None  # (strata,) whole samples
    certain: bool = True  # without samples: that there are none is proven
    rounding: str = ""  # what rounding could not meet


def _attempt(
    candidates: Candidates, constraints: Sequence[Constraint], unit: str, *, searched: bool = True
) -> _Attempt:
    """Return whole samples that meet the constraints: rounded, or searched where that fails."""
    try:
        solution = solve(candidates, constraints, unit)
    except InfeasibleError:
        return _Attempt(solution=None, drawn=None)
    try:
        drawn = round_to_samples(candidates, constraints, solution.drawn)
        if drawn.sum() > 0:
            return _Attempt(solution=solution, drawn=drawn)
        rounding = ""
    except InfeasibleError as error:
        rounding = str(error)
    if not searched:
        return _Attempt(solution=solution, drawn=None, certain=False, rounding=rounding)
    found = search(candidates, constraints, solution.drawn, unit)
    return _Attempt(solution=solution, drawn=found.drawn, certain=found.certain, rounding=rounding)


def _refusal(
    candidates: Candidates, constraints: Sequence[Constraint], unit: str, attempt: _Attempt
) -> str:
    """Return why there is no mixture, or that none was found, and what is near."""
    if attempt.rounding and attempt.solution is not None and attempt.solution.exact:
        doubt = "" if attempt.certain else f"; {UNSURE}: not every choice of samples was tried"
        return attempt.rounding + doubt
    return explain(
        candidates,
        constraints,
        unit,
        solves=lambda changed: (
            _attempt(candidates, changed, unit, searched=False).drawn is not None
        ),
        certain=attempt.certain,
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

"""The result of a plan's trials: means over seeds, differences between arms, and claims.

Confidence intervals are Student's t over seeds. A seed changes the initial weights, which samples
the mixture selects, and their order; so an interval holds for another run on the same questions.
The variance is pooled over all arms of the plan: three seeds per arm are too few to estimate it
arm by arm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from smolmix.errors import UsageError
from smolmix.pipelines.ablations.plan import AblationPlan, Expectation

_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One arm on one measure; scores are fractions."""

    arm: str
    measure: str
    scores: tuple[float, ...]  # by seed
    mean: float
    low: float
    high: float
    baseline: float  # score of answering from the question alone, mean over seeds
    questions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How much better `arm` is than `than` on a measure, in score."""

    arm: str
    than: str
    measure: str
    difference: float
    low: float
    high: float
    p: float  # two-sided


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """Whether the measured effect supports a published claim."""

    claim: Mapping[str, str]
    effect: Effect
    result: str  # agreed | disagreed | undecided


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationResult:
    """Everything that a plan's trials show."""

    cells: tuple[Cell, ...]
    effects: tuple[Effect, ...]  # of each arm against the baseline
    claims: tuple[ClaimResult, ...]
    cost: Mapping[str, Mapping[str, float]]  # arm -> mean steps, tokens, supervised, tiles

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; what a single seed cannot give is None."""
        value: dict[str, Any] = _without_nan(asdict(self))
        return value


def score_of(result: Mapping[str, Any], measure: str) -> Mapping[str, Any]:
    """Return one score of a trial.

    Args:
        result: the trial's result file.
        measure: a corpus, or `corpus/group/member` such as `easy-vqa/kind/other`.

    Raises:
        UsageError: the trial has no such score.
    """
    corpus, *group = measure.split("/")
    scores = result["scores"][corpus]
    if not group:
        found: Mapping[str, Any] = scores["overall"]
        return found
    by = {k.removeprefix("by_"): v for k, v in scores.items() if k.startswith("by_")}
    kind, member = group
    if kind not in by or member not in by[kind]:
        known = [f"{k}/{m}" for k, members in by.items() for m in members]
        raise UsageError(
            f"measure {measure!r}: {corpus} has no such group; it has {', '.join(known)}"
        )
    found = by[kind][member]
    return found


def ablation_result(
    plan: AblationPlan, results: Mapping[tuple[str, int], Mapping[str, Any]]
) -> AblationResult:
    """Return means, effects and claims computed from the results by (arm, seed).

    Raises:
        UsageError: a measure names a group that a corpus does not have.
    """
    cells, effects, claims = [], [], []
    for measure in plan.measures:
        found = {
            arm: [score_of(results[arm, seed], measure) for seed in plan.seeds] for arm in plan.arms
        }
        values = {arm: np.array([s["score"] for s in scores]) for arm, scores in found.items()}
        spread, freedom = _pooled(list(values.values()))
        for arm, scores in found.items():
            half = _t(freedom) * spread / np.sqrt(len(scores))
            mean = float(values[arm].mean())
            cells.append(
                Cell(
                    arm=arm,
                    measure=measure,
                    scores=tuple(map(float, values[arm])),
                    mean=mean,
                    low=mean - float(half),
                    high=mean + float(half),
                    baseline=float(np.mean([s["baseline"] for s in scores])),
                    questions=int(scores[0]["questions"]),
                )
            )
        effects += [
            _effect(arm, plan.baseline, measure, values, spread, freedom)
            for arm in plan.arms
            if arm != plan.baseline
        ]
        for expected in plan.expect:
            if expected.measure == measure:
                effect = _effect(expected.arm, expected.than, measure, values, spread, freedom)
                claims.append(
                    ClaimResult(
                        claim=expected.model_dump(by_alias=True),
                        effect=effect,
                        result=_decide(expected, effect),
                    )
                )
    return AblationResult(
        cells=tuple(cells),
        effects=tuple(effects),
        claims=tuple(claims),
        cost={arm: _cost([results[arm, seed]["cost"] for seed in plan.seeds]) for arm in plan.arms},
    )


def _pooled(groups: Sequence[Any]) -> tuple[float, int]:
    """Return the pooled standard deviation and its degrees of freedom."""
    freedom = sum(len(g) - 1 for g in groups)
    if freedom == 0:
        return float("nan"), 0
    squares = sum(float(((g - g.mean()) ** 2).sum()) for g in groups)
    return float(np.sqrt(squares / freedom)), freedom


def _t(freedom: int) -> float:
    return float(stats.t.ppf(0.5 + _LEVEL / 2, freedom)) if freedom else float("nan")


def _effect(
    arm: str, than: str, measure: str, values: Mapping[str, Any], spread: float, freedom: int
) -> Effect:
    a, b = values[arm], values[than]
    difference = float(a.mean() - b.mean())
    error = spread * float(np.sqrt(1 / len(a) + 1 / len(b)))
    half = _t(freedom) * error
    if error > 0:
        p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    else:
        p = float("nan") if freedom == 0 else float(difference == 0)
    return Effect(
        arm=arm,
        than=than,
        measure=measure,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p=p,
    )


def _decide(expected: Expectation, effect: Effect) -> str:
    """Return whether the interval excludes zero, and on which side of the claim."""
    above, below = effect.low > 0, effect.high < 0
    agreed, disagreed = (above, below) if expected.is_ == "better" else (below, above)
    return "agreed" if agreed else "disagreed" if disagreed else "undecided"


def _cost(costs: Sequence[Mapping[str, int]]) -> dict[str, float]:
    return {name: float(np.mean([c[name] for c in costs])) for name in costs[0]}


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and np.isnan(value) else value

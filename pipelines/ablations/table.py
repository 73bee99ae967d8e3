"""An ablation's result as a Markdown table and a figure."""

import math
from collections.abc import Iterator
from typing import Any

import altair as alt
import vl_convert

from smolmix.pipelines.ablations.effects import AblationResult, Cell, Effect
from smolmix.pipelines.ablations.plan import AblationPlan


def lines(plan: AblationPlan, result: AblationResult) -> Iterator[str]:
    """Yield the lines of a Markdown table with one row per arm, then one line per claim."""
    seeds = f"{len(plan.seeds)} seeds"
    yield f"{plan.question} Scores in %: mean over {seeds} ± 95 % confidence interval;"
    yield f"in brackets the difference from {plan.baseline}."
    yield ""
    heads = ["arm", *plan.measures, "tokens", "supervised", "tiles"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    effects = {(e.arm, e.measure): e for e in result.effects}
    cells = {(c.arm, c.measure): c for c in result.cells}
    for arm in plan.arms:
        row = [_cell(cells[arm, m], effects.get((arm, m))) for m in plan.measures]
        cost = result.cost[arm]
        row += [f"{cost[k]:,.0f}" for k in ("tokens", "supervised", "tiles")]
        yield f"| {arm} | {' | '.join(row)} |"
    blind = [f"{100 * cells[plan.baseline, m].baseline:.1f}" for m in plan.measures]
    yield f"| *question alone* | {' | '.join(blind)} | | | |"
    asked = [f"{cells[plan.baseline, m].questions:,}" for m in plan.measures]
    yield f"| *questions* | {' | '.join(asked)} | | | |"
    if result.claims:
        yield ""
    for one in result.claims:
        claim, effect = one.claim, one.effect
        yield (
            f"- **{one.result}**: {claim['arm']} is {claim['is']} than {claim['than']} on "
            f"{claim['measure']} ({claim['source']}): {_points(effect)}"
        )


def _cell(cell: Cell, effect: Effect | None) -> str:
    text = f"{100 * cell.mean:.1f}"
    if not math.isnan(cell.high):  # a single seed has no interval
        text += f" ± {100 * (cell.high - cell.mean):.1f}"
    return text if effect is None else f"{text} ({100 * effect.difference:+.1f})"


def _points(effect: Effect) -> str:
    if math.isnan(effect.low):
        return f"{100 * effect.difference:+.1f} points (one seed: no interval)"
    low, high = 100 * effect.low, 100 * effect.high
    return f"{100 * effect.difference:+.1f} points ({low:+.1f} to {high:+.1f})"


def _data(rows: list[dict[str, Any]]) -> Any:
    """Return rows for Vega-Lite with NaN as null: a single seed has no interval."""
    return {"values": [{k: None if v != v else v for k, v in row.items()} for row in rows]}


def figure(plan: AblationPlan, result: AblationResult) -> str:
    """Return an SVG that shows each arm's mean, interval and seeds for every measure."""
    means = [
        {"arm": c.arm, "measure": c.measure, "score": 100 * c.mean,
         "low": 100 * c.low, "high": 100 * c.high, "blind": 100 * c.baseline}
        for c in result.cells
    ]  # fmt: skip
    seeds = [
        {"arm": c.arm, "measure": c.measure, "score": 100 * s}
        for c in result.cells
        for s in c.scores
    ]
    arms = alt.Y("arm:N", sort=list(plan.arms), title=None)
    score = alt.X("score:Q", title="score, %", scale=alt.Scale(zero=False))
    base: Any = alt.Chart(_data(means))
    panels = []
    for measure in plan.measures:
        here = base.transform_filter(alt.datum.measure == measure)
        dots: Any = alt.Chart(_data(seeds)).transform_filter(alt.datum.measure == measure)
        panels.append(
            alt.layer(
                here.mark_rule(color="#999", strokeDash=[3, 3]).encode(
                    x=alt.X("blind:Q", aggregate="mean")
                ),
                here.mark_rule(strokeWidth=2, color="#3b82c4").encode(
                    x=alt.X("low:Q", title="score, %", scale=alt.Scale(zero=False)),
                    x2="high:Q",
                    y=arms,
                ),
                dots.mark_point(size=22, color="#7f8c8d", opacity=0.7).encode(x=score, y=arms),
                here.mark_point(filled=True, size=70, color="#3b82c4").encode(x=score, y=arms),
            ).properties(title=measure, width=260, height=max(60, 24 * len(plan.arms)))
        )
    chart = alt.hconcat(*panels).properties(title=plan.question)
    return str(vl_convert.vegalite_to_svg(chart.to_json()))

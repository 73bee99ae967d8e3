"""What a person reads of a plan's outcome: a table in Markdown and one figure."""

import math
from collections.abc import Iterator
from typing import Any

import altair as alt
import vl_convert

from smolmix.pipelines.ablations.effects import Cell, Effect, Outcome
from smolmix.pipelines.ablations.plan import Plan


def lines(plan: Plan, outcome: Outcome) -> Iterator[str]:
    """Yield the table in Markdown: an arm a row, and what became of each claim."""
    yield f"{plan.question} Scores in %, mean over {len(plan.seeds)} seeds with 95 % intervals;"
    yield f"in brackets the difference to {plan.baseline}."
    yield ""
    heads = ["arm", *plan.measures, "tokens", "supervised", "tiles"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'---:|' * (len(heads) - 1)}"
    effects = {(e.arm, e.measure): e for e in outcome.effects}
    cells = {(c.arm, c.measure): c for c in outcome.cells}
    for arm in plan.arms:
        row = [_cell(cells[arm, m], effects.get((arm, m))) for m in plan.measures]
        cost = outcome.cost[arm]
        row += [f"{cost[k]:,.0f}" for k in ("tokens", "supervised", "tiles")]
        yield f"| {arm} | {' | '.join(row)} |"
    blind = [f"{100 * cells[plan.baseline, m].baseline:.1f}" for m in plan.measures]
    yield f"| *without looking* | {' | '.join(blind)} | | | |"
    asked = [f"{cells[plan.baseline, m].questions:,}" for m in plan.measures]
    yield f"| *questions* | {' | '.join(asked)} | | | |"
    if outcome.verdicts:
        yield ""
    for verdict in outcome.verdicts:
        claim, effect = verdict.expectation, verdict.effect
        yield (
            f"- **{verdict.verdict}**: {claim['arm']} is {claim['is']} than {claim['than']} on "
            f"{claim['measure']} ({claim['source']}): {_points(effect)}"
        )


def _cell(cell: Cell, effect: Effect | None) -> str:
    text = f"{100 * cell.mean:.1f}"
    if not math.isnan(cell.high):  # one seed says nothing of the spread
        text += f" ± {100 * (cell.high - cell.mean):.1f}"
    return text if effect is None else f"{text} ({100 * effect.difference:+.1f})"


def _points(effect: Effect) -> str:
    if math.isnan(effect.low):
        return f"{100 * effect.difference:+.1f} points (one seed: no interval)"
    low, high = 100 * effect.low, 100 * effect.high
    return f"{100 * effect.difference:+.1f} points ({low:+.1f} to {high:+.1f})"


def _data(rows: list[dict[str, Any]]) -> Any:
    """Return rows for Vega-Lite; one seed has no interval, and JSON no NaN."""
    return {"values": [{k: None if v != v else v for k, v in row.items()} for row in rows]}


def figure(plan: Plan, outcome: Outcome) -> str:
    """Return an SVG: for each measure, each arm's mean, interval and single seeds."""
    means = [
        {"arm": c.arm, "measure": c.measure, "score": 100 * c.mean,
         "low": 100 * c.low, "high": 100 * c.high, "blind": 100 * c.baseline}
        for c in outcome.cells
    ]  # fmt: skip
    seeds = [
        {"arm": c.arm, "measure": c.measure, "score": 100 * s}
        for c in outcome.cells
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

"""The packing plans and training runs of a mixture."""

from typing import Any

import polars as pl

from smolmix.model.train import run_record
from smolmix.pipelines.report.figures.shapes import label
from smolmix.tokenize.shards.packing_plan import PackingRecord, plans, sequence_sizes
from smolmix.workspace import Workspace

_POINTS = 120  # of a curve; longer curves are reduced to block means
_FULLNESS_BINS = 20


def packing(workspace: Workspace, mixture: str) -> list[dict[str, Any]]:
    """Return each packing plan of the mixture: how many sequences, and how full they are."""
    out = []
    for folder in plans(workspace, mixture):
        record = PackingRecord.read(folder)
        plan = pl.DataFrame(sequence_sizes(folder))
        budget = record.budget_tokens
        full = (plan["tokens"] * _FULLNESS_BINS // budget).clip(0, _FULLNESS_BINS - 1)
        counts = full.value_counts().sort("tokens").rows()
        bins = dict.fromkeys(range(_FULLNESS_BINS), 0) | {int(k): int(n) for k, n in counts}
        step = 100 // _FULLNESS_BINS
        out.append(
            {
                "name": folder.name,
                "budget_tokens": budget,
                "budget_tiles": record.budget_tiles,
                "sequences": plan.height,
                "documents": record.documents,
                "tokens": int(plan["tokens"].sum()),
                "tiles": int(plan["tiles"].sum()),
                "fill": float(plan["tokens"].sum()) / (plan.height * budget),
                "dropped": record.dropped,
                "bins": [
                    {"at": k, "full": label(step * k, step * (k + 1)) + " %", "sequences": n}
                    for k, n in bins.items()
                ],
            }
        )
    return out


def thinned(steps: list[int], values: list[float]) -> list[tuple[int, float]]:
    """Return (last step, mean value) of at most `_POINTS` blocks of equal length."""
    size = max(1, -(-len(steps) // _POINTS))
    return [
        (
            steps[min(i + size, len(steps)) - 1],
            sum(values[i : i + size]) / len(values[i : i + size]),
        )
        for i in range(0, len(steps), size)
    ]


def runs(workspace: Workspace, mixture: str) -> list[dict[str, Any]]:
    """Return the training runs that used the mixture, with total and grouped loss curves.

    A run that does not record its mixtures is assumed to have used this one.
    """
    out = []
    for name in run_record.trained_runs(workspace):
        folder = workspace.run(name)
        metrics = run_record.read_metrics(folder)
        if not metrics or not run_record.may_have_used(folder, mixture):
            continue
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for line in metrics:
            values = {"total": line.get("loss"), **line.get("losses", {})}
            for group, loss in values.items():
                if isinstance(loss, int | float):
                    steps, losses = curves.setdefault(group, ([], []))
                    steps.append(int(line["step"]))
                    losses.append(float(loss))
        spent = run_record.totals(metrics, run_record.read_timing(folder))
        out.append(
            {
                "name": name,
                "steps": spent.steps,
                "loss": metrics[-1]["loss"],
                "tokens": spent.tokens,
                "tokens_per_s": spent.tokens_per_s,
                "curves": [
                    {"run": name, "group": group, "step": step, "loss": loss}
                    for group, (steps, losses) in sorted(curves.items())
                    for step, loss in thinned(steps, losses)
                ],
                "evaluation": [
                    row
                    for corpus, result in run_record.read_scores(folder).items()
                    for row in scores(corpus, result)
                ],
            }
        )
    return out


def scores(corpus: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return an evaluation's scores as rows: overall, by category, by kind, by subset."""
    groups = {"overall": {"": result.get("overall", {})}}
    groups |= {k.removeprefix("by_"): v for k, v in sorted(result.items()) if k.startswith("by_")}
    return [
        {"corpus": corpus, "metric": result.get("metric", ""), "by": by, "group": group}
        | {k: one.get(k) for k in ("score", "low", "high", "baseline", "questions")}
        for by, table in groups.items()
        for group, one in table.items()
    ]

"""The packing plans and training runs of a mixture."""

from typing import Any

import polars as pl

from smolmix.pipelines.report.figures.shapes import label
from smolmix.pipelines.stats.others import read_lines
from smolmix.storage import Folder
from smolmix.tokenize.shards.packing_plan import PackingRecord, plans, sequence_sizes
from smolmix.workspace import Workspace

_POINTS = 120  # of a curve; longer curves are reduced to block means
_FULLNESS_BINS = 20


def _children(folder: Folder) -> list[str]:
    if not folder.exists():
        return []
    return sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in folder.fs.ls(folder.path, detail=False))


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
    for name in _children(workspace.child("runs")):
        folder = workspace.run(name)
        metrics = read_lines(folder, "metrics.jsonl")
        if not metrics or not _uses(folder, mixture):
            continue
        curves: dict[str, tuple[list[int], list[float]]] = {}
        for line in metrics:
            values = {"total": line.get("loss"), **line.get("losses", {})}
            for group, loss in values.items():
                if isinstance(loss, int | float):
                    steps, losses = curves.setdefault(group, ([], []))
                    steps.append(int(line["step"]))
                    losses.append(float(loss))
        timing = read_lines(folder, "timing.jsonl")
        seconds = sum(float(t.get("seconds", 0)) for t in timing)
        tokens = sum(int(m.get("tokens", 0)) for m in metrics)
        here = folder.child("evaluation")
        out.append(
            {
                "name": name,
                "steps": int(metrics[-1]["step"]),
                "loss": metrics[-1]["loss"],
                "tokens": tokens,
                "tokens_per_s": tokens / seconds if seconds else None,
                "curves": [
                    {"run": name, "group": group, "step": step, "loss": loss}
                    for group, (steps, losses) in sorted(curves.items())
                    for step, loss in thinned(steps, losses)
                ],
                "evaluation": [
                    row
                    for n in here.names(".json")
                    for row in scores(n.removesuffix(".json"), here.read_json(n))
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


def _uses(folder: Folder, mixture: str) -> bool:
    final = folder.child("final")
    if not final.exists("smolmix.json"):
        return True
    named = final.read_json("smolmix.json").get("mixtures")
    return mixture in named if named else True

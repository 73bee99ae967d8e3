"""From raw rows to a mixture's selection: how many rows each step dropped, and why."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from smolmix.pipelines.stats.dropped import reasons, scan_dropped
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

Step = dict[str, Any]

# Levels, and between them the stages that drop samples; "" is any stage of curation.
_ORDER = (
    "raw rows",
    "adapt",
    "adapted samples",
    "measure",
    "measured samples",
    "",
    "curated samples",
    "mix",
    "selected samples",
    "samples drawn, with repeats",
)


def corpus_flow(workspace: Workspace, corpus: str, samples: pl.DataFrame) -> list[Step]:
    """Return the steps of one corpus, each {step, kind, stage, unit, count}.

    `kind` is `level` for a number of rows or samples and `dropped` for a loss, in pipeline order.
    """
    curated = stage_record(workspace.curated(corpus)).accounting
    steps: list[Step] = []

    def level(step: str, unit: str, count: int) -> None:
        steps.append({"step": step, "kind": "level", "stage": "", "unit": unit, "count": count})

    def dropped(table: dict[str, int], stage: str, unit: str) -> None:
        for reason, count in table.items():
            one = {"step": reason, "kind": "dropped", "stage": stage, "unit": unit, "count": count}
            steps.append(one)

    if workspace.measured(corpus).exists(STAGE_FILE):
        measured = stage_record(workspace.measured(corpus)).accounting
        level("raw rows", "rows", measured.rows)
        dropped(measured.rows_dropped, "adapt", "rows")
        level("adapted samples", "samples", measured.samples)
        dropped(measured.dropped, "measure", "samples")
    level("measured samples", "samples", curated.samples)
    table = reasons(_of_stage(workspace, corpus)).to_dicts()
    for row in table:
        dropped({row["reason"]: row["samples"]}, row["stage"], "samples")
    level("curated samples", "samples", curated.kept)
    mine = samples.filter(pl.col("corpus") == corpus)
    distinct = mine.select(pl.struct("part", "row").n_unique()).item() if mine.height else 0
    dropped({"not selected": curated.kept - distinct}, "mix", "samples")
    level("selected samples", "samples", distinct)
    level("samples drawn, with repeats", "samples", mine.height)
    return steps


def _of_stage(workspace: Workspace, corpus: str) -> pl.LazyFrame:
    """Return the samples that curation dropped after measuring."""
    frame = scan_dropped(workspace, [corpus])
    return frame.filter(~pl.col("stage").is_in(["adapt", "measure"]))


def total_flow(flows: dict[str, list[Step]]) -> list[Step]:
    """Return the sum of the corpora's flows, in pipeline order."""
    total: dict[tuple[str, str], Step] = {}
    for steps in flows.values():
        for step in steps:
            key = (step["stage"], step["step"])
            if key in total:
                total[key]["count"] += step["count"]
            else:
                total[key] = dict(step)

    def rank(step: Step) -> tuple[int, str, int]:
        name = step["step"] if step["kind"] == "level" else step["stage"]
        place = _ORDER.index(name) if name in _ORDER else _ORDER.index("")
        return place, step["stage"], -step["count"]

    return sorted(total.values(), key=rank)


def bars(steps: Sequence[Step]) -> list[Step]:
    """Return the steps with `start` and `end`, so that each bar starts where the last one ended."""
    out, at = [], 0
    for step in steps:
        if step["kind"] == "level":
            at = step["count"]
            out.append({**step, "start": 0, "end": at})
        else:
            out.append({**step, "start": at - step["count"], "end": at})
            at -= step["count"]
    return out

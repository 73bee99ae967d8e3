"""From raw rows to a mixture's selection: what left at each step, and why."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from smolmix.pipelines.stats.dropped import reasons, scan_dropped
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

Step = dict[str, Any]

# Levels, and between them the stages at which samples leave; "" is any stage of curate.
_ORDER = (
    "raw rows",
    "adapt",
    "adapted samples",
    "measure",
    "measured samples",
    "",
    "curated samples",
    "mix",
    "picked samples",
    "draws, repeats included",
)


def corpus_flow(workspace: Workspace, corpus: str, samples: pl.DataFrame) -> list[Step]:
    """Return the steps of one corpus, each {step, kind, stage, unit, count}.

    `kind` is `level` for what is there and `left` for what went, in the order of the work.
    """
    curated = stage_record(workspace.curated(corpus)).accounting
    steps: list[Step] = []

    def level(step: str, unit: str, count: int) -> None:
        steps.append({"step": step, "kind": "level", "stage": "", "unit": unit, "count": count})

    def left(table: dict[str, int], stage: str, unit: str) -> None:
        for reason, count in table.items():
            one = {"step": reason, "kind": "left", "stage": stage, "unit": unit, "count": count}
            steps.append(one)

    if workspace.measured(corpus).exists(STAGE_FILE):
        before = stage_record(workspace.measured(corpus)).accounting
        level("raw rows", "rows", before.rows)
        left(before.rows_dropped, "adapt", "rows")
        level("adapted samples", "samples", before.samples)
        left(before.dropped, "measure", "samples")
    level("measured samples", "samples", curated.samples)
    table = reasons(_of_stage(workspace, corpus)).to_dicts()
    for row in table:
        left({row["reason"]: row["samples"]}, row["stage"], "samples")
    level("curated samples", "samples", curated.kept)
    mine = samples.filter(pl.col("corpus") == corpus)
    distinct = mine.select(pl.struct("part", "row").n_unique()).item() if mine.height else 0
    left({"not picked": curated.kept - distinct}, "mix", "samples")
    level("picked samples", "samples", distinct)
    level("draws, repeats included", "draws", mine.height)
    return steps


def _of_stage(workspace: Workspace, corpus: str) -> pl.LazyFrame:
    """Return the curated folder's dropped samples: those that left after measuring."""
    frame = scan_dropped(workspace, [corpus])
    return frame.filter(~pl.col("stage").is_in(["adapt", "measure"]))


def whole_flow(flows: dict[str, list[Step]]) -> list[Step]:
    """Return the corpora's flows added up, steps in the order of the work."""
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
    """Return the steps with `start` and `end`, so that each bar hangs where the last one ended."""
    out, at = [], 0
    for step in steps:
        if step["kind"] == "level":
            at = step["count"]
            out.append({**step, "start": 0, "end": at})
        else:
            out.append({**step, "start": at - step["count"], "end": at})
            at -= step["count"]
    return out

"""The answer to `smolmix stats`: lines for a terminal, rows for CSV, values for JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smolmix.errors import UsageError
from smolmix.fetched import fetched_corpora
from smolmix.pipelines.stats import terminal
from smolmix.pipelines.stats.dropped import examples, reasons, scan_dropped
from smolmix.pipelines.stats.measures import scan
from smolmix.pipelines.stats.others import (
    cache_numbers,
    plan_numbers,
    raw_table,
    run_numbers,
    stage_numbers,
)
from smolmix.pipelines.stats.places import Place
from smolmix.pipelines.stats.selection import scan_selection
from smolmix.pipelines.stats.summary import Summary, summarise
from smolmix.pipelines.stats.values import Distribution, Histogram
from smolmix.tokenize.shards.packing_plan import is_plan
from smolmix.workspace import STAGE_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer in three forms."""

    value: Any
    lines: list[str]
    rows: list[dict[str, Any]] = field(default_factory=list)


def _of_summary(summary: Summary) -> Answer:
    return Answer(
        value=summary.to_json(),
        lines=terminal.summary_lines(summary),
        rows=[dict(g) for g in summary.groups],
    )


def _shape(value: Mapping[str, Any]) -> Distribution:
    return Distribution(**{**value, "histogram": Histogram(**value["histogram"])})


def _of_stage(place: Place) -> Answer:
    folder = place.folder
    if is_plan(folder):
        return _of_plan(place)
    if not folder.exists(STAGE_FILE):
        rows = cache_numbers(folder)
        return Answer(value=rows, lines=[place.title, *terminal.table(rows)], rows=rows)
    value = stage_numbers(folder)
    flat = {k: v for k, v in value.items() if k not in ("columns", "info", "accounting", "rows")}
    lines = [place.title, *[f"  {k:<8} {terminal.number(v)}" for k, v in flat.items()]]
    lines += [f"  rows of {kind}: {count:,}" for kind, count in value["rows"].items()]
    lines += [f"  {k}: {terminal.plain(str(v))}" for k, v in value["info"].items()]
    for name, column in value["columns"].items():
        lines += terminal.drawn(name, _shape(column))
    rows = [
        {"column": n, "count": c["count"], "mean": c["mean"], **c["quantiles"]}
        for n, c in value["columns"].items()
    ]
    return Answer(value=value, lines=lines, rows=rows)


def _of_plan(place: Place) -> Answer:
    value = plan_numbers(place.folder)
    simple = {k: v for k, v in value.items() if k not in ("columns", "dropped")}
    lines = [place.title, *[f"  {k:<18} {terminal.number(v)}" for k, v in simple.items()]]
    lines += [f"  dropped, {reason}: {count:,}" for reason, count in value["dropped"].items()]
    for name, column in value["columns"].items():
        lines += terminal.drawn(f"{name} of a sequence", _shape(column))
    return Answer(value=value, lines=lines, rows=[simple])


_WIDE = 40  # of a run's names: the longest are "last loss of corpus/NAME"


def _scored(result: Mapping[str, Any]) -> str:
    """Return an evaluation's overall numbers on one line: `exact_match 86.7 % (86.0 to 87.3) …`."""
    whole = result["overall"]
    said = f"{terminal.plain(str(result['metric']))} {100 * whole['score']:.1f} %"
    if whole["low"] is not None:
        said += f" ({100 * whole['low']:.1f} to {100 * whole['high']:.1f})"
    return (
        f"{said}, from the question alone {100 * whole['baseline']:.1f} %; "
        f"{whole['questions']:,.0f} questions on {whole['clusters']:,} media"
    )


def _of_run(place: Place) -> Answer:
    value = run_numbers(place.folder)
    lines = [place.title]
    for name, one in value.items():
        if name == "loss":
            lines.append(f"  {'loss':<{_WIDE}} {terminal.spark(one)}")
        elif name == "losses_last":
            lines += [f"  {'last loss of ' + k:<{_WIDE}} {v:.4f}" for k, v in one.items()]
        elif name == "evaluation":
            lines += [f"  evaluation {k}: {_scored(v)}" for k, v in one.items()]
        else:
            lines.append(f"  {name.replace('_', ' '):<{_WIDE}} {terminal.number(one)}")
    row = {k: v for k, v in value.items() if not isinstance(v, dict | list)}
    return Answer(value=value, lines=lines, rows=[row])


def answer(place: Place, *, by: str = "corpus", profile: str | None = None) -> Answer:
    """Return what `stats` says of a place.

    Args:
        place: from `locate`.
        by: column to group samples by.
        profile: which counts to use, of samples and mixtures.

    Raises:
        IncompleteError: what the place names is not whole.
        UsageError: `by` or `profile` names nothing.
    """
    workspace = place.workspace
    if place.kind == "run":
        return _of_run(place)
    if place.kind == "stage":
        return _of_stage(place)
    if place.kind == "raw":
        rows = raw_table(workspace, place.names)
        return Answer(value=rows, lines=[place.title, *terminal.table(rows)], rows=rows)
    if place.kind == "mixture":
        measures = scan_selection(workspace, place.names[0], profile=profile)
        return _of_summary(summarise(measures, title=place.title, by=by))
    if place.kind == "samples":
        measures = scan(workspace, place.stage, place.names, profile=profile)
        return _of_summary(summarise(measures, title=place.title, by=by))
    stage = "curated" if workspace.corpora("curated") else "measured"
    corpora = workspace.corpora(stage)
    if not corpora:
        place = Place(kind="raw", workspace=workspace, stage="raw", names=_fetched(place))
        return answer(place)
    measures = scan(workspace, stage, corpora, profile=profile)
    return _of_summary(summarise(measures, title=f"{workspace.url}/{stage}", by=by))


def _fetched(place: Place) -> tuple[str, ...]:
    return tuple(fetched_corpora(place.workspace))


def dropped_answer(place: Place, *, reason: str | None = None, limit: int = 20) -> Answer:
    """Return what left the place's corpora: counts by reason, or examples of one reason.

    Raises:
        UsageError: the place has no dropped rows to speak of, or none left for `reason`.
    """
    workspace = place.workspace
    if place.kind == "workspace":
        found = set(workspace.corpora("measured")) | set(workspace.corpora("curated"))
        names = tuple(sorted(found))
    elif place.kind == "samples":
        names = place.names
    else:
        raise UsageError(f"--dropped: {place.title} keeps no dropped rows; name curated/CORPUS")
    for name in names:
        folder = workspace.child(place.stage or "curated", name)
        if place.kind == "samples" and not folder.exists(STAGE_FILE):
            raise UsageError(f"--dropped: {folder.url} is not whole; run `smolmix curate {name}`")
    frame = scan_dropped(workspace, names)
    if reason is not None:
        rows = examples(frame, reason, limit)
        lines = [f"{place.title}: {reason}"]
        for row in rows:
            shown = " ".join(
                terminal.plain(str(v))
                for v in (row["id"], row["detail"], row["kept_id"] and f"= {row['kept_id']}")
                if v
            )
            lines.append(f"  {row['stage']:<14} {shown}")
            lines.append(f"  {'':<14} {terminal.plain(row['source_file'])}#{row['source_row']}")
        return Answer(value=rows, lines=lines, rows=rows)
    rows = reasons(frame, ("corpus", "stage", "reason")).to_dicts()
    lines = [f"{place.title}: what left", *terminal.table(rows)]
    return Answer(value=rows, lines=lines, rows=rows)

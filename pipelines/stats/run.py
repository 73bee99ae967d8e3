"""The answer to `smolmix stats`: what a path names, and its numbers as lines, rows and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from smolmix.errors import UsageError, nearest
from smolmix.fetched import fetched_corpora
from smolmix.pipelines.stats import terminal
from smolmix.pipelines.stats.dropped import examples, reasons, scan_dropped
from smolmix.pipelines.stats.folders import (
    cache_numbers,
    plan_numbers,
    raw_table,
    run_numbers,
    stage_numbers,
)
from smolmix.pipelines.stats.samples import scan, scan_selection
from smolmix.pipelines.stats.summary import Distribution, Histogram, Summary, summarise
from smolmix.storage import Folder
from smolmix.tokenize.shards.packing_plan import is_plan
from smolmix.workspace import STAGE_FILE, Workspace

Kind = Literal["workspace", "raw", "samples", "mixture", "stage", "run"]
_SAMPLE_STAGES = ("measured", "curated")
_DEPTH = {"raw": 1, "measured": 1, "curated": 1, "mixtures": 1, "runs": 1}
_STAGES = (*_DEPTH, "counts", "tiles", "ids", "sequences", "removals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One thing that `stats` can describe."""

    kind: Kind
    workspace: Workspace
    stage: str  # the folder directly under the workspace, or ""
    names: tuple[str, ...]  # corpora, or the one mixture, run, or folder below the stage

    @property
    def title(self) -> str:
        """The place as a person would write it."""
        if self.kind == "workspace":
            return self.workspace.url
        return f"{self.stage}/{self.names[0]}" if len(self.names) == 1 else f"{self.stage}/"

    @property
    def folder(self) -> Folder:
        """The folder of the one name."""
        return self.workspace.child(self.stage, *self.names[0].split("/"))


def _split(path: str, workspace: Workspace) -> tuple[Workspace, list[str]] | None:
    """Return the workspace and the parts of the path below it."""
    if "://" in path:
        head, _, tail = path.partition("://")
        pieces = tail.rstrip("/").split("/")
        at = next((i for i in range(len(pieces) - 1, 0, -1) if pieces[i] in _STAGES), len(pieces))
        return Workspace(f"{head}://{'/'.join(pieces[:at])}"), pieces[at:]
    if Path(path).exists():
        parts = Path(path).resolve().parts
        for at in range(len(parts) - 1, 0, -1):
            if parts[at] in _STAGES:
                return Workspace(str(Path(*parts[:at]))), list(parts[at:])
        return Workspace(str(Path(path).resolve())), []
    parts = tuple(p for p in path.strip("/").split("/") if p not in ("", "."))
    if parts and parts[0] in _STAGES and workspace.child(*parts).exists():
        return workspace, list(parts)
    for stage in ("curated", "mixtures", "runs", "measured", "raw"):
        if parts and workspace.child(stage, *parts).exists():
            return workspace, [stage, *parts]
    return None


def _known(workspace: Workspace) -> list[str]:
    found = []
    for stage in _STAGES:
        folder = workspace.child(stage)
        if folder.exists():
            names = (p.rstrip("/").rsplit("/", 1)[-1] for p in folder.fs.ls(folder.path, False))
            found += [f"{stage}/{n}" for n in sorted(names)]
    return found


def locate(path: str, workspace_url: str) -> Place:
    """Return what `path` names.

    Args:
        path: a folder on disk, a path below the workspace (`curated/docvqa`), or a bare name of a
            corpus, mixture or run.
        workspace_url: the workspace that relative paths and bare names are looked up in.

    Raises:
        UsageError: nothing has that name.
    """
    workspace = Workspace(workspace_url)
    found = _split(path, workspace)
    if found is None:
        known = _known(workspace)
        raise UsageError(
            f"stats: there is no {path!r} on disk or in workspace {workspace.url}; there are "
            f"{', '.join(known) or 'no stages yet'}{nearest(path, known)}"
        )
    workspace, parts = found
    if not parts:
        if not any(workspace.child(s).exists() for s in _STAGES):
            raise UsageError(
                f"{path}: holds none of {', '.join(_STAGES)}; name a workspace or a folder in one"
            )
        return Place(kind="workspace", workspace=workspace, stage="", names=())
    stage, below = parts[0], parts[1:]
    if stage in _SAMPLE_STAGES:
        names = tuple(below[:1]) or tuple(workspace.corpora(stage))
        return Place(kind="samples", workspace=workspace, stage=stage, names=names)
    if stage == "raw":
        names = tuple(below[:1]) or tuple(workspace.corpora("raw"))
        return Place(kind="raw", workspace=workspace, stage=stage, names=names)
    if not below:
        known = [k for k in _known(workspace) if k.startswith(stage)]
        raise UsageError(f"{path}: name one of {', '.join(known) or 'none yet'}")
    if stage in ("mixtures", "runs"):
        kind: Kind = "mixture" if stage == "mixtures" else "run"
        return Place(kind=kind, workspace=workspace, stage=stage, names=(below[0],))
    return Place(kind="stage", workspace=workspace, stage=stage, names=("/".join(below),))


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


_WIDE = 40  # columns; the longest names of a run are like "last loss of corpus/NAME"


def _scored(result: Mapping[str, Any]) -> str:
    """Return an evaluation's overall numbers on one line: `exact_match 86.7 % (86.0 to 87.3) …`."""
    overall = result["overall"]
    said = f"{terminal.plain(str(result['metric']))} {100 * overall['score']:.1f} %"
    if overall["low"] is not None:
        said += f" ({100 * overall['low']:.1f} to {100 * overall['high']:.1f})"
    return (
        f"{said}, from the question alone {100 * overall['baseline']:.1f} %; "
        f"{overall['questions']:,.0f} questions on {overall['clusters']:,} media"
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
    """Return the numbers that `stats` shows of a place.

    Args:
        place: from `locate`.
        by: column to group samples by.
        profile: which counts to use, of samples and mixtures.

    Raises:
        IncompleteError: the stage that the place names has not finished.
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
    """Return what the place's corpora dropped: counts by reason, or examples of one reason.

    Raises:
        UsageError: the place records no dropped rows, or none for `reason`.
    """
    workspace = place.workspace
    if place.kind == "workspace":
        found = set(workspace.corpora("measured")) | set(workspace.corpora("curated"))
        names = tuple(sorted(found))
    elif place.kind == "samples":
        names = place.names
    else:
        raise UsageError(f"--dropped: {place.title} records no dropped rows; name curated/CORPUS")
    for name in names:
        folder = workspace.child(place.stage or "curated", name)
        if place.kind == "samples" and not folder.exists(STAGE_FILE):
            raise UsageError(
                f"--dropped: {folder.url} is not finished; run `smolmix curate {name}`"
            )
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
    lines = [f"{place.title}: dropped rows and samples", *terminal.table(rows)]
    return Answer(value=rows, lines=lines, rows=rows)

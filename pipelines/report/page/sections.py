"""The report's sections: which numbers and plots each one shows, and its text."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smolmix.pipelines.report.figures.constraints import ConstraintResult
from smolmix.pipelines.report.page import charts
from smolmix.pipelines.report.page.charts import Plot

_FACETS_SHOWN = ("modality", "corpus", "category", "cot", "language")
_TITLES = {
    "tokens": "Tokens per sample",
    "text_tokens": "Text tokens per sample",
    "visual_tokens": "Visual tokens per sample",
    "tiles": "Tiles per sample",
    "answer_chars": "Characters per answer",
    "n_turns": "Turns per conversation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A table cell that links to another page of the workspace."""

    text: str
    href: str  # relative to the page's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows with a heading."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    folded: bool = False  # collapsed until opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Preformatted text with a heading."""

    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page."""

    id: str
    title: str
    paragraphs: Sequence[str] = ()
    totals: Mapping[str, Any] = field(default_factory=dict)
    plots: Sequence[Plot] = ()
    tables: Sequence[Table] = ()
    blocks: Sequence[Block] = ()


def sections(figures: Mapping[str, Any]) -> list[Section]:
    """Return the page's sections in reading order; a section without data says so."""
    return [
        _overview(figures),
        _flow(figures),
        _mixture(figures),
        _distributions(figures),
        _media(figures),
        _licences(figures),
        _packing(figures),
        _training(figures),
        _provenance(figures),
    ]


def _overview(figures: Mapping[str, Any]) -> Section:
    return Section(
        id="overview",
        title="Overview",
        totals=figures["totals"],
        plots=[
            charts.side_by_side(facet, figures["shares"][facet], _units(figures))
            for facet in ("modality", "corpus")
        ],
    )


def _units(figures: Mapping[str, Any]) -> list[str]:
    return [u for u in ("samples", "tokens", "supervised_tokens", "tiles") if _has(figures, u)]


def _has(figures: Mapping[str, Any], unit: str) -> bool:
    return any(r.get(unit) for r in figures["shares"]["modality"])


def _flow(figures: Mapping[str, Any]) -> Section:
    total = figures["flow"]["total"]
    plots = [charts.waterfall("flow", "From raw rows to drawn samples, all corpora", total)]
    found = [f"{d['samples']:,} {d['reason']} in {d['corpus']}" for d in figures["duplicates"]]
    duplicates = (
        f"Duplicates and contamination: {'; '.join(found)}."
        if found
        else "No duplicates and no contamination were found."
    )
    if figures["dropped"]:
        rows = [{**d, "dropped": d["rows"] + d["samples"]} for d in figures["dropped"]]
        plots.append(
            charts.ranked(
                "dropped",
                "Dropped rows and samples, by reason",
                rows,
                name="reason",
                value="dropped",
                color="corpus",
                about="Rows and samples dropped by curation; the browser below shows examples.",
            )
        )
    tables = [
        Table(
            title=f"Flow of {corpus}",
            folded=True,
            rows=[{k: s[k] for k in ("step", "stage", "unit", "count")} for s in steps],
        )
        for corpus, steps in figures["flow"]["corpora"].items()
    ]
    excluded = [{"reason": k, "samples": v} for k, v in figures["excluded"].items()]
    if excluded:
        tables.append(Table(title="Curated samples that the mixture cannot use", rows=excluded))
    return Section(
        id="flow",
        title="From raw rows to samples",
        paragraphs=["Every dropped row has a recorded reason, and the steps add up.", duplicates],
        plots=plots,
        tables=tables,
    )


def _constraints(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for one in (ConstraintResult(**c) for c in figures["constraints"]):
        allowed, achieved = one.words()
        rows.append(
            {
                "constraint": one.key,
                "target": allowed,
                "achieved": achieved,
                "unit": one.unit,
                "binding": one.binding,
            }
        )
    return rows


def _mixture(figures: Mapping[str, Any]) -> Section:
    plots = []
    for kind, title in (
        ("share", "Shares: target and achieved"),
        ("cap", "Caps: limit and achieved"),
    ):
        if any(c["kind"] == kind for c in figures["constraints"]):
            plots.append(charts.targets_and_achieved(kind, title, figures["constraints"]))
    for facet in _FACETS_SHOWN[2:]:
        plots.append(charts.side_by_side(facet, figures["shares"][facet], _units(figures)))
    binding = [f"{c['key']} ({c['binding']})" for c in figures["constraints"] if c["binding"]]
    notes = [
        f"Binding constraints: {'; '.join(binding)}." if binding else "No constraint is binding."
    ]
    if figures["exhausted"]:
        names = sorted({e["component"] for e in figures["exhausted"]})
        notes.append(f"Used up (more data of these would change the mixture): {', '.join(names)}.")
    tables = []
    if figures["constraints"]:
        tables.append(Table(title="Constraints", rows=_constraints(figures)))
    tables.append(Table(title="How often samples are repeated", rows=figures["epochs"]))
    if figures["unpublished"]:
        rows = [{"component": k, "reason": v} for k, v in figures["unpublished"].items()]
        tables.append(Table(title="Components whose data were never published", rows=rows))
    return Section(
        id="mixture",
        title="Constraints",
        paragraphs=notes,
        plots=plots,
        tables=tables,
    )


def _distributions(figures: Mapping[str, Any]) -> Section:
    plots = []
    quantiles = []
    for name, shape in figures["distributions"].items():
        plots.append(
            charts.bins(
                f"dist-{name}",
                _TITLES[name],
                shape["bins"],
                x="bin",
                y="samples",
                color="modality",
                about=f"Mean {shape['mean']:,.1f}, median {shape['quantiles']['p50']:,.0f}, "
                f"95 % of samples at most {shape['quantiles']['p95']:,.0f}.",
            )
        )
        quantiles.append({"measure": name, "mean": shape["mean"], **shape["quantiles"]})
    return Section(
        id="lengths",
        title="Lengths",
        plots=plots,
        tables=[Table(title="Quantiles", rows=quantiles)],
    )


def _media(figures: Mapping[str, Any]) -> Section:
    images, video = figures["images"], figures["durations"]
    plots, notes = [], []
    if images["images"]:
        about = f"{images['images']:,} images of the curated corpora, in classes by powers of two."
        plots.append(
            charts.heat(
                "sizes", "Image sizes", images["classes"], x="width", y="height", about=about
            )
        )
        if images["grids"]:
            about = "Rows and columns of sub-images under the profile; 0 × 0 means not split."
            plots.append(
                charts.heat(
                    "grids", "Sub-image grids", images["grids"], x="cols", y="rows", about=about
                )
            )
    else:
        notes.append("The mixture has no images.")
    if video["samples"]:
        target = video["target_mean_s"]
        aim = f"; the target is {target:g} s" if target else "; no target was set"
        cap = f"; the limit is {video['max_s']:g} s" if video["max_s"] else ""
        plots.append(
            charts.durations(
                video["buckets"],
                marks={"mean": video["mean_s"], "target": target, "limit": video["max_s"]},
                about=f"Mean {video['mean_s']:.1f} s{aim}{cap}.",
            )
        )
    else:
        notes.append("The mixture has no video.")
    return Section(id="media", title="Images and video", paragraphs=notes, plots=plots)


def _licences(figures: Mapping[str, Any]) -> Section:
    table = figures["licences"]
    of = table[0]["of"] if table else "samples"
    part = sum(r["share"] for r in table if r["use"] == "non-commercial")
    unclear = sum(r["share"] for r in table if r["use"] == "not clear")
    note = (
        f"{100 * part:.4g} % of {of} have a licence whose name says non-commercial; for "
        f"{100 * unclear:.4g} % the name does not tell. This is not legal advice."
    )
    rows = [{**r, "percent": 100 * r["share"], "licence": r["licence"] or "(none)"} for r in table]
    plot = charts.ranked(
        "licences",
        f"Share of {of} by licence",
        rows,
        name="licence",
        value="percent",
        color="use",
        about="What each licence's name says about commercial use.",
    )
    return Section(id="licences", title="Licences", paragraphs=[note], plots=[plot])


def _packing(figures: Mapping[str, Any]) -> Section:
    plots, rows = [], []
    for at, plan in enumerate(figures["packing"]):
        about = (
            f"{plan['sequences']:,} sequences of at most {plan['budget_tokens']:,} tokens, "
            f"{100 * plan['fill']:.2f} % full."
        )
        title = f"Fullness of sequences, {plan['name']}"
        plots.append(
            charts.bins(f"packing-{at}", title, plan["bins"], x="full", y="sequences", about=about)
        )
        rows.append({k: v for k, v in plan.items() if k not in ("bins", "dropped")})
    notes = [] if plots else ["The mixture is not tokenized yet; run `smolmix tokenize MIXTURE`."]
    tables = [Table(title="Packing plans", rows=rows)] if rows else []
    return Section(id="packing", title="Packing", paragraphs=notes, plots=plots, tables=tables)


def _training(figures: Mapping[str, Any]) -> Section:
    plots, rows, tables = [], [], []
    for at, run in enumerate(figures["runs"]):
        for family in ("modality", "corpus"):
            mine = [c for c in run["curves"] if c["group"].startswith(("total", f"{family}/"))]
            named = [{**c, "group": c["group"].removeprefix(f"{family}/")} for c in mine]
            title = f"Loss of {run['name']} by {family}"
            plots.append(charts.curves(f"run-{at}-{family}", title, named))
        rows.append({k: run[k] for k in ("name", "steps", "loss", "tokens", "tokens_per_s")})
        if run["evaluation"]:
            tables.append(Table(title=f"Evaluation of {run['name']}", rows=run["evaluation"]))
    notes = [] if plots else ["No run was trained on this mixture yet; run `smolmix train RECIPE`."]
    if rows:
        tables.insert(0, Table(title="Runs", rows=rows))
    return Section(id="training", title="Training", paragraphs=notes, plots=plots, tables=tables)


def _provenance(figures: Mapping[str, Any]) -> Section:
    origin = figures["provenance"]
    single = [
        {"field": k, "value": str(origin[k])}
        for k in ("smolmix", "spec_file", "seed", "profile", "selection", "removals")
    ]
    tables = [Table(title="Mixture", rows=single), Table(title="Corpora", rows=origin["corpora"])]
    if origin["sources"]:
        rows = [{"number": k, "source": v} for k, v in origin["sources"].items()]
        tables.append(Table(title="Sources of the spec's numbers", rows=rows))
    spec = json.dumps(origin["spec"], indent=1, ensure_ascii=False)
    return Section(
        id="provenance",
        title="Provenance",
        tables=tables,
        blocks=[Block(title="The spec", text=spec)],
    )

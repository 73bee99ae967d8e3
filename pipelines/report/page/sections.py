"""The report's sections: which figures stand where, and what is said about them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smolmix.pipelines.report.figures.constraints import Wish
from smolmix.pipelines.report.page import charts
from smolmix.pipelines.report.page.charts import Plot

_FACETS_SHOWN = ("modality", "corpus", "category", "cot", "language")
_TITLES = {
    "tokens": "Tokens of a sample",
    "text_tokens": "Text tokens of a sample",
    "visual_tokens": "Visual tokens of a sample",
    "tiles": "Tiles of a sample",
    "answer_chars": "Characters of the answers",
    "n_turns": "Turns of a conversation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A cell of a table that leads to another page of the workspace."""

    text: str
    href: str  # from the page's own folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows with a heading."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    folded: bool = False  # behind its heading until asked for


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
    """Return the page's sections in reading order; what has no data is left out or said."""
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
    whole = figures["flow"]["whole"]
    plots = [charts.waterfall("flow", "From raw rows to draws, all corpora", whole)]
    said = [f"{d['samples']:,} {d['reason']} in {d['corpus']}" for d in figures["doubles"]]
    doubles = (
        f"Duplicates and contamination found: {'; '.join(said)}."
        if said
        else "No duplicates and no contamination were found."
    )
    if figures["dropped"]:
        rows = [{**d, "left": d["rows"] + d["samples"]} for d in figures["dropped"]]
        plots.append(
            charts.ranked(
                "dropped",
                "What left, by reason",
                rows,
                name="reason",
                value="left",
                color="corpus",
                about="Rows and samples that left while curating; the browser shows examples.",
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
    left = [{"why": k, "samples": v} for k, v in figures["excluded"].items()]
    if left:
        tables.append(Table(title="Curated samples that the mixture could not use", rows=left))
    return Section(
        id="flow",
        title="From raw to kept",
        paragraphs=["Nothing leaves without a reason; every step adds up.", doubles],
        plots=plots,
        tables=tables,
    )


def _wishes(figures: Mapping[str, Any]) -> list[dict[str, str]]:
    rows = []
    for wish in (Wish(**w) for w in figures["wishes"]):
        asked, reached = wish.words()
        rows.append(
            {
                "wish": wish.key,
                "asked": asked,
                "reached": reached,
                "of": wish.unit,
                "binds": wish.binds,
            }
        )
    return rows


def _mixture(figures: Mapping[str, Any]) -> Section:
    plots = []
    for kind, title in (("share", "Shares: asked and reached"), ("cap", "Caps: asked and reached")):
        if any(w["kind"] == kind for w in figures["wishes"]):
            plots.append(charts.asked_and_reached(kind, title, figures["wishes"]))
    for facet in _FACETS_SHOWN[2:]:
        plots.append(charts.side_by_side(facet, figures["shares"][facet], _units(figures)))
    binding = [f"{w['key']} ({w['binds']})" for w in figures["wishes"] if w["binds"]]
    said = ["What binds: " + "; ".join(binding) + "." if binding else "No wish binds."]
    if figures["exhausted"]:
        names = sorted({e["component"] for e in figures["exhausted"]})
        said.append(f"Used up, so that more of them would change the mixture: {', '.join(names)}.")
    tables = [Table(title="Wishes", rows=_wishes(figures))] if figures["wishes"] else []
    tables.append(Table(title="How often samples are drawn", rows=figures["epochs"]))
    if figures["unpublished"]:
        rows = [{"component": k, "why": v} for k, v in figures["unpublished"].items()]
        tables.append(Table(title="Components never published", rows=rows))
    return Section(
        id="mixture",
        title="Asked and reached",
        paragraphs=said,
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
                f"95 % at most {shape['quantiles']['p95']:,.0f}.",
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
    plots, said = [], []
    if images["images"]:
        about = f"{images['images']:,} images of the curated corpora, classes by powers of two."
        plots.append(
            charts.heat(
                "sizes", "Image sizes", images["classes"], x="width", y="height", about=about
            )
        )
        if images["grids"]:
            about = "Rows and columns of sub-images under the profile; 0 × 0 is the whole alone."
            plots.append(
                charts.heat("grids", "Tile grids", images["grids"], x="cols", y="rows", about=about)
            )
    else:
        said.append("There are no images.")
    if video["samples"]:
        target = video["target_mean_s"]
        aim = f"; the target is {target:g} s" if target else "; no target was set"
        cap = f", none may exceed {video['max_s']:g} s" if video["max_s"] else ""
        plots.append(
            charts.durations(
                video["buckets"],
                marks={"mean": video["mean_s"], "target": target, "limit": video["max_s"]},
                about=f"Mean {video['mean_s']:.1f} s{aim}{cap}.",
            )
        )
    else:
        said.append("There is no video.")
    return Section(id="media", title="Images and video", paragraphs=said, plots=plots)


def _licences(figures: Mapping[str, Any]) -> Section:
    table = figures["licences"]
    of = table[0]["of"] if table else "samples"
    part = sum(r["share"] for r in table if r["use"] == "non-commercial")
    unclear = sum(r["share"] for r in table if r["use"] == "not clear")
    said = [
        f"{100 * part:.4g} % of {of} are non-commercial by their licence's name; of "
        f"{100 * unclear:.4g} % the name does not say. This is no legal advice."
    ]
    rows = [{**r, "percent": 100 * r["share"], "licence": r["licence"] or "(none)"} for r in table]
    plot = charts.ranked(
        "licences",
        f"Share of {of} by licence",
        rows,
        name="licence",
        value="percent",
        color="use",
        about="What each licence's name says of commercial use.",
    )
    return Section(id="licences", title="Licences", paragraphs=said, plots=[plot])


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
    said = [] if plots else ["The mixture was not tokenized yet: `smolmix tokenize` packs it."]
    tables = [Table(title="Packing plans", rows=rows)] if rows else []
    return Section(id="packing", title="Packing", paragraphs=said, plots=plots, tables=tables)


def _training(figures: Mapping[str, Any]) -> Section:
    plots, rows, tables = [], [], []
    for at, run in enumerate(figures["runs"]):
        for family in ("modality", "corpus"):
            mine = [c for c in run["curves"] if c["group"].startswith(("whole", f"{family}/"))]
            named = [{**c, "group": c["group"].removeprefix(f"{family}/")} for c in mine]
            title = f"Loss of {run['name']} by {family}"
            plots.append(charts.curves(f"run-{at}-{family}", title, named))
        rows.append({k: run[k] for k in ("name", "steps", "loss", "tokens", "tokens_per_s")})
        if run["evaluation"]:
            tables.append(Table(title=f"Evaluation of {run['name']}", rows=run["evaluation"]))
    said = [] if plots else ["No run was trained on this mixture yet."]
    if rows:
        tables.insert(0, Table(title="Runs", rows=rows))
    return Section(id="training", title="Training", paragraphs=said, plots=plots, tables=tables)


def _provenance(figures: Mapping[str, Any]) -> Section:
    made = figures["provenance"]
    single = [
        {"what": k, "value": str(made[k])}
        for k in ("smolmix", "spec_file", "seed", "profile", "selection", "removals")
    ]
    tables = [Table(title="Mixture", rows=single), Table(title="Corpora", rows=made["corpora"])]
    if made["sources"]:
        rows = [{"number": k, "source": v} for k, v in made["sources"].items()]
        tables.append(Table(title="Where the spec's numbers come from", rows=rows))
    spec = json.dumps(made["spec"], indent=1, ensure_ascii=False)
    return Section(
        id="provenance",
        title="Provenance",
        tables=tables,
        blocks=[Block(title="The spec", text=spec)],
    )

"""The dataset card of a mixture in the hub's format: a YAML header, then Markdown.

Source: hub documentation, "Dataset Cards": `license`, `task_categories`, `size_categories`, `tags`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
)
_LANGUAGE_SHARE = 0.005  # rarer languages are mostly detection errors
_TASKS = {"text": "text-generation", "video": "video-text-to-text"}


def _header(figures: Mapping[str, Any]) -> dict[str, Any]:
    drawn = figures["totals"]["samples_drawn"]
    named = [r["licence"] for r in figures["licences"] if r["licence"]]
    modalities = [r["modality"] for r in figures["shares"]["modality"]]
    common = drawn * _LANGUAGE_SHARE
    spoken = [r for r in figures["shares"]["language"] if r["language"]]
    languages = [r["language"] for r in spoken if r["samples"] >= common]
    header: dict[str, Any] = {
        "pretty_name": f"smolmix {figures['name']}",
        "license": named[0].lower() if len(named) == 1 else "other",
        "language": sorted(languages),
        "task_categories": sorted({_TASKS.get(m, "image-text-to-text") for m in modalities}),
        "size_categories": [next((s for n, s in _SIZES if drawn < n), "n>100M")],
        "tags": ["smolmix", "vision-language", *sorted(modalities)],
    }
    if header["license"] == "other":
        header["license_name"] = "mixed"
    return {k: v for k, v in header.items() if v}


def _cell(value: object) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    for mark in ("\\", "`", "*", "_", "[", "]", "<", ">", "|", "#"):
        text = text.replace(
            mark, f"\\{mark}" if mark not in "<>" else {"<": "&lt;", ">": "&gt;"}[mark]
        )
    return " ".join(text.split())


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    lines = ["| " + " | ".join(c.replace("_", " ") for c in columns) + " |"]
    lines.append("|" + "---|" * len(columns))
    lines += ["| " + " | ".join(_cell(r.get(c, "")) for c in columns) + " |" for r in rows]
    return "\n".join(lines)


def _percent(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    units = [
        u for u in ("samples", "tokens", "supervised_tokens", "tiles") if u in (rows or [{}])[0]
    ]
    totals = {u: sum(r[u] for r in rows) or 1 for u in units}
    return [
        {name: r[name] or "(none)", "samples": r["samples"]}
        | {f"% of {u}": f"{100 * r[u] / totals[u]:.2f}" for u in units}
        for r in rows
    ]


def _constraints(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    out = []
    for one in figures["constraints"]:
        scale, sign = (100, " %") if one["kind"] in ("share", "cap") else (1, "")
        low, high = (None if one[k] is None else f"{scale * one[k]:g}" for k in ("low", "high"))
        target = low if low == high else f"{low or 'any'} to {high or 'any'}"
        out.append(
            {
                "constraint": one["key"],
                "target": f"{target}{sign}",
                "achieved": f"{scale * one['achieved']:.4g}{sign}",
                "unit": one["unit"],
            }
        )
    return out


def _licence_line(figures: Mapping[str, Any]) -> str:
    table = figures["licences"]
    part = sum(r["share"] for r in table if r["use"] == "non-commercial")
    of = table[0]["of"] if table else "samples"
    return (
        f"{100 * part:.4g} % of {of} have a licence whose name says non-commercial. Each sample "
        "keeps the licence of its corpus; the mixture grants no further rights."
    )


def dataset_card(figures: Mapping[str, Any]) -> str:
    """Return the Markdown of a mixture's card.

    Args:
        figures: from `smolmix.pipelines.report.figures.figures`.
    """
    made, totals = figures["provenance"], figures["totals"]
    header = yaml.safe_dump(_header(figures), sort_keys=False, allow_unicode=True)
    shares = [
        _table(rows, list(rows[0]))
        for name in ("modality", "corpus", "category", "cot")
        if (rows := _percent(figures["shares"][name], name))
    ]
    sizes = [{"unit": k.replace("_", " "), "count": v} for k, v in totals.items()]
    revisions = _table(made["corpora"], ["corpus", "hub_id", "revision", "licence", "curated"])
    columns = ["constraint", "target", "achieved", "unit"]
    constraints = _table(_constraints(figures), columns)
    licences = _table(_percent(figures["licences"], "licence"), ["licence", "samples"])
    limits = [
        f"- {row['samples'] + row['rows']:,} of {_cell(row['corpus'])} were dropped as "
        f"{_cell(row['reason'])}."
        for row in figures["dropped"]
    ]
    limits += [
        f"- {v:,} curated samples cannot be used: {_cell(k)}."
        for k, v in figures["excluded"].items()
    ]
    limits += [
        f"- The data of {_cell(k)} were never published: {_cell(v)}."
        for k, v in figures["unpublished"].items()
    ]
    body = [
        f"# {figures['name']}",
        _cell(figures["about"]),
        "A training mixture for small vision-language models, built by smolmix. It is an "
        "index over the corpora below, not a copy of them.",
        "## Size",
        _table(sizes, ["unit", "count"]),
        "## Shares",
        *shares,
        "## Constraints",
        constraints if figures["constraints"] else "The spec sets no share and no cap.",
        "## Licences",
        _licence_line(figures),
        licences,
        "## Limits",
        "\n".join(limits) or "Nothing was dropped.",
        "Filters and deduplication follow a fixed policy, and miss some cases. Chain of thought is "
        "counted if a corpus declares it or the detector finds it.",
        "## How to rebuild",
        "\n".join(
            [
                "```sh",
                f"smolmix fetch {' '.join(c['corpus'] for c in made['corpora'])}",
                f"smolmix curate {' '.join(c['corpus'] for c in made['corpora'])}",
                f"smolmix mix build {made['spec_file']}",
                "```",
            ]
        ),
        f"Seed {made['seed']}, profile {_cell(made['profile'])}, smolmix {made['smolmix']}. The "
        f"selection's digest is `{made['selection']}`: the same revisions give the same digest.",
        revisions,
    ]
    return f"---\n{header}---\n\n" + "\n\n".join(body) + "\n"

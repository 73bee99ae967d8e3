"""The report's plots as Vega-Lite, built with Altair; the page sets text and grid colours."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

# Distinguishable in both themes and with colour vision deficiency.
# Source: Okabe and Ito, "Color Universal Design", adjusted for light and dark backgrounds.
PALETTE = (
    "#3b82c4",
    "#d97a00",
    "#1f9d78",
    "#c765a0",
    "#8a7cd6",
    "#b5a000",
    "#4fa8d8",
    "#cf5337",
    "#7f8c8d",
)
_LOSSES = {"dedup": "duplicate", "decontaminate": "contaminated"}
_FACET_NAMES = {"cot": "chain of thought"}
_SLICES = 8  # of a stacked bar; one more slice holds the others
_MANY = 18  # rows of a bar plot; the table below the plot has all rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """One plot, and a table with the same data."""

    id: str
    title: str
    about: str  # what the plot shows, also for people who cannot see it
    spec: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]


def _spec(chart: Any, height: int) -> dict[str, Any]:
    drawn = chart.properties(width="container", height=height)
    out: dict[str, Any] = drawn.to_dict()
    out.pop("config", None)
    return out


def _data(rows: Sequence[Mapping[str, Any]]) -> Any:
    return {"values": [dict(r) for r in rows]}


def _count(field: str) -> Any:
    return alt.Tooltip(f"{field}:Q", format=",")


def _named(field: str) -> Any:
    """Return a vertical axis of names in data order."""
    return alt.Y(f"{field}:N", sort=None, title=None, axis=alt.Axis(labelLimit=200))


def _bar_height(rows: int) -> int:
    return max(60, 26 * rows)


def waterfall(id_: str, title: str, bars: Sequence[Mapping[str, Any]]) -> Plot:
    """Return the flow from raw rows to drawn samples as a waterfall."""
    twice = {n for n, count in Counter(b["step"] for b in bars).items() if count > 1}
    shown = [
        {**b, "name": _name(b, twice), "what": _what(b)}
        for b in bars
        if b["count"] or b["kind"] == "level"
    ]
    base = alt.Chart(_data(shown)).encode(y=_named("name"))
    most = max((b["end"] for b in bars), default=0)
    room = alt.Scale(domain=[0, 1.3 * most or 1], nice=False)  # for the counts next to the bars
    bar = base.mark_bar().encode(
        x=alt.X("start:Q", title="rows, then samples", scale=room),
        x2="end:Q",
        color=alt.Color(
            "what:N",
            title=None,
            scale=alt.Scale(
                domain=["total", "dropped", "duplicate", "contaminated", "not selected"],
                range=[PALETTE[0], PALETTE[7], PALETTE[3], PALETTE[4], PALETTE[8]],
            ),
            legend=alt.Legend(orient="top", columns=2),
        ),
        tooltip=["name:N", "stage:N", "unit:N", _count("count")],
    )
    count = base.mark_text(align="left", dx=4).encode(
        x="end:Q", text=alt.Text("count:Q", format=",")
    )
    rows = [{k: b[k] for k in ("step", "stage", "unit", "count")} for b in bars]
    about = "Each bar is a count. Bars of dropped rows start where the bar above them ended."
    return Plot(
        id=id_,
        title=title,
        about=about,
        spec=_spec(bar + count, _bar_height(len(shown))),
        rows=rows,
    )


def _name(step: Mapping[str, Any], twice: Collection[str]) -> str:
    """Return a bar's name, with its stage if two stages share the reason."""
    name = str(step["step"])
    if step["kind"] == "level":
        return name
    return f"– {name} ({step['stage']})" if name in twice else f"– {name}"


def _what(step: Mapping[str, Any]) -> str:
    if step["kind"] == "level":
        return "total"
    if step["stage"] == "mix":
        return "not selected"
    return _LOSSES.get(step["stage"], "dropped")


def targets_and_achieved(kind: str, title: str, constraints: Sequence[Mapping[str, Any]]) -> Plot:
    """Return constraints of one kind: bars of achieved values over the allowed ranges."""
    rows = [
        {
            "constraint": c["key"],
            "achieved": 100 * c["achieved"],
            "low": 100 * (c["low"] or 0.0),
            "high": 100 * (1.0 if c["high"] is None else c["high"]),
            "unit": c["unit"],
            "binding": c["binding"] or "no",
        }
        for c in constraints
        if c["kind"] == kind
    ]
    base = alt.Chart(_data(rows)).encode(y=_named("constraint"))
    tips = [
        "constraint:N",
        alt.Tooltip("achieved:Q", format=".3f"),
        alt.Tooltip("low:Q", format=".3f"),
        alt.Tooltip("high:Q", format=".3f"),
        "unit:N",
        "binding:N",
    ]
    allowed = base.mark_bar(opacity=0.25, color=PALETTE[8], size=18).encode(
        x=alt.X("low:Q", title="% (grey: allowed range)"), x2="high:Q", tooltip=tips
    )
    achieved = base.mark_bar(size=7).encode(
        x="achieved:Q",
        color=alt.Color(
            "binding:N",
            title="binding",
            scale=alt.Scale(
                domain=["no", "fixed", "at its minimum", "at its maximum"],
                range=[PALETTE[0], PALETTE[2], PALETTE[1], PALETTE[7]],
            ),
            legend=alt.Legend(orient="top", columns=2),
        ),
        tooltip=tips,
    )
    return Plot(
        id=f"constraints-{kind}",
        title=title,
        about="Coloured bar: the achieved share. Grey range behind it: what is allowed.",
        spec=_spec(allowed + achieved, _bar_height(len(rows))),
        rows=[dict(c) for c in constraints if c["kind"] == kind],
    )


def side_by_side(facet: str, table: Sequence[Mapping[str, Any]], units: Sequence[str]) -> Plot:
    """Return a facet's shares in each unit as stacked bars."""
    units = [u for u in units if any(r.get(u) for r in table)]
    shown, rest = list(table[:_SLICES]), table[_SLICES:]
    if rest:
        shown.append({facet: "others", **{u: sum(r[u] for r in rest) for u in units}})
    totals = {u: sum(r[u] for r in table) for u in units}
    rows = [
        {
            "unit": u.replace("_", " "),
            "value": r[facet] or "(none)",
            "share": r[u] / totals[u],
            "count": r[u],
        }
        for u in units
        for r in shown
    ]
    chart = (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            y=alt.Y("unit:N", sort=None, title=None),
            x=alt.X(
                "share:Q",
                title=None,
                axis=alt.Axis(format="%"),
                scale=alt.Scale(domain=[0, 1], clamp=True),
            ),
            color=alt.Color(
                "value:N", title=None, sort=None, legend=alt.Legend(orient="bottom", columns=2)
            ),
            order=alt.Order("share:Q", sort="descending"),
            tooltip=[
                "value:N",
                "unit:N",
                alt.Tooltip("share:Q", format=".2%"),
                _count("count"),
            ],
        )
    )
    name = _FACET_NAMES.get(facet, facet)
    return Plot(
        id=f"shares-{facet}",
        title=f"Shares by {name}",
        about=f"One bar per unit, split by {name}: shares of samples and of tokens differ.",
        spec=_spec(chart, 34 * max(1, len(units))),
        rows=table,
    )


def bins(
    id_: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    x: str,
    y: str,
    color: str | None = None,
    about: str = "",
) -> Plot:
    """Return counts in named bins as vertical bars, in the order of `at`."""
    encode: dict[str, Any] = {
        "x": alt.X(
            f"{x}:N",
            sort=alt.EncodingSortField("at", op="min"),
            title=None,
            axis=alt.Axis(labelAngle=-45),
        ),
        "y": alt.Y(f"{y}:Q", title=y),
        "tooltip": [
            f"{x}:N",
            *([f"{color}:N"] if color else []),
            alt.Tooltip(f"{y}:Q", format=","),
        ],
    }
    if color:
        legend = alt.Legend(orient="top", columns=4)
        encode["color"] = alt.Color(f"{color}:N", title=None, legend=legend)
    chart = alt.Chart(_data(rows)).mark_bar().encode(**encode)
    table = [{k: v for k, v in r.items() if k != "at"} for r in rows if r[y]]
    return Plot(id=id_, title=title, about=about, spec=_spec(chart, 220), rows=table)


def durations(
    buckets: Sequence[Mapping[str, Any]], *, marks: Mapping[str, float | None], about: str
) -> Plot:
    """Return clips by duration bucket on an axis of seconds, with marks such as mean and limit.

    Args:
        buckets: rows with `bucket`, `from_s`, `to_s` (None: no upper end) and `samples`.
        marks: name of each mark -> seconds; None draws no mark.
        about: what the plot shows.
    """
    lengths = {f"{k} {v:.4g} s": v for k, v in marks.items() if v}
    ruled = [{"mark": k, "s": v} for k, v in lengths.items()]
    filled = max((i for i, b in enumerate(buckets) if b["samples"]), default=0)
    shown = list(buckets[: filled + 1])  # the axis ends at the longest clip
    ends = [float(b["to_s"] or 1.25 * b["from_s"]) for b in shown]
    end = max([*ends, *(1.1 * v for v in lengths.values())])
    shown = [{**b, "to_s": b["to_s"] or end} for b in shown]
    # Most clips are short, few are long: a square-root scale makes both visible.
    scale = alt.Scale(type="sqrt", domain=[0, end], nice=False)
    bars = (
        alt.Chart(_data(shown))
        .mark_rect(fill=PALETTE[0], stroke=PALETTE[8], strokeWidth=0.5)
        .encode(
            x=alt.X("from_s:Q", title="seconds", scale=scale),
            x2="to_s:Q",
            y=alt.Y("samples:Q", title="samples", scale=alt.Scale(zero=True)),
            y2=alt.datum(0),
            tooltip=["bucket:N", _count("samples")],
        )
    )
    rules = alt.Chart(_data(ruled)).encode(
        x=alt.X("s:Q", scale=scale),
        color=alt.Color(
            "mark:N",
            title=None,
            sort=None,
            scale=alt.Scale(range=[PALETTE[1], PALETTE[7], PALETTE[8]]),
            legend=alt.Legend(orient="top"),
        ),
        tooltip=["mark:N"],
    )
    chart = bars + rules.mark_rule(strokeWidth=2, strokeDash=[6, 3]) if ruled else bars
    rows = [{"bucket": b["bucket"], "samples": b["samples"]} for b in buckets]
    rows += [{"bucket": r["mark"], "samples": None} for r in ruled]
    return Plot(
        id="durations", title="Video durations", about=about, spec=_spec(chart, 220), rows=rows
    )


def heat(
    id_: str, title: str, rows: Sequence[Mapping[str, Any]], *, x: str, y: str, about: str
) -> Plot:
    """Return images by two ordered classes as a heat map with counts."""
    order_x, order_y = ("w", "h") if x == "width" else (x, y)
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            f"{x}:N",
            sort=alt.EncodingSortField(order_x, op="min"),
            title=x,
            axis=alt.Axis(labelAngle=0),
        ),
        y=alt.Y(
            f"{y}:N", sort=alt.EncodingSortField(order_y, op="min", order="descending"), title=y
        ),
    )
    cells = base.mark_rect().encode(
        color=alt.Color("images:Q", title=None, scale=alt.Scale(scheme="blues"), legend=None),
        tooltip=[f"{x}:N", f"{y}:N", _count("images")],
    )
    most = max((r["images"] for r in rows), default=0)
    text = base.mark_text(fontSize=11).encode(
        text=alt.Text("images:Q", format="~s"),
        color=alt.condition(f"datum.images > {most / 2}", alt.value("white"), alt.value("#0b1f33")),
    )
    height = 40 * max(2, len({r[y] for r in rows}))
    return Plot(id=id_, title=title, about=about, spec=_spec(cells + text, height), rows=rows)


def ranked(
    id_: str,
    title: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    name: str,
    value: str,
    color: str | None = None,
    about: str = "",
) -> Plot:
    """Return the largest rows as bars, largest first."""
    shown = sorted(rows, key=lambda r: -float(r[value]))[:_MANY]
    encode: dict[str, Any] = {
        "y": _named(name),
        "x": alt.X(f"{value}:Q", title=value.replace("_", " ")),
        "tooltip": [
            f"{name}:N",
            *([f"{color}:N"] if color else []),
            alt.Tooltip(f"{value}:Q", format=","),
        ],
    }
    if color:
        legend = alt.Legend(orient="top", columns=2)
        encode["color"] = alt.Color(f"{color}:N", title=None, legend=legend)
    chart = alt.Chart(_data(shown)).mark_bar().encode(**encode)
    names = len({r[name] for r in shown})
    return Plot(id=id_, title=title, about=about, spec=_spec(chart, _bar_height(names)), rows=rows)


def curves(id_: str, title: str, rows: Sequence[Mapping[str, Any]]) -> Plot:
    """Return losses over steps, a line for each group."""
    chart = (
        alt.Chart(_data(rows))
        .mark_line(point=len(rows) < 80)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format="d", tickMinStep=1)),
            y=alt.Y("loss:Q", title="loss", scale=alt.Scale(zero=False)),
            color=alt.Color("group:N", title=None, legend=alt.Legend(orient="top", columns=2)),
            tooltip=["group:N", "step:Q", alt.Tooltip("loss:Q", format=".4f")],
        )
    )
    last: dict[str, Mapping[str, Any]] = {r["group"]: r for r in rows}
    about = "Mean loss of the supervised tokens, in total and by group."
    return Plot(id=id_, title=title, about=about, spec=_spec(chart, 260), rows=list(last.values()))

"""Summaries as text for a terminal: tables, shares, small histograms."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from smolmix.pipelines.stats.summary import Distribution, Summary

_BAR = " ▏▎▍▌▋▊▉█"
_SPARK = "▁▂▃▄▅▆▇█"
_GROUPS_SHOWN = 30
_VALUES_SHOWN = 12


def number(value: Any) -> str:
    """Return a number as people write it: 12,345 or 1.5, and – for None."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return plain(str(value))
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def plain(text: str) -> str:
    """Return text without control characters, which could drive the terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)


def size(bytes_: float) -> str:
    """Return bytes with a unit."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if bytes_ < 1000 or unit == "TB":
            return f"{bytes_:,.3g} {unit}"
        bytes_ /= 1000
    raise AssertionError


def bar(share: float, width: int) -> str:
    """Return a bar of block characters, `share` of `width` cells long."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return _BAR[8] * full + (_BAR[rest] if rest else "")


def spark(values: Sequence[float | None], width: int = 60) -> str:
    """Return a line of at most `width` characters that follows the values, × for missing ones."""
    step = max(1, -(-len(values) // width))
    blocks = (
        [v for v in values[i : i + step] if v is not None] for i in range(0, len(values), step)
    )
    means = [sum(b) / len(b) if b else None for b in blocks]
    known = [m for m in means if m is not None]
    low = min(known, default=0.0)
    scale = (max(known, default=0.0) - low) or 1.0
    return "".join(
        "×" if m is None else _SPARK[round((m - low) / scale * (len(_SPARK) - 1))] for m in means
    )


def table(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> list[str]:
    """Return aligned lines: text to the left, numbers to the right."""
    rows = list(rows)
    if not rows:
        return ["  nothing"]
    columns = columns or list(rows[0])
    cells = [[c.replace("_", " ") for c in columns]]
    cells += [[number(row.get(c)) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    right = [isinstance(rows[0].get(c), int | float | None) for c in columns]
    out = []
    for line in cells:
        parts = [
            c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True)
        ]
        out.append("  " + "  ".join(parts).rstrip())
    return out


def drawn(name: str, shape: Distribution, width: int = 40) -> list[str]:
    """Return one distribution: quantiles, and a bar for each bin."""
    q = {k: number(v) for k, v in shape.quantiles.items()}
    head = (
        f"  {name.replace('_', ' ')}: mean {number(shape.mean)}, min {q['p0']}, 5 % {q['p5']}, "
        f"25 % {q['p25']}, median {q['p50']}, 75 % {q['p75']}, 95 % {q['p95']}, max {q['p100']}"
    )
    bins = shape.histogram
    most = max(bins.counts) or 1
    labels = [
        f"{number(a)} – {number(b)}" for a, b in zip(bins.edges, bins.edges[1:], strict=False)
    ]
    wide = max(len(label) for label in labels)
    lines = [
        f"    {label:>{wide}}  {bar(count / most, width):<{width}} {count:,}"
        for label, count in zip(labels, bins.counts, strict=True)
    ]
    return [head, *lines]


def summary_lines(summary: Summary) -> list[str]:
    """Return the lines of a summary."""
    totals = dict(summary.totals)
    lines = [plain(summary.title)]
    for name, value in totals.items():
        shown = size(value) if name == "bytes" else number(value)
        if name == "cot_share":
            shown = f"{100 * value:.4g} %"
        lines.append(f"  {name.replace('_', ' '):<18} {shown:>16}")
    lines += [f"  note: {note}" for note in summary.notes]
    shown_columns = [c for c in summary.groups[0] if c != "text_chars"] if summary.groups else None
    lines += ["", f"by {summary.by}"]
    lines += table(summary.groups[:_GROUPS_SHOWN], shown_columns)
    if (more := summary.info["groups"] - _GROUPS_SHOWN) > 0:
        lines.append(f"  … and {more:,} more; --json or --csv has the first 200")
    for name, values in summary.facets.items():
        if name in (summary.by, "corpus") or not values:
            continue
        lines += ["", f"{name}, share of samples"]
        total = totals["samples"] or 1
        shares = list(values.items())[:_VALUES_SHOWN]
        named = [(plain(word) or "(none)", row) for word, row in shares]
        wide = max(len(label) for label, _ in named)
        for label, row in named:
            share = row["samples"] / total
            lines.append(f"  {label:<{wide}}  {bar(share, 30):<30} {100 * share:6.2f} %")
    if summary.distributions:
        lines += ["", "distributions"]
    for name, shape in summary.distributions.items():
        lines += drawn(name, shape)
    return lines


def to_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a header; no rows give an empty text."""
    rows = list(rows)
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()

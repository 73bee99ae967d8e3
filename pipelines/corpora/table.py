"""Tables of corpora: for the terminal, one corpus in full, and docs/corpora.md."""

from collections.abc import Iterable, Iterator
from typing import Any

from smolmix.pipelines.sources.source import Source

_ROLES = (
    ("long-context", "Long context"),
    ("short-context", "Short context"),
    ("text-sft", "Text instruction"),
    ("cot", "Chain of thought"),
    ("vision", "Vision"),
    ("multi-image", "Multi-image"),
    ("video", "Video"),
    ("benchmark", "Benchmarks: for decontamination only, never mixed"),
    ("demo", "Demo: fetched without any hub"),
)


def entry(source: Source) -> dict[str, Any]:
    """Return a corpus as plain values."""
    return {
        "id": source.id,
        "title": source.title,
        "hub_id": source.hub_id,
        "revision": source.revision,
        "role": source.role,
        "modality": source.modality,
        "licence": source.licence,
        "gated": source.gated,
        "rows": source.rows,
        "verified": source.verified,
        "unverified": source.unverified,
        "refused": source.refused,
        "media_from_user": source.media_from_user,
        "subsets": [
            {
                "name": s.name,
                "rows": s.rows,
                "licence": s.licence or source.licence,
                "note": s.note,
            }
            for s in source.subsets
        ],
        "warnings": list(source.warnings),
    }


def lines(sources: Iterable[Source]) -> Iterator[str]:
    """Yield the lines of the table: one a corpus, and one a subset whose rows are known."""
    shown = list(sources)
    width = max((len(s.id) for s in shown), default=2)
    yield f"{'id':{width}}  {'role':13}  {'modality':11}  {'rows':>13}  {'':8}  licence"
    for source in shown:
        marks = "".join(
            mark
            for mark, on in (
                ("gated ", source.gated),
                ("refused ", bool(source.refused)),
                ("?", not source.verified),
            )
            if on
        ).strip()
        yield (
            f"{source.id:{width}}  {source.role:13}  {source.modality:11}  "
            f"{_rows(source.rows):>13}  {marks:8}  {source.licence}"
        )
        for subset in source.subsets:
            if subset.rows is not None:
                name = f"  {subset.name:{width + 26}}"
                yield f"{name} {_rows(subset.rows):>13}  {subset.note}".rstrip()
    yield "?: part of its format is not verified; `smolmix corpora ID` names the part"


def in_full(source: Source) -> Iterator[str]:
    """Yield lines with everything that is known about one corpus."""
    for key, value in entry(source).items():
        if key in ("subsets", "warnings") or value in ("", None):
            continue
        yield f"{key:15}  {value}"
    for warning in source.warnings:
        yield f"{'warning':15}  {warning}"
    for subset in source.subsets:
        yield f"{'subset':15}  {subset.name}  {_rows(subset.rows)}  {subset.note}".rstrip()


def markdown(sources: Iterable[Source]) -> str:
    """Return docs/corpora.md."""
    shown = list(sources)
    found = [
        "# Corpora",
        "",
        "Generated from the catalogue by `python -m smolmix.pipelines.corpora.table`; a test "
        "compares them. What could not be verified against the publisher is named; there, the "
        "adapter accepts several forms.",
        "",
    ]
    for role, title in _ROLES:
        found += [f"## {title}", "", "| id | published as | rows | licence | gated |"]
        found += ["|---|---|---:|---|---|"]
        of_role = [s for s in shown if s.role == role]
        found += [
            f"| [{s.id}](#{s.id}) | {s.hub_id} | {_rows(s.rows)} | {s.licence} | "
            f"{'yes' if s.gated else 'no'} |"
            for s in of_role
        ]
        found.append("")
        for source in of_role:
            found += _section(source)
    return "\n".join(found)


def _section(source: Source) -> Iterator[str]:
    yield from (f"### {source.id}", "", f"{source.title}.", "")
    if source.refused:
        yield f"- Cannot be fetched: {source.refused}."
    if source.unverified:
        yield f"- Not verified: {source.unverified}."
    if source.media_from_user:
        yield f"- Media to provide with `--media`: {source.media_from_user}."
    yield from (f"- {warning}" for warning in source.warnings)
    known = [s for s in source.subsets if s.rows is not None or s.note]
    if known:
        told = (f"{s.name} {_rows(s.rows)}{f' ({s.note})' if s.note else ''}" for s in known)
        yield f"- Subsets: {'; '.join(told)}."
    yield ""


def _rows(rows: int | None) -> str:
    return "not known" if rows is None else f"{rows:,}"


if __name__ == "__main__":
    from pathlib import Path

    from smolmix.pipelines.corpora import SOURCES

    Path("docs/corpora.md").write_text(markdown(SOURCES.values()))

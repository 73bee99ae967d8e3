"""The overview page of a workspace: what each stage holds, and the next command to run."""

from dataclasses import dataclass
from typing import Any

from smolmix.fetched import fetched_corpora
from smolmix.mixtures.selection.lock import LOCK_FILE
from smolmix.model.train.run_record import read_metrics, trained_runs
from smolmix.pipelines.report.page.page import workspace_page
from smolmix.pipelines.report.page.sections import Link, Section, Table
from smolmix.pipelines.stats.folders import raw_table
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

_NEXT = (  # the first empty stage decides which command is suggested
    ("fetched", "Nothing was fetched yet: `smolmix corpora` lists the available corpora, `smolmix "
     "fetch CORPUS` downloads one, and `make demo` fills a workspace without a hub."),
    ("curated", "Nothing was curated yet: `smolmix curate CORPUS` measures, filters and "
     "deduplicates a fetched corpus."),
    ("mixtures", "No mixture was built yet: `smolmix mix plan SPEC` previews one, `smolmix mix "
     "build SPEC` builds it, and `smolmix report NAME` then shows its samples."),
    ("runs", "Nothing was trained yet: `smolmix tokenize MIXTURE`, then `smolmix train RECIPE`."),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What was written."""

    page: str  # path or URL of index.html
    totals: dict[str, int]
    bytes_on_disk: int


def _names(workspace: Workspace, stage: str, marker: str) -> list[str]:
    folder = workspace.child(stage)
    if not folder.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in folder.fs.ls(folder.path, False))
    return [n for n in names if folder.child(n).exists(marker)]


def _fetched(workspace: Workspace) -> list[dict[str, Any]]:
    rows = raw_table(workspace, fetched_corpora(workspace))
    for row in rows:
        row["parquet_rows"] = row["parquet_rows"] or None  # rows of other formats are not counted
        row["complete"] = "yes" if row["complete"] else f"no: smolmix fetch {row['corpus']}"
    return rows


def _curated(workspace: Workspace) -> list[dict[str, Any]]:
    rows = []
    for corpus in _names(workspace, "curated", STAGE_FILE):
        accounting = stage_record(workspace.curated(corpus)).accounting
        losses = {"dropped": sum(accounting.dropped.values()), "duplicates": accounting.duplicates}
        losses["merged"] = accounting.merged
        rows.append(
            {"corpus": corpus, "samples": accounting.samples, **losses, "kept": accounting.kept}
        )
    return rows


def _mixtures(workspace: Workspace) -> list[dict[str, Any]]:
    rows = []
    for name in _names(workspace, "mixtures", LOCK_FILE):
        lock = workspace.mixture(name).read_json(LOCK_FILE)
        written = workspace.report(name).exists("index.html")
        page: Link | str = f"none; run smolmix report {name}"
        if written:
            page = Link(text=f"reports/{name}/index.html", href=f"{name}/index.html")
        rows.append({"mixture": name, "corpora": len(lock["corpora"]), "report": page})
    return rows


def _runs(workspace: Workspace) -> list[dict[str, Any]]:
    found = {n: read_metrics(workspace.run(n)) for n in trained_runs(workspace)}
    return [
        {"run": n, "steps": lines[-1]["step"], "loss": lines[-1]["loss"]}
        for n, lines in found.items()
        if lines
    ]


def build_overview(workspace: Workspace) -> Overview:
    """Write `reports/index.html`: the contents of every stage, and the next command to run."""
    tables = {
        "fetched": _fetched(workspace),
        "curated": _curated(workspace),
        "mixtures": _mixtures(workspace),
        "runs": _runs(workspace),
    }
    totals = {name: len(rows) for name, rows in tables.items()}
    missing = next((advice for name, advice in _NEXT if not totals[name]), "")
    sections = [
        Section(
            id="overview", title="Overview", totals=totals, paragraphs=[missing] if missing else []
        ),
        *(
            Section(id=name, title=name.capitalize(), tables=[Table(title="Contents", rows=r)])
            for name, r in tables.items()
            if r
        ),
    ]
    page = workspace_page(workspace.url, sections).encode()
    folder = workspace.child("reports")
    folder.write_bytes("index.html", page)
    return Overview(page=folder.at("index.html"), totals=totals, bytes_on_disk=len(page))

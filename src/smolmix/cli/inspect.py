"""Verbs that show what the workspace holds: `stats`, `report`, `browse`."""

import sys
from typing import Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    add_verb,
    note,
    open_workspace,
    print_json,
)
from smolmix.errors import UsageError

ByOption = Annotated[
    str,
    typer.Option("--by", metavar="COLUMN", help="Group samples by this column, or by tags.KEY."),
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the groups of samples as CSV.")]
DroppedOption = Annotated[
    bool, typer.Option("--dropped", help="Count dropped rows and samples by reason.")
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="With --dropped: show examples of this reason.")
]
CountedForOption = Annotated[
    str | None,
    typer.Option("--counted-for", help="Show the token counts for this profile or preset."),
]


def stats(
    path: Annotated[
        str, typer.Argument(help="A workspace, curated/CORPUS, mixtures/NAME, runs/NAME, …")
    ] = "",
    by: ByOption = "corpus",
    dropped: DroppedOption = False,
    reason: ReasonOption = None,
    examples: Annotated[
        int, typer.Option("--examples", min=1, help="Show this many examples.")
    ] = 20,
    counted_for: CountedForOption = None,
    csv: CsvOption = False,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Print statistics of raw files, samples, a mixture, shards or a run.

    Example: smolmix stats curated/easy-vqa --by category
    """
    from smolmix.pipelines.stats import terminal
    from smolmix.pipelines.stats.run import answer, dropped_answer, locate

    if reason is not None and not dropped:
        raise UsageError("--reason: works only with --dropped; add --dropped")
    if csv and json:
        raise UsageError("--csv, --json: both were given; choose one")
    open_workspace(workspace)
    place = locate(path or workspace, workspace)
    if dropped:
        found = dropped_answer(place, reason=reason, limit=examples)
    else:
        found = answer(place, by=by, profile=counted_for)
    if json:
        print_json(found.value)
    elif csv:
        sys.stdout.write(terminal.to_csv(found.rows))
    else:
        print("\n".join(found.lines))


def report(
    name: Annotated[
        str | None,
        typer.Argument(help="A built mixture; without one, an overview of the workspace."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Random seed.")] = 0,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Show this many examples.")
    ] = 24,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Write a mixture's HTML report and dataset card, or an overview of the workspace.

    Example: smolmix report demo
    """
    from smolmix.pipelines.report.page.workspace import build_overview
    from smolmix.pipelines.report.run import build_report
    from smolmix.pipelines.report.samples.gallery import Budget

    place = open_workspace(workspace)
    if not place.exists():
        raise UsageError(f"--workspace {workspace}: no such folder; name a workspace with data")
    place = open_workspace(workspace, writable=True)
    if name is None:
        overview = build_overview(place)
        if json:
            print_json({"page": overview.page, "totals": overview.totals})
        else:
            totals = ", ".join(f"{n} {what}" for what, n in overview.totals.items())
            print(f"{overview.page}: {totals}")
        return
    made = build_report(place, name, seed=seed, budget=Budget(kept=examples))
    if json:
        print_json(
            {
                "page": made.page,
                "card": made.card,
                "samples": made.samples,
                "pictures": made.pictures,
                "bytes_on_disk": made.bytes_on_disk,
            }
        )
    else:
        print(f"{made.page}: {made.samples} samples to browse, {made.bytes_on_disk:,} bytes")
        print(f"{made.card}: dataset card")


def browse(
    corpora: Annotated[
        list[str] | None, typer.Argument(help="Curated corpora; without any, all.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to serve at; other machines can connect unless it is a loopback one.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, help="Port to serve at; 0 chooses a free one."),
    ] = 8765,
    counted_for: CountedForOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Browse and search all samples in a web browser, until interrupted.

    Example: smolmix browse easy-vqa --port 8765
    """
    from smolmix.pipelines.report.browser.run import open_browser

    note("smolmix browse: indexing the texts of new corpora")
    place = open_workspace(workspace)
    server = open_browser(place, tuple(corpora or ()), profile=counted_for, host=host, port=port)
    with server:
        print(server.url, flush=True)
        if server.open_to_others:
            print(
                "smolmix browse: anyone who can connect to this port sees all samples",
                file=sys.stderr,
            )
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            note("smolmix browse: stopped")


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    add_verb(app, stats, short_help="Print statistics of any stage.")
    add_verb(app, report, short_help="Write a mixture's HTML report.")
    add_verb(app, browse, short_help="Browse all samples in a web browser.")

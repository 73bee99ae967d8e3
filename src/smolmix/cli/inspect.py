"""Verbs that look: `stats`, `report`, `browse`."""

import sys
from typing import Annotated

import typer

from smolmix.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, print_json
from smolmix.errors import UsageError

ByOption = Annotated[
    str, typer.Option("--by", metavar="COLUMN", help="Group by this column, or by tags.KEY.")
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print the groups as CSV.")]
DroppedOption = Annotated[bool, typer.Option("--dropped", help="Count what left, by reason.")]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="With --dropped: show examples of this reason.")
]
CountedForOption = Annotated[
    str | None,
    typer.Option("--counted-for", help="Show the token counts of this profile or preset."),
]


def stats(
    path: Annotated[
        str, typer.Argument(help="A workspace, curated/CORPUS, mixtures/NAME, runs/NAME, …")
    ] = "",
    by: ByOption = "corpus",
    dropped: DroppedOption = False,
    reason: ReasonOption = None,
    examples: Annotated[
        int, typer.Option("--examples", min=1, help="With --reason: examples to show.")
    ] = 20,
    counted_for: CountedForOption = None,
    csv: CsvOption = False,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Show the numbers of raw files, samples, a mixture, shards or a run.

    Example: smolmix stats curated/easy-vqa --by category
    """
    from smolmix.cli.options import open_workspace
    from smolmix.pipelines.stats import terminal
    from smolmix.pipelines.stats.answer import answer, dropped_answer
    from smolmix.pipelines.stats.places import locate

    if reason is not None and not dropped:
        raise UsageError("--reason: goes with --dropped; add --dropped")
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
        str | None, typer.Argument(help="A built mixture; none: a page of the whole workspace.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw of samples to show.")] = 0,
    examples: Annotated[
        int, typer.Option("--examples", min=0, help="Kept samples to show of each corpus.")
    ] = 24,
    json: JsonOption = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Write a mixture's HTML report and dataset card, or a page of what the workspace holds.

    Example: smolmix report demo
    """
    from smolmix.cli.options import open_workspace
    from smolmix.pipelines.report.page.workspace import build_overview
    from smolmix.pipelines.report.run import build_report
    from smolmix.pipelines.report.samples.gallery import Budget

    place = open_workspace(workspace)
    if not place.exists():
        raise UsageError(f"--workspace {workspace}: not there; nothing to report on")
    place = open_workspace(workspace, writable=True)
    if name is None:
        overview = build_overview(place)
        if json:
            print_json({"page": overview.page, "totals": overview.totals})
        else:
            said = ", ".join(f"{n} {what}" for what, n in overview.totals.items())
            print(f"{overview.page}: {said}")
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
        list[str] | None, typer.Argument(help="Curated corpora; none for all of them.")
    ] = None,
    host: Annotated[
        str,
        typer.Option("--host", help="Address to bind to; other machines reach it if not loopback."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any free one.")] = 8765,
    counted_for: CountedForOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Browse and search all samples in a web browser, until interrupted.

    Example: smolmix browse easy-vqa --port 8765
    """
    from smolmix.cli.options import open_workspace
    from smolmix.pipelines.report.browser.run import open_browser

    print("smolmix browse: indexing what is not indexed yet", file=sys.stderr)
    place = open_workspace(workspace)
    server = open_browser(place, tuple(corpora or ()), profile=counted_for, host=host, port=port)
    with server:
        print(server.url, flush=True)
        if server.open_to_others:
            print("smolmix browse: whoever reaches that port sees all samples", file=sys.stderr)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("smolmix browse: stopped", file=sys.stderr)


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("stats", short_help="Show the numbers of any stage.")(stats)
    app.command("report", short_help="Write a mixture's HTML report.")(report)
    app.command("browse", short_help="Browse all samples in a web browser.")(browse)

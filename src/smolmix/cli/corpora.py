"""Verbs of the `corpora` room: the catalogue, and fetching."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from smolmix.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from smolmix.pipelines.sources.source import Source


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(corpora)
    app.command()(fetch)


def corpora(
    name: Annotated[str | None, typer.Argument(help="One corpus, in full.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the catalogue: every corpus with its licence, size and where it is published.

    Example: smolmix corpora the-cauldron
    """
    from smolmix.cli.options import print_json
    from smolmix.pipelines.sources import SOURCES, source_of

    if name is not None:
        entry = _entry(source_of(name))
        if as_json:
            print_json(entry)
        else:
            for key, value in entry.items():
                print(f"{key:>12}  {value}")
        return
    entries = [_entry(source) for source in SOURCES.values()]
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        print(
            f"{entry['id']:24} {entry['role']:14} {entry['modality']:12} "
            f"{entry['rows'] if entry['rows'] is not None else '?':>12} {entry['licence']}"
        )


def fetch(
    corpora: Annotated[list[str], typer.Argument(help="Ids of corpora.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Bring corpora into the workspace: checked, resumable, pinned to a revision.

    Example: smolmix fetch easy-vqa word-problems
    """
    from dataclasses import asdict

    from smolmix.cli.options import open_workspace, print_json
    from smolmix.pipelines.fetch import fetch as bring
    from smolmix.pipelines.sources import source_of

    sources = [source_of(name) for name in corpora]
    space = open_workspace(workspace, writable=True)
    done = [bring(source, space) for source in sources]
    if as_json:
        print_json([asdict(one) for one in done])
        return
    for one in done:
        state = "fetched" if one.fresh else "there already"
        print(f"{one.corpus}: {one.files} files, {one.bytes:,} bytes, {state}")


def _entry(source: "Source") -> dict[str, Any]:
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
        "subsets": [{"name": s.name, "rows": s.rows} for s in source.subsets],
        "warnings": list(source.warnings),
    }

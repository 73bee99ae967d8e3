"""Verbs of the `corpora` room: the catalogue, and fetching."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    WorkspaceOption,
    add_verb,
    note,
    open_workspace,
    print_json,
)
from smolmix.errors import UsageError

if TYPE_CHECKING:
    from smolmix.pipelines.sources.source import Source

CatalogueOption = Annotated[
    str | None, typer.Option("--catalogue", help="A YAML file that describes your own corpora.")
]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    add_verb(app, corpora, short_help="Show the catalogue of corpora.")
    add_verb(app, fetch, short_help="Download corpora into the workspace.")


def corpora(
    name: Annotated[str | None, typer.Argument(help="Show everything about this corpus.")] = None,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the catalogue: every corpus with its licence, its rows and where it is published.

    Example: smolmix corpora the-cauldron
    """
    from smolmix.pipelines.corpora import SOURCES, source_of
    from smolmix.pipelines.corpora.table import entry, in_full, lines

    known = _known(catalogue)
    if name is not None:
        source = known[name] if name in known else source_of(name)
        if as_json:
            print_json(entry(source))
        else:
            print("\n".join(in_full(source)))
        return
    shown = list(known.values()) if catalogue else list(SOURCES.values())
    if as_json:
        print_json([entry(source) for source in shown])
    else:
        print("\n".join(lines(shown)))


def fetch(
    corpora: Annotated[list[str], typer.Argument(help="Ids of corpora.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Download files until they hold this many rows.")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(help="Download the files that match this glob; may be repeated."),
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Download at most this much, rows first: 500M, 20G.")
    ] = None,
    annotations: Annotated[
        bool,
        typer.Option("--annotations", help="Fetch rows only; skip media stored in separate files."),
    ] = False,
    lock: Annotated[
        str | None,
        typer.Option(
            "--for", help="Fetch only the media that this mixture selects (name or lock.json)."
        ),
    ] = None,
    media: Annotated[
        str | None,
        typer.Option(help="Folder with media that you obtained separately from the rows."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Fetch this branch, tag or commit.")] = None,
    dry_run: DryRunOption = False,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download corpora into the workspace: verified, resumable, pinned to a revision.

    Example: smolmix fetch the-cauldron --files 'ai2d/*' --limit 1000
    """
    from dataclasses import asdict, replace

    from smolmix.pipelines.corpora import source_of

    known = _known(catalogue)
    space = open_workspace(workspace)
    sources = [known[name] if name in known else source_of(name, space) for name in corpora]
    open_workspace(workspace, writable=not dry_run)

    from smolmix.mixtures.selection.reader import mixture_folder
    from smolmix.pipelines.fetch.run import FetchOptions
    from smolmix.pipelines.fetch.run import fetch as run_fetch
    from smolmix.pipelines.fetch.scope import Scope
    from smolmix.pipelines.fetch.selected_media import selected_files

    scope = Scope(
        limit=limit,
        files=tuple(files or ()),
        max_bytes=_bytes(max_bytes),
        annotations=annotations,
    )
    done = []
    for source in sources:
        chosen, pinned = scope, revision
        if lock is not None:
            needed = selected_files(source.id, mixture_folder(lock, space), space)
            pinned, selected = needed.revision, tuple(sorted(needed.files.items()))
            chosen = replace(scope, selected=selected, named=needed.named)
            if not selected and not needed.named:
                print(f"{source.id}: the selection needs no raw file")
                continue
        options = FetchOptions(
            scope=chosen,
            revision=pinned,
            media=os.path.abspath(media) if media and "://" not in media else media,
            dry_run=dry_run,
            say=lambda text, name=source.id: note(f"{name}: {text}"),  # type: ignore[misc]  # mypy infers no lambda with defaults
        )
        done.append(run_fetch(source, space, options))
    if as_json:
        print_json([asdict(one) for one in done])
        return
    for one in done:
        state = "would be fetched" if one.dry_run else "fetched" if one.fresh else "already fetched"
        media = f"; media are read in place from {one.media:,} files"
        media = media if one.media > one.files else ""
        print(
            f"{one.corpus}: {one.files} files, {one.bytes:,} bytes, {state} "
            f"(revision {one.revision[:12]}){media}"
        )


def _known(catalogue: str | None) -> "dict[str, Source]":
    from smolmix.pipelines.corpora import SOURCES

    if catalogue is None:
        return dict(SOURCES)
    from smolmix.pipelines.sources.catalogue import read_catalogue

    own = read_catalogue(catalogue)
    if taken := sorted(set(own) & set(SOURCES)):
        raise UsageError(
            f"{catalogue}: corpora: {taken[0]} is a published corpus; give yours another id"
        )
    return {**SOURCES, **own}


def _bytes(text: str | None) -> int | None:
    if text is None:
        return None
    number = text.upper().removesuffix("B").removesuffix("I")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    try:
        size = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise UsageError(
            f"--max-bytes {text}: not a size; write a number with K, M, G or T, as in 20G"
        )
    return size

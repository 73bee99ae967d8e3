"""Verbs of the `corpora` room: the catalogue, and fetching."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption
from smolmix.errors import UsageError

if TYPE_CHECKING:
    from smolmix.pipelines.sources.source import Source

CatalogueOption = Annotated[
    str | None, typer.Option("--catalogue", help="A YAML file of your own corpora.")
]
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command(short_help="Show the catalogue of corpora.")(corpora)
    app.command(short_help="Bring corpora into the workspace.")(fetch)


def corpora(
    name: Annotated[str | None, typer.Argument(help="One corpus, in full.")] = None,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the catalogue: every corpus with its licence, size and where it is published.

    Example: smolmix corpora the-cauldron
    """
    from smolmix.cli.options import print_json
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
        int | None, typer.Option(min=1, help="Rows: bring files until they hold this many.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Option(help="Glob over published paths; may be repeated.")
    ] = None,
    max_bytes: Annotated[
        str | None, typer.Option(help="Bring what fits, rows first: 500M, 20G.")
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Rows without the media that lie apart.")
    ] = False,
    lock: Annotated[
        str | None,
        typer.Option("--for", help="A mixture or its lock.json: only the media of its selection."),
    ] = None,
    media: Annotated[
        str | None, typer.Option(help="Your folder of media that is not published.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit to pin.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say files and bytes only.")] = False,
    catalogue: CatalogueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring corpora into the workspace: checked, resumable, pinned to a revision.

    Example: smolmix fetch the-cauldron --files 'ai2d/*' --limit 1000
    """
    from dataclasses import asdict, replace

    from smolmix.cli.options import open_workspace, print_json
    from smolmix.mixtures.selection.reader import mixture_folder
    from smolmix.pipelines.corpora import source_of
    from smolmix.pipelines.fetch.run import FetchOptions
    from smolmix.pipelines.fetch.run import fetch as run_fetch
    from smolmix.pipelines.fetch.scope import Scope
    from smolmix.pipelines.fetch.selected_media import selected_files

    known = _known(catalogue)
    space = open_workspace(workspace)
    sources = [known[name] if name in known else source_of(name, space) for name in corpora]
    open_workspace(workspace, writable=not dry_run)
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
            say=lambda text, name=source.id: print(f"{name}: {text}", file=sys.stderr),  # type: ignore[misc]
        )
        done.append(run_fetch(source, space, options))
    if as_json:
        print_json([asdict(one) for one in done])
        return
    for one in done:
        state = "would be fetched" if one.dry_run else "fetched" if one.fresh else "there already"
        media = f"; media are looked for in {one.media:,} files where they lie"
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
        raise UsageError(f"--max-bytes {text}: not a size; a number with K, M, G or T, as in 20G")
    return size

"""`smolmix curate`: measure, filter, deduplicate and decontaminate corpora."""

from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    Verb,
    WorkersOption,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.curate.policy import Policy
    from smolmix.workspace import Workspace


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("curate", cls=Verb, short_help="Measure, filter and deduplicate them.")(curate)


def curate(
    corpora: Annotated[list[str], typer.Argument(help="Corpora that are fetched.")],
    policy: Annotated[
        str, typer.Option("--policy", help="A policy's name, or a YAML file.")
    ] = "default",
    compare: Annotated[
        str | None,
        typer.Option("--compare", help="Another policy on the same measures; writes no corpus."),
    ] = None,
    contamination_set: Annotated[
        list[str] | None,
        typer.Option(
            "--contamination-set",
            help="A .txt or .jsonl file whose texts must not be in the data; may be repeated.",
        ),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Also find duplicates across these corpora.")
    ] = False,
    headers_only: Annotated[
        bool, typer.Option("--headers-only", help="Decode no pixels while measuring.")
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, filter, deduplicate and decontaminate corpora; print where every row went.

    Example: smolmix curate easy-vqa stdlib-text --policy default
    """
    import json

    from smolmix.cli.options import open_workspace
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.corpora import source_of
    from smolmix.pipelines.curate import policy as policies
    from smolmix.pipelines.curate.decontaminate.run import check_files
    from smolmix.pipelines.curate.run import curate_corpus
    from smolmix.pipelines.curate.waterfall import waterfall

    rules = policies.load(policy)
    other = policies.load(compare) if compare is not None else None
    check_files(contamination_set or ())
    place = open_workspace(workspace, writable=True)
    sources = [source_of(name, place) for name in dict.fromkeys(corpora)]
    options = RunOptions(workers=workers, ray_address=ray_address)
    if other is not None:
        _compare(place, options, [s.id for s in sources], rules, other, as_json)
        return
    falls = []
    for source in sources:
        curate_corpus(
            source,
            rules,
            place,
            options=options,
            contamination_set=tuple(contamination_set or ()),
            decode=not headers_only,
        )
        falls.append(waterfall(place, source.id))
        if not as_json:
            print("\n".join(falls[-1].lines()))
    if as_json:
        print(json.dumps([f.to_json() for f in falls], indent=1))
    if across:
        _across(place, options, [s.id for s in sources], rules)


def _compare(
    workspace: "Workspace",
    options: "RunOptions",
    corpora: list[str],
    one: "Policy",
    other: "Policy",
    as_json: bool,
) -> None:
    import json

    from smolmix.pipelines.curate.compare import compare_policies

    found = [compare_policies(corpus, one, other, workspace, options=options) for corpus in corpora]
    if as_json:
        print(json.dumps([f.to_json() for f in found], indent=1))
        return
    for one_corpus in found:
        print("\n".join(one_corpus.lines()))


def _across(
    workspace: "Workspace", options: "RunOptions", corpora: list[str], rules: "Policy"
) -> None:
    import sys

    from smolmix.pipelines.curate.across import across
    from smolmix.removals import set_folder
    from smolmix.workspace import manifests

    summary = across(corpora, rules, workspace, options=options)
    counts: dict[str, int] = {}
    for manifest in manifests(set_folder(workspace, corpora)):
        counts |= manifest.stats["reasons"]
    said = ", ".join(f"{n:,} {reason}" for reason, n in counts.items()) or "none"
    order = " > ".join(summary.record.info["priority"])
    print(
        f"copies across corpora, left out of a mixture of them: {said} ({order})",
        file=sys.stderr,
    )

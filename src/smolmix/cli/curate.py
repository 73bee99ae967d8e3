"""`smolmix curate`: measure, filter, deduplicate and decontaminate corpora."""

from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    WorkersOption,
    WorkspaceOption,
    add_verb,
    note,
    open_workspace,
    run_options,
)

if TYPE_CHECKING:
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.curate.policy import Policy
    from smolmix.workspace import Workspace


def add(app: typer.Typer) -> None:
    """Register the verb."""
    add_verb(app, curate, short_help="Measure, filter and deduplicate corpora.")


def curate(
    corpora: Annotated[list[str], typer.Argument(help="Ids of fetched corpora.")],
    policy: Annotated[
        str, typer.Option("--policy", help="default, none, strict-text, or your own YAML file.")
    ] = "default",
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare", help="Only show what this policy would keep instead; write no corpus."
        ),
    ] = None,
    contamination_set: Annotated[
        list[str] | None,
        typer.Option(
            "--contamination-set",
            help="A .txt or .jsonl file whose texts must not be in the data; may be repeated.",
        ),
    ] = None,
    across: Annotated[
        bool, typer.Option("--across", help="Also find duplicates between these corpora.")
    ] = False,
    headers_only: Annotated[
        bool,
        typer.Option("--headers-only", help="Measure media by their headers; decode no pixels."),
    ] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure, filter, deduplicate and decontaminate corpora; print why rows were dropped.

    Example: smolmix curate easy-vqa stdlib-text --policy default
    """
    import json

    from smolmix.pipelines.corpora import source_of
    from smolmix.pipelines.curate import policy as policies

    rules = policies.load(policy)
    other = policies.load(compare) if compare is not None else None
    place = open_workspace(workspace)
    sources = [source_of(name, place) for name in dict.fromkeys(corpora)]

    from smolmix.pipelines.curate.decontaminate.run import check_files
    from smolmix.pipelines.curate.run import curate_corpus
    from smolmix.pipelines.curate.waterfall import waterfall

    check_files(contamination_set or ())
    open_workspace(workspace, writable=True)
    options = run_options(workers, ray_address)
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
    from smolmix.pipelines.curate.across import across
    from smolmix.removals import set_folder
    from smolmix.workspace import manifests

    summary = across(corpora, rules, workspace, options=options)
    counts: dict[str, int] = {}
    for manifest in manifests(set_folder(workspace, corpora)):
        counts |= manifest.stats["reasons"]
    found = ", ".join(f"{n:,} {reason}" for reason, n in counts.items()) or "none"
    order = ", ".join(summary.record.info["priority"])
    note(
        f"duplicates between corpora: {found}; a mixture of these corpora excludes them and keeps "
        f"the copy in the first of {order}"
    )

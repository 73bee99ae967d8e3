"""`smolmix curate`: measure, filter, deduplicate and decontaminate corpora."""

from typing import Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    WorkersOption,
    WorkspaceOption,
)


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command("curate")(curate)


def curate(
    corpora: Annotated[list[str], typer.Argument(help="Corpora that are fetched.")],
    policy: Annotated[
        str, typer.Option("--policy", help="A policy's name, or a YAML file.")
    ] = "default",
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
    from smolmix.pipelines.curate import Run, curate_corpus
    from smolmix.pipelines.curate_waterfall import waterfall
    from smolmix.pipelines.filters import policy as policies
    from smolmix.pipelines.sources import source_of

    rules = policies.load(policy)
    place = open_workspace(workspace, writable=True)
    sources = [source_of(name, place) for name in dict.fromkeys(corpora)]
    run = Run(workspace=place, workers=workers, ray_address=ray_address)
    falls = []
    for source in sources:
        curate_corpus(source, rules, run, look=not headers_only)
        falls.append(waterfall(run.workspace, source.id))
        if not as_json:
            print("\n".join(falls[-1].lines()))
    if as_json:
        print(json.dumps([f.to_json() for f in falls], indent=1))

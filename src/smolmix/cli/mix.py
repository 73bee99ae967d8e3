"""`smolmix mix`: plan, build, compare and import mixtures."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    PartialOption,
    RayAddressOption,
    SpecArgument,
    WorkersOption,
    WorkspaceOption,
    add_verb,
    open_workspace,
    print_json,
    run_options,
)
from smolmix.errors import UsageError

mix = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Plan, build and compare mixtures.\n\nExample: smolmix mix plan mixtures/demo.yaml",
)


def plan(
    spec: SpecArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    declared_counts: Annotated[
        Path | None,
        typer.Option(
            "--declared-counts",
            help="CSV file of counts to use for data that is not curated: component, samples, "
            "text_tokens, duration_s, ...",
        ),
    ] = None,
    count: Annotated[
        bool, typer.Option("--count", help="First count the tokens of curated corpora.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every component, licence and warning.")
    ] = False,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Solve a mixture and show it. Needs no data and writes nothing, except counts with --count.

    Components that are curated and counted in the workspace are planned on these counts, others
    on declared counts. Each number says whether it is counted, declared or assumed.

    Example: smolmix mix plan smolvlm2-2.2b
    """
    from smolmix.api import plan_mixture, read_spec

    reading = read_spec(spec)  # before numpy and scipy are imported
    found = plan_mixture(
        reading,
        open_workspace(workspace),
        count=count,
        declared_counts=declared_counts,
        options=run_options(workers, ray_address),
    )
    if as_json:
        print_json(found.to_json())
        return
    from smolmix.mixtures.plan import show

    sys.stdout.write("\n".join(show.screen(found, everything=everything)) + "\n")


def build(
    spec: SpecArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    partial: PartialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Solve a mixture over curated corpora; write its selection of samples and its lock.

    Given a lock.json, rebuild the same mixture, or print what has changed.

    Example: smolmix mix build mixtures/demo.yaml
    """
    from smolmix.api import build_mixture, read_spec

    place = open_workspace(workspace)
    if spec.endswith(".json"):
        from smolmix.mixtures.built.run import rebuild
        from smolmix.mixtures.selection.lock import Lock
        from smolmix.storage import Folder

        path = Path(spec)
        lock = Lock.from_json(Folder(str(path.parent)).read_json(path.name), spec)
        lock = rebuild(lock, place, spec)
    else:
        options = run_options(workers, ray_address)
        lock = build_mixture(read_spec(spec), place, partial=partial, options=options)

    from smolmix.mixtures.built import summary

    if as_json:
        print_json(summary.facts(lock))
    else:
        sys.stdout.write("\n".join(summary.lines(lock)) + "\n")


def diff(
    a: Annotated[str, typer.Argument(help="A built mixture: its name, folder or lock.json.")],
    b: Annotated[str, typer.Argument(help="Another.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Compare two built mixtures: shares, samples in and out, tokens, licences.

    Example: smolmix mix diff demo demo-more-text
    """
    from smolmix.mixtures.built import diff
    from smolmix.mixtures.selection.reader import mixture_folder

    place = open_workspace(workspace)
    found = diff.diff(mixture_folder(a, place), mixture_folder(b, place))
    if as_json:
        print_json(found)
    else:
        sys.stdout.write("\n".join(diff.lines(found)) + "\n")


def import_(
    file: Annotated[Path, typer.Argument(help="A mixture YAML of the released smolvlm2 code.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write.")],
) -> None:
    """Convert a mixture YAML of the smolvlm2 code into a spec; list what could not be converted.

    Example: smolmix mix import onevision_no_mammoth.yaml -o mixtures/mine.yaml
    """
    from smolmix.mixtures.spec.import_smolvlm2 import import_smolvlm2, to_yaml

    found = import_smolvlm2(file)
    try:
        output.write_text(to_yaml(found.spec), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror})") from error
    count = len(found.spec["components"])
    sys.stdout.write(f"{output}: {count} components\n")
    for remark in found.remarks:
        sys.stdout.write(f"not converted: {remark}\n")


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    add_verb(mix, plan, short_help="Solve a mixture and show it; needs no data.")
    add_verb(mix, build, short_help="Select the samples of a mixture.")
    add_verb(mix, diff, short_help="Compare two built mixtures.")
    add_verb(mix, import_, short_help="Convert a smolvlm2 mixture YAML.", name="import")
    app.add_typer(mix, name="mix", short_help="Plan, build and compare mixtures.")

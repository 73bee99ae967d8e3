"""`smolmix mix`: plan, build, compare and import mixtures."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    WorkersOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)
from smolmix.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from smolmix.mixtures.selection.lock import Lock
    from smolmix.mixtures.spec.catalogue import Catalogue
    from smolmix.mixtures.spec.load import Reading
    from smolmix.workspace import Workspace

mix = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Plan, build and compare mixtures.\n\nExample: smolmix mix plan mixtures/demo.yaml",
)
SpecArgument = Annotated[
    str,
    typer.Argument(
        help="A mixture's YAML file, or one that ships: demo, starter, smolvlm2-2.2b, …"
    ),
]


def _catalogue(workspace: "Workspace", corpora: "Iterable[str]") -> "Catalogue":
    """Return the corpora that adapters exist for, and those of the user's own that are here."""
    from smolmix.mixtures.spec.catalogue import CatalogueRow
    from smolmix.pipelines.corpora import SOURCES, source_of

    sources = dict(SOURCES)
    for name in set(corpora) - set(SOURCES):
        with contextlib.suppress(UsageError):  # the spec's check says it better
            sources[name] = source_of(name, workspace)
    return {
        s.id: CatalogueRow(
            id=s.id,
            modality=s.modality,
            role=s.role,
            licence=s.licence,
            gated=bool(s.gated),
            rows=s.rows,
            revision=s.revision,
            verified=s.verified,
            subsets={subset.name: subset.rows for subset in s.subsets},
        )
        for s in sources.values()
    }


def _build_lock(workspace: "Workspace", name: str) -> "Lock":
    from smolmix.mixtures.built.run import rebuild
    from smolmix.mixtures.selection.lock import Lock
    from smolmix.storage import Folder

    path = Path(name)
    lock = Lock.from_json(Folder(str(path.parent)).read_json(path.name), name)
    return rebuild(lock, workspace, name)


def _ensure_counts(
    workspace: "Workspace", reading: "Reading", workers: int, ray_address: str | None
) -> None:
    """Count the spec's curated corpora under its profile, where that is still to be done."""
    from smolmix.engine.stage import RunOptions
    from smolmix.mixtures.built.run import spec_profile
    from smolmix.mixtures.spec.catalogue import corpora_of
    from smolmix.pipelines.pretokenize.counts import ensure_counts

    here = workspace.corpora("curated")
    corpora = [c for c in corpora_of(reading.spec) if c in here]
    options = RunOptions(workers=workers, ray_address=ray_address)
    ensure_counts(workspace, corpora, spec_profile(reading.spec), options)


@mix.command("plan")
def _plan(
    spec: SpecArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    declared_counts: Annotated[
        Path | None,
        typer.Option(
            "--declared-counts",
            help="CSV of declared counts: component, samples, text_tokens, duration_s...",
        ),
    ] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Count curated corpora first, to plan on measures.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every component, licence and warning.")
    ] = False,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Solve a mixture and show it; no data are needed, and nothing is written but counts.

    Components that are curated and counted in the workspace are planned on their measures, others
    on declared counts; every figure says which.

    Example: smolmix mix plan smolvlm2-2.2b
    """
    from smolmix.mixtures.candidates.declared_sizes import read_counts
    from smolmix.mixtures.plan import show
    from smolmix.mixtures.plan.plan import make_plan
    from smolmix.mixtures.spec.catalogue import corpora_of
    from smolmix.mixtures.spec.load import read_spec

    place = open_workspace(workspace)
    reading = read_spec(spec)
    if count:
        _ensure_counts(place, reading, workers, ray_address)
    plan = make_plan(
        reading,
        workspace=place if place.exists() else None,
        catalogue=_catalogue(place, corpora_of(reading.spec)),
        counts=read_counts(declared_counts) if declared_counts is not None else None,
    )
    if as_json:
        print_json(plan.to_json())
    else:
        sys.stdout.write("\n".join(show.screen(plan, everything=everything)) + "\n")


@mix.command("build")
def _build(
    spec: SpecArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out components that were never published.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Solve a mixture over curated corpora; write its selection and its lock.

    Given a lock.json, reproduce it or say what changed.

    Example: smolmix mix build mixtures/demo.yaml
    """
    from smolmix.mixtures.built import summary
    from smolmix.mixtures.built.run import build, check_here
    from smolmix.mixtures.spec.catalogue import check_corpora, check_gated, corpora_of
    from smolmix.mixtures.spec.load import read_spec

    place = open_workspace(workspace)
    if spec.endswith(".json"):
        lock = _build_lock(place, spec)
    else:
        reading = read_spec(spec)
        catalogue = _catalogue(place, corpora_of(reading.spec))
        check_corpora(reading.spec, catalogue, reading.path)
        here = {*place.corpora("raw"), *place.corpora("curated")}
        check_gated(reading.spec, catalogue, here, reading.path)
        check_here(reading, place)
        _ensure_counts(place, reading, workers, ray_address)
        lock = build(reading, place, catalogue=catalogue, partial=partial)
    if as_json:
        print_json(summary.facts(lock))
    else:
        sys.stdout.write("\n".join(summary.lines(lock)) + "\n")


@mix.command("diff")
def _diff(
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


@mix.command("import")
def _import(
    file: Annotated[Path, typer.Argument(help="A mixture YAML of the released smolvlm2 code.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The spec to write.")],
) -> None:
    """Turn a smolvlm2 mixture YAML into a spec; say what could not be carried.

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
        sys.stdout.write(f"not carried: {remark}\n")


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.add_typer(mix, name="mix", short_help="Plan, build and compare mixtures.")

"""`smolmix ablate`: does a change help? Arms, seeds, intervals."""

from typing import Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    DryRunOption,
    JsonOption,
    RayAddressOption,
    WorkersOption,
    WorkspaceOption,
    add_verb,
    note,
    open_workspace,
    print_json,
    run_options,
)


def add(app: typer.Typer) -> None:
    """Register the verb."""
    add_verb(app, ablate, short_help="Run an ablation: does a change help?")


def ablate(
    plan: Annotated[
        str,
        typer.Argument(
            help="A plan's YAML file, or one that ships, such as image-splitting or text-share."
        ),
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run an ablation: train every arm of a plan under several seeds and compare the scores.

    The same command resumes a killed ablation; finished trials are not run again.

    Example: smolmix ablate image-splitting --workers 2
    """
    from smolmix.pipelines.ablations.plan import load_plan

    loaded, place = load_plan(plan), open_workspace(workspace)

    from smolmix.pipelines.ablations import run as ablations
    from smolmix.pipelines.ablations.table import lines

    ablations.check(loaded, place)
    if dry_run:
        for one in loaded.trials:
            steps = ", ".join(
                f"{s.name}: {s.mixture}, {s.steps or s.epochs} {'steps' if s.steps else 'epochs'}"
                for s in one.recipe.stages
            )
            print(f"{one.name:24} {one.recipe.full_profile().name}  {steps}")
        return
    open_workspace(workspace, writable=True)
    made = ablations.ablate(
        loaded, place, options=run_options(workers, ray_address),
        say=lambda step: note(f"== {step}"),
    )  # fmt: skip
    if as_json:
        print_json(made.folder.read_json(ablations.TABLE_JSON))
    else:
        print("\n".join(lines(loaded, made.result)))
        print(f"\n{made.folder.url}")

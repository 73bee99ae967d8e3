"""`smolmix ablate`: does a change help? Arms, seeds, intervals."""

import sys
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
    """Register the verb."""
    app.command(short_help="Ask whether a change helps.")(ablate)


def ablate(
    plan: Annotated[
        str,
        typer.Argument(
            help="A plan's YAML file, or one that ships; a name that is none of them lists them."
        ),
    ],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and list the trials.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train every arm of a plan under several seeds and say what the differences are.

    Killed anywhere, the same call goes on; trials that are whole are not run again.

    Example: smolmix ablate image-splitting --workers 2
    """
    from smolmix.cli.options import open_workspace, print_json
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.ablations import run as ablations
    from smolmix.pipelines.ablations.plan import load_plan
    from smolmix.pipelines.ablations.table import lines

    loaded, place = load_plan(plan), open_workspace(workspace)
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
        loaded, place, options=RunOptions(workers=workers, ray_address=ray_address),
        say=lambda step: print(f"== {step}", file=sys.stderr),
    )  # fmt: skip
    if as_json:
        print_json(made.folder.read_json(ablations.TABLE_JSON))
    else:
        print("\n".join(lines(loaded, made.result)))
        print(f"\n{made.folder.url}")

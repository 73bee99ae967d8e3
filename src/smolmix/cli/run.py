"""`smolmix run`: a recipe from nothing to a report, and the closing table."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    RecipeArgument,
    WorkersOption,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from smolmix.mixtures.selection.lock import Lock
    from smolmix.pipelines.run import Outcome


def add(app: typer.Typer) -> None:
    """Register the verb."""
    app.command(short_help="All of the above, in order, by a recipe.")(run)


def run(
    recipe: RecipeArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out components that were never published.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Fetch, curate, mix, tokenize, train, evaluate and report, skipping what is whole.

    Example: smolmix run model/recipes/demo.yaml
    """
    from smolmix.cli.options import open_workspace, print_json
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines import run as journeys

    place = open_workspace(workspace)
    journey = journeys.plan_journey(
        recipe, place, options=RunOptions(workers=workers, ray_address=ray_address), partial=partial
    )
    open_workspace(workspace, writable=True)
    outcome = journeys.run(journey, say=lambda step: print(f"== {step}", file=sys.stderr))
    if as_json:
        print_json(journeys.facts(outcome))
    else:
        print("\n".join(_lines(outcome)))


def _lines(outcome: "Outcome") -> Iterator[str]:
    """Yield the closing table."""
    from smolmix.mixtures.built import summary

    yield ""
    yield f"{'step':<10} {'seconds':>8}"
    for step, seconds in outcome.seconds.items():
        yield f"{step:<10} {seconds:>8.1f}"
    yield f"{'in all':<10} {sum(outcome.seconds.values()):>8.1f}"
    yield ""
    yield f"{'corpus':<20} {'rows':>8} {'samples':>8} {'kept':>8}  left, and why"
    for fall in outcome.corpora:
        gone = fall.rows_dropped | fall.lost | fall.dropped | fall.duplicates
        gone |= {"merged": fall.merged} if fall.merged else {}
        why = ", ".join(f"{n:,} {reason}" for reason, n in gone.items()) or "nothing"
        yield f"{fall.corpus:<20} {fall.rows:>8,} {fall.samples:>8,} {fall.kept:>8,}  {why}"
    for lock in outcome.mixtures.values():
        yield ""
        yield from summary.lines(lock)
        yield from _constraint_table(lock)
    for name, made in outcome.tokenized.items():
        record = made.record
        yield ""
        yield (
            f"{name}: {record.sequences:,} sequences of {record.budget_tokens:,} tokens, "
            f"{100 * record.fill:.2f} % full, {record.supervised_tokens:,} supervised tokens, "
            f"{record.tiles:,} tiles"
        )
    for corpus, result in outcome.evaluations.items():
        yield ""
        yield f"{corpus}, held out: {result['metric']}, % (95 % interval)"
        yield f"{'':<22} {'questions':>9} {'model':>22} {'question alone':>15}"
        rows = {"all": result["overall"]} | {f"  {k}": v for k, v in result["by_kind"].items()}
        for name, score in rows.items():
            model = f"{100 * score['score']:.1f}"
            if score["low"] is not None:
                model += f" ({100 * score['low']:.1f}-{100 * score['high']:.1f})"
            alone = f"{100 * score['baseline']:.1f}"
            yield f"{name:<22} {score['questions']:>9,.0f} {model:>22} {alone:>15}"
    yield ""
    yield f"checkpoint  {outcome.trained.folder}"
    for page in outcome.reports:
        yield f"report      {page}"


def _constraint_table(lock: "Lock") -> Iterator[str]:
    from smolmix.pipelines.report.figures.constraints import constraint_results

    found = constraint_results(lock)
    if found:
        yield ""
        yield f"{'constraint':<30} {'target':>20} {'achieved':>12}  binding"
    for one in found:
        target, achieved = one.words()
        yield f"{one.key:<30} {target:>20} {achieved:>12}  {one.binding}"

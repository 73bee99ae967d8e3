"""`smolmix run`: a recipe from nothing to a report, and the closing table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    PartialOption,
    RayAddressOption,
    RecipeArgument,
    WorkersOption,
    WorkspaceOption,
    add_verb,
    note,
    open_workspace,
    print_json,
    run_options,
)

if TYPE_CHECKING:
    from smolmix.mixtures.selection.lock import Lock
    from smolmix.pipelines.run import Outcome


def add(app: typer.Typer) -> None:
    """Register the verb."""
    add_verb(app, run, short_help="Run all steps of a recipe, from data to report.")


def run(
    recipe: RecipeArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    partial: PartialOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run all steps of a recipe: fetch, curate, mix, tokenize, train, evaluate and report.

    Finished steps are skipped, so the same command continues a killed run.

    Example: smolmix run model/recipes/demo.yaml
    """
    from smolmix.pipelines.journey import plan_journey

    place = open_workspace(workspace)
    options = run_options(workers, ray_address)
    journey = plan_journey(recipe, place, options=options, partial=partial)
    open_workspace(workspace, writable=True)

    from smolmix.pipelines import run as steps

    outcome = steps.run(journey, say=lambda step: note(f"== {step}"))
    if as_json:
        print_json(steps.facts(outcome))
    else:
        print("\n".join(_lines(outcome)))


def _lines(outcome: "Outcome") -> Iterator[str]:
    """Yield the closing table."""
    from smolmix.mixtures.built import summary

    yield ""
    yield f"{'step':<10} {'seconds':>8}"
    for step, seconds in outcome.seconds.items():
        yield f"{step:<10} {seconds:>8.1f}"
    yield f"{'total':<10} {sum(outcome.seconds.values()):>8.1f}"
    yield ""
    yield f"{'corpus':<20} {'rows':>8} {'samples':>8} {'kept':>8}  dropped, by reason"
    for fall in outcome.corpora:
        dropped = fall.rows_dropped | fall.lost | fall.dropped | fall.duplicates
        dropped |= {"merged": fall.merged} if fall.merged else {}
        why = ", ".join(f"{n:,} {reason}" for reason, n in dropped.items()) or "nothing"
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
        yield f"{corpus}, held out: {result['metric']}, % (95 % confidence interval)"
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

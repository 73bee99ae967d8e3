"""Stage "trial": trains one arm with one seed and answers the held-out questions.

The run is an ordinary run in `runs/`, so a killed trial resumes from its last checkpoint. Its name
is derived from its recipe and data, so that equal arms of any plan share it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from smolmix.accounting import RowAccounting
from smolmix.engine.lock import locked
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.model.train.recipe import Recipe
from smolmix.storage import digest_json
from smolmix.workspace import Workspace, stage_record

RESULT_SUFFIX = ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Payload:
    workspace: str
    recipe: str  # JSON
    evaluate: tuple[str, ...]
    limit: int | None
    metric: str


def unit(
    name: str,
    recipe: Recipe,
    workspace: Workspace,
    sequences: Sequence[str],
    *,
    evaluate: tuple[str, ...],
    limit: int | None,
    metric: str,
) -> Unit[_Payload]:
    """Return the unit of a trial whose mixtures are already tokenized.

    Args:
        name: the unit's name.
        recipe: what to train.
        workspace: holds sequences and curated corpora.
        sequences: digests of the stages' sequences.
        evaluate: corpora whose held-out questions are answered.
        limit: questions of each corpus, spread evenly over it; None takes all.
        metric: a metric of `smolmix.model.eval.metrics`.
    """
    from smolmix.model.eval.run import VERSION

    body = recipe.model_dump(mode="json", exclude={"name", "title", "evaluate"})
    origin = recipe.model.origin()
    key = digest_json([body, origin, *sequences])[:8]
    recipe = recipe.model_copy(update={"name": f"{recipe.name}-{key}"})
    inputs = {f"stage {i}": digest for i, digest in enumerate(sequences)}
    inputs["first weights"] = digest_json(origin)
    inputs |= {f"corpus {c}": stage_record(workspace.curated(c)).digest for c in evaluate}
    return Unit(
        name=name,
        inputs=inputs,
        params={
            "recipe": body,
            "evaluate": list(evaluate),
            "limit": limit,
            "metric": metric,
            "evaluation": VERSION,
        },
        payload=_Payload(
            workspace=workspace.url,
            recipe=recipe.model_dump_json(),
            evaluate=evaluate,
            limit=limit,
            metric=metric,
        ),
    )


def _run(unit: Unit[_Payload], context: UnitContext) -> Result:
    from smolmix.model.eval.load import open_checkpoint
    from smolmix.model.eval.run import evaluate_corpus
    from smolmix.model.train.data import open_stages
    from smolmix.model.train.run_record import (
        local_run,
        read_metrics,
        remove_checkpoints,
        totals,
    )
    from smolmix.model.train.train import train

    payload = unit.payload
    workspace, recipe = Workspace(payload.workspace), Recipe.model_validate_json(payload.recipe)
    run = local_run(workspace.run(recipe.name))
    with locked(workspace.run(recipe.name)):
        train(recipe, run, open_stages(workspace, recipe), tensorboard=False)
        opened = open_checkpoint(recipe.name, workspace)
        scores = {
            corpus: evaluate_corpus(
                opened, workspace, corpus, limit=payload.limit, metric=payload.metric, quiet=True
            )
            for corpus in payload.evaluate
        }
    spent = totals(read_metrics(workspace.run(recipe.name)))
    cost = {
        "steps": spent.steps,
        "tokens": spent.tokens,
        "supervised": spent.supervised,
        "tiles": spent.tiles,
    }
    result = {"run": recipe.name, "cost": cost, "scores": scores}
    text = json.dumps(result, sort_keys=True, indent=1)
    (context.out / f"{unit.name}{RESULT_SUFFIX}").write_text(text + "\n")
    remove_checkpoints(run)  # all but the final one
    return Result(accounting=RowAccounting(samples=1, kept=1))


STAGE = Stage(name="trial", version=1, run=_run, unit_noun="trials")

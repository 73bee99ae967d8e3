"""`smolmix ablate`: runs a plan's trials, skips the finished ones, and compares the arms."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from smolmix.engine.run import run_stage
from smolmix.engine.stage import IN_THIS_PROCESS, RunOptions
from smolmix.errors import UsageError
from smolmix.pipelines import run as steps
from smolmix.pipelines.ablations import table, trial
from smolmix.pipelines.ablations.effects import AblationResult, ablation_result
from smolmix.pipelines.ablations.plan import AblationPlan, Trial
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.journey import journey_of
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace

TABLE_JSON, TABLE, FIGURE = "table.json", "table.md", "figure.svg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablated:
    """What `ablate` wrote."""

    folder: Folder
    result: AblationResult
    done: int  # trials that this call ran
    skipped: int  # trials that were finished before


def check(plan: AblationPlan, workspace: Workspace) -> None:
    """Check every trial's corpora and profiles before any work starts.

    Raises:
        UsageError: a recipe and its spec have different profiles, a corpus is unknown, or arms
            with different policies are to run in a workspace that is not on a local disk.
    """
    for one in plan.trials:
        journey_of(one.recipe, one.readings, workspace)
    if len(_policies(plan)) > 1 and not workspace.is_local:
        raise UsageError(
            f"{plan.path}: {', '.join(_policies(plan))}: arms with different policies need a "
            f"workspace on a local disk; {workspace.url} is not on one"
        )


def _policies(plan: AblationPlan) -> list[str]:
    return list(dict.fromkeys(t.policy for t in plan.trials))


def _place(workspace: Workspace, plan: AblationPlan, policy: str) -> Workspace:
    """Return the workspace for a policy: the given one for the first policy, else one inside it.

    The inner workspace links the fetched and measured data, so that only the policy and the stages
    after it run again.
    """
    if policy == _policies(plan)[0]:
        return workspace
    digest = digest_json(policies.load(policy).spec)[:8]
    inner = workspace.child("policies", f"{Path(policy).stem}-{digest}")
    for name in ("raw", "measured"):
        link = inner.local(name)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            os.symlink(os.path.relpath(workspace.local(name), link.parent), link)
    return Workspace(inner.url)


def ablate(
    plan: AblationPlan,
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
    say: Callable[[str], None] = lambda _: None,
) -> Ablated:
    """Run every trial that is not finished; write the table and the figure.

    Args:
        plan: what to compare.
        workspace: receives corpora, mixtures, sequences, runs and `ablations/<plan>`.
        options: `workers` trials run at the same time, each in a process; 0 runs them one by one.
        say: called with a line about each step.

    Raises:
        UsageError: see `check`.
        DataError: a trial failed; the finished ones are kept.
    """
    check(plan, workspace)
    units = []
    for policy in _policies(plan):
        place = _place(workspace, plan, policy)
        trials = [t for t in plan.trials if t.policy == policy]
        done = steps.Outcome(recipe=plan.name)
        corpora = {c for t in trials for c in journey_of(t.recipe, t.readings, place).corpora}
        steps.fetch_and_curate(
            sorted(corpora), place, done, say,
            policy=policy, options=options,
        )  # fmt: skip
        for one in trials:
            sequences = _sequences(one, place, options)
            units.append(
                trial.unit(
                    one.name, one.recipe, place, sequences,
                    evaluate=plan.evaluate, limit=plan.questions, metric=plan.metric,
                )
            )  # fmt: skip
    folder = workspace.child("ablations", plan.name)
    say(f"{len(units)} trials")
    summary = run_stage(
        trial.STAGE,
        units,
        folder=folder.child("trials"),
        options=options,
        info={"corpus": plan.name},
    )
    found = ablation_result(plan, _results(plan, folder.child("trials")))
    folder.write_bytes(TABLE_JSON, _json(plan, found))
    folder.write_bytes(TABLE, ("\n".join(table.lines(plan, found)) + "\n").encode())
    folder.write_bytes(FIGURE, table.figure(plan, found).encode())
    return Ablated(folder=folder, result=found, done=summary.done, skipped=summary.skipped)


def _sequences(one: Trial, workspace: Workspace, options: RunOptions) -> Sequence[str]:
    """Build and tokenize a trial's mixtures; return the digests of its stages' sequences."""
    journey = journey_of(one.recipe, one.readings, workspace, options=replace(options, quiet=True))
    done = steps.Outcome(recipe=one.recipe.name)
    steps.mix_and_tokenize(journey, done, lambda _: None)
    return [done.tokenized[stage.mixture].record.digest for stage in one.recipe.stages]


def _results(plan: AblationPlan, folder: Folder) -> dict[tuple[str, int], dict[str, object]]:
    return {
        (t.arm, t.seed): folder.read_json(f"{t.name}{trial.RESULT_SUFFIX}") for t in plan.trials
    }


def _json(plan: AblationPlan, found: AblationResult) -> bytes:
    value = {
        "plan": plan.name,
        "question": plan.question,
        "baseline": plan.baseline,
        "arms": {arm: dict(changes) for arm, changes in plan.arms.items()},
        "seeds": list(plan.seeds),
        **found.to_json(),
    }
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()

"""All steps of a recipe in order: fetch, curate, mix, tokenize, train, evaluate, report.

Each step is the function that its own verb calls, and skips what is finished already. `run` is the
whole method; the functions before it are its steps.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from smolmix.engine.lock import locked
from smolmix.engine.stage import IN_THIS_PROCESS, RunOptions
from smolmix.mixtures.built import run as mixing
from smolmix.mixtures.built import summary
from smolmix.mixtures.selection.lock import Lock, read_lock
from smolmix.mixtures.selection.reader import is_built
from smolmix.mixtures.spec.load import Reading
from smolmix.pipelines.corpora import source_of
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.run import curate_corpus
from smolmix.pipelines.curate.waterfall import Waterfall, waterfall
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.journey import Journey
from smolmix.pipelines.pretokenize import run as pretokenize
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.pipelines.report.run import build_report
from smolmix.workspace import Workspace


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run of a recipe did, for the closing table."""

    recipe: str
    seconds: dict[str, float] = field(default_factory=dict)  # step -> seconds
    corpora: list[Waterfall] = field(default_factory=list)
    mixtures: dict[str, Lock] = field(default_factory=dict)
    tokenized: dict[str, pretokenize.Tokenized] = field(default_factory=dict)
    trained: Any = None  # model.train.Trained; torch is imported by then
    evaluations: dict[str, Any] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)  # pages

    @contextmanager
    def step(self, name: str, say: Callable[[str], None]) -> Iterator[None]:
        """Time one step."""
        say(name)
        started = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started


def fetch_and_curate(
    corpora: Iterable[str],
    workspace: Workspace,
    outcome: Outcome,
    say: Callable[[str], None],
    *,
    policy: str = policies.DEFAULT,
    options: RunOptions = IN_THIS_PROCESS,
) -> None:
    """Fetch and curate these corpora."""
    corpora = list(corpora)
    with outcome.step("fetch", say):
        for name in corpora:
            fetch(source_of(name, workspace), workspace)
    with outcome.step("curate", say):
        rules = policies.load(policy)
        for name in corpora:
            curate_corpus(source_of(name, workspace), rules, workspace, options=options)
            outcome.corpora.append(waterfall(workspace, name))


def mix_and_tokenize(journey: Journey, outcome: Outcome, say: Callable[[str], None]) -> None:
    """Build the recipe's mixtures and make their sequences."""
    workspace, profile = journey.workspace, journey.recipe.full_profile()
    with outcome.step("mix", say):
        ensure_counts(workspace, journey.mixed, profile, journey.options)
        for name, reading in journey.readings.items():
            outcome.mixtures[name] = _build(reading, workspace, journey.partial)
    with outcome.step("tokenize", say):
        for stage in journey.recipe.stages:
            mixture = journey.readings[stage.mixture].spec.name
            outcome.tokenized[stage.mixture] = pretokenize.tokenize_mixture(
                workspace, mixture, profile, stage.sequence_tokens, options=journey.options
            )


def _build(reading: Reading, workspace: Workspace, partial: bool) -> Lock:
    """Build the mixture, unless the one there was built from the same spec and data."""
    folder = workspace.mixture(reading.spec.name)
    if is_built(folder):
        lock = read_lock(folder)
        if lock.spec == reading.raw and not mixing.changes(lock, workspace):
            return lock
    return mixing.build(reading, workspace, partial=partial)


def train_and_evaluate(journey: Journey, outcome: Outcome, say: Callable[[str], None]) -> None:
    """Train the recipe, and answer the held-out questions it names."""
    from smolmix.model.eval.load import open_checkpoint
    from smolmix.model.eval.run import evaluate_corpus
    from smolmix.model.train.data import open_stages
    from smolmix.model.train.progress import Watcher
    from smolmix.model.train.run_record import local_run
    from smolmix.model.train.train import train

    workspace, recipe = journey.workspace, journey.recipe
    watcher = nullcontext(_unwatched) if journey.options.quiet else Watcher()
    with outcome.step("train", say), watcher as watch:
        run = local_run(workspace.run(recipe.name))
        with locked(workspace.run(recipe.name)):
            outcome.trained = train(recipe, run, open_stages(workspace, recipe), watch=watch)
    with outcome.step("evaluate", say):
        opened = open_checkpoint(recipe.name, workspace)
        for corpus in recipe.evaluate:
            outcome.evaluations[corpus] = evaluate_corpus(
                opened, workspace, corpus, quiet=journey.options.quiet
            )


def _unwatched(_stage: object, _progress: object) -> None:
    """Show nothing after a step."""


def run(journey: Journey, say: Callable[[str], None]) -> Outcome:
    """Run all steps of a recipe; return what each of them did."""
    outcome = Outcome(recipe=journey.recipe.name)
    fetch_and_curate(
        journey.corpora,
        journey.workspace,
        outcome,
        say,
        options=journey.options,
    )
    mix_and_tokenize(journey, outcome, say)
    train_and_evaluate(journey, outcome, say)
    with outcome.step("report", say):
        for mixture in outcome.mixtures.values():
            outcome.reports.append(build_report(journey.workspace, mixture.name).page)
    return outcome


def facts(outcome: Outcome) -> dict[str, Any]:
    """Return the outcome as plain values."""
    return {
        "recipe": outcome.recipe,
        "seconds": {k: round(v, 2) for k, v in outcome.seconds.items()},
        "corpora": [w.to_json() for w in outcome.corpora],
        "mixtures": {k: summary.facts(v) for k, v in outcome.mixtures.items()},
        "packing": {
            k: {
                "sequences": v.record.sequences,
                "tokens": v.record.tokens,
                "supervised_tokens": v.record.supervised_tokens,
                "tiles": v.record.tiles,
                "fill": v.record.fill,
            }
            for k, v in outcome.tokenized.items()
        },
        "evaluations": outcome.evaluations,
        "checkpoint": str(outcome.trained.folder),
        "reports": outcome.reports,
    }

"""A recipe with everything it needs, read and checked before any work.

Nothing heavy is imported here, so a mistake in a recipe or spec is answered at once.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from smolmix.engine.stage import IN_THIS_PROCESS, RunOptions
from smolmix.errors import UsageError
from smolmix.mixtures.spec.catalogue import check_published, corpora_of
from smolmix.mixtures.spec.load import Reading, parse_spec, read_spec, resolve
from smolmix.model.train.recipe import Recipe, StageSpec, load_recipe
from smolmix.pipelines.corpora import source_of
from smolmix.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """A recipe, the specs it needs, and where and how it runs."""

    recipe: Recipe
    readings: dict[str, Reading]  # mixture -> spec
    workspace: Workspace
    options: RunOptions = IN_THIS_PROCESS
    partial: bool = False  # build mixtures without components whose data was never published

    @property
    def mixed(self) -> list[str]:
        """Corpora that the mixtures select samples from."""
        return sorted({c for r in self.readings.values() for c in corpora_of(r.spec)})

    @property
    def corpora(self) -> list[str]:
        """Corpora of the mixtures and of the evaluation."""
        return sorted({*self.mixed, *self.recipe.evaluate})


def plan_journey(
    recipe_file: str,
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
    partial: bool = False,
) -> Journey:
    """Read the recipe and every spec it names, before any work.

    Raises:
        UsageError: one is missing or wrong, names an unknown corpus, differs in profile, or names
            what was never published and `partial` is off.
    """
    recipe = load_recipe(recipe_file)
    stages: list[StageSpec] = []
    readings: dict[str, Reading] = {}
    for stage in recipe.stages:
        reading = _as_trained(read_spec(_spec_file(stage.mixture, recipe_file)), recipe)
        other = readings.setdefault(reading.spec.name, reading)
        if other.path != reading.path:
            raise UsageError(
                f"{reading.path}: name is {reading.spec.name!r}, as in {other.path}; give the two "
                "mixtures different names"
            )
        stages.append(stage.model_copy(update={"mixture": reading.spec.name}))
    recipe = recipe.model_copy(update={"stages": tuple(stages)})
    if not partial:
        for reading in readings.values():
            check_published(reading)
    journey = journey_of(recipe, readings, workspace, options=options)
    return replace(journey, partial=partial)


def _spec_file(mixture: str, recipe_file: str) -> Path:
    """Return the file of a stage's mixture: as written, or NAME.yaml next to the recipe."""
    named = resolve(mixture)
    sibling = Path(recipe_file).parent / f"{mixture}.yaml"
    return sibling if not named.exists() and sibling.exists() else named


def _as_trained(reading: Reading, recipe: Recipe) -> Reading:
    """Return the mixture under the recipe's profile, where it names none of its own."""
    if "profile" in reading.raw:
        return reading
    profile = recipe.profile.model_dump(exclude_defaults=True)
    complete = parse_spec({**reading.raw, "profile": profile}, reading.path)
    return replace(complete, sources=reading.sources)


def journey_of(
    recipe: Recipe,
    readings: dict[str, Reading],
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
) -> Journey:
    """Return the journey of a recipe over specs that are read, checked against each other.

    Raises:
        UsageError: they differ in profile, or a corpus is unknown.
    """
    for reading in readings.values():
        wanted, found = recipe.full_profile().name, reading.spec.profile.profile().name
        if wanted != found:
            raise UsageError(
                f"{reading.path}: profile is {found}, the recipe {recipe.name} trains on {wanted}; "
                "write the same profile in both"
            )
    journey = Journey(
        recipe=recipe,
        readings=readings,
        workspace=workspace,
        options=options,
    )
    for name in journey.corpora:
        source_of(name, workspace)
    return journey

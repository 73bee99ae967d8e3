"""Opens the packed mixture of a recipe's stage."""

import torch

from smolmix.model.recipe import Recipe, StageSpec
from smolmix.model.train import OpenData, StageData
from smolmix.model.world import World
from smolmix.storage import Workspace
from smolmix.tokenize.loader import Loader, SequenceDataset


def open_stages(workspace: Workspace, recipe: Recipe) -> OpenData:
    """Return the function that opens a stage's sequences for a rank.

    Raises:
        IncompleteError: when called, if the mixture has not been tokenized.
    """
    profile = recipe.full_profile()

    def open_stage(stage: StageSpec, world: World) -> StageData:
        name = f"{profile.name}-{stage.sequence_tokens}"
        dataset = SequenceDataset(workspace, workspace.child("sequences", stage.mixture, name))
        loader = Loader(
            dataset,
            rank=world.rank,
            world_size=world.size,
            seed=recipe.seed,
            pin_memory=torch.cuda.is_available(),
        )
        return StageData(source=loader, sequences=len(dataset), digest=dataset.record.digest)

    return open_stage

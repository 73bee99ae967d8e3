"""Opens the packed mixture of a recipe's stage."""

import torch

from smolmix.errors import IncompleteError
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe, StageSpec
from smolmix.model.train.train import OpenData, StageData
from smolmix.tokenize.loader import Loader, SequenceDataset
from smolmix.tokenize.shards.packing_plan import is_plan, sequences_folder
from smolmix.workspace import Workspace


def open_stages(workspace: Workspace, recipe: Recipe) -> OpenData:
    """Return the function that opens a stage's sequences for a rank.

    Args:
        workspace: holds the mixtures' packed sequences.
        recipe: decides their profile and the order in which they are read.

    Raises:
        IncompleteError: when called, if the mixture has not been tokenized.
    """
    profile = recipe.full_profile()

    def open_stage(stage: StageSpec, group: ProcessGroup) -> StageData:
        folder = sequences_folder(workspace, stage.mixture, profile, stage.sequence_tokens)
        if not is_plan(folder):
            mixture = workspace.mixture(stage.mixture)
            built = mixture.exists()
            raise IncompleteError(
                f"{recipe.name}: stage {stage.name}: {folder.url} does not exist; run "
                + ("" if built else f"`smolmix mix build {stage.mixture}` and ")
                + f"`smolmix tokenize {stage.mixture} --sequence-length {stage.sequence_tokens}`"
                + (folder if built else mixture).instead()
            )
        dataset = SequenceDataset(workspace, folder)
        loader = Loader(
            dataset,
            rank=group.rank,
            world_size=group.size,
            seed=recipe.seed,
            pin_memory=torch.cuda.is_available(),
        )
        return StageData(source=loader, sequences=len(dataset), digest=dataset.record.digest)

    return open_stage

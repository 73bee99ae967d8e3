"""Removals across corpora, as `smolmix curate --across` would write them."""

from collections.abc import Sequence

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.removals import Removal
from smolmix.workspace import Workspace


def write_cross_corpus(workspace: Workspace, corpora: Sequence[str], *copies: Removal) -> None:
    """Write the removals across these corpora."""

    def write(unit: Unit[None], context: UnitContext) -> Result:
        removals.write(context.out / f"{unit.name}{removals.SUFFIX}", copies)
        return Result(accounting=RowAccounting())

    run_stage(
        Stage(name="removals", version=1, run=write),
        [
            Unit(
                name="across-00000",
                inputs={},
                params={"copies": [c.id for c in copies]},
                payload=None,
            )
        ],
        folder=removals.set_folder(workspace, corpora),
        info={"corpora": sorted(corpora)},
        options=RunOptions(quiet=True),
    )

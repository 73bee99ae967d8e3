"""Fill a cache folder: what is missing from it is made as one new generation."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import RunOptions, Stage, Unit
from smolmix.storage import Folder
from smolmix.tokenize.shards import cache

P = TypeVar("P")


def withdraw_damaged(folder: Folder, options: RunOptions) -> None:
    """Withdraw the generations with a missing or truncated file, and say so unless quiet."""
    for name in cache.withdraw_damaged(folder):
        if not options.quiet:
            print(f"tokenize: {name} is missing or truncated; making it again", file=sys.stderr)


def run_generation(
    stage: Stage[P],
    units: Sequence[Unit[P]],
    folder: Folder,
    *,
    versions: Mapping[str, Any],
    info: Mapping[str, Any],
    options: RunOptions,
) -> RowAccounting:
    """Run the units in a generation of their own; return their accounting.

    Args:
        stage: makes the cached files.
        units: what is missing; without any, nothing is written.
        folder: the cache.
        versions: what makes equal units write other bytes; names the generation with the units.
        info: what readers of the generation compare, and the corpus.
        options: workers, and how much is printed.

    Raises:
        DataError: a unit failed; the others are kept.
    """
    if not units:
        return RowAccounting()
    work = [[u.name, dict(u.inputs), dict(u.params)] for u in units]
    generation = cache.new_generation(folder, [dict(versions), work])
    return run_stage(stage, units, folder=generation, options=options, info=info).accounting

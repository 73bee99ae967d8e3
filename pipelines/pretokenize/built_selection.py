"""The picks of a mixture, taken only where they are whole and still what they were picked from.

A build writes the picks and then the lock: picks without a lock, or with one that was written for
others, are what a killed build or two at once leave behind. A corpus that was curated anew since
may hold other samples in the picks' places.
"""

import polars as pl

from smolmix.errors import DataError, IncompleteError, IntegrityError
from smolmix.mixtures.built.summary import next_step
from smolmix.mixtures.selection.lock import LOCK_FILE, PICKS_FILE, read_lock
from smolmix.mixtures.selection.table import digest_picks
from smolmix.pipelines.pretokenize.units import curated_rows
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record


def picks_of(workspace: Workspace, mixture: str) -> pl.DataFrame:
    """Return a built mixture's picks in order: `sample`, `id`, `corpus`, `part`, `row`.

    Args:
        workspace: holds the mixture and the curated corpora.
        mixture: its name.

    Raises:
        IncompleteError: media of picks are not fetched, or a corpus is not curated.
        IntegrityError: the picks are not those of the lock.
        DataError: the mixture is not built, or a corpus was curated anew since.
    """
    folder = workspace.mixture(mixture)
    for name in (LOCK_FILE, PICKS_FILE):
        if not folder.exists(name):
            raise DataError(f"{folder.url}: no {name}; run `smolmix mix build` first")
    _check_lock(folder)
    with folder.open(PICKS_FILE) as stream:
        picks = pl.read_parquet(stream.read())
    names = pl.col("id", "corpus", "part").cast(pl.String)  # dictionary-encoded in the file
    picks = picks.select(names, pl.col("row").cast(pl.Int64)).with_row_index("sample")
    for (corpus,), mine in picks.group_by("corpus"):
        _check_places(workspace, str(corpus), mine)
    return picks


def _check_lock(folder: Folder) -> None:
    lock = read_lock(folder)
    if lock.assumed:
        count = sum(lock.assumed.values())
        raise IncompleteError(
            f"{folder.at(LOCK_FILE)}: the media of {count:,} picks are not fetched, and what they "
            f"cost is assumed; {next_step(lock)}"
        )
    if (found := digest_picks(folder, PICKS_FILE, lock.seed)) != lock.picks:
        raise IntegrityError(
            f"{folder.at(PICKS_FILE)}: digest {found}, {LOCK_FILE} says {lock.picks}; run "
            "`smolmix mix build` again"
        )


def _check_places(workspace: Workspace, corpus: str, picks: pl.DataFrame) -> None:
    """Refuse picks whose samples are not where they were picked."""
    curated = workspace.curated(corpus)
    parts = stage_record(curated).units
    for (part,), mine in picks.group_by("part"):
        name = str(part)
        wanted = mine.select("id", "row").unique()
        if name in parts:
            here = curated_rows(workspace, corpus, name, ["id"])
            wanted = wanted.join(
                here.with_columns(pl.col("row").cast(pl.Int64)), on=["id", "row"], how="anti"
            )
        if len(wanted):
            raise DataError(
                f"{curated.url}: curated anew since the mixture was built: {name} holds other "
                f"samples now, {len(wanted):,} picks among them ({wanted['id'].sort()[0]}); run "
                "`smolmix mix build` again"
            )

"""Check a built mixture again: the picks' digest, epochs, and both caps at every prefix."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from smolmix.errors import IntegrityError
from smolmix.mixtures.selection.lock import LOCK_FILE, PICKS_FILE, Lock, read_lock
from smolmix.mixtures.selection.table import digest_picks
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record


def _cot(picks: pl.DataFrame, workspace: Workspace) -> NDArray[np.str_]:
    """Return (draws,) each pick's kind of chain of thought, read from its curated row."""
    out = np.empty(picks.height, dtype="<U8")
    places = picks.with_row_index("at").partition_by("corpus", "part", as_dict=True)
    for (corpus, part), found in places.items():
        with workspace.curated(str(corpus)).open(f"{part}.parquet") as stream:
            kinds = np.asarray(pq.read_table(stream, columns=["cot"])["cot"].to_pylist())
        out[found["at"].to_numpy()] = kinds[found["row"].to_numpy()]
    return out


def _check_caps(spec: Spec, picks: pl.DataFrame, workspace: Workspace, where: str) -> None:
    caps = (("declared", spec.caps.cot.max), ("detected", spec.caps.cot_detected.max))
    if all(cap >= 1 for _, cap in caps):
        return
    kinds = _cot(picks, workspace)
    at = np.arange(1, picks.height + 1)
    for kind, cap in caps:
        over = np.flatnonzero(np.cumsum(kinds == kind) > cap * at + 1e-9)
        if len(over):
            raise IntegrityError(
                f"{where}: after {int(over[0]) + 1:,} draws more than {100 * cap:g} % are {kind} "
                "chain of thought; run smolmix mix build again"
            )


def _check_curated(lock: Lock, workspace: Workspace, where: str) -> None:
    """Refuse picks of corpora that were curated again: their rows are others now."""
    again = [
        corpus
        for corpus, then in lock.corpora.items()
        if stage_record(workspace.curated(corpus)).digest != then.curated
    ]
    if again:
        raise IntegrityError(
            f"{where}: picks rows of {', '.join(again)} as curated before; curated again since, "
            "they are others now; run smolmix mix build again"
        )


def verify_mixture(folder: Folder, workspace: Workspace) -> dict[str, int]:
    """Check a built mixture; return what was checked.

    Raises:
        DataError: there is no built mixture.
        IntegrityError: the picks are not those of the lock, are of corpora that were curated again,
            or break the spec.
    """
    lock: Lock = read_lock(folder)
    where = folder.at(PICKS_FILE)
    found = digest_picks(folder, PICKS_FILE, lock.seed)
    if found != lock.picks:
        raise IntegrityError(
            f"{where}: digest {found}, {LOCK_FILE} says {lock.picks}; run smolmix mix build again"
        )
    with folder.open(PICKS_FILE) as stream:
        picks = pl.read_parquet(stream).with_columns(pl.col("corpus", "part").cast(pl.String))
    _check_curated(lock, workspace, where)
    spec = parse_spec(lock.spec, folder.at(LOCK_FILE)).spec
    most = max(spec.epochs(name) for name in spec.components)
    times = picks.group_by("id").agg(n=pl.len(), last=pl.col("repeat").max())
    if (wrong := times.filter((pl.col("n") != pl.col("last") + 1) | (pl.col("n") > most))).height:
        raise IntegrityError(
            f"{where}: {wrong['id'][0]} is drawn {wrong['n'][0]} times, allowed are {most} epochs; "
            "run smolmix mix build again"
        )
    if picks.height != lock.draws:
        raise IntegrityError(f"{where}: {picks.height:,} draws, the lock says {lock.draws:,}")
    _check_caps(spec, picks, workspace, where)
    return {"draws": picks.height, "samples": times.height}

"""Verify a built mixture: the selection's digest, epochs, and both caps at every prefix."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from smolmix.curated import read_rows
from smolmix.errors import IntegrityError
from smolmix.mixtures.selection.lock import LOCK_FILE
from smolmix.mixtures.selection.reader import SELECTION_FILE, check_current, read_selection
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec
from smolmix.storage import Folder
from smolmix.workspace import Workspace


def _cot(samples: pl.DataFrame, workspace: Workspace) -> NDArray[np.str_]:
    """Return (samples,) the kind of chain of thought of each, read from its curated row."""
    out = np.empty(samples.height, dtype="<U8")
    for (corpus, part), found in samples.partition_by("corpus", "part", as_dict=True).items():
        kinds = np.asarray(read_rows(workspace.curated(str(corpus)), str(part), ["cot"])["cot"])
        out[found["sample"].to_numpy()] = kinds[found["row"].to_numpy()]
    return out


def _check_caps(spec: Spec, samples: pl.DataFrame, workspace: Workspace, where: str) -> None:
    caps = (("declared", spec.caps.cot.max), ("detected", spec.caps.cot_detected.max))
    if all(cap >= 1 for _, cap in caps):
        return
    kinds = _cot(samples, workspace)
    at = np.arange(1, samples.height + 1)
    for kind, cap in caps:
        over = np.flatnonzero(np.cumsum(kinds == kind) > cap * at + 1e-9)
        if len(over):
            raise IntegrityError(
                f"{where}: of the first {int(over[0]) + 1:,} samples more than {100 * cap:g} % are "
                f"{kind} chain of thought; run `smolmix mix build` again"
            )


def verify_mixture(folder: Folder, workspace: Workspace) -> dict[str, int]:
    """Return how many samples were checked, copies counted (`samples_drawn`) and not.

    Raises:
        DataError: the folder holds no built mixture.
        StaleError: a corpus was curated again since.
        IntegrityError: the selection is not that of the lock, or breaks the spec.
    """
    selection = read_selection(folder)
    lock, samples = selection.lock, selection.samples
    where = folder.at(SELECTION_FILE)
    check_current(lock, workspace, where)
    spec = parse_spec(lock.spec, folder.at(LOCK_FILE)).spec
    most = max(spec.epochs(name) for name in spec.components)
    times = samples.group_by("id").agg(n=pl.len(), last=pl.col("repeat").max())
    if (wrong := times.filter((pl.col("n") != pl.col("last") + 1) | (pl.col("n") > most))).height:
        raise IntegrityError(
            f"{where}: {wrong['id'][0]} is drawn {wrong['n'][0]} times; allowed are {most} epochs; "
            "run `smolmix mix build` again"
        )
    if samples.height != lock.samples:
        raise IntegrityError(
            f"{where}: {samples.height:,} samples, the lock says {lock.samples:,}; run "
            "`smolmix mix build` again"
        )
    _check_caps(spec, samples, workspace, where)
    return {"samples_drawn": samples.height, "distinct_samples": times.height}

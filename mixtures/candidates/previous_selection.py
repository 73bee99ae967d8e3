"""The previous selection of corpora of which only selected media are fetched.

After `smolmix fetch --for MIXTURE` a corpus holds the mixture's selection and little else. A
percentage of that, or a sample of it, is not what `take` means: such a component takes its
previous selection again, as far as it is still available.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from smolmix.mixtures.selection.lock import read_lock
from smolmix.mixtures.selection.reader import is_built, read_samples
from smolmix.mixtures.spec.spec import Spec
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

_REASON = "media-not-selected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """What the mixture's present lock, which the next build replaces, took of one component."""

    ids: pa.Array  # selected of its corpus; the component's own are among them
    drawn: int


def previous_selection(
    spec: Spec, raw: Mapping[str, Any], workspace: Workspace
) -> dict[str, Previous]:
    """Return the previous selection of each component with a `take` that has selected media alone.

    Args:
        spec: the mixture.
        raw: the spec as the lock keeps it; a component that has changed there is a new one.
        workspace: holds the mixture's present lock.
    """
    taking = [n for n, c in spec.components.items() if c.take is not None and not c.unpublished]
    names = [n for n in taking if _selected_media_alone(workspace, spec.components[n].corpus)]
    folder = workspace.mixture(spec.name)
    if not names or not is_built(folder):
        return {}
    # Not compared with the lock: an interrupted build may have left its selection with this one.
    lock, samples = read_lock(folder), read_samples(folder)
    found = {}
    for name in names:
        if lock.spec.get("components", {}).get(name) != raw.get("components", {}).get(name):
            continue
        mine = samples.filter(pl.col("corpus") == spec.components[name].corpus)
        drawn = sum(s.drawn for s in lock.solution if s.component == name)
        found[name] = Previous(ids=mine["id"].to_arrow().cast(pa.string()), drawn=drawn)
    return found


def _selected_media_alone(workspace: Workspace, corpus: str) -> bool:
    measured = workspace.measured(corpus)
    return measured.exists(STAGE_FILE) and _REASON in stage_record(measured).accounting.dropped

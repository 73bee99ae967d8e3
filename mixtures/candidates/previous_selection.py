"""What a mixture picked before of corpora of which only picked media are here.

After `fetch --for LOCK` a corpus holds the picks and little else. A share of that, or a draw from
it, is not what `take` asked for: such a component takes its picks of before again, as far as they
are still there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from smolmix.mixtures.selection.lock import LOCK_FILE, PICKS_FILE, read_lock
from smolmix.mixtures.spec.spec import Spec
from smolmix.workspace import STAGE_FILE, Workspace, stage_record

_REASON = "media-not-selected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the lock that is about to be written again took of one component."""

    ids: pa.Array  # of the picks of its corpus; a component's own are among them
    draws: int


def picked_before(spec: Spec, raw: Mapping[str, Any], workspace: Workspace) -> dict[str, Before]:
    """Return, for each component with a `take` whose corpus has picked media alone, its picks.

    Args:
        spec: the mixture.
        raw: the spec as the lock keeps it; a component that says something else now is new.
        workspace: holds the mixture's last lock.
    """
    taking = [n for n, c in spec.components.items() if c.take is not None and not c.unpublished]
    names = [n for n in taking if _has_picks_alone(workspace, spec.components[n].corpus)]
    folder = workspace.mixture(spec.name)
    if not names or not (folder.exists(LOCK_FILE) and folder.exists(PICKS_FILE)):
        return {}
    lock = read_lock(folder)
    with folder.open(PICKS_FILE) as stream:
        picks = pq.read_table(stream, columns=["id", "corpus"])
    corpora = picks["corpus"].cast(pa.string())
    found = {}
    for name in names:
        if lock.spec.get("components", {}).get(name) != raw.get("components", {}).get(name):
            continue
        mine = picks.filter(pc.equal(corpora, spec.components[name].corpus))
        draws = sum(s.draws for s in lock.solution if s.component == name)
        found[name] = Before(ids=mine["id"].combine_chunks(), draws=draws)
    return found


def _has_picks_alone(workspace: Workspace, corpus: str) -> bool:
    measured = workspace.measured(corpus)
    return measured.exists(STAGE_FILE) and _REASON in stage_record(measured).accounting.dropped

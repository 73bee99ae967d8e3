"""The order of a mixture: its shares hold at every prefix, its caps exactly.

Each group is spread evenly over the mixture, as Molmo2's stratified sampling does by arg-max of the
deficit, but by sorting: the i-th of a group's n samples belongs at the fraction (i + u) / n. Groups
are nested (cells of the declared shares, then components, then strata), so the error at any prefix
is one sample a cell, however many strata there are.

Samples under a cap are placed first, the j-th of K near position ⌈j·N / K⌉ and never before
⌈j / cap⌉: of the first L samples at most cap·L are capped.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from smolmix.mixtures.candidates.strata import Candidates, Floats, Ints
from smolmix.mixtures.selection.hashing import hash_names


class CapsDoNotFitError(Exception):
    """No order keeps all caps at every prefix with this many capped samples."""


def _ranks(groups: Ints, keys: Floats) -> Ints:
    """Return each item's rank among those of its group, by rising key."""
    order = np.argsort(groups + keys, kind="stable")  # keys are in [0, 1)
    ranks = np.empty(len(groups), np.int64)
    counts = np.bincount(groups)
    starts = np.cumsum(counts) - counts
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, counts)
    return ranks


def _spread(groups: Ints, ranks: Ints, phases: Floats) -> Floats:
    """Return the fraction of the mixture at which each item belongs."""
    counts = np.bincount(groups, minlength=len(phases))
    return (ranks + phases[groups]) / counts[groups]


def _weighted(groups: Ints, ranks: Ints, costs: Floats) -> Floats:
    """Return the fraction at which each item belongs when groups share costs, not samples."""
    order = np.lexsort((ranks, groups))
    sorted_costs, sorted_groups = costs[order], groups[order]
    running = np.cumsum(sorted_costs) - sorted_costs / 2
    totals = np.bincount(sorted_groups, weights=sorted_costs)
    starts = np.cumsum(totals) - totals
    out = np.empty(len(groups), np.float64)
    whole = np.maximum(totals[sorted_groups], 1e-12)
    out[order] = (running - starts[sorted_groups]) / whole
    return out


def _numbered(labels: Sequence[object]) -> Ints:
    known: dict[object, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], np.int64)


def _phases(names: Sequence[str], seed: int) -> Floats:
    return hash_names(names, seed)


def place_capped(counts: Sequence[int], caps: Sequence[float], total: int) -> list[Ints]:
    """Return the positions, from 1, of each capped group's samples.

    The j-th of a group of K in a mixture of N comes at ⌈j·N / K⌉ or later, and never before
    ⌈j / cap⌉; in the second and later groups N is one less, so that not all end at the last
    position. Where two fall on one position, the later group moves on; a later position never
    breaks a cap. Where that leaves too little room, each sample comes as early as its cap allows,
    which finds an order whenever one exists.

    Args:
        counts: samples of each capped group.
        caps: the largest share of each group, at every prefix.
        total: samples of the mixture.

    Raises:
        CapsDoNotFitError: the groups do not fit; samples must be removed from them.
    """
    numbers = [np.arange(1, k + 1, dtype=np.int64) for k in counts]
    earliest = [  # a share that is a decimal fraction divides with an error of a few last digits
        np.ceil(j / cap * (1 - 1e-14)).astype(np.int64) if len(j) else j
        for j, cap in zip(numbers, caps, strict=True)
    ]
    shown = np.cumsum([k > 0 for k in counts]) - 1  # groups with samples ahead of this one
    spread = [
        np.maximum(first, -(-j * max(total - int(i), 1) // max(k, 1)))
        for j, k, i, first in zip(numbers, counts, shown, earliest, strict=True)
    ]
    placed = _apart(spread, total)
    return placed if placed is not None else _fitting(_apart(earliest, total))


def _apart(targets: Sequence[Ints], total: int) -> list[Ints] | None:
    """Return the positions moved later until no two are the same, or None beyond the total."""
    if not targets:
        return []
    group = np.concatenate([np.full(len(w), i, np.int64) for i, w in enumerate(targets)])
    at = np.concatenate(targets)
    order = np.lexsort((group, at))
    steps = np.arange(len(at))
    placed = np.maximum.accumulate(at[order] - steps) + steps
    if len(placed) and placed[-1] > total:
        return None
    positions = np.empty(len(at), np.int64)
    positions[order] = placed
    return [positions[group == i] for i in range(len(targets))]


def _fitting(placed: list[Ints] | None) -> list[Ints]:
    if placed is None:
        raise CapsDoNotFitError("the capped samples do not fit")
    return placed


def mix_order(
    candidates: Candidates,
    drawn: Ints,
    *,
    cells: Sequence[str],
    capped: Mapping[str, tuple[NDArray[np.bool_], float]],
    costs: Floats | None,
    seed: int,
) -> tuple[Ints, Ints]:
    """Return (samples,) each position's stratum, and which of the stratum's samples it gets.

    Args:
        candidates: the strata.
        drawn: (strata,) samples of each.
        cells: families of tags whose shares are declared.
        capped: name of a cap -> (strata,) which strata fall under it, disjoint; and its share.
        costs: (samples,) of each in order of stratum, where shares are of tokens.
        seed: the mixture's seed.

    Raises:
        CapsDoNotFitError: the capped samples do not fit.
    """
    strata = np.repeat(np.arange(len(drawn)), drawn)
    within = np.arange(len(strata)) - np.repeat(np.cumsum(drawn) - drawn, drawn)
    names = [
        "/".join([s.component, *(f"{k}={v}" for k, v in s.tags.items())]) for s in candidates.strata
    ]
    cell_of = ["/".join(candidates.tag(i, f) for f in cells) for i in range(len(names))]
    component_of = [f"{cell_of[i]}|{s.component}" for i, s in enumerate(candidates.strata)]
    is_capped = np.zeros(len(drawn), np.bool_)
    masks = [mask for mask, _ in capped.values()]
    for mask in masks:
        is_capped |= mask

    def spread(items: Ints) -> Ints:
        """Return the items in the order in which they are mixed among themselves."""
        own = strata[items]
        key = _spread(own, within[items], _phases(names, seed))
        for labels in (component_of, cell_of):
            group = _numbered(labels)[own]
            ranks = _ranks(group, key)
            known = list(dict.fromkeys(labels))
            if labels is cell_of and costs is not None:
                key = _weighted(group, ranks, costs[items])
            else:
                key = _spread(group, ranks, _phases(known, seed))
        return items[np.argsort(key, kind="stable")]

    places = place_capped(
        [int(drawn[m].sum()) for m in masks], [cap for _, cap in capped.values()], len(strata)
    )
    out = np.full(len(strata), -1, np.int64)
    for mask, position in zip(masks, places, strict=True):
        out[position - 1] = spread(np.flatnonzero(mask[strata]))
    out[out < 0] = spread(np.flatnonzero(~is_capped[strata]))
    return strata[out], within[out]

"""Candidates without files: declared strata, or measured ones with the costs of each sample."""

from collections.abc import Sequence

import numpy as np

from smolmix.mixtures.candidates.strata import QUANTITIES, Candidates, RunningSums, Stratum


def declared(
    name: str, available: int, *, epochs: int = 1, fixed: int | None = None, **tags: str
) -> Stratum:
    """Return a stratum of samples of 10 text tokens each."""
    means = {"text_tokens": 10.0, "tokens": 10.0}
    return Stratum(
        component=name,
        tags=tags,
        available=available,
        limit=available * epochs,
        fixed=fixed,
        means=means,
    )


def measured(costs: Sequence[Sequence[int]], epochs: int = 1) -> Candidates:
    """Return one stratum for each list of costs; every quantity of a sample is its cost."""
    starts = np.cumsum([0, *(len(c) for c in costs)])
    flat = np.concatenate([np.array(c, np.int64) for c in costs])
    sums = {q: np.concatenate([[0], np.cumsum(flat)]) for q in QUANTITIES}
    strata = [
        Stratum(
            component=f"c{i}",
            tags={"modality": "text" if i % 2 else "image"},
            available=len(c),
            limit=len(c) * epochs,
            means=dict.fromkeys(QUANTITIES, float(np.mean(c))),
        )
        for i, c in enumerate(costs)
    ]
    return Candidates(strata=strata, running=RunningSums(starts=starts, sums=sums))

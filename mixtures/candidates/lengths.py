"""Length buckets of videos."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bucket(duration_s: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """Return the index of each duration's bucket; a bucket holds its upper end."""
    return np.searchsorted(np.asarray(edges), duration_s, side="left")


def bucket_names(edges: Sequence[float]) -> list[str]:
    """Return names such as `60-120 s`, one more than there are edges."""
    lows = [0.0, *edges]
    return [f"{a:g}-{b:g} s" for a, b in zip(lows[:-1], edges, strict=True)] + [f"{lows[-1]:g} s-"]


def bucket_name(duration_s: float, edges: Sequence[float]) -> str:
    """Return the name of the bucket that holds a duration."""
    return bucket_names(edges)[int(bucket(np.array([duration_s]), edges)[0])]

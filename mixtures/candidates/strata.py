"""The candidates that the solver chooses from, in strata.

A stratum is a set of samples of one component that no constraint distinguishes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from smolmix.schema import TOKEN_COLUMNS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Quantities that a stratum's samples have; "samples" is one each.
QUANTITIES = (*TOKEN_COLUMNS, "duration_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Samples of one component with the same value of every tag that a constraint names."""

    component: str
    tags: Mapping[str, str]  # family -> value: corpus, modality, cot, category, bucket, ...
    available: int  # distinct samples
    limit: int  # most samples that may be drawn: available × epochs
    fixed: int | None = None  # samples drawn, where the component sets `take`
    means: Mapping[str, float] = field(default_factory=dict)  # quantity -> mean of a sample


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSums:
    """Running sums over the samples of measured strata, each stratum in order of hash."""

    starts: Ints  # (strata + 1,) of each stratum's first sample; empty for declared ones
    sums: Mapping[str, Ints | Floats]  # quantity -> (samples + 1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """All strata, and what any number of samples from each costs."""

    strata: Sequence[Stratum]
    running: RunningSums | None = None
    untaken: Mapping[str, int] = field(default_factory=dict)  # component -> samples before `take`

    @property
    def available(self) -> Ints:
        """(strata,) distinct samples."""
        return np.array([s.available for s in self.strata], np.int64)

    @property
    def limit(self) -> Ints:
        """(strata,) most samples that may be drawn."""
        return np.array([s.limit for s in self.strata], np.int64)

    def members(self, family: str, value: str) -> NDArray[np.bool_]:
        """Return (strata,) which strata have that tag; the family `component` is the component."""
        return np.array([self.tag(i, family) == value for i in range(len(self.strata))], np.bool_)

    def tag(self, stratum: int, family: str) -> str:
        """Return a stratum's value of a tag, or an empty string."""
        one = self.strata[stratum]
        return one.component if family == "component" else one.tags.get(family, "")

    def means(self, quantity: str) -> Floats:
        """Return (strata,) the mean over all samples of the stratum."""
        if quantity == "samples":
            return np.ones(len(self.strata))
        return np.array([s.means.get(quantity, 0.0) for s in self.strata], np.float64)

    def total(self, quantity: str, drawn: Floats | Ints) -> Floats:
        """Return (strata,) the sum over the first `drawn` samples of each stratum.

        Samples are drawn in order of hash, and from the start again when a stratum is exhausted. A
        fraction counts as that fraction of the next sample.

        Args:
            quantity: one of `QUANTITIES`, or "samples".
            drawn: (strata,) samples drawn from each.
        """
        x = np.asarray(drawn, np.float64)
        if quantity == "samples":
            return x
        whole = self.means(quantity) * x
        if self.running is None or quantity not in self.running.sums:
            return whole
        starts = self.running.starts
        size = np.diff(starts)
        measured = size > 0
        sums = self.running.sums[quantity]
        first, n = starts[:-1][measured], size[measured]
        at = x[measured]
        rounds = np.floor(at / n)
        rest = at - rounds * n
        low = np.minimum(np.floor(rest).astype(np.int64), n)
        high = np.minimum(low + 1, n)
        base = sums[first].astype(np.float64)
        here = sums[first + low].astype(np.float64)
        step = sums[first + high].astype(np.float64) - here
        one_round = sums[first + n].astype(np.float64) - base
        whole[measured] = rounds * one_round + (here - base) + (rest - low) * step
        return whole

    def range(self, quantity: str, members: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the least and the most that one sample of these strata has.

        Args:
            quantity: one of `QUANTITIES`.
            members: (strata,) which; at least one. Of declared strata only the mean counts.
        """
        known = [self.means(quantity)[members]]
        if self.running is not None:
            starts, sums = self.running.starts, self.running.sums[quantity]
            for i in np.flatnonzero(members):
                known.append(np.diff(sums[starts[i] : starts[i + 1] + 1]).astype(np.float64))
        values = np.concatenate(known)
        return float(values.min()), float(values.max())

    def mean_at(self, quantity: str, drawn: Floats) -> Floats:
        """Return (strata,) the mean over the first `drawn` samples; over all where none is."""
        means = self.means(quantity)
        if quantity == "samples":
            return means
        total = self.total(quantity, drawn)
        some = drawn > 0
        means[some] = total[some] / drawn[some]
        return means


def bucket(duration_s: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    """Return the index of each duration's length bucket; a bucket includes its upper end."""
    return np.searchsorted(np.asarray(edges), duration_s, side="left")


def bucket_names(edges: Sequence[float]) -> list[str]:
    """Return names such as `60-120 s`, one more than there are edges."""
    lows = [0.0, *edges]
    return [f"{a:g}-{b:g} s" for a, b in zip(lows[:-1], edges, strict=True)] + [f"{lows[-1]:g} s-"]


def bucket_name(duration_s: float, edges: Sequence[float]) -> str:
    """Return the name of the bucket that holds a duration."""
    return bucket_names(edges)[int(bucket(np.array([duration_s]), edges)[0])]

"""What the solver chooses from: strata, sets of samples that every constraint treats alike."""

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
    """Samples of one component that share every tag a constraint speaks of."""

    component: str
    tags: Mapping[str, str]  # family -> value: corpus, modality, cot, category, bucket, ...
    available: int  # distinct samples
    limit: int  # draws allowed: available × epochs
    fixed: int | None = None  # draws, where the component says `take`
    means: Mapping[str, float] = field(default_factory=dict)  # quantity -> mean of a sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Running sums over the measured strata's samples, each stratum in order of hash."""

    starts: Ints  # (strata + 1,) of each stratum's first sample; empty for declared ones
    sums: Mapping[str, Ints | Floats]  # quantity -> (samples + 1,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """All strata, and what any number of draws from each costs."""

    strata: Sequence[Stratum]
    prefix: Prefix | None = None
    there: Mapping[str, int] = field(default_factory=dict)  # component -> samples before `take`

    @property
    def available(self) -> Ints:
        """(strata,) distinct samples."""
        return np.array([s.available for s in self.strata], np.int64)

    @property
    def limit(self) -> Ints:
        """(strata,) draws allowed."""
        return np.array([s.limit for s in self.strata], np.int64)

    def members(self, family: str, value: str) -> NDArray[np.bool_]:
        """Return (strata,) which strata carry that tag; family `component` is the component."""
        return np.array([self.tag(i, family) == value for i in range(len(self.strata))], np.bool_)

    def tag(self, stratum: int, family: str) -> str:
        """Return a stratum's value of a tag, or an empty string."""
        one = self.strata[stratum]
        return one.component if family == "component" else one.tags.get(family, "")

    def means(self, quantity: str) -> Floats:
        """Return (strata,) the mean of a sample over the whole stratum."""
        if quantity == "samples":
            return np.ones(len(self.strata))
        return np.array([s.means.get(quantity, 0.0) for s in self.strata], np.float64)

    def total(self, quantity: str, draws: Floats | Ints) -> Floats:
        """Return (strata,) what the first `draws` draws of each stratum add up to.

        Draws go through a stratum in order of hash, and start over when it is spent. A fraction
        of a draw counts as that fraction of the next sample.
        """
        x = np.asarray(draws, np.float64)
        if quantity == "samples":
            return x
        whole = self.means(quantity) * x
        if self.prefix is None or quantity not in self.prefix.sums:
            return whole
        starts = self.prefix.starts
        size = np.diff(starts)
        measured = size > 0
        sums = self.prefix.sums[quantity]
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
            members: (strata,) which; at least one. Of declared strata only the mean is known.
        """
        known = [self.means(quantity)[members]]
        if self.prefix is not None:
            starts, sums = self.prefix.starts, self.prefix.sums[quantity]
            for i in np.flatnonzero(members):
                known.append(np.diff(sums[starts[i] : starts[i + 1] + 1]).astype(np.float64))
        values = np.concatenate(known)
        return float(values.min()), float(values.max())

    def mean_at(self, quantity: str, draws: Floats) -> Floats:
        """Return (strata,) the mean over the first `draws` draws; the overall mean where none."""
        means = self.means(quantity)
        if quantity == "samples":
            return means
        total = self.total(quantity, draws)
        some = draws > 0
        means[some] = total[some] / draws[some]
        return means

"""Confidence intervals and paired tests that resample by medium, not by question.

Questions about one image are answered from the same pixels, so their scores are not independent:
resampling single questions would make intervals too narrow. Everything here resamples, or flips the
signs of, clusters: all questions that share a medium, directly or through other questions.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import binomtest

RESAMPLES = 2000
FLIPS = 10_000
_BLOCK_CELLS = 1 << 22  # of (resamples, clusters) in memory at once

Scores = NDArray[np.float64]
Clusters = NDArray[np.int64]


def clusters_of(keys: Sequence[Sequence[Hashable]]) -> Clusters:
    """Return a cluster number for each question, (questions,) int64.

    Args:
        keys: of each question: its media, and its sample. Questions that share a key, directly or
            through other questions, are in one cluster.
    """
    names: dict[Hashable, int] = {}
    rows, cols = [], []
    for row, of_question in enumerate(keys):
        for key in of_question:
            rows.append(row)
            cols.append(len(keys) + names.setdefault(key, len(names)))
    size = len(keys) + len(names)
    links = coo_array((np.ones(len(rows), np.int8), (rows, cols)), shape=(size, size))
    _, found = connected_components(links, directed=False)
    return np.unique(found[: len(keys)], return_inverse=True)[1].astype(np.int64)


def interval(
    values: Scores, clusters: Clusters | None = None, *, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the mean over questions, by percentile bootstrap.

    Args:
        values: (questions,), their scores.
        clusters: of each question; None: each is a cluster of its own.
        seed: of the resamples.

    Returns:
        Lower and upper end; None with fewer than two clusters, which have no spread.

    Source: Efron and Tibshirani 1993, §13.3 (percentiles); Field and Welsh 2007 (clusters).
    """
    sums, sizes = _totals(values, clusters)
    if len(sums) < 2:
        return None
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK_CELLS // len(sums))
    means = []
    for start in range(0, RESAMPLES, rows):
        drawn = rng.integers(0, len(sums), (min(rows, RESAMPLES - start), len(sums)))
        means.append(sums[drawn].sum(1) / sizes[drawn].sum(1))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return float(low), float(high)


def sign_flip_p(differences: Scores, clusters: Clusters | None = None, *, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean difference, by flipping the signs of clusters.

    Under the null hypothesis either model could have given either score, so the difference of a
    cluster may have either sign. With at most 13 clusters all signs are enumerated, with more
    10,000 are sampled.

    Args:
        differences: (questions,), first minus second score.
        clusters: of each question; None: each is a cluster of its own.
        seed: of the samples.

    Source: Good 2005, "Permutation, Parametric and Bootstrap Tests", §3; Phipson and Smyth 2010
    (the observed signs count as one sample, so p is never 0).
    """
    sums, _ = _totals(differences, clusters)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    observed = abs(sums.sum()) - 1e-9 * np.abs(sums).sum()  # rounding must not separate equals
    if 2 ** len(sums) <= FLIPS:
        bits = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
        return float((np.abs((2 * bits - 1) @ sums) >= observed).mean())
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK_CELLS // len(sums))
    beyond = 0
    for start in range(0, FLIPS, rows):
        signs = 2 * rng.integers(0, 2, (min(rows, FLIPS - start), len(sums)), np.int8) - 1
        beyond += int((np.abs(signs @ sums) >= observed).sum())
    return (beyond + 1) / (FLIPS + 1)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p-value of McNemar's test, which takes questions as independent.

    Args:
        only_first: questions that only the first model answers correctly.
        only_second: questions that only the second answers correctly.

    Source: McNemar 1947; exact: the binomial test with p = ½ over the questions that differ.
    """
    differ = only_first + only_second
    return float(binomtest(only_first, differ).pvalue) if differ else 1.0


def _totals(values: Scores, clusters: Clusters | None) -> tuple[Scores, Scores]:
    """Return the sum of scores and the number of questions of each cluster."""
    if clusters is None:
        return values, np.ones(len(values))
    _, place = np.unique(clusters, return_inverse=True)
    sums: Scores = np.bincount(place, values).astype(np.float64)
    return sums, np.bincount(place).astype(np.float64)

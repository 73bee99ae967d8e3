"""Group the pool into strata, each in order of hash, with running sums of costs."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smolmix.errors import UsageError
from smolmix.mixtures.candidates.pool import Pool
from smolmix.mixtures.candidates.strata import (
    QUANTITIES,
    Candidates,
    Ints,
    RunningSums,
    Stratum,
    bucket,
    bucket_names,
)
from smolmix.mixtures.spec.spec import Component, Spec

RELEASED_SEED = 42  # of `random:` in the released code; dataset.py of huggingface/smollm smolvlm2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """The pool in order of stratum and, within a stratum, of hash."""

    rows: NDArray[np.int64]  # indices into the pool
    starts: Ints  # (strata + 1,)


def _chosen(rule: str, rows: Ints, hashes: NDArray[np.uint64], count: int) -> Ints:
    """Return `count` of a component's rows: by hash, or as the released code would.

    Source: huggingface/smollm vision/smolvlm2 dataset.py (`first`, `end`, `random` on the rows in
    file order; `random` shuffles with seed 42 and takes the first).
    """
    if rule == "first":
        return rows[:count]
    if rule == "end":
        return rows[len(rows) - count :]
    if rule == "random":
        shuffled = list(range(len(rows)))
        random.Random(RELEASED_SEED).shuffle(shuffled)
        return rows[np.array(shuffled[:count], np.int64)]
    return rows[np.argsort(hashes[rows], kind="stable")[:count]]


def _take(
    name: str, component: Component, epochs: int, rows: Ints, pool: Pool, where: str
) -> tuple[Ints, Ints, int]:
    """Return the rows used, the rows among those used once more, and the complete rounds."""
    assert component.take is not None
    rule, count = component.rule, component.take.count(len(rows))
    limit = len(rows) * (epochs if rule == "hash" else 1)
    if name in pool.previous:  # the rows are its previous selection, less what is gone since
        rule, count = "hash", min(pool.previous[name], limit)
    if count > limit:
        raise UsageError(
            f"{where}: components.{name}.take is {count:,} samples; {len(rows):,} are available "
            f"and each may be used {epochs} times; take fewer or raise epochs"
        )
    if rule != "hash":
        return _chosen(rule, rows, pool.hashes, count), rows[:0], 1
    rounds, rest = divmod(count, len(rows)) if len(rows) else (0, 0)
    more = _chosen("hash", rows, pool.hashes, rest)
    return (rows, more, rounds) if rounds else (more, rows[:0], 1)


def _codes(spec: Spec, pool: Pool) -> tuple[Ints, list[tuple[str, list[str]]]]:
    """Return (rows,) a number that identifies the stratum, and what its digits mean."""
    digits: list[tuple[str, list[str]]] = [("component", list(pool.components))]
    code = pool.component.astype(np.int64)
    for family, (codes, values) in pool.tags.items():
        if family == "licence" and "licence" not in spec.shares:
            continue
        if family == "category" and "category" not in spec.shares:
            continue
        digits.append((family, values))
        code = code * len(values) + codes
    length = spec.caps.duration_s
    if length.mean is not None:
        names = ["", *bucket_names(length.buckets)]
        modality, values = pool.tags.get("modality", (np.zeros(0, np.int16), []))
        video = np.array([v == "video" for v in values] or [False], np.bool_)[modality]
        inside = np.where(video, bucket(pool.duration_s, length.buckets) + 1, 0)
        digits.append(("bucket", names))
        code = code * len(names) + inside
    return code, digits


def _tags(code: int, digits: Sequence[tuple[str, list[str]]]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for family, values in reversed(digits):
        code, digit = divmod(code, len(values))
        tags[family] = values[digit]
    return {k: v for k, v in sorted(tags.items()) if v}


def _sums(pool: Pool, rows: Ints) -> dict[str, Any]:
    sums: dict[str, Any] = {}
    for name in QUANTITIES:
        values = pool.duration_s if name == "duration_s" else pool.tokens[name]
        kind: Any = np.float64 if name == "duration_s" else np.int64
        out = np.zeros(len(rows) + 1, kind)
        np.cumsum(values[rows], out=out[1:], dtype=kind)
        sums[name] = out
    return sums


def stratify(spec: Spec, pool: Pool, where: str) -> tuple[Candidates, Ordered]:
    """Return the candidates of a measured mixture, and the order in which they are drawn.

    Args:
        spec: the mixture.
        pool: every sample that a component may use.
        where: the spec's file, for messages.

    Raises:
        UsageError: a component takes more than is available.
    """
    chosen: list[Ints] = []
    again: dict[str, tuple[Ints, int]] = {}
    by_component = np.argsort(pool.component, kind="stable")
    edges = np.searchsorted(pool.component[by_component], np.arange(len(pool.components) + 1))
    for i, name in enumerate(pool.components):
        rows = by_component[edges[i] : edges[i + 1]]
        component = spec.components[name]
        if component.take is not None and len(rows):
            rows, more, rounds = _take(name, component, spec.epochs(name), rows, pool, where)
            again[name] = (more, rounds)
        chosen.append(rows)
    rows = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    code, digits = _codes(spec, pool)
    present, stratum = np.unique(code[rows], return_inverse=True)
    order = np.argsort(pool.hashes[rows], kind="stable")
    order = order[np.argsort(stratum[order].astype(np.int32), kind="stable")]
    rows, stratum = rows[order], stratum[order]
    starts = np.searchsorted(stratum, np.arange(len(present) + 1))
    sums = _sums(pool, rows)
    extra = _extra(again, code, present)
    strata = []
    corpora = {n: c.corpus for n, c in spec.components.items()}
    for i, number in enumerate(present):
        tags = _tags(int(number), digits)
        name = tags.pop("component")
        tags["corpus"] = corpora[name]
        count = int(starts[i + 1] - starts[i])
        taken = count * again[name][1] + extra[i] if name in again else None
        flexible = taken is not None and spec.components[name].flexible
        strata.append(
            Stratum(
                component=name,
                tags=dict(sorted(tags.items())),
                available=count,
                limit=taken if flexible and taken is not None else count * spec.epochs(name),
                fixed=None if flexible else taken,
                means={
                    q: float(sums[q][starts[i + 1]] - sums[q][starts[i]]) / max(count, 1)
                    for q in QUANTITIES
                },
            )
        )
    untaken = {n: int(edges[i + 1] - edges[i]) for i, n in enumerate(pool.components)}
    running = RunningSums(starts=starts, sums=sums)
    candidates = Candidates(strata=strata, running=running, untaken=untaken)
    return candidates, Ordered(rows=rows, starts=starts)


def _extra(again: Mapping[str, tuple[Ints, int]], code: Ints, present: Ints) -> list[int]:
    """Return, for each stratum, how many of its samples are used once more than the others."""
    more = [rows for rows, _ in again.values() if len(rows)]
    if not more:
        return [0] * len(present)
    found = np.searchsorted(present, code[np.concatenate(more)])
    return [int(n) for n in np.bincount(found, minlength=len(present))]

"""What changed between two built mixtures."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from smolmix.mixtures.built.summary import by_family, shares, total_of
from smolmix.mixtures.selection.lock import Lock
from smolmix.mixtures.selection.reader import Selection, read_selection
from smolmix.storage import Folder

_FAMILIES = ("modality", "component", "cot", "corpus")


def _copies(selection: Selection) -> pl.DataFrame:
    return selection.samples.group_by("id").len("copies")


def _changed(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {key: [a.get(key), b.get(key)] for key in sorted({*a, *b}) if a.get(key) != b.get(key)}


def _inputs(a: Lock, b: Lock) -> dict[str, list[str]]:
    def digests(lock: Lock) -> dict[str, str]:
        return {
            f"{corpus}.{what}": str(getattr(one, what))
            for corpus, one in lock.corpora.items()
            for what in ("revision", "curated", "counts", "licence")
        }

    return _changed(digests(a), digests(b))


def diff(a: Folder, b: Folder) -> dict[str, Any]:
    """Return the differences of two mixtures' folders as plain values.

    Raises:
        DataError: one of them holds no built mixture.
    """
    first, second = read_selection(a), read_selection(b)
    lock_a, lock_b = first.lock, second.lock
    joined = _copies(first).join(_copies(second), on="id", how="full", suffix="_b", coalesce=True)
    moved = joined.select(
        samples_in=pl.col("copies").is_null().sum(),
        samples_out=pl.col("copies_b").is_null().sum(),
        samples_kept=(pl.col("copies").is_not_null() & pl.col("copies_b").is_not_null()).sum(),
        drawn_more=(pl.col("copies_b") > pl.col("copies")).sum(),
        drawn_less=(pl.col("copies_b") < pl.col("copies")).sum(),
    ).row(0, named=True)
    tokens = [total_of(lock.solution).tokens for lock in (lock_a, lock_b)]
    return {
        "same": lock_a.selection == lock_b.selection,
        "samples": [lock_a.samples, lock_b.samples],
        "tokens": tokens,
        **{k: int(v) for k, v in moved.items()},
        "shares": {
            family: {
                value: [pair_a.get(value, (0.0, 0.0)), pair_b.get(value, (0.0, 0.0))]
                for value in sorted({*pair_a, *pair_b})
                if pair_a.get(value) != pair_b.get(value)
            }
            for family in _FAMILIES
            for pair_a, pair_b in [
                (shares(lock_a.solution, family), shares(lock_b.solution, family))
            ]
        },
        "components": {
            name: [a_.drawn if a_ else 0, b_.drawn if b_ else 0]
            for name in sorted({s.component for s in (*lock_a.solution, *lock_b.solution)})
            for a_, b_ in [
                (
                    by_family(lock_a.solution, "component").get(name),
                    by_family(lock_b.solution, "component").get(name),
                )
            ]
            if (a_.drawn if a_ else 0) != (b_.drawn if b_ else 0)
        },
        "licences": _changed(lock_a.licences, lock_b.licences),
        "inputs": _inputs(lock_a, lock_b),
        "profile": [lock_a.profile, lock_b.profile],
        "seed": [lock_a.seed, lock_b.seed],
    }


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return the differences as lines for a person."""
    if found["same"]:
        return ["the same selection in the same order"]
    a, b = found["samples"]
    ta, tb = found["tokens"]
    out = [
        f"samples {a:,} -> {b:,}: {found['samples_in']:,} in, {found['samples_out']:,} out, "
        f"{found['samples_kept']:,} kept ({found['drawn_more']:,} drawn more often, "
        f"{found['drawn_less']:,} less)",
        f"tokens {ta:,.0f} -> {tb:,.0f}",
    ]
    for family, values in found["shares"].items():
        for value, ((sa, ka), (sb, kb)) in values.items():
            out.append(
                f"{family} {value or '(none)'}: {100 * sa:.2f} -> {100 * sb:.2f} % of samples, "
                f"{100 * ka:.2f} -> {100 * kb:.2f} % of tokens"
            )
    for licence, (before, after) in found["licences"].items():
        out.append(f"licence {licence or '(none)'}: {before or 0:,} -> {after or 0:,}")
    for what, (before, after) in found["inputs"].items():
        out.append(f"{what}: {before or 'none'} -> {after or 'none'}")
    for what in ("profile", "seed"):
        before, after = found[what]
        if before != after:
            out.append(f"{what}: {before} -> {after}")
    return out

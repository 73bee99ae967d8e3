"""The candidates of a measured mixture: every sample a component may use, as columns."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smolmix import curated
from smolmix.errors import UsageError, nearest
from smolmix.mixtures.candidates.assumed_sizes import with_assumed
from smolmix.mixtures.candidates.columns import ALWAYS, Part, corpus_parts
from smolmix.mixtures.candidates.previous_selection import Previous
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.mixtures.spec.conditions import Condition
from smolmix.mixtures.spec.spec import Component, Spec
from smolmix.schema import TOKEN_COLUMNS
from smolmix.workspace import Workspace

_COLUMNS = ("hashes", "component", "part", "row", "duration_s", "not_fetched")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Columns over all candidates, in order of corpus, part and row."""

    ids: pa.ChunkedArray
    hashes: NDArray[np.uint64]
    component: NDArray[np.int16]  # index into `components`
    components: Sequence[str]
    part: NDArray[np.int32]  # index into `parts`
    parts: Sequence[tuple[str, str]]  # (corpus, unit name)
    row: NDArray[np.int32]
    tokens: Mapping[str, NDArray[np.int32]]
    duration_s: NDArray[np.float64]
    tags: Mapping[str, tuple[NDArray[np.int16], list[str]]]  # family -> codes, values
    excluded: Mapping[str, int]  # reason curated samples are excluded -> how many
    not_fetched: NDArray[np.bool_]  # whose media are not fetched; their costs are assumed
    previous: Mapping[str, int] = field(default_factory=dict)  # component -> samples of its
    # previous selection, where only their media are fetched

    def __len__(self) -> int:
        return len(self.hashes)

    def assumed(self) -> dict[str, int]:
        """Return how many candidates have assumed costs, by component; zero counts are omitted."""
        counts = np.bincount(self.component[self.not_fetched], minlength=len(self.components))
        return {n: int(c) for n, c in zip(self.components, counts, strict=True) if c}


@dataclass(slots=True)
class _Gathered:
    ids: list[pa.Array] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    codes: dict[str, list[NDArray[np.int16]]] = field(default_factory=dict)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    parts: list[tuple[str, str]] = field(default_factory=list)
    excluded: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, values: Any) -> None:
        self.columns.setdefault(name, []).append(values)

    def exclude(self, reason: str, count: int) -> None:
        if count:
            self.excluded[reason] = self.excluded.get(reason, 0) + count


def families(spec: Spec) -> tuple[str, ...]:
    """Return the tags that the spec's shares name, and those that are always kept."""
    named = {f for f in spec.shares if f not in ("component", "corpus")}
    return tuple(sorted({*ALWAYS, *named}))


def fields(spec: Spec) -> set[str]:
    """Return every field that the spec's conditions and shares name."""
    conditions = [*spec.where, *(w for c in spec.components.values() for w in c.where)]
    return {*families(spec), *(w.field for w in conditions)}


def _meets(part: Part, conditions: Iterable[Condition]) -> NDArray[np.bool_]:
    mask = np.ones(len(part.ids), np.bool_)
    for condition in conditions:
        mask &= part.mask(condition)
    return mask


def _in_component(part: Part, component: Component) -> NDArray[np.bool_]:
    mask = _meets(part, component.where)
    if component.subset:
        mask &= part.mask(Condition(field="subset", op="in", values=component.subset))
    return mask


def _allowed(part: Part, spec: Spec, removed: pa.Array | None, out: _Gathered) -> NDArray[np.bool_]:
    """Return (rows,) which any component may use; count the others under their reason."""
    allowed = part.train.copy()
    out.exclude("held out for evaluation", int((~allowed).sum()))

    def cut(reason: str, mask: NDArray[np.bool_]) -> None:
        nonlocal allowed
        out.exclude(reason, int((allowed & ~mask).sum()))
        allowed = allowed & mask

    if removed is not None and len(removed):
        inside = pa.compute.is_in(part.ids, value_set=removed)
        cut("removed across corpora", ~inside.to_numpy(zero_copy_only=False))
    cut("where", _meets(part, spec.where))
    if spec.caps.duration_s.max != float("inf"):
        cut("caps.duration_s.max", part.numbers["duration_s"] <= spec.caps.duration_s.max)
    if spec.caps.tokens_per_sample is not None:
        cut("caps.tokens_per_sample", part.numbers["tokens"] <= spec.caps.tokens_per_sample)
    return allowed


def _gather(
    part: Part,
    spec: Spec,
    names: Sequence[str],
    where: str,
    removed: pa.Array | None,
    previous: Mapping[str, Previous],
    out: _Gathered,
) -> None:
    allowed = _allowed(part, spec, removed, out)
    order = sorted(spec.components)
    owner = np.full(len(part.ids), -1, np.int16)
    for name in names:
        mask = allowed & _in_component(part, spec.components[name])
        if name in previous:
            again = pa.compute.is_in(part.ids, value_set=previous[name].ids)
            mask &= again.to_numpy(zero_copy_only=False)
        both = mask & (owner >= 0)
        if both.any():
            other = order[int(owner[both][0])]
            raise UsageError(
                f"{where}: components.{name} and components.{other} both hold "
                f"{part.ids[int(np.flatnonzero(both)[0])].as_py()}; a sample belongs to one "
                "component; narrow one with subset or where"
            )
        owner[mask] = order.index(name)
    kept = np.flatnonzero(owner >= 0)
    out.exclude("in no component", int((allowed & (owner < 0)).sum()))
    index = len(out.parts)
    out.parts.append((part.corpus, part.name))
    ids = part.ids.take(pa.array(kept))
    out.ids.append(ids)
    out.add("hash", hash_ids(ids, spec.seed))
    out.add("component", owner[kept])
    out.add("part", np.full(len(kept), index, np.int32))
    out.add("row", kept.astype(np.int32))
    out.add("not_fetched", part.not_fetched[kept])
    out.add("duration_s", part.numbers["duration_s"][kept].astype(np.float64))
    for name in TOKEN_COLUMNS:
        out.add(name, part.numbers[name][kept].astype(np.int32))
    for family in families(spec):
        codes, values = part.names[family]
        known = out.values.setdefault(family, {})
        table = np.array([known.setdefault(v, len(known)) for v in values] or [0], np.int16)
        found = table[codes[kept]]
        if family == "category":
            for name in names:
                if label := spec.components[name].category:
                    found[owner[kept] == order.index(name)] = known.setdefault(label, len(known))
        out.codes.setdefault(family, []).append(found)


def _sorted(out: _Gathered, family: str) -> tuple[NDArray[np.int16], list[str]]:
    """Return codes that do not depend on the order in which values were met."""
    values = sorted(out.values[family])
    table = np.array([values.index(v) for v in out.values[family]] or [0], np.int16)
    return table[np.concatenate(out.codes[family])], values


def load_pool(
    spec: Spec,
    workspace: Workspace,
    profile: str,
    components: Sequence[str],
    where: str,
    *,
    removed: pa.Array | None = None,
    previous: Mapping[str, Previous] | None = None,
) -> Pool:
    """Return the candidates of the named components.

    Args:
        spec: the mixture.
        workspace: holds curated samples and counts.
        profile: name of the profile whose counts are read.
        components: those to load; their corpora must be curated and counted.
        where: the spec's file, for messages.
        removed: ids that were removed across corpora.
        previous: components that take their previous selection again.

    Raises:
        IncompleteError: a corpus is not curated, or not counted under this profile.
        UsageError: two components hold the same sample.
    """
    out, previous = _Gathered(), previous or {}
    by_corpus: dict[str, list[str]] = {}
    for name in components:
        by_corpus.setdefault(spec.components[name].corpus, []).append(name)
    wanted = {f for f in fields(spec) if f != "component"}
    for corpus in sorted(by_corpus):
        for found in corpus_parts(workspace, corpus, profile, wanted):
            part = with_assumed(found, spec, by_corpus[corpus], where)
            _gather(part, spec, by_corpus[corpus], where, removed, previous, out)
    empty: dict[str, type] = {
        "hash": np.uint64,
        "component": np.int16,
        "duration_s": np.float64,
        "not_fetched": np.bool_,
    }

    def column(name: str) -> Any:
        parts = out.columns.pop(name, [])
        return np.concatenate(parts) if parts else np.zeros(0, empty.get(name, np.int32))

    return _once(
        Pool(
            ids=pa.chunked_array(out.ids, pa.string()),
            hashes=column("hash"),
            component=column("component"),
            components=tuple(sorted(spec.components)),
            part=column("part"),
            parts=tuple(out.parts),
            row=column("row"),
            tokens={name: column(name) for name in TOKEN_COLUMNS},
            duration_s=column("duration_s"),
            tags={f: _sorted(out, f) for f in families(spec) if f in out.codes},
            excluded=dict(sorted(out.excluded.items())),
            not_fetched=column("not_fetched"),
            previous={name: b.drawn for name, b in previous.items()},
        )
    )


def lacking(component: Component, workspace: Workspace) -> str:
    """Return which subset of the component the curated corpus lacks, and those it has, or ""."""
    if not component.subset:
        return ""
    folder, known = workspace.curated(component.corpus), set[str]()
    for part in curated.part_names(folder):
        known |= set(curated.read_rows(folder, part, ["subset"])["subset"].unique())
    known.discard("")
    missing = [s for s in component.subset if s not in known]
    if not missing:
        return ""
    return (
        f": it has no subset {missing[0]!r}, but {', '.join(sorted(known)) or 'none'}"
        f"{nearest(missing[0], known)}"
    )


def _once(pool: Pool) -> Pool:
    """Return the pool with each id once, the first by corpus, part and row.

    A row that a corpus publishes twice, word for word, is one sample under one id. Even where the
    policy keeps copies, a mixture uses it at most `epochs` times.
    """
    again = _repeats(pool)
    if not len(again):
        return pool
    kept = np.ones(len(pool), np.bool_)
    kept[again] = False
    excluded = {**pool.excluded, "same id as an earlier sample": len(again)}
    return replace(
        pool,
        ids=pool.ids.filter(pa.array(kept)),
        tokens={name: values[kept] for name, values in pool.tokens.items()},
        tags={family: (codes[kept], values) for family, (codes, values) in pool.tags.items()},
        excluded=dict(sorted(excluded.items())),
        **{name: getattr(pool, name)[kept] for name in _COLUMNS},
    )


def _repeats(pool: Pool) -> NDArray[np.int64]:
    """Return the candidates whose id an earlier one has."""
    ordered = np.sort(pool.hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return np.zeros(0, np.int64)
    known, again = set[str](), list[int]()
    for at in np.flatnonzero(np.isin(pool.hashes, twice)):  # two ids may share a hash
        name = pool.ids[int(at)].as_py()
        if name in known:
            again.append(int(at))
        known.add(name)
    return np.array(again, np.int64)

"""Build a mixture: solve it, and write `selection.parquet` and `lock.json`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np
import pyarrow as pa

from smolmix.errors import DataError, IncompleteError, IntegrityError, UsageError
from smolmix.mixtures.candidates.grouping import Ordered, stratify
from smolmix.mixtures.candidates.pool import Pool, lacking, load_pool
from smolmix.mixtures.candidates.previous_selection import previous_selection
from smolmix.mixtures.candidates.strata import QUANTITIES, Ints
from smolmix.mixtures.selection.lock import (
    FORMAT,
    CorpusLock,
    Lock,
    StratumLock,
    corpus_lock,
    write_lock,
)
from smolmix.mixtures.selection.reader import SELECTION_SCHEMA, write_selection
from smolmix.mixtures.solve.solve import Mix, arrange, solve_spec
from smolmix.mixtures.spec.catalogue import (
    Catalogue,
    check_corpora,
    check_gated,
    check_published,
    corpora_of,
    published,
)
from smolmix.mixtures.spec.load import Reading, parse_spec
from smolmix.mixtures.spec.spec import Spec
from smolmix.profiles import Profile
from smolmix.removals import across_corpora
from smolmix.version import __version__
from smolmix.workspace import Workspace

_ROWS = 1 << 17  # of the selection, held as a table at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A solved mixture and the samples it selects from."""

    pool: Pool
    ordered: Ordered
    mix: Mix
    removals: str  # digest of the removals across corpora, or ""


def spec_profile(spec: Spec) -> Profile:
    """Return the profile whose counts the mixture is solved on."""
    return spec.profile.profile()


def check_curated(reading: Reading, workspace: Workspace) -> None:
    """Refuse a spec with a corpus that is not curated.

    Raises:
        IncompleteError: corpora are not curated; the message names them.
    """
    curated = workspace.corpora("curated")
    missing = [c for c in corpora_of(reading.spec) if c not in curated]
    if missing:
        raise IncompleteError(
            f"{reading.path}: not curated in {workspace.url}: "
            f"{', '.join(missing)}; run smolmix fetch and smolmix curate on them"
        )


def solve_curated(reading: Reading, workspace: Workspace) -> Solved:
    """Return the solved mixture of a spec whose corpora are all curated and counted.

    Raises:
        IncompleteError: one is not.
        InfeasibleError: no mixture satisfies the spec.
    """
    spec = reading.spec
    check_curated(reading, workspace)
    removals = across_corpora(workspace, corpora_of(spec))
    pool = load_pool(
        spec,
        workspace,
        spec_profile(spec).name,
        published(spec),
        reading.path,
        removed=removals.ids,
        previous=previous_selection(spec, reading.raw, workspace),
    )
    for name in published(spec):
        if not (pool.component == pool.components.index(name)).any():
            excluded = ", ".join(f"{n:,} {why}" for why, n in pool.excluded.items())
            raise UsageError(
                f"{reading.path}: components.{name}: no sample of "
                f"{spec.components[name].corpus} is available"
                f"{lacking(spec.components[name], workspace)}; loosen its subset or where, or "
                "remove it" + (f" (excluded from all components: {excluded})" if excluded else "")
            )
    candidates, ordered = stratify(spec, pool, reading.path)
    return Solved(
        pool=pool,
        ordered=ordered,
        mix=solve_spec(spec, candidates, reading.path),
        removals=removals.digest,
    )


def _licences(solved: Solved) -> dict[str, int]:
    """Return how many samples are drawn under each licence."""
    codes, names = solved.pool.tags["licence"]
    drawn = solved.mix.drawn
    out: dict[str, int] = {}
    for i, count in enumerate(drawn):
        start, size = int(solved.ordered.starts[i]), solved.mix.candidates.strata[i].available
        rounds, rest = divmod(int(count), size)
        found = codes[solved.ordered.rows[start : start + size]]
        times = rounds * np.bincount(found, minlength=len(names)) + np.bincount(
            found[:rest], minlength=len(names)
        )
        for code in np.flatnonzero(times):
            out[names[int(code)]] = out.get(names[int(code)], 0) + int(times[code])
    return dict(sorted(out.items()))


def _solution(mix: Mix) -> tuple[StratumLock, ...]:
    totals = {q: mix.candidates.total(q, mix.drawn) for q in QUANTITIES}
    return tuple(
        StratumLock(
            component=s.component,
            tags=s.tags,
            available=s.available,
            drawn=int(mix.drawn[i]),
            totals={q: round(float(totals[q][i]), 3) for q in QUANTITIES},
        )
        for i, s in enumerate(mix.candidates.strata)
    )


def build(
    reading: Reading,
    workspace: Workspace,
    *,
    catalogue: Catalogue | None = None,
    partial: bool = False,
) -> Lock:
    """Write `mixtures/<name>/` of the workspace; return its lock.

    Args:
        reading: the spec.
        workspace: holds curated corpora and their counts.
        catalogue: known corpora; None checks none.
        partial: build without the components that were never published.

    Raises:
        UsageError: the spec is wrong, or names what was never published and `partial` is off.
        IncompleteError: a corpus is not curated, or not counted under the spec's profile.
        InfeasibleError: no mixture satisfies the spec.
    """
    spec = reading.spec
    missing = {name: c.unpublished for name, c in spec.components.items() if c.unpublished}
    if catalogue is not None:
        check_corpora(spec, catalogue, reading.path)
        fetched = {*workspace.corpora("raw"), *workspace.corpora("curated")}
        check_gated(spec, catalogue, fetched, reading.path)
    if not partial:
        check_published(reading)
    solved = solve_curated(reading, workspace)
    stratum, within = arrange(spec, solved.mix)
    folder = workspace.mixture(spec.name)
    # The previous lock stays until the new one is complete: it may be what is rebuilt here.
    digest = write_selection(folder, _tables(solved, stratum, within), spec.seed)
    lock = _lock(reading, workspace, solved, digest, len(stratum), missing)
    lock = replace(lock, not_fetched=_not_fetched(solved, stratum, within))
    write_lock(folder, lock)
    return lock


def _tables(solved: Solved, stratum: Ints, within: Ints) -> Iterator[pa.Table]:
    """Yield the selection in order, a piece at a time.

    Args:
        solved: the candidates.
        stratum: (samples drawn,) each position's stratum.
        within: (samples drawn,) which of the stratum's samples it gets.
    """
    pool, ordered = solved.pool, solved.ordered
    size = np.diff(ordered.starts)
    corpora = pa.array([corpus for corpus, _ in pool.parts], pa.string())
    units = pa.array([unit for _, unit in pool.parts], pa.string())
    chunks = [c.cast(pa.large_string()) for c in pool.ids.chunks]
    ids = pa.concat_arrays(chunks or [pa.array([], pa.large_string())])
    for at in range(0, len(stratum), _ROWS):
        here, draw = stratum[at : at + _ROWS], within[at : at + _ROWS]
        rows = ordered.rows[ordered.starts[here] + draw % size[here]]
        part = pa.array(pool.part[rows], pa.int32())
        yield pa.table(
            [
                ids.take(pa.array(rows)).cast(pa.string()),
                corpora.take(part).dictionary_encode(),
                units.take(part).dictionary_encode(),
                pa.array(pool.row[rows]),
                pa.array((draw // size[here]).astype(np.int32)),
            ],
            schema=SELECTION_SCHEMA,
        )


def _not_fetched(solved: Solved, stratum: Ints, within: Ints) -> dict[str, int]:
    """Return how many samples drawn from each corpus have media that are not fetched."""
    pool, ordered = solved.pool, solved.ordered
    if not pool.not_fetched.any():
        return {}
    rows = ordered.rows[ordered.starts[stratum] + within % np.diff(ordered.starts)[stratum]]
    parts = np.bincount(pool.part[rows[pool.not_fetched[rows]]], minlength=len(pool.parts))
    found: dict[str, int] = {}
    for (corpus, _), count in zip(pool.parts, parts, strict=True):
        if count:
            found[corpus] = found.get(corpus, 0) + int(count)
    return found


def _lock(
    reading: Reading,
    workspace: Workspace,
    solved: Solved,
    digest: str,
    samples: int,
    missing: dict[str, str],
) -> Lock:
    spec, name = reading.spec, spec_profile(reading.spec).name
    return Lock(
        format=FORMAT,
        smolmix=__version__,
        scipy=version("scipy"),
        name=spec.name,
        spec_file=reading.path.rsplit("/", 1)[-1],
        spec=dict(reading.raw),
        sources=dict(reading.sources),
        seed=spec.seed,
        profile=name,
        corpora={c: corpus_lock(workspace, c, name) for c in corpora_of(spec)},
        removals=solved.removals,
        excluded=dict(solved.pool.excluded),
        available={n: c for n, c in solved.mix.candidates.untaken.items() if c},
        unpublished=missing,
        solution=_solution(solved.mix),
        achieved={r.key: r.value for r in solved.mix.achieved},
        licences=_licences(solved),
        samples=samples,
        selection=digest,
    )


def changes(lock: Lock, workspace: Workspace) -> list[str]:
    """Return what has changed since the lock was written, one line for each input."""
    found = []
    for corpus, then in lock.corpora.items():
        now: CorpusLock = corpus_lock(workspace, corpus, lock.profile)
        for what in ("revision", "curated", "counts"):
            a, b = getattr(then, what), getattr(now, what)
            if a != b:
                found.append(f"{corpus}: {what} was {a or 'none'}, is {b or 'none'}")
    removals = across_corpora(workspace, lock.corpora).digest
    if removals != lock.removals:
        found.append(
            f"removals across corpora: were {lock.removals or 'none'}, are {removals or 'none'}"
        )
    return found


def rebuild(lock: Lock, workspace: Workspace, where: str) -> Lock:
    """Build the mixture that a lock describes; return its lock, whose selection is the same.

    Raises:
        DataError: an input has changed; the message names it.
        IntegrityError: all inputs are the same and the selection is not.
    """
    changed = changes(lock, workspace)
    if changed:
        raise DataError(f"{where}: cannot be reproduced here:\n  " + "\n  ".join(changed))
    parsed = parse_spec(lock.spec, where)
    reading = replace(parsed, path=lock.spec_file, sources=dict(lock.sources))
    again = build(reading, workspace, partial=True)
    if again.selection != lock.selection:
        raise IntegrityError(
            f"{where}: selection {again.selection}, the lock says {lock.selection}, from the same "
            f"data; smolmix {lock.smolmix} with scipy {lock.scipy} wrote the lock, this is "
            f"{again.smolmix} with scipy {again.scipy}"
        )
    return again

"""Plan a mixture: solved on measures where corpora are curated, on declared counts elsewhere."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from smolmix.errors import IncompleteError, UsageError
from smolmix.fetched import read_record
from smolmix.mixtures.candidates.declared_sizes import DeclaredComponent, declared_strata
from smolmix.mixtures.candidates.estimates import Estimate, Known, summed
from smolmix.mixtures.candidates.strata import Candidates, RunningSums, Stratum
from smolmix.mixtures.plan.report import ComponentTable, Line, buckets, licences, mean_video, shares
from smolmix.mixtures.solve.rounding import Achieved
from smolmix.mixtures.solve.solve import solve_spec
from smolmix.mixtures.spec.catalogue import Catalogue, check_corpora
from smolmix.mixtures.spec.load import Reading
from smolmix.mixtures.spec.spec import Declared, Spec
from smolmix.workspace import Workspace, stage_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A solved spec; every estimate says how it is known."""

    name: str
    profile: str
    unit: str  # what shares count unless they name another, and "as large as possible" counts
    samples: Estimate
    tokens: Estimate
    modality: Mapping[str, tuple[float, float]]  # share of samples, of tokens
    category: Mapping[str, tuple[float, float]]
    cot: Mapping[str, Estimate]  # share of samples: declared, detected
    cot_caps: Mapping[str, float]
    video_s: Estimate
    mean_video_s: Estimate
    buckets: Mapping[str, int]
    download_bytes: Estimate
    shard_bytes: Estimate
    licences: Mapping[str, int]
    lines: Sequence[Line]
    achieved: Sequence[Achieved]
    binding: Sequence[str]
    shadow_prices: Mapping[str, float]  # exhausted component -> growth of the total by one sample
    unpublished: Mapping[str, str]
    warnings: Sequence[str]
    sources: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return asdict(self)


def _measured(spec: Spec, workspace: Workspace | None, name: str) -> bool:
    """Whether a component's corpus is curated, and counted under the spec's profile."""
    if workspace is None:
        return False
    counts = spec.profile.profile().name
    corpus = spec.components[name].corpus
    try:
        stage_record(workspace.curated(corpus))
        stage_record(workspace.counts(counts, corpus))
    except IncompleteError:
        return False
    return True


def _join(measured: Candidates | None, declared: Sequence[Stratum]) -> Candidates:
    if measured is None:
        return Candidates(strata=tuple(declared))
    assert measured.running is not None
    starts = measured.running.starts
    more = np.full(len(declared), starts[-1], np.int64)
    running = RunningSums(starts=np.concatenate([starts, more]), sums=measured.running.sums)
    return Candidates(
        strata=(*measured.strata, *declared), running=running, untaken=measured.untaken
    )


def make_plan(
    reading: Reading,
    *,
    workspace: Workspace | None,
    catalogue: Catalogue,
    counts: Mapping[str, Declared] | None = None,
) -> Plan:
    """Return what the spec would give, without writing anything.

    Args:
        reading: the spec.
        workspace: holds curated corpora; None plans on declared counts alone.
        catalogue: known corpora and their declared rows.
        counts: declared counts by component, which override the spec's.

    Raises:
        UsageError: the spec names an unknown corpus or a benchmark.
        InfeasibleError: no mixture satisfies the spec.
    """
    spec, where = reading.spec, reading.path
    check_corpora(spec, catalogue, where)
    counted_name = spec.profile.profile().name
    curated = set(workspace.corpora("curated")) if workspace is not None else set()
    here = [n for n, c in spec.components.items() if not c.unpublished]
    here = [n for n in here if _measured(spec, workspace, n)]
    candidates: Candidates | None = None
    assumed: dict[str, int] = {}
    empty: list[str] = []
    if here and workspace is not None:
        # Imported here: polars and pyarrow are not needed for a plan on declared counts.
        from smolmix.mixtures.candidates.grouping import stratify
        from smolmix.mixtures.candidates.pool import lacking, load_pool
        from smolmix.mixtures.candidates.previous_selection import previous_selection

        previous = previous_selection(spec, reading.raw, workspace)
        pool = load_pool(spec, workspace, counted_name, here, where, previous=previous)
        candidates, _ = stratify(spec, pool, where)
        assumed = pool.assumed()
        empty = [
            f"{n}: no sample of {spec.components[n].corpus} is available"
            f"{lacking(spec.components[n], workspace)}"
            for n in here
            if not (pool.component == pool.components.index(n)).any()
        ]
    pixel = spec.profile.profile().pixel
    declared = {
        name: declared_strata(spec, name, catalogue.get(c.corpus), (counts or {}).get(name), pixel)
        for name, c in spec.components.items()
        if name not in here
    }
    _check_lengths(spec, declared, where)
    joined = _join(candidates, [s for g in declared.values() for s in g.strata])
    if not spec.total.samples and not spec.total.tokens:
        _check_sizes(spec, declared, curated, where)
    mix = solve_spec(spec, joined, where)
    uncounted = [
        f"{name}: {spec.components[name].corpus} is curated here but not counted for "
        f"{counted_name}; --count counts it; until then its numbers are declared"
        for name in declared
        if workspace is not None and spec.components[name].corpus in curated
    ]
    table = ComponentTable(
        spec=spec,
        mix=mix,
        declared=declared,
        catalogue=catalogue,
        fetched=_fetched(workspace, {spec.components[n].corpus for n in here}),
        not_fetched=_not_fetched(spec, assumed, catalogue),
    )
    not_fetched = [
        f"{name}: media of {count:,} samples are not fetched; their text is counted, the costs "
        "of their media are assumed"
        for name, count in assumed.items()
    ]
    return _report(reading, table, [*empty, *uncounted, *not_fetched])


def _not_fetched(
    spec: Spec, assumed: Iterable[str], catalogue: Catalogue
) -> dict[str, dict[str, Known]]:
    """Return how the costs of components without fetched media are known."""
    from smolmix.mixtures.candidates.assumed_sizes import how_known

    found = {}
    for name in assumed:
        component = spec.components[name]
        row = catalogue.get(component.corpus)
        modality = component.modality or (row.modality if row else "")
        found[name] = how_known(component, modality)
    return found


def _fetched(workspace: Workspace | None, corpora: Iterable[str]) -> dict[str, int]:
    """Return the bytes of the fetched raw files, by corpus."""
    found = {}
    for corpus in corpora:
        record = read_record(workspace, corpus) if workspace is not None else None
        # After --annotations not all media are fetched, so the bytes say little.
        if record is not None and not record.scope.get("annotations"):
            found[corpus] = sum(f.size for f in record.files)
    return found


def _check_lengths(spec: Spec, declared: Mapping[str, DeclaredComponent], where: str) -> None:
    if spec.caps.duration_s.mean is None:
        return
    for name, found in declared.items():
        if found.known.get("duration_s") == "unknown" and spec.components[name].take is None:
            raise UsageError(
                f"{where}: components.{name}: the duration of its videos is unknown, and "
                "caps.duration_s.mean needs it; set declared.duration_s"
            )


def _check_sizes(
    spec: Spec, declared: Mapping[str, DeclaredComponent], curated: Container[str], where: str
) -> None:
    for name, found in declared.items():
        component = spec.components[name]
        if found.known.get("samples") == "unknown" and component.take is None:
            here = component.corpus in curated
            todo = "`mix plan --count` counts what is curated here; or " if here else ""
            raise UsageError(
                f"{where}: components.{name}: its number of samples is unknown, and the total is "
                f"as large as possible; {todo}set declared.samples, take or total"
            )


def _report(reading: Reading, table: ComponentTable, remarks: Sequence[str]) -> Plan:
    mix, tokens = table.mix, table.totals("tokens")
    spec = reading.spec
    lines = table.lines()
    used = [line for line in lines if line.samples.value]
    return Plan(
        name=spec.name,
        profile=str(spec.profile),
        unit=spec.unit,
        samples=summed(line.samples for line in lines),
        tokens=summed(line.tokens for line in lines),
        modality=shares(mix, "modality", tokens),
        category=shares(mix, "category", tokens),
        cot=table.cot(),
        cot_caps={
            k: c.max
            for k, c in (("declared", spec.caps.cot), ("detected", spec.caps.cot_detected))
            if c.max < 1
        },
        video_s=summed(line.video_s for line in used if line.modality == "video"),
        mean_video_s=mean_video(lines),
        buckets=buckets(mix),
        download_bytes=summed(line.download_bytes for line in used),
        shard_bytes=summed(line.shard_bytes for line in used),
        licences=licences(lines),
        lines=lines,
        achieved=mix.achieved,
        binding=mix.binding,
        shadow_prices=mix.shadow_prices,
        unpublished={n: c.unpublished for n, c in spec.components.items() if c.unpublished},
        warnings=[*remarks, *(w for g in table.declared.values() for w in g.warnings)],
        sources=dict(reading.sources),
    )

"""What a spec would give: solved on measures where data are here, on declared counts elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from smolmix.errors import IncompleteError, UsageError
from smolmix.mixtures.catalogue import Catalogue, check_corpora
from smolmix.mixtures.declared import Guess, declared_strata
from smolmix.mixtures.figures import UNKNOWN, Figure, Known, summed, worst
from smolmix.mixtures.reading import Reading
from smolmix.mixtures.rounding import Reached
from smolmix.mixtures.solving import Mix, solve_spec
from smolmix.mixtures.spec import Declared, Spec
from smolmix.mixtures.supply import Floats, Prefix, Stratum, Supply
from smolmix.profiles import profile
from smolmix.storage import Workspace, stage_record

_TOKEN_BYTES = 4  # an id in the shards


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One component of a plan."""

    component: str
    corpus: str
    modality: str
    category: str
    licence: str
    available: Figure
    samples: Figure
    share: float
    tokens: Figure
    token_share: float
    epochs: float  # draws over what is there
    video_s: Figure
    download_bytes: Figure
    shard_bytes: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A solved spec, every figure with how it is known."""

    name: str
    profile: str
    unit: str  # of shares, unless they name another, and of "as large as possible"
    samples: Figure
    tokens: Figure
    modality: Mapping[str, tuple[float, float]]  # share of samples, of tokens
    category: Mapping[str, tuple[float, float]]
    cot: Mapping[str, Figure]  # share of samples: declared, detected
    cot_caps: Mapping[str, float]
    video_s: Figure
    mean_video_s: Figure
    buckets: Mapping[str, int]
    download_bytes: Figure
    shard_bytes: Figure
    licences: Mapping[str, int]
    lines: Sequence[Line]
    reached: Sequence[Reached]
    binding: Sequence[str]
    worth: Mapping[str, float]  # spent component -> what one more of its samples adds
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
    counts = profile(spec.profile.preset, style=spec.profile.style).name
    corpus = spec.components[name].corpus
    try:
        stage_record(workspace.curated(corpus))
        stage_record(workspace.counts(counts, corpus))
    except IncompleteError:
        return False
    return True


def _join(measured: Supply | None, guessed: Sequence[Stratum]) -> Supply:
    if measured is None:
        return Supply(strata=tuple(guessed))
    assert measured.prefix is not None
    starts = measured.prefix.starts
    more = np.full(len(guessed), starts[-1], np.int64)
    prefix = Prefix(starts=np.concatenate([starts, more]), sums=measured.prefix.sums)
    return Supply(strata=(*measured.strata, *guessed), prefix=prefix)


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
        workspace: where curated corpora may lie; None plans on declared counts alone.
        catalogue: known corpora and their declared rows.
        counts: further declared counts by component, which go before the spec's.

    Raises:
        UsageError: the spec names an unknown corpus or a benchmark.
        InfeasibleError: no mixture satisfies the spec.
    """
    spec, where = reading.spec, reading.path
    check_corpora(spec, catalogue, where)
    counted_name = profile(spec.profile.preset, style=spec.profile.style).name
    curated = set(workspace.corpora("curated")) if workspace is not None else set()
    here = [n for n, c in spec.components.items() if not c.unpublished]
    here = [n for n in here if _measured(spec, workspace, n)]
    supply: Supply | None = None
    if here and workspace is not None:
        # Polars, pyarrow and the data are touched only where there are data.
        from smolmix.mixtures.pool import load_pool
        from smolmix.mixtures.strata import stratify

        pool = load_pool(spec, workspace, counted_name, here, where)
        supply, _ = stratify(spec, pool, where)
    pixel = profile(spec.profile.preset).pixel
    guesses = {
        name: declared_strata(spec, name, catalogue.get(c.corpus), (counts or {}).get(name), pixel)
        for name, c in spec.components.items()
        if name not in here
    }
    _check_lengths(spec, guesses, where)
    joined = _join(supply, [s for g in guesses.values() for s in g.strata])
    if not spec.total.samples and not spec.total.tokens:
        _check_sizes(spec, guesses, where)
    mix = solve_spec(spec, joined, where)
    uncounted = [
        f"{name}: {spec.components[name].corpus} is curated here but not counted for "
        f"{counted_name}; --count counts it, until then its figures are declared"
        for name in guesses
        if workspace is not None and spec.components[name].corpus in curated
    ]
    return _report(reading, mix, guesses, catalogue, uncounted)


def _check_lengths(spec: Spec, guesses: Mapping[str, Guess], where: str) -> None:
    if spec.caps.duration_s.mean is None:
        return
    for name, guess in guesses.items():
        if guess.known.get("duration_s") == "unknown" and spec.components[name].take is None:
            raise UsageError(
                f"{where}: components.{name}: how long its videos are is not known, and "
                "caps.duration_s.mean asks for it; say declared.duration_s"
            )


def _check_sizes(spec: Spec, guesses: Mapping[str, Guess], where: str) -> None:
    for name, guess in guesses.items():
        if guess.known.get("samples") == "unknown" and spec.components[name].take is None:
            raise UsageError(
                f"{where}: components.{name}: how many samples it has is not known, and the "
                "total is as large as possible; say declared.samples, take or total"
            )


def _report(
    reading: Reading,
    mix: Mix,
    guesses: Mapping[str, Guess],
    catalogue: Catalogue,
    remarks: Sequence[str],
) -> Plan:
    spec, supply, draws = reading.spec, mix.supply, mix.draws
    totals = {q: supply.total(q, draws) for q in ("tokens", "duration_s")}
    all_draws, all_tokens = max(int(draws.sum()), 1), max(float(totals["tokens"].sum()), 1.0)

    def known(name: str, *quantities: str) -> Known:
        guess = guesses.get(name)
        if guess is None:
            return "measured"
        return worst(guess.known.get(q, "declared") for q in quantities)

    lines = []
    for name, component in spec.components.items():
        at = supply.members("component", name)
        index = np.flatnonzero(at)
        count = int(draws[at].sum())
        there = int(supply.available[at].sum())
        row = catalogue.get(component.corpus)
        said = component.declared.bytes_on_disk or (row.bytes_on_disk if row else None)
        tokens = float(totals["tokens"][at].sum())
        video = bool(len(index)) and supply.tag(int(index[0]), "modality") == "video"
        guess = guesses.get(name, Guess())
        sizes = known(name, "samples")
        lines.append(
            Line(
                component=name,
                corpus=component.corpus,
                modality=supply.tag(int(index[0]), "modality") if len(index) else "",
                category=component.category or "",
                licence=component.licence or (row.licence if row else ""),
                available=UNKNOWN
                if sizes == "unknown"
                else Figure(value=there, known=sizes, source=guess.sources.get("samples", "")),
                samples=Figure(value=count, known=sizes),
                share=count / all_draws,
                tokens=Figure(
                    value=tokens, known=known(name, "samples", "text_tokens", "visual_tokens")
                ),
                token_share=tokens / all_tokens,
                epochs=count / there if there else 0.0,
                video_s=_video(totals["duration_s"], at, known(name, "duration_s"), video),
                download_bytes=Figure(value=said, known="declared") if said else UNKNOWN,
                shard_bytes=Figure(
                    value=said * min(count / there, 1.0) + _TOKEN_BYTES * tokens,
                    known="assumed",
                    source="original bytes of the media used, in proportion, and 4 bytes a token",
                )
                if said and there
                else UNKNOWN,
            )
        )
    return Plan(
        name=spec.name,
        profile=f"{spec.profile.preset}, {spec.profile.style}",
        unit=spec.unit,
        samples=summed(line.samples for line in lines),
        tokens=summed(line.tokens for line in lines),
        modality=_shares(mix, "modality", totals["tokens"]),
        category=_shares(mix, "category", totals["tokens"]),
        cot=_cot(mix, guesses),
        cot_caps={
            k: c.max
            for k, c in (("declared", spec.caps.cot), ("detected", spec.caps.cot_detected))
            if c.max < 1
        },
        video_s=summed(x.video_s for x in lines if x.modality == "video" and x.samples.value),
        mean_video_s=_mean_video(lines),
        buckets=_buckets(mix),
        download_bytes=summed(line.download_bytes for line in lines if line.samples.value),
        shard_bytes=summed(line.shard_bytes for line in lines if line.samples.value),
        licences=_licences(lines),
        lines=lines,
        reached=mix.reached,
        binding=mix.binding,
        worth=mix.worth,
        unpublished={n: c.unpublished for n, c in spec.components.items() if c.unpublished},
        warnings=[*remarks, *(w for g in guesses.values() for w in g.warnings)],
        sources=dict(reading.sources),
    )


def _video(duration_s: Floats, at: Any, known: Known, video: bool) -> Figure:
    if not video:
        return Figure(value=0.0, known="measured")
    if known == "unknown":
        return UNKNOWN
    return Figure(value=float(duration_s[at].sum()), known=known)


def _mean_video(lines: Sequence[Line]) -> Figure:
    """Return the mean length over the videos whose length is known."""
    told = [x for x in lines if x.modality == "video" and x.video_s.value is not None]
    count = sum(x.samples.value or 0 for x in told)
    silent = sum(x.samples.value or 0 for x in lines if x.modality == "video") - count
    if not count:
        return UNKNOWN
    return Figure(
        value=sum(x.video_s.value or 0 for x in told) / count,
        known=worst(x.video_s.known for x in told),
        source=f"over those whose length is known; {silent:,.0f} are not" if silent else "",
    )


def _shares(mix: Mix, family: str, tokens: Floats) -> dict[str, tuple[float, float]]:
    found: dict[str, list[float]] = {}
    for i in range(len(mix.draws)):
        sums = found.setdefault(mix.supply.tag(i, family), [0.0, 0.0])
        sums[0] += float(mix.draws[i])
        sums[1] += float(tokens[i])
    all_draws, all_tokens = max(float(mix.draws.sum()), 1.0), max(float(tokens.sum()), 1.0)
    return {k: (v[0] / all_draws, v[1] / all_tokens) for k, v in sorted(found.items())}


def _cot(mix: Mix, guesses: Mapping[str, Guess]) -> dict[str, Figure]:
    """Return the share of both kinds of chain of thought; detection needs the data."""
    total = max(int(mix.draws.sum()), 1)
    out = {}
    for kind in ("declared", "detected"):
        count = int(mix.draws[mix.supply.members("cot", kind)].sum())
        if not guesses:
            out[kind] = Figure(value=count / total, known="measured")
        elif kind == "declared" and count:
            out[kind] = Figure(value=count / total, known="declared")
        else:
            out[kind] = Figure(
                value=count / total if count else None,
                known="unknown",
                source="known only once the data are here",
            )
    return out


def _buckets(mix: Mix) -> dict[str, int]:
    found: dict[str, int] = {}
    for i, s in enumerate(mix.supply.strata):
        if "bucket" in s.tags:
            found[s.tags["bucket"]] = found.get(s.tags["bucket"], 0) + int(mix.draws[i])
    return dict(sorted(found.items(), key=lambda kv: float(kv[0].split("-")[0].split()[0])))


def _licences(lines: Sequence[Line]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        name = line.licence or "not known"
        found[name] = found.get(name, 0) + int(line.samples.value or 0)
    return dict(sorted(found.items()))

"""A solved mixture by component and by tag; every estimate says how it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smolmix.mixtures.candidates.declared_sizes import DeclaredComponent
from smolmix.mixtures.candidates.estimates import UNKNOWN, Estimate, Known, least_certain
from smolmix.mixtures.candidates.strata import Floats
from smolmix.mixtures.solve.solve import Mix
from smolmix.mixtures.spec.catalogue import Catalogue
from smolmix.mixtures.spec.spec import Component, Spec

_TOKEN_BYTES = 4  # an id in the shards
_SHARDS = "original bytes of the media used, in proportion, and 4 bytes a token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One component of a plan."""

    component: str
    corpus: str
    modality: str
    category: str
    licence: str
    available: Estimate
    samples: Estimate
    share: float
    tokens: Estimate
    token_share: float
    epochs: float  # samples drawn / samples available
    video_s: Estimate
    download_bytes: Estimate
    shard_bytes: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentTable:
    """What the lines are computed from."""

    spec: Spec
    mix: Mix
    declared: Mapping[str, DeclaredComponent]  # of the components that are not curated
    catalogue: Catalogue
    fetched: Mapping[str, int]  # corpus -> bytes of its fetched raw files
    not_fetched: Mapping[str, Mapping[str, Known]]  # quantities of components whose media are not

    def known(self, name: str, *quantities: str) -> Known:
        """Return how a component's quantities are known: as the least certain one is."""
        found = self.declared.get(name)
        if found is None:
            not_fetched = self.not_fetched.get(name, {})
            return least_certain(not_fetched.get(q, "measured") for q in quantities)
        return least_certain(found.known.get(q, "declared") for q in quantities)

    def totals(self, quantity: str) -> Floats:
        """Return (strata,) the quantity summed over the samples drawn."""
        return self.mix.candidates.total(quantity, self.mix.drawn)

    def lines(self) -> list[Line]:
        """Return one line a component."""
        sums = {q: self.totals(q) for q in ("samples", "tokens", "duration_s")}
        return [self._line(name, c, sums) for name, c in self.spec.components.items()]

    def _line(self, name: str, component: Component, sums: Mapping[str, Floats]) -> Line:
        candidates = self.mix.candidates
        at = candidates.members("component", name)
        first = int(np.argmax(at)) if at.any() else -1
        modality = candidates.tag(first, "modality") if first >= 0 else ""
        count, tokens = float(sums["samples"][at].sum()), float(sums["tokens"][at].sum())
        available = candidates.untaken.get(name) or int(candidates.available[at].sum())
        row, sizes = self.catalogue.get(component.corpus), self.known(name, "samples")
        why = self.declared[name].sources.get("samples", "") if name in self.declared else ""
        download = self._download(component, available)
        return Line(
            component=name,
            corpus=component.corpus,
            modality=modality,
            category=component.category or "",
            licence=component.licence or (row.licence if row else ""),
            available=Estimate(value=available, known=sizes, source=why)
            if sizes != "unknown"
            else UNKNOWN,
            samples=Estimate(value=count, known=sizes),
            share=count / max(float(sums["samples"].sum()), 1.0),
            tokens=Estimate(
                value=tokens, known=self.known(name, "samples", "text_tokens", "visual_tokens")
            ),
            token_share=tokens / max(float(sums["tokens"].sum()), 1.0),
            epochs=count / available if available else 0.0,
            video_s=_video(sums["duration_s"], at, self.known(name, "duration_s"), modality),
            download_bytes=download,
            shard_bytes=_shards(download, count / available if available else 0.0, tokens),
        )

    def _download(self, component: Component, available: int) -> Estimate:
        """Return the raw bytes of a component; those of one corpus divide its fetched files."""
        if (size := self.fetched.get(component.corpus)) is not None:
            mine = self.mix.candidates.members("corpus", component.corpus)
            sharing = {
                s.component for s, m in zip(self.mix.candidates.strata, mine, strict=True) if m
            }
            share = available / max(sum(self.mix.candidates.untaken.get(n, 0) for n in sharing), 1)
            return Estimate(value=size * share, known="measured")
        row = self.catalogue.get(component.corpus)
        declared = component.declared.bytes_on_disk or (row.bytes_on_disk if row else None)
        return Estimate(value=declared, known="declared") if declared else UNKNOWN

    def cot(self) -> dict[str, Estimate]:
        """Return the share of both kinds of chain of thought; detection needs curated samples."""
        total = max(int(self.mix.drawn.sum()), 1)
        out = {}
        for kind in ("declared", "detected"):
            count = int(self.mix.drawn[self.mix.candidates.members("cot", kind)].sum())
            if not self.declared:
                out[kind] = Estimate(value=count / total, known="measured")
            elif kind == "declared" and count:
                out[kind] = Estimate(value=count / total, known="declared")
            else:
                value = count / total if count else None
                why = "known only once the corpora are curated"
                out[kind] = Estimate(value=value, known="unknown", source=why)
        return out


def _shards(download: Estimate, epochs: float, tokens: float) -> Estimate:
    if download.value is None:
        return UNKNOWN
    value = download.value * min(epochs, 1.0) + _TOKEN_BYTES * tokens
    return Estimate(value=value, known="assumed", source=_SHARDS)


def _video(duration_s: Floats, at: Any, known: Known, modality: str) -> Estimate:
    if modality != "video":
        return Estimate(value=0.0, known="measured")
    if known == "unknown":
        return UNKNOWN
    return Estimate(value=float(duration_s[at].sum()), known=known)


def mean_video(lines: Sequence[Line]) -> Estimate:
    """Return the mean length, in seconds, of the videos of known length."""
    known = [x for x in lines if x.modality == "video" and x.video_s.value is not None]
    count = sum(x.samples.value or 0 for x in known)
    unknown = sum(x.samples.value or 0 for x in lines if x.modality == "video") - count
    if not count:
        return UNKNOWN
    return Estimate(
        value=sum(x.video_s.value or 0 for x in known) / count,
        known=least_certain(x.video_s.known for x in known),
        source=f"without {unknown:,.0f} videos of unknown length" if unknown else "",
    )


def shares(mix: Mix, family: str, tokens: Floats) -> dict[str, tuple[float, float]]:
    """Return each value's share of samples and of tokens."""
    found: dict[str, list[float]] = {}
    for i in range(len(mix.drawn)):
        sums = found.setdefault(mix.candidates.tag(i, family), [0.0, 0.0])
        sums[0] += float(mix.drawn[i])
        sums[1] += float(tokens[i])
    all_draws, all_tokens = max(float(mix.drawn.sum()), 1.0), max(float(tokens.sum()), 1.0)
    return {k: (v[0] / all_draws, v[1] / all_tokens) for k, v in sorted(found.items())}


def buckets(mix: Mix) -> dict[str, int]:
    """Return the number of videos in each length bucket, where the spec sets a mean length."""
    found: dict[str, int] = {}
    for i, s in enumerate(mix.candidates.strata):
        if "bucket" in s.tags:
            found[s.tags["bucket"]] = found.get(s.tags["bucket"], 0) + int(mix.drawn[i])
    return dict(sorted(found.items(), key=lambda kv: float(kv[0].split("-")[0].split()[0])))


def licences(lines: Sequence[Line]) -> dict[str, int]:
    """Return the samples under each licence, as the catalogue or the spec declares it."""
    found: dict[str, int] = {}
    for line in lines:
        name = line.licence or "unknown"
        found[name] = found.get(name, 0) + int(line.samples.value or 0)
    return dict(sorted(found.items()))

"""An account of a solved mixture: by component and by tag, each figure with how it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from smolmix.mixtures.candidates.declared_sizes import Guess
from smolmix.mixtures.candidates.estimates import UNKNOWN, Figure, Known, worst
from smolmix.mixtures.candidates.supply import Floats
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
class Account:
    """What the lines are made from."""

    spec: Spec
    mix: Mix
    guesses: Mapping[str, Guess]  # of the components whose data are not here
    catalogue: Catalogue
    fetched: Mapping[str, int]  # bytes of the raw files that are here, by corpus
    not_fetched: Mapping[str, Mapping[str, Known]]  # quantities of components whose media are not

    def known(self, name: str, *quantities: str) -> Known:
        """Return how a component's quantities are known: as the least certain of them."""
        guess = self.guesses.get(name)
        if guess is None:
            not_fetched = self.not_fetched.get(name, {})
            return worst(not_fetched.get(q, "measured") for q in quantities)
        return worst(guess.known.get(q, "declared") for q in quantities)

    def totals(self, quantity: str) -> Floats:
        """Return (strata,) what the draws add up to."""
        return self.mix.supply.total(quantity, self.mix.draws)

    def lines(self) -> list[Line]:
        """Return one line a component."""
        sums = {q: self.totals(q) for q in ("samples", "tokens", "duration_s")}
        return [self._line(name, c, sums) for name, c in self.spec.components.items()]

    def _line(self, name: str, component: Component, sums: Mapping[str, Floats]) -> Line:
        supply = self.mix.supply
        at = supply.members("component", name)
        first = int(np.argmax(at)) if at.any() else -1
        modality = supply.tag(first, "modality") if first >= 0 else ""
        count, tokens = float(sums["samples"][at].sum()), float(sums["tokens"][at].sum())
        there = supply.there.get(name) or int(supply.available[at].sum())
        row, sizes = self.catalogue.get(component.corpus), self.known(name, "samples")
        why = self.guesses[name].sources.get("samples", "") if name in self.guesses else ""
        download = self._download(component, there)
        return Line(
            component=name,
            corpus=component.corpus,
            modality=modality,
            category=component.category or "",
            licence=component.licence or (row.licence if row else ""),
            available=Figure(value=there, known=sizes, source=why)
            if sizes != "unknown"
            else UNKNOWN,
            samples=Figure(value=count, known=sizes),
            share=count / max(float(sums["samples"].sum()), 1.0),
            tokens=Figure(
                value=tokens, known=self.known(name, "samples", "text_tokens", "visual_tokens")
            ),
            token_share=tokens / max(float(sums["tokens"].sum()), 1.0),
            epochs=count / there if there else 0.0,
            video_s=_video(sums["duration_s"], at, self.known(name, "duration_s"), modality),
            download_bytes=download,
            shard_bytes=_shards(download, count / there if there else 0.0, tokens),
        )

    def _download(self, component: Component, there: int) -> Figure:
        """Return the raw bytes of a component; components of one corpus share what is here."""
        if (whole := self.fetched.get(component.corpus)) is not None:
            mine = self.mix.supply.members("corpus", component.corpus)
            beside = {s.component for s, m in zip(self.mix.supply.strata, mine, strict=True) if m}
            share = there / max(sum(self.mix.supply.there.get(n, 0) for n in beside), 1)
            return Figure(value=whole * share, known="measured")
        row = self.catalogue.get(component.corpus)
        said = component.declared.bytes_on_disk or (row.bytes_on_disk if row else None)
        return Figure(value=said, known="declared") if said else UNKNOWN

    def cot(self) -> dict[str, Figure]:
        """Return the share of both kinds of chain of thought; detection needs the data."""
        total = max(int(self.mix.draws.sum()), 1)
        out = {}
        for kind in ("declared", "detected"):
            count = int(self.mix.draws[self.mix.supply.members("cot", kind)].sum())
            if not self.guesses:
                out[kind] = Figure(value=count / total, known="measured")
            elif kind == "declared" and count:
                out[kind] = Figure(value=count / total, known="declared")
            else:
                value = count / total if count else None
                why = "known only once the data are here"
                out[kind] = Figure(value=value, known="unknown", source=why)
        return out


def _shards(download: Figure, epochs: float, tokens: float) -> Figure:
    if download.value is None:
        return UNKNOWN
    value = download.value * min(epochs, 1.0) + _TOKEN_BYTES * tokens
    return Figure(value=value, known="assumed", source=_SHARDS)


def _video(duration_s: Floats, at: Any, known: Known, modality: str) -> Figure:
    if modality != "video":
        return Figure(value=0.0, known="measured")
    if known == "unknown":
        return UNKNOWN
    return Figure(value=float(duration_s[at].sum()), known=known)


def mean_video(lines: Sequence[Line]) -> Figure:
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


def shares(mix: Mix, family: str, tokens: Floats) -> dict[str, tuple[float, float]]:
    """Return each value's share of samples and of tokens."""
    found: dict[str, list[float]] = {}
    for i in range(len(mix.draws)):
        sums = found.setdefault(mix.supply.tag(i, family), [0.0, 0.0])
        sums[0] += float(mix.draws[i])
        sums[1] += float(tokens[i])
    all_draws, all_tokens = max(float(mix.draws.sum()), 1.0), max(float(tokens.sum()), 1.0)
    return {k: (v[0] / all_draws, v[1] / all_tokens) for k, v in sorted(found.items())}


def buckets(mix: Mix) -> dict[str, int]:
    """Return the videos of each length bucket, where lengths are shaped."""
    found: dict[str, int] = {}
    for i, s in enumerate(mix.supply.strata):
        if "bucket" in s.tags:
            found[s.tags["bucket"]] = found.get(s.tags["bucket"], 0) + int(mix.draws[i])
    return dict(sorted(found.items(), key=lambda kv: float(kv[0].split("-")[0].split()[0])))


def licences(lines: Sequence[Line]) -> dict[str, int]:
    """Return the samples under each licence, as the catalogue or the spec declares it."""
    found: dict[str, int] = {}
    for line in lines:
        name = line.licence or "not known"
        found[name] = found.get(name, 0) + int(line.samples.value or 0)
    return dict(sorted(found.items()))

"""Any mixture: caps hold at every prefix, shares are met or the spec is refused."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.support.synthetic import pool_of

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.grouping import Ordered, stratify
from smolmix.mixtures.solve.rounding import SHARE_TOLERANCE
from smolmix.mixtures.solve.solve import Mix, arrange, solve_spec
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec

MODALITIES = ("image", "multi-image", "text", "video")
Columns = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Built:
    spec: Spec
    columns: Columns
    mix: Mix
    ids: list[str]
    strata: list[int]
    ordered: Ordered

    @property
    def cot(self) -> list[str]:
        return [self.mix.candidates.strata[s].tags["cot"] for s in self.strata]

    def picked(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self.ids:
            found[one] = found.get(one, 0) + 1
        return found


def make(raw: dict[str, Any], columns: Columns) -> Built:
    spec = parse_spec(raw, "t.yaml").spec
    pool = pool_of(spec, columns)
    candidates, ordered = stratify(spec, pool, "t.yaml")
    mix = solve_spec(spec, candidates, "t.yaml")
    stratum, within = arrange(spec, mix)
    size = np.diff(ordered.starts)
    rows = ordered.rows[ordered.starts[stratum] + within % size[stratum]]
    ids = pool.ids.combine_chunks().to_pylist()
    return Built(spec, columns, mix, [ids[int(r)] for r in rows], stratum.tolist(), ordered)


@st.composite
def corpora(draw: st.DrawFn) -> Columns:
    columns: Columns = {}
    for i in range(draw(st.integers(1, 6))):
        rows = draw(st.integers(1, 300))
        seed = draw(st.integers(0, 1 << 20))
        rng = np.random.default_rng(seed)
        modality = draw(st.sampled_from(MODALITIES))
        mixed = draw(st.booleans())
        columns[f"c{i}"] = {
            "rows": rows,
            "modality": modality,
            "cot": rng.choice(["none", "declared", "detected"], rows, p=[0.8, 0.1, 0.1]).tolist()
            if mixed
            else draw(st.sampled_from(["none", "declared"])),
            "text_tokens": rng.integers(1, draw(st.sampled_from([50, 1000])), rows).tolist(),
            "duration_s": rng.uniform(1, 600, rows).tolist() if modality == "video" else 0.0,
        }
    return columns


@st.composite
def constraints(draw: st.DrawFn, columns: Columns) -> dict[str, Any]:
    there = sorted({c["modality"] for c in columns.values()})
    raw: dict[str, Any] = {
        "name": "t",
        "seed": draw(st.integers(0, 5)),
        "unit": draw(st.sampled_from(["samples", "tokens", "text_tokens"])),
        "components": {name: {"corpus": name} for name in columns},
        "total": draw(st.sampled_from(["max", 20, 100, 400, {"tokens": 5000}])),
        "caps": {
            "cot": draw(st.sampled_from([1.0, 0.2, 0.05, 0.01])),
            "cot_detected": draw(st.sampled_from([1.0, 0.3, 0.02])),
            "epochs": draw(st.integers(1, 3)),
        },
    }
    if len(there) > 1 and draw(st.booleans()):
        left = 1.0
        chosen: dict[str, Any] = {}
        for modality in there[:-1]:
            share = round(draw(st.floats(0.0, left)), 2)
            left -= share
            kind = draw(st.sampled_from(["fixed", "min", "max"]))
            chosen[modality] = share if kind == "fixed" else {kind: share}
        raw["shares"] = {"modality": chosen}
    for name in columns:
        if draw(st.integers(0, 5)) == 0:
            raw["components"][name]["take"] = draw(st.sampled_from(["all", "37.5%"]))
    if "video" in there and draw(st.booleans()):
        raw["caps"]["duration_s"] = {"mean": 210, "within": 20}
    return raw


def built(columns: Columns, raw: dict[str, Any]) -> Built | None:
    try:
        found = make(raw, columns)
    except InfeasibleError as error:
        text = str(error)
        assert text.startswith("t.yaml: ")
        assert any(word in text for word in ("in conflict", "too few", "no sample", "caps"))
        event("refused")
        return None
    event("built")
    return found


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_every_wish_is_kept_or_refused_with_a_reason(data: st.DataObject) -> None:
    columns = data.draw(corpora())
    raw = data.draw(constraints(columns))
    found = built(columns, raw)
    if found is None:
        return
    spec, mix = found.spec, found.mix
    count = len(found.ids)
    assert count == int(mix.drawn.sum()) > 0
    if spec.total.samples is not None:
        assert count == spec.total.samples
    for cap, kind in ((spec.caps.cot, "declared"), (spec.caps.cot_detected, "detected")):
        seen = np.cumsum([k == kind for k in found.cot])
        assert np.all(seen <= cap.max * np.arange(1, count + 1) + 1e-9)
    times = found.picked()
    assert max(times.values()) <= spec.caps.epochs
    for one in mix.achieved:
        if one.kind == "share":
            assert one.error <= max(SHARE_TOLERANCE, one.within) + 1e-9
        if one.kind == "total":
            assert one.low - one.within <= one.value <= one.high
    for i, stratum in enumerate(mix.candidates.strata):
        rows = found.ordered.starts[i + 1] - found.ordered.starts[i]
        assert rows == stratum.available
        assert mix.drawn[i] <= stratum.limit


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_same_wishes_give_the_same_mixture_whatever_the_order(data: st.DataObject) -> None:
    columns = data.draw(corpora())
    raw = data.draw(constraints(columns))
    first = built(columns, raw)
    names = list(columns)
    turned = {**raw, "components": {n: raw["components"][n] for n in reversed(names)}}
    again = built({n: columns[n] for n in reversed(names)}, turned)
    assert (first is None) == (again is None)
    if first is not None and again is not None:
        assert first.ids == again.ids


def _nested(small: Built, large: Built) -> None:
    """Assert that of each stratum one mixture's selection hold the other's."""
    tags = [(s.component, tuple(s.tags.items())) for s in large.mix.candidates.strata]
    where = {tag: i for i, tag in enumerate(tags)}
    counts_a, counts_b = small.picked(), large.picked()
    for i, stratum in enumerate(small.mix.candidates.strata):
        j = where[(stratum.component, tuple(stratum.tags.items()))]
        ids_a = {x for x, s in zip(small.ids, small.strata, strict=True) if s == i}
        ids_b = {x for x, s in zip(large.ids, large.strata, strict=True) if s == j}
        low, high = (counts_a, counts_b)
        if small.mix.drawn[i] > large.mix.drawn[j]:
            low, high = high, low
        assert all(low.get(x, 0) <= high.get(x, 0) for x in ids_a | ids_b)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_adding_a_corpus_moves_no_pick_of_the_others(data: st.DataObject) -> None:
    columns = data.draw(corpora())
    raw = data.draw(constraints(columns))
    first = built(columns, raw)
    more: Columns = {**columns, "added": {"rows": 90, "modality": "image", "text_tokens": 30}}
    raw = {**raw, "components": {**raw["components"], "added": {"corpus": "added"}}}
    second = built(more, raw)
    if first is not None and second is not None:
        _nested(first, second)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_larger_total_holds_the_smaller_mixture(data: st.DataObject) -> None:
    columns = data.draw(corpora())
    raw: dict[str, Any] = {
        "name": "t",
        "components": {name: {"corpus": name} for name in columns},
        "caps": {"epochs": 2},
    }
    small = built(columns, {**raw, "total": data.draw(st.integers(1, 60))})
    large = built(columns, {**raw, "total": data.draw(st.integers(61, 200))})
    if small is None or large is None:
        return
    _nested(small, large)
    assert np.all(small.mix.drawn <= large.mix.drawn + 1)


@pytest.mark.parametrize("unit", ["samples", "tokens"])
def test_shares_hold_at_every_prefix(unit: str) -> None:
    rng = np.random.default_rng(3)
    columns: Columns = {
        f"c{i}": {
            "rows": 900,
            "modality": MODALITIES[i % 4],
            "text_tokens": rng.integers(5, 200, 900).tolist(),
            "cot": rng.choice(["none", "declared"], 900).tolist(),
        }
        for i in range(24)
    }
    raw = {
        "name": "t",
        "unit": unit,
        "components": {name: {"corpus": name} for name in columns},
        "shares": {"modality": {"text": 0.14, "video": 0.33}},
        "caps": {"cot": 0.01},
    }
    found = make(raw, columns)
    modality = np.array([found.mix.candidates.strata[s].tags["modality"] for s in found.strata])
    token = {f"{n}/{i}": t for n, c in columns.items() for i, t in enumerate(c["text_tokens"])}
    weight = np.array([1 if unit == "samples" else token[i] + 20 for i in found.ids], np.float64)
    checked = 0
    for name, share in (("text", 0.14), ("video", 0.33)):
        seen = np.cumsum(weight * (modality == name))
        off = np.abs(seen - share * np.cumsum(weight)) / weight.max()
        assert off.max() < 6, f"{name}: {off.max()} of the largest samples"
        checked += 1
    assert checked == 2

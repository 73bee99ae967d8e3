"""Any feasible mixture: it is never refused, caps hold at every prefix, shares are met.

Every example is feasible by construction, so every example is compared; each test counts them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.feasible import MODALITIES, Columns, Feasible, corpora, feasible
from tests.support.synthetic import pool_of

from smolmix.mixtures.candidates.grouping import Ordered, stratify
from smolmix.mixtures.solve.rounding import SHARE_TOLERANCE
from smolmix.mixtures.solve.solve import Mix, arrange, solve_spec
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A solved mixture, and its samples in order."""

    spec: Spec
    mix: Mix
    ids: list[str]
    strata: list[int]  # of each sample
    ordered: Ordered

    @property
    def cot(self) -> list[str]:
        """Return the kind of chain of thought of each sample."""
        return [self.mix.candidates.strata[s].tags["cot"] for s in self.strata]


def solved(raw: dict[str, Any], columns: Columns) -> Solved:
    spec = parse_spec(raw, "t.yaml").spec
    pool = pool_of(spec, columns)
    candidates, ordered = stratify(spec, pool, "t.yaml")
    mix = solve_spec(spec, candidates, "t.yaml")
    stratum, within = arrange(spec, mix)
    size = np.diff(ordered.starts)
    rows = ordered.rows[ordered.starts[stratum] + within % size[stratum]]
    ids = pool.ids.combine_chunks().to_pylist()
    return Solved(
        spec=spec,
        mix=mix,
        ids=[ids[int(r)] for r in rows],
        strata=stratum.tolist(),
        ordered=ordered,
    )


def for_all(
    examples: int,
    drawn: st.SearchStrategy[Any],
    check: Callable[[Any], None],
    *,
    derandomize: bool = True,
) -> None:
    """Run the check on that many examples at least; none may be skipped.

    The examples are the same on each run unless `derandomize` is off: see the nightly test.
    """
    compared = 0

    @settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow],
        deadline=None,
        derandomize=derandomize,
        database=None,
    )
    @given(drawn)
    def run(example: Any) -> None:
        nonlocal compared
        check(example)
        compared += 1

    run()
    assert compared >= examples


def _is_right(one: Feasible) -> None:
    found = solved(one.raw, one.columns)
    spec, mix = found.spec, found.mix
    count = len(found.ids)
    assert count == int(mix.drawn.sum()) > 0
    if spec.total.samples is not None:
        assert count == spec.total.samples
    for cap, kind in ((spec.caps.cot, "declared"), (spec.caps.cot_detected, "detected")):
        seen = np.cumsum([k == kind for k in found.cot])
        assert np.all(seen <= cap.max * np.arange(1, count + 1) + 1e-9)
    assert max(Counter(found.ids).values()) <= spec.caps.epochs
    for achieved in mix.achieved:
        if achieved.kind == "share":
            assert achieved.error <= max(SHARE_TOLERANCE, achieved.within) + 1e-9
        if achieved.kind == "total":
            assert achieved.low - achieved.within <= achieved.value <= achieved.high
        if achieved.kind == "mean":
            assert achieved.error <= achieved.within
    for i, stratum in enumerate(mix.candidates.strata):
        assert found.ordered.starts[i + 1] - found.ordered.starts[i] == stratum.available
        assert mix.drawn[i] <= stratum.limit
        assert stratum.fixed is None or mix.drawn[i] == stratum.fixed


def test_a_feasible_mixture_is_solved_and_every_constraint_holds() -> None:
    for_all(300, feasible(), _is_right)


@pytest.mark.nightly
def test_thousands_of_feasible_mixtures_are_solved() -> None:
    for_all(5000, feasible(), _is_right, derandomize=False)


def test_without_a_total_a_mixture_is_at_least_as_large_as_any_known_one() -> None:
    def check(one: Feasible) -> None:
        found = solved({**one.raw, "total": "max"}, one.columns)
        candidates = found.mix.candidates
        known = float(candidates.total(found.spec.unit, np.array(one.point)).sum())
        value = float(candidates.total(found.spec.unit, found.mix.drawn).sum())
        rounding = len(candidates.strata) * float(candidates.means(found.spec.unit).max())
        assert value >= 0.99 * known - rounding

    for_all(100, feasible(units=["samples"]), check)


def test_the_order_of_components_changes_nothing() -> None:
    def check(one: Feasible) -> None:
        first = solved(one.raw, one.columns)
        names = list(reversed(one.columns))
        turned = {**one.raw, "components": {n: one.raw["components"][n] for n in names}}
        second = solved(turned, {n: one.columns[n] for n in names})
        assert first.ids == second.ids

    for_all(60, feasible(), check)


def _nested(first: Solved, second: Solved) -> None:
    """Assert that of each stratum one selection includes the other."""
    tags = [(s.component, tuple(s.tags.items())) for s in second.mix.candidates.strata]
    where = {tag: i for i, tag in enumerate(tags)}
    copies_a, copies_b = Counter(first.ids), Counter(second.ids)
    for i, stratum in enumerate(first.mix.candidates.strata):
        j = where[(stratum.component, tuple(stratum.tags.items()))]
        ids = {x for x, s in zip(first.ids, first.strata, strict=True) if s == i}
        ids |= {x for x, s in zip(second.ids, second.strata, strict=True) if s == j}
        low, high = copies_a, copies_b
        if first.mix.drawn[i] > second.mix.drawn[j]:
            low, high = high, low
        assert all(low[x] <= high[x] for x in ids)


def test_adding_a_corpus_moves_no_selected_sample_of_the_others() -> None:
    def check(one: Feasible) -> None:
        more: Columns = {
            **one.columns,
            "added": {"rows": 90, "modality": "image", "text_tokens": 30},
        }
        components = {**one.raw["components"], "added": {"corpus": "added"}}
        _nested(solved(one.raw, one.columns), solved({**one.raw, "components": components}, more))

    for_all(60, feasible(), check)


@st.composite
def two_totals(draw: st.DrawFn) -> tuple[Columns, int, int]:
    columns = draw(corpora())
    most = 2 * sum(int(c["rows"]) for c in columns.values())
    small = draw(st.integers(1, most - 1))
    return columns, small, draw(st.integers(small + 1, most))


def test_a_larger_total_includes_the_smaller_mixture() -> None:
    def check(drawn: tuple[Columns, int, int]) -> None:
        columns, fewer, more = drawn
        raw: dict[str, Any] = {
            "name": "t",
            "components": {name: {"corpus": name} for name in columns},
            "caps": {"epochs": 2},
        }
        small, large = (solved({**raw, "total": n}, columns) for n in (fewer, more))
        _nested(small, large)
        assert np.all(small.mix.drawn <= large.mix.drawn + 1)

    for_all(60, two_totals(), check)


@st.composite
def with_more_samples(draw: st.DrawFn) -> tuple[Feasible, Columns]:
    """Draw a feasible mixture of samples, and its corpora with more samples of each kind."""
    one = draw(feasible(units=["samples"]))
    more: Columns = {}
    for name, columns in one.columns.items():
        repeats = draw(st.integers(1, 3)) if "take" not in one.raw["components"][name] else 1
        more[name] = {
            k: repeats * v if isinstance(v, list) or k == "rows" else v for k, v in columns.items()
        }
    return one, more


def test_more_samples_never_make_a_mixture_without_a_total_infeasible() -> None:
    def check(drawn: tuple[Feasible, Columns]) -> None:
        one, more = drawn
        raw = {**one.raw, "total": "max"}
        raw["caps"] = {k: v for k, v in raw["caps"].items() if k != "duration_s"}
        few, many = solved(raw, one.columns), solved(raw, more)
        assert len(many.ids) >= 0.99 * len(few.ids) - len(many.mix.candidates.strata)

    for_all(60, with_more_samples(), check)


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
    found = solved(raw, columns)
    modality = np.array([found.mix.candidates.strata[s].tags["modality"] for s in found.strata])
    tokens = {f"{n}/{i}": t for n, c in columns.items() for i, t in enumerate(c["text_tokens"])}
    weight = np.array([1 if unit == "samples" else tokens[i] + 20 for i in found.ids], np.float64)
    checked = 0
    for name, share in (("text", 0.14), ("video", 0.33)):
        seen = np.cumsum(weight * (modality == name))
        off = np.abs(seen - share * np.cumsum(weight)) / weight.max()
        assert off.max() < 6, f"{name}: {off.max()} of the largest samples"
        checked += 1
    assert checked == 2

from typing import Any

import numpy as np
from tests.support.synthetic import pool_of

from smolmix.mixtures.candidates.grouping import stratify
from smolmix.mixtures.spec.load import parse_spec

COT = ["none", "declared", "none", "none"] * 25
COLUMNS: dict[str, dict[str, Any]] = {
    "a": {"rows": 100, "cot": COT, "text_tokens": list(range(1, 101)), "visual_tokens": 0},
    "b": {"rows": 40, "modality": "text"},
}


def grouped(**keys: Any) -> tuple[Any, Any, Any]:
    raw = {"name": "t", "components": {"a": {"corpus": "a"}, "b": {"corpus": "b"}}, **keys}
    spec = parse_spec(raw, "t.yaml").spec
    pool = pool_of(spec, COLUMNS)
    return (pool, *stratify(spec, pool, "t.yaml"))


def test_strata_divide_the_pool_and_are_in_order_of_hash() -> None:
    pool, candidates, ordered = grouped()
    assert sorted(ordered.rows.tolist()) == list(range(len(pool)))
    assert [(s.component, s.tags["cot"], s.available) for s in candidates.strata] == [
        ("a", "declared", 25),
        ("a", "none", 75),
        ("b", "none", 40),
    ]
    for start, end in zip(ordered.starts[:-1], ordered.starts[1:], strict=True):
        hashes = pool.hashes[ordered.rows[start:end]]
        assert np.all(hashes[:-1] <= hashes[1:])


def test_running_sums_and_means_are_those_of_the_samples() -> None:
    pool, candidates, ordered = grouped()
    for i, stratum in enumerate(candidates.strata):
        rows = ordered.rows[ordered.starts[i] : ordered.starts[i + 1]]
        sums = candidates.running.sums["text_tokens"]
        spent = sums[ordered.starts[i + 1]] - sums[ordered.starts[i]]
        assert spent == pool.tokens["text_tokens"][rows].sum()
        assert stratum.means["text_tokens"] == spent / len(rows)


def test_only_tags_that_a_share_names_make_strata() -> None:
    _, plain, _ = grouped()
    _, by_licence, _ = grouped(shares={"licence": {"MIT": {"max": 1.0}}})
    assert "licence" not in plain.strata[0].tags
    assert by_licence.strata[0].tags["licence"] == "MIT"


def test_a_take_fixes_the_samples_of_its_strata_and_flexible_bounds_them() -> None:
    taken: dict[str, dict[str, Any]] = {"a": {"corpus": "a", "take": 30}, "b": {"corpus": "b"}}
    _, fixed, _ = grouped(components=taken)
    assert sum(s.fixed for s in fixed.strata if s.component == "a") == 30
    assert all(s.fixed is None for s in fixed.strata if s.component == "b")
    taken["a"]["flexible"] = True
    _, bounded, _ = grouped(components=taken)
    assert sum(s.limit for s in bounded.strata if s.component == "a") == 30
    assert all(s.fixed is None for s in bounded.strata)
    assert fixed.untaken == bounded.untaken == {"a": 100, "b": 40}


def test_epochs_raise_the_limit_not_what_is_available() -> None:
    _, candidates, _ = grouped(caps={"epochs": 3})
    assert candidates.limit.tolist() == (3 * candidates.available).tolist()

import re
from typing import Any

import pytest
from tests.support.synthetic import pool_of

from smolmix.errors import InfeasibleError
from smolmix.mixtures.candidates.grouping import stratify
from smolmix.mixtures.solve.solve import Mix, solve_spec
from smolmix.mixtures.spec.load import parse_spec

COLUMNS: dict[str, dict[str, Any]] = {
    "a": {"rows": 300, "modality": "image"},
    "b": {"rows": 60, "modality": "text"},
    "c": {"rows": 40, "modality": "multi-image"},
}


def solve(**keys: Any) -> Mix:
    raw = {"name": "t", "components": {n: {"corpus": n} for n in COLUMNS}, **keys}
    spec = parse_spec(raw, "t.yaml").spec
    return solve_spec(spec, stratify(spec, pool_of(spec, COLUMNS), "t.yaml")[0], "t.yaml")


def refused(**keys: Any) -> str:
    with pytest.raises(InfeasibleError) as caught:
        solve(**keys)
    return str(caught.value)


def test_only_the_constraints_in_conflict_are_named() -> None:
    text = refused(total=200, shares={"modality": {"text": 0.5, "multi-image": {"max": 0.2}}})
    assert "in conflict: shares.modality.text = 50 % of samples; total = 200 samples" in text
    assert "available: 60 samples for shares.modality.text; 400 samples in all" in text
    assert "multi-image" not in text


def test_the_nearest_total_is_feasible_and_the_next_larger_one_is_not() -> None:
    shares = {"modality": {"text": 0.5}}
    (nearest,) = re.findall(r"nearest: total (\d+) samples", refused(total=200, shares=shares))
    assert solve(total=int(nearest), shares=shares).drawn.sum() == int(nearest)
    assert "in conflict" in refused(total=int(nearest) + 2, shares=shares)


def test_the_nearest_share_is_feasible() -> None:
    text = refused(total=200, shares={"modality": {"text": 0.5}})
    (nearest,) = re.findall(r"text = 50 % of samples becomes ([\d.]+) %", text)
    assert solve(total=200, shares={"modality": {"text": f"{nearest} %"}}).drawn.sum() == 200


def test_samples_that_components_fix_are_said() -> None:
    components = {"a": {"corpus": "a", "take": "all"}, "b": {"corpus": "b"}, "c": {"corpus": "c"}}
    text = refused(components=components, shares={"modality": {"text": 0.5}})
    assert "`take` fixes 300 samples; `flexible: true` makes it an upper bound" in text


def test_nothing_available_is_said_as_that() -> None:
    columns = COLUMNS["a"] | {"rows": 0}
    raw = {"name": "t", "components": {"a": {"corpus": "a"}}}
    spec = parse_spec(raw, "t.yaml").spec
    candidates, _ = stratify(spec, pool_of(spec, {"a": columns}), "t.yaml")
    with pytest.raises(InfeasibleError, match="no sample is available"):
        solve_spec(spec, candidates, "t.yaml")

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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


def _hinted(text: str, shares: dict[str, Any]) -> dict[str, Any]:
    """Return the shares with the values that the message says they would have to become."""
    hinted = {m: dict(s) if isinstance(s, dict) else s for m, s in shares.items()}
    for name, what, value in re.findall(r"shares\.modality\.(\S+) (.*?) becomes ([^;\n]*)", text):
        low, _, high = value.removesuffix(" %").partition(" to ")
        if high:
            hinted[name] = {"min": f"{low} %", "max": f"{high} %"}
        elif what.startswith("="):
            hinted[name] = f"{low} %"
        else:
            hinted[name] = {"min" if "≥" in what else "max": f"{low} %"}
    return hinted


@settings(max_examples=30, derandomize=True, database=None, deadline=None)
@given(
    total=st.integers(20, 400),
    text=st.floats(0.0, 1.0),
    multi=st.floats(0.0, 1.0),
    fixed=st.booleans(),
)
def test_a_hint_solves_as_it_is_printed(total: int, text: float, multi: float, fixed: bool) -> None:
    shares: dict[str, Any] = {"text": text, "multi-image": {"min": multi}}
    if text + multi > 1:
        shares = {"text": text / 2, "multi-image": {"min": multi / 2}}
    if not fixed:
        shares["text"] = {"max": shares["text"]}
    try:
        solve(total=total, shares={"modality": shares})
    except InfeasibleError as error:
        said = str(error)
    else:
        return
    for size in re.findall(r"nearest: total ([\d,]+) samples", said):
        count = int(size.replace(",", ""))
        assert solve(total=count, shares={"modality": shares}).drawn.sum() == count
    if "with the same total" in said:
        hinted = _hinted(said, shares)
        assert hinted != shares
        assert solve(total=total, shares={"modality": hinted}).drawn.sum() == total


def test_a_share_that_needs_every_sample_becomes_a_range_where_no_short_number_solves() -> None:
    columns = {"a": {"rows": 331, "modality": "image"}, "b": {"rows": 163, "modality": "text"}}
    raw: dict[str, Any] = {
        "name": "t",
        "components": {n: {"corpus": n} for n in columns},
        "total": 494,
        "shares": {"modality": {"text": 0.1}},
    }
    spec = parse_spec(raw, "t.yaml").spec
    candidates, _ = stratify(spec, pool_of(spec, columns), "t.yaml")
    with pytest.raises(InfeasibleError, match=r"becomes 32\.99 to 33 %") as caught:
        solve_spec(spec, candidates, "t.yaml")
    assert 0.3299 < 163 / 494 < 0.33, caught.value


def test_what_is_not_proven_is_not_called_infeasible() -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, dict[str, Any]] = {
        "a": {"rows": 2000, "modality": "image", "text_tokens": rng.integers(1, 999, 2000)},
        "b": {"rows": 2000, "modality": "text", "text_tokens": rng.integers(1, 999, 2000)},
    }
    every = [float(np.sum(c["text_tokens"])) for c in columns.values()]
    raw: dict[str, Any] = {
        "name": "t",
        "unit": "text_tokens",
        "components": {n: {"corpus": n} for n in columns},
        "total": 4000,
        "shares": {"modality": {"text": every[1] / sum(every) + 0.0015}},
    }
    spec = parse_spec(raw, "t.yaml").spec
    candidates, _ = stratify(spec, pool_of(spec, columns), "t.yaml")
    with pytest.raises(InfeasibleError, match="no mixture was found; whether one exists is not"):
        solve_spec(spec, candidates, "t.yaml")
    raw["shares"] = {"modality": {"text": every[1] / sum(every) + 0.2}}
    with pytest.raises(InfeasibleError, match="no mixture satisfies it"):
        solve_spec(parse_spec(raw, "t.yaml").spec, candidates, "t.yaml")

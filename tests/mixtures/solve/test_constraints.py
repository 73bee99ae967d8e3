from typing import Any

import numpy as np
import pytest
from tests.support.strata import declared

from smolmix.errors import InfeasibleError, UsageError
from smolmix.mixtures.candidates.strata import Candidates
from smolmix.mixtures.solve.constraints import Constraint, spec_constraints
from smolmix.mixtures.spec.load import parse_spec

CANDIDATES = Candidates(
    strata=[
        declared("a", 90, modality="image", cot="none"),
        declared("b", 60, modality="text", cot="declared"),
    ]
)


def of(**keys: Any) -> list[Constraint]:
    raw = {"name": "t", "components": {"a": {"corpus": "a"}, "b": {"corpus": "b"}}, **keys}
    return spec_constraints(parse_spec(raw, "t.yaml").spec, CANDIDATES)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"shares": {"modality": {"text": 0.2}}}, "shares.modality.text = 20 % of samples"),
        (
            {"shares": {"modality": {"text": {"max": 0.2}}}, "unit": "tokens"},
            "shares.modality.text ≤ 20 % of tokens",
        ),
        (
            {"shares": {"modality": {"text": {"min": 0.2}}}},
            "shares.modality.text ≥ 20 % of samples",
        ),
        (
            {"shares": {"modality": {"text": {"min": 0.2, "max": 0.3}}}},
            "shares.modality.text in 20 to 30 % of samples",
        ),
        ({"caps": {"cot": 0.05}}, "caps.cot ≤ 5 % of samples"),
        ({"total": 70}, "total = 70 samples"),
        ({"total": {"tokens": 5000}}, "total = 5,000 tokens"),
    ],
)
def test_each_key_of_a_spec_is_one_constraint(keys: dict[str, Any], text: str) -> None:
    (found,) = of(**keys)
    assert str(found) == text


def test_a_spec_without_shares_caps_or_total_has_none() -> None:
    assert of() == []


@pytest.mark.parametrize(("texts", "holds"), [(20, True), (19, False), (31, False)])
def test_a_row_holds_where_the_share_does(texts: int, holds: bool) -> None:
    (found,) = of(shares={"modality": {"text": {"min": 0.2, "max": 0.3}}})
    drawn = np.array([100 - texts, texts], np.float64)
    rows = found.rows({"samples": np.ones(2)})
    assert len(rows) == 2
    assert all(low <= row @ drawn <= high for row, low, high in rows) is holds
    assert found.value({"samples": drawn}) == texts / 100


def test_nothing_drawn_has_no_share() -> None:
    (found,) = of(shares={"modality": {"text": 0.2}})
    assert found.value({"samples": np.zeros(2)}) == 0.0


def test_a_tag_that_no_sample_has_is_refused_with_those_it_has() -> None:
    with pytest.raises(UsageError, match=r"no sample has modality 'video'; known: image, text"):
        of(shares={"modality": {"video": 0.1}})


def test_a_mean_length_without_videos_is_infeasible() -> None:
    with pytest.raises(InfeasibleError, match="no sample is a video"):
        of(caps={"duration_s": {"mean": 30}})

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strata import declared, measured

from smolmix.mixtures.candidates.strata import Candidates, bucket, bucket_name, bucket_names

COSTS = st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=12), min_size=1, max_size=4)


@given(COSTS, st.data())
def test_a_total_is_the_sum_over_the_samples_in_order_from_the_start_again_when_exhausted(
    costs: list[list[int]], data: st.DataObject
) -> None:
    drawn = [data.draw(st.integers(0, 3 * len(c))) for c in costs]
    found = measured(costs).total("tokens", np.array(drawn))
    expected = [sum(c[i % len(c)] for i in range(n)) for c, n in zip(costs, drawn, strict=True)]
    assert found.tolist() == expected


@given(COSTS)
def test_a_fraction_counts_as_that_fraction_of_the_next_sample(costs: list[list[int]]) -> None:
    candidates = measured(costs)
    half = candidates.total("tokens", np.full(len(costs), 0.5))
    assert half.tolist() == [c[0] / 2 for c in costs]


@given(COSTS)
def test_the_mean_is_that_of_the_samples_drawn_or_of_all_where_none_is(
    costs: list[list[int]],
) -> None:
    candidates = measured(costs)
    none, first = np.zeros(len(costs)), np.ones(len(costs))
    assert candidates.mean_at("tokens", none).tolist() == [float(np.mean(c)) for c in costs]
    assert candidates.mean_at("tokens", first).tolist() == [float(c[0]) for c in costs]


def test_declared_strata_cost_their_mean() -> None:
    candidates = Candidates(strata=[declared("a", 5), declared("b", 7)])
    assert candidates.total("text_tokens", np.array([3, 2])).tolist() == [30.0, 20.0]
    assert candidates.total("samples", np.array([3, 2])).tolist() == [3.0, 2.0]
    assert candidates.total("supervised_tokens", np.array([3, 2])).tolist() == [0.0, 0.0]


def test_members_have_the_tag_or_are_the_component() -> None:
    candidates = Candidates(strata=[declared("a", 1, cot="none"), declared("b", 1)])
    assert candidates.members("cot", "none").tolist() == [True, False]
    assert candidates.members("component", "b").tolist() == [False, True]


def test_the_range_is_that_of_single_samples() -> None:
    candidates = measured([[4, 9, 2], [50]])
    assert candidates.range("duration_s", np.array([True, False])) == (2.0, 9.0)


@pytest.mark.parametrize(
    ("seconds", "name"), [(0.5, "0-30 s"), (30, "0-30 s"), (30.1, "30-60 s"), (900, "60 s-")]
)
def test_a_length_bucket_includes_its_upper_end(seconds: float, name: str) -> None:
    edges = (30.0, 60.0)
    assert bucket_name(seconds, edges) == name
    assert bucket_names(edges)[int(bucket(np.array([seconds]), edges)[0])] == name
    assert len(bucket_names(edges)) == 3

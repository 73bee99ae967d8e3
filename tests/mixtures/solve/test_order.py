from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strata import declared

from smolmix.mixtures.candidates.strata import Candidates
from smolmix.mixtures.solve.order import CapsDoNotFitError, mix_order, place_capped

CAPS = (0.1, 0.2, 0.25, 1 / 3, 0.5)


def keeps(order: tuple[int, ...], caps: tuple[float, ...]) -> bool:
    """Whether each prefix of an order, 0 for uncapped samples, keeps every cap."""
    return all(
        order[: i + 1].count(g + 1) <= cap * (i + 1) + 1e-9
        for g, cap in enumerate(caps)
        for i in range(len(order))
    )


def test_a_place_is_found_wherever_one_exists() -> None:
    compared = feasible = 0
    for total in range(1, 9):
        for caps in product(CAPS, repeat=2):
            orders = [o for o in product(range(3), repeat=total) if keeps(o, caps)]
            possible = {(o.count(1), o.count(2)) for o in orders}
            for counts in product(range(total + 1), repeat=2):
                if sum(counts) > total:
                    continue
                compared += 1
                try:
                    places = place_capped(counts, caps, total)
                except CapsDoNotFitError:
                    assert counts not in possible, (counts, caps, total)
                    continue
                feasible += 1
                order = [0] * total
                for group, positions in enumerate(places):
                    for at in positions:
                        assert order[at - 1] == 0
                        order[at - 1] = group + 1
                assert keeps(tuple(order), caps), (counts, caps, total)
                assert counts in possible
    assert compared > 1000
    assert feasible > 100


def test_capped_samples_are_spread_over_the_mixture() -> None:
    (places,) = place_capped([10], [0.01], 10_000)
    assert places.tolist() == [1000 * (i + 1) for i in range(10)]


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=5).filter(sum), st.integers(0, (1 << 63) - 1)
)
def test_every_sample_is_placed_once_and_components_are_interleaved(
    counts: list[int], seed: int
) -> None:
    candidates = Candidates(strata=[declared(f"c{i}", max(n, 1)) for i, n in enumerate(counts)])
    drawn = np.array(counts, np.int64)
    stratum, within = mix_order(
        candidates, drawn, cells=["component"], capped={}, costs=None, seed=seed
    )
    assert sorted(zip(stratum.tolist(), within.tolist(), strict=True)) == [
        (s, i) for s, n in enumerate(counts) for i in range(n)
    ]
    for s, n in enumerate(counts):
        seen = np.cumsum(stratum == s)
        even = n * np.arange(1, len(stratum) + 1) / len(stratum)
        assert np.abs(seen - even).max() <= len(counts)


def test_the_seed_changes_the_order_and_nothing_else() -> None:
    candidates = Candidates(strata=[declared("a", 30), declared("b", 30)])
    drawn = np.array([30, 30], np.int64)

    def order(seed: int) -> list[int]:
        found, _ = mix_order(
            candidates, drawn, cells=["component"], capped={}, costs=None, seed=seed
        )
        return [int(s) for s in found]

    assert order(1) == order(1)
    assert any(order(1) != order(seed) for seed in range(2, 8))


def test_too_many_capped_samples_do_not_fit() -> None:
    with pytest.raises(CapsDoNotFitError):
        place_capped([3], [0.25], 11)
    assert place_capped([3], [0.25], 12)[0].tolist() == [4, 8, 12]

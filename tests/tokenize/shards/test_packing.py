"""Packing: every sample once, nothing over the budget, windows of the mix's order."""

import importlib.util
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.errors import UsageError
from smolmix.tokenize.shards.packing import SequenceBudget, pack, pack_evenly

ITEMS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 12)), max_size=120)
BUDGETS = st.builds(
    SequenceBudget,
    tokens=st.integers(40, 200),
    tiles=st.integers(0, 30),
    window=st.integers(1, 50),
    full=st.sampled_from([0.5, 0.9, 1.0]),
)


@given(ITEMS, BUDGETS, st.integers(0, 5))
def test_every_token_of_every_sample_is_packed_once_or_reasoned_out(
    items: list[tuple[int, int]], budget: SequenceBudget, seed: int
) -> None:
    lengths, tiles = [a for a, _ in items], [b for _, b in items]
    made = pack(lengths, tiles, budget, seed=seed)
    seen: dict[int, list[tuple[int, int]]] = {}
    for sequence in made.sequences:
        for piece in sequence:
            seen.setdefault(piece.sample, []).append((piece.start, piece.stop))
    assert set(seen) | set(made.too_long) == set(range(len(items)))
    assert not set(seen) & set(made.too_long)
    for sample, pieces in seen.items():
        edges = sorted(pieces)
        assert edges[0][0] == 0
        assert edges[-1][1] == lengths[sample]
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert len(pieces) == 1 or tiles[sample] == 0  # media are never cut
    for sample in made.too_long:
        over = lengths[sample] > budget.tokens or tiles[sample] > budget.tiles > 0
        assert tiles[sample] > 0
        assert over


@given(ITEMS, BUDGETS)
def test_packing_never_exceeds_the_budgets(
    items: list[tuple[int, int]], budget: SequenceBudget
) -> None:
    lengths, tiles = [a for a, _ in items], [b for _, b in items]
    for sequence in pack(lengths, tiles, budget).sequences:
        assert 0 < sum(s.tokens for s in sequence) <= budget.tokens
        if budget.tiles:
            assert sum(tiles[s.sample] for s in sequence) <= budget.tiles


@given(ITEMS, BUDGETS, st.integers(0, 3))
def test_packing_is_deterministic(
    items: list[tuple[int, int]], budget: SequenceBudget, seed: int
) -> None:
    lengths, tiles = [a for a, _ in items], [b for _, b in items]
    assert pack(lengths, tiles, budget, seed=seed) == pack(
        np.array(lengths, np.int64), np.array(tiles, np.int64), budget, seed=seed
    )


@given(ITEMS, BUDGETS)
def test_samples_leave_no_later_than_the_window_after_their_own(
    items: list[tuple[int, int]], budget: SequenceBudget
) -> None:
    lengths, tiles = [a for a, _ in items], [0] * len(items)
    latest = -1
    for sequence in pack(lengths, tiles, budget).sequences:
        latest = max(latest, *(s.sample // budget.window for s in sequence))
        assert min(s.sample // budget.window for s in sequence) >= latest - 1


def _published() -> Any:
    path = Path(__file__).parents[3] / "benchmarks" / "tokenize" / "published.py"
    spec = importlib.util.spec_from_file_location("published", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def published() -> tuple[Any, Any, list[str]]:
    return _published().draw(20_000, "256m")  # type: ignore[no-any-return]  # without types


def test_sequences_of_the_published_mixture_are_99_5_percent_full(
    published: tuple[Any, Any, list[str]],
) -> None:
    tokens, tiles, _ = published
    budget = SequenceBudget()
    made = pack(tokens, tiles, budget)
    assert made.fill(budget) >= 0.995
    capped = SequenceBudget(tiles=112)
    assert pack(tokens, tiles, capped).fill(capped) >= 0.995


def test_shares_hold_at_every_prefix_of_sequences(
    published: tuple[Any, Any, list[str]],
) -> None:
    """At any prefix a modality's share of tokens is that of the mix, but for two windows."""
    tokens, tiles, kinds = published
    budget = SequenceBudget(window=1024)
    made = pack(tokens, tiles, budget)
    names = np.array(kinds)
    whole = {k: tokens[names == k].sum() / tokens.sum() for k in set(kinds)}
    have = dict.fromkeys(whole, 0)
    total, checked = 0, 0
    two_windows = 2 * budget.window * tokens.mean()
    for sequence in made.sequences:
        for piece in sequence:
            have[kinds[piece.sample]] += piece.tokens
            total += piece.tokens
        for name, share in whole.items():
            noise = 3 * np.sqrt(total * tokens.max())  # the mix's own order is random here
            assert abs(have[name] - share * total) <= two_windows + noise
            checked += 1
    assert checked == 4 * len(made.sequences)
    # And much closer at the end of each window than that bound.
    assert all(abs(have[k] / total - whole[k]) < 1e-9 for k in whole)


def test_no_corpus_clumps_within_a_window(published: tuple[Any, Any, list[str]]) -> None:
    """Runs of sequences led by one modality are no longer than chance makes them."""
    tokens, tiles, kinds = published
    made = pack(tokens, tiles, SequenceBudget())
    lead = []
    for sequence in made.sequences:
        held: dict[str, int] = {}
        for piece in sequence:
            held[kinds[piece.sample]] = held.get(kinds[piece.sample], 0) + piece.tokens
        lead.append(max(held, key=lambda k: held[k]) == "video")
    runs = 1 + sum(a != b for a, b in pairwise(lead))
    p = np.mean(lead)
    expected = 1 + 2 * p * (1 - p) * (len(lead) - 1)
    assert abs(runs - expected) < 5 * np.sqrt(len(lead))


def test_tiles_are_evened_out_where_it_costs_nearly_nothing(
    published: tuple[Any, Any, list[str]],
) -> None:
    tokens, tiles, _ = published
    free = pack(tokens, tiles, SequenceBudget())
    made, budget = pack_evenly(tokens, tiles, 8192)
    assert made.fill(budget) >= max(0.995, free.fill(SequenceBudget()) - 0.0025)
    most = max(sum(int(tiles[s.sample]) for s in q) for q in made.sequences)
    assert most <= budget.tiles <= 1.06 * tiles.sum() / len(made.sequences)


def test_a_bound_on_tiles_that_would_leave_sequences_empty_is_not_taken() -> None:
    lengths, tiles = [60] * 500 + [1000] * 20, [5] * 500 + [0] * 20
    made, budget = pack_evenly(lengths, tiles, 1000)
    assert budget.tiles == 0
    assert made.fill(budget) > 0.9


def test_a_budget_must_be_positive() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        pack([1], [0], SequenceBudget(tokens=0))

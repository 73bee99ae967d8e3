"""Distributions are exact: quantiles, sums and bins are those of all numbers."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.errors import UsageError
from smolmix.pipelines.stats.samples import Measures
from smolmix.pipelines.stats.summary import (
    distribution,
    merged,
    nice_edges,
    summarise,
    value_counts,
)


@given(st.lists(st.integers(0, 10**6) | st.integers(2**24, 2**40), min_size=1, max_size=60))
def test_value_counts_give_exact_quantiles_sums_and_bins(numbers: list[int]) -> None:
    counted = value_counts(pl.Series(numbers, dtype=pl.Int64))
    shape = distribution(counted)
    assert counted.sum == sum(numbers)
    assert counted.total == sum(shape.histogram.counts) == len(numbers)
    for q in (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0):
        assert counted.quantile(q) == sorted(numbers)[int(q * (len(numbers) - 1))]


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_bin_edges_rise_and_cover_all_numbers(low: float, span: float) -> None:
    edges, _ = nice_edges(low, low + span, 12, whole=False)
    assert edges[0] <= low + 1e-6
    assert edges[-1] >= low + span - 1e-6
    assert all(np.diff(edges) > 0)
    assert len(edges) <= 60


def test_infinite_and_very_large_numbers_have_a_distribution() -> None:
    shape = distribution(value_counts(pl.Series([1.0, float("inf"), float("-inf"), float("nan")])))
    assert (shape.count, shape.mean) == (1, 1.0)
    assert value_counts(pl.Series([2**62] * 4)).mean == 2.0**62


@given(st.lists(st.lists(st.integers(0, 50), max_size=8), max_size=6))
def test_counts_of_pieces_merge_to_the_counts_of_all(pieces: list[list[int]]) -> None:
    parts = [value_counts(pl.Series(piece, dtype=pl.Int64)) for piece in pieces]
    every = value_counts(pl.Series([n for piece in pieces for n in piece], dtype=pl.Int64))
    together = merged(parts)
    assert together.values.tolist() == every.values.tolist()
    assert together.counts.tolist() == every.counts.tolist()


def _measures(**columns: object) -> Measures:
    rows = 4
    frame = pl.LazyFrame(
        {
            "id": [str(i) for i in range(rows)],
            "corpus": ["a", "a", "b", "b"],
            "subset": [""] * rows,
            "split": ["train"] * rows,
            "modality": ["image", "text", "text", "text"],
            "category": ["vqa"] * rows,
            "cot": ["none", "declared", "none", "none"],
            "licence": ["MIT"] * rows,
            "language": ["en"] * rows,
            "text_chars": [1, 2, 3, 4],
            "text_tokens": [10, 20, 30, 40],
            "n_turns": [2, 2, 4, 2],
            "n_media": [1, 0, 0, 0],
            "duration_s": [0.0, 0.0, 1800.0, 0.0],
            "answer_chars": [1, 1, 1, 1],
            "tags": pl.Series([{}] * rows, dtype=pl.Object).to_list(),
            **columns,
        }
    ).drop("tags")
    sizes = pl.DataFrame(schema={"width": pl.Int64, "height": pl.Int64, "count": pl.Int64})
    return Measures(frame=frame, profile=None, sizes=sizes)


def test_a_summary_adds_up_groups_and_shares() -> None:
    found = summarise(_measures(), title="two corpora", by="corpus")
    assert found.totals["samples"] == 4
    assert found.totals["text_tokens"] == 100
    assert found.totals["turns"] == 10
    assert found.totals["video_hours"] == 0.5
    assert found.totals["cot_share"] == 0.25
    assert [(g["corpus"], g["samples"], g["text_tokens"]) for g in found.groups] == [
        ("a", 2, 30),
        ("b", 2, 70),
    ]
    assert found.facets["modality"]["text"] == {"samples": 3, "tokens": 90}


def test_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'modality'"):
        summarise(_measures(), title="two corpora", by="modalty")

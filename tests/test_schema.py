"""Samples and dropped rows survive the round trip through Arrow; other versions are refused."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.support.strategies import samples, text

from smolmix.errors import DataError
from smolmix.sample import Dropped, Sample
from smolmix.schema import SAMPLE_SCHEMA, dropped_from_table, dropped_table, from_table, to_table


@given(st.lists(samples(), max_size=5))
def test_samples_survive_the_round_trip(rows: list[Sample]) -> None:
    assert list(from_table(to_table(rows))) == rows


@given(samples(), st.integers(1, 20))
def test_text_that_is_the_same_in_every_row_survives_too(one: Sample, times: int) -> None:
    rows = [replace(one, source_row=i) for i in range(times)]
    assert list(from_table(to_table(rows))) == rows


@given(st.lists(samples(), max_size=5))
def test_derived_columns_say_what_the_samples_hold(rows: list[Sample]) -> None:
    table = to_table(rows)
    assert table["n_turns"].to_pylist() == [len(s.turns) for s in rows]
    assert table["n_media"].to_pylist() == [len(s.media) for s in rows]
    assert table["duration_s"].to_pylist() == [s.duration_s for s in rows]
    assert table["digest"].to_pylist() == [s.digest() for s in rows]


def test_an_empty_table_keeps_the_schema() -> None:
    assert to_table([]).schema.equals(SAMPLE_SCHEMA, check_metadata=True)
    assert list(from_table(to_table([]))) == []


@given(st.lists(st.builds(Dropped, id=text, stage=text, reason=text, detail=text), max_size=5))
def test_dropped_rows_survive_the_round_trip(rows: list[Dropped]) -> None:
    assert list(dropped_from_table(dropped_table(rows))) == rows


def test_another_schema_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    table = to_table([]).replace_schema_metadata({"smolmix.schema_version": "0"})
    pq.write_table(table, path)
    with pytest.raises(DataError, match=r"part-00000\.parquet: record schema version 0; "):
        list(from_table(pq.read_table(path), where=str(path)))

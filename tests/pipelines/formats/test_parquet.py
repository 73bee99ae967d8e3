"""Parquet files of any writer are read in ranges of complete row groups, faults included."""

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import RawFile, RawRow, UnreadableRow
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.storage import Folder

ROWS = [{"text": f"row {n}", "number": n, "extra": None} for n in range(25)]


def _file(path: Path) -> RawFile:
    return RawFile(path=path.name, size=path.stat().st_size, sha256="")


def _read(wanted: Parquet, path: Path) -> list[RawRow]:
    root = Folder(path.parent)
    ranges = wanted.split([_file(path)], root)
    found = [raw for rows in ranges for raw in wanted.read(rows, root)]
    assert sum(wanted.count(rows, root) for rows in ranges) == len(found)
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=4)
    return path


def test_ranges_are_complete_row_groups_and_rows_keep_their_numbers(path: Path) -> None:
    wanted = Parquet(columns=("text",), unit_rows=10)
    ranges = wanted.split([_file(path)], Folder(path.parent))
    assert [(r.start, r.stop) for r in ranges] == [(0, 12), (12, 24), (24, 25)]
    found = _read(wanted, path)
    assert [(raw.file_row, raw.values) for raw in found] == [
        (n, {"text": f"row {n}"}) for n in range(25)
    ]


@pytest.mark.parametrize("first", range(0, 13, 3))
def test_a_range_can_be_read_from_any_row_on(path: Path, first: int) -> None:
    wanted, root = Parquet(columns=("number",), unit_rows=10), Folder(path.parent)
    rows = wanted.split([_file(path)], root)[1]
    every = list(wanted.read(rows, root))
    assert list(wanted.read(rows, root, first)) == every[first:]


def test_optional_columns_are_read_where_a_file_has_them(path: Path, tmp_path: Path) -> None:
    wanted = Parquet(columns=("text",), optional=("extra", "absent"))
    assert _read(wanted, path)[0].values == {"text": "row 0", "extra": None}
    other = tmp_path / "b.parquet"
    pq.write_table(pa.Table.from_pylist([{"text": "t", "extra": "now a text"}]), other)
    assert _read(wanted, other)[0].values == {"text": "t", "extra": "now a text"}


def test_a_missing_column_is_named_with_the_nearest_one(path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'txt'; did you mean 'text'\?; it has text"):
        _read(Parquet(columns=("txt",)), path)


@pytest.mark.parametrize("compression", ["zstd", "snappy", "gzip", "uncompressed"])
def test_files_of_another_writer_are_read(tmp_path: Path, compression: Any) -> None:
    path = tmp_path / "p.parquet"
    pl.DataFrame(ROWS).write_parquet(path, compression=compression, row_group_size=7)
    wanted = Parquet(columns=("text", "number", "extra"))
    assert [raw.values for raw in _read(wanted, path)] == ROWS


def test_a_damaged_row_group_loses_its_rows_and_no_others(path: Path) -> None:
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    data = bytearray(path.read_bytes())
    at = group.dictionary_page_offset or group.data_page_offset
    data[at : at + group.total_compressed_size] = bytes(group.total_compressed_size)
    path.write_bytes(data)
    found = _read(Parquet(columns=("text",)), path)
    lost = [raw.file_row for raw in found if isinstance(raw.values, UnreadableRow)]
    assert lost == [8, 9, 10, 11]
    assert len(found) == 25


def test_one_text_that_is_not_utf8_loses_its_row_only(tmp_path: Path) -> None:
    texts = pa.array([b"one", b"tw\xff", b"three"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": texts}), tmp_path / "t.parquet")
    found = [raw.values for raw in _read(Parquet(columns=("text",)), tmp_path / "t.parquet")]
    assert found[::2] == [{"text": "one"}, {"text": "three"}]
    assert isinstance(found[1], UnreadableRow)
    assert found[1].reason == "text-undecodable"


def test_another_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(DataError, match=r"x\.parquet: not a parquet file"):
        _read(Parquet(columns=("text",)), tmp_path / "x.parquet")

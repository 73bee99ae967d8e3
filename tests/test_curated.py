"""Parts of a curated corpus are read by column, by row and by sample, and checked."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.small_workspace import put_curated, sample

from smolmix import curated
from smolmix.errors import DataError, IncompleteError
from smolmix.pipelines.stats.folders import cache_numbers, stage_numbers
from smolmix.sample import Sample
from smolmix.storage import Folder
from smolmix.workspace import Workspace

ROWS = 2500  # more than a batch in each of two parts


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [sample(i, "c", split="heldout" if i % 5 == 0 else "train") for i in range(ROWS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, samples: Sequence[Sample]) -> Folder:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    put_curated(workspace, "c", samples)
    return workspace.curated("c")


def test_all_parts_hold_all_samples_in_order(folder: Folder, samples: list[Sample]) -> None:
    assert curated.part_names(folder) == ["part-00000", "part-00001"]
    assert curated.row_counts(folder) == {"part-00000": 1250, "part-00001": 1250}
    assert list(curated.read_samples(folder)) == samples


def test_a_split_is_read_alone(folder: Folder, samples: list[Sample]) -> None:
    held = list(curated.read_samples(folder, split="heldout"))
    assert held == [s for s in samples if s.split == "heldout"]
    assert len(held) == 500


@pytest.mark.parametrize("rows", [(), (0,), (1023, 1024), (3, 700, 1249), tuple(range(0, 1250, 7))])
def test_samples_are_found_by_their_rows(
    folder: Folder, samples: list[Sample], rows: tuple[int, ...]
) -> None:
    found = list(curated.read_samples_at(folder, "part-00001", rows))
    assert found == [(row, samples[1250 + row]) for row in rows]


def test_columns_come_with_the_row_of_each(folder: Folder, samples: list[Sample]) -> None:
    frame = curated.read_rows(folder, "part-00001", ["split", "id"])
    assert frame.columns == ["row", "split", "id"]
    assert frame["row"].to_list() == list(range(1250))
    assert frame["id"].to_list() == [s.id for s in samples[1250:]]
    table = curated.read_columns(folder, "part-00001", ["split"], dictionary=["split"])
    assert pa.types.is_dictionary(table.schema.field("split").type)
    assert table["split"].to_pylist() == frame["split"].to_list()


def test_batches_and_scans_join_to_the_same_columns(folder: Folder, samples: list[Sample]) -> None:
    batches = list(curated.read_batches(folder, "part-00000", ["id"], rows=1000))
    assert [b.num_rows for b in batches] == [1000, 250]
    ids = [i for b in batches for i in b["id"].to_pylist()]
    assert ids == [s.id for s in samples[:1250]]
    assert curated.scan(folder, ["id"]).collect()["id"].to_list() == [s.id for s in samples]


def test_samples_at_other_rows_are_named(folder: Folder) -> None:
    def moved(part: str, *pairs: tuple[int, str]) -> str:
        wanted = pl.DataFrame(pairs, schema=["row", "id"], orient="row")
        return curated.moved(folder, part, wanted)

    assert moved("part-00000", (0, "c/0"), (7, "c/7"), (7, "c/7")) == ""
    assert moved("part-00000", (0, "c/0"), (7, "c/8")) == (
        "part-00000: row 7 is 'c/7', it was 'c/8'"
    )
    assert moved("part-00001", (9999, "c/1"), (9998, "c/2")) == (
        "part-00001: row 9998 does not exist, it was 'c/2', and 1 more"
    )
    assert moved("part-00002", (0, "c/0")) == "part-00002 is gone"


def test_a_corpus_that_is_not_curated_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompleteError):
        curated.part_names(Workspace(tmp_path).curated("c"))


def test_a_missing_part_or_column_and_another_version_are_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    put_curated(workspace, "c", [sample(i, "c") for i in range(4)])
    folder = workspace.curated("c")
    with pytest.raises(DataError, match=r"part-00009\.parquet: no such part"):
        curated.read_rows(folder, "part-00009", ["id"])
    with pytest.raises(DataError, match="no column 'colour'"):
        curated.read_columns(folder, "part-00000", ["colour"])
    table = pq.read_table(folder.local("part-00000.parquet"))
    old = table.replace_schema_metadata({"smolmix.schema_version": "1"})
    pq.write_table(old, folder.local("part-00000.parquet"))
    with pytest.raises(DataError, match=r"part-00000\.parquet: record schema version 1"):
        list(curated.read_batches(folder, "part-00000", ["id"]))


def test_parts_are_read_from_a_remote_store_too() -> None:
    workspace = Workspace("memory://curated-parts")
    put_curated(workspace, "c", [sample(i, "c") for i in range(4)])
    folder = workspace.curated("c")
    assert [s.id for s in curated.read_samples(folder)] == ["c/0", "c/1", "c/2", "c/3"]
    assert curated.scan(folder, ["id"]).collect().height == 4
    workspace.remove_tree()


def test_what_was_dropped_is_scanned_with_its_reasons(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    put_curated(workspace, "c", [sample(i, "c") for i in range(2)])
    assert curated.scan_dropped(workspace.curated("c")).collect().is_empty()
    assert curated.dropped_file("part-00000") == "part-00000.dropped.parquet"


@pytest.mark.parametrize("name", ["a[b]", "w*", "q?", "{x,y}", "[!a]**", "ü #%20"])
def test_a_path_is_never_taken_for_a_pattern(tmp_path: Path, name: str) -> None:
    put_curated(Workspace(tmp_path / "wall"), "c", [sample(9, "c")])  # w* would match it
    workspace = Workspace(tmp_path / name)
    put_curated(workspace, "c", [sample(i, "c") for i in range(4)])
    folder = workspace.curated("c")
    assert curated.scan(folder, ["id"]).collect()["id"].to_list() == ["c/0", "c/1", "c/2", "c/3"]
    assert curated.scan_dropped(folder).collect().is_empty()
    assert stage_numbers(folder)["rows"]["parquet"] == 4
    assert [row["folder"] for row in cache_numbers(workspace)] == ["curated/c"]
    assert curated.scan(Workspace(tmp_path / "wall").curated("c"), ["id"]).collect().height == 1

"""Row groups of a remote parquet file are read at their own positions; the rest is a hole."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smolmix.errors import DataError
from smolmix.pipelines.fetch.download import Downloader, Target
from smolmix.pipelines.fetch.range_reads import RemoteStream, download_row_groups

ROWS = [{"n": n, "image": bytes([n]) * 5_000} for n in range(40)]


@pytest.fixture
def target(site: Any) -> Target:
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(ROWS), out, row_group_size=5, compression="none", use_dictionary=False
    )
    site.files["/a.parquet"] = out.getvalue()
    return Target(url=f"{site.url}/a.parquet", size=len(out.getvalue()))


def test_the_groups_that_hold_the_rows_are_complete_and_the_rest_is_not_downloaded(
    target: Target, site: Any, tmp_path: Path
) -> None:
    groups = download_row_groups(Downloader(), target, [7, 9, 33], tmp_path / "a")
    assert groups == [1, 6]
    file = pq.ParquetFile(tmp_path / "a")
    assert file.metadata.num_rows == 40
    for group in groups:
        assert file.read_row_group(group).to_pylist() == ROWS[group * 5 : group * 5 + 5]
    assert (tmp_path / "a").stat().st_size == target.size
    spans = [r.removeprefix("bytes=").split("-") for _, _, r in site.requests]
    assert sum(int(end) - int(start) + 1 for start, end in spans) < 0.6 * (target.size or 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 250_000), st.integers(0, 999)), max_size=5))
def test_a_remote_file_reads_like_a_local_one(
    target: Target, site: Any, reads: list[tuple[int, int]]
) -> None:
    remote = io.BufferedReader(RemoteStream(Downloader(), target), 64)
    local = io.BytesIO(site.files["/a.parquet"])
    for at, count in reads:
        remote.seek(at)
        local.seek(at)
        assert remote.read(count) == local.read(count)


def test_a_file_that_is_no_parquet_file_is_named(site: Any, tmp_path: Path) -> None:
    site.files["/x.parquet"] = b"x" * 999
    target = Target(url=f"{site.url}/x.parquet", size=999)
    with pytest.raises(DataError, match=r"x\.parquet: not a parquet file"):
        download_row_groups(Downloader(), target, [0], tmp_path / "x")

"""fetch.json is written and read by one module, whatever is in it."""

from dataclasses import replace
from pathlib import Path

import pytest

from smolmix.errors import DataError, IncompleteError
from smolmix.fetched import (
    FetchedFile,
    FetchRecord,
    UserMedia,
    fetched,
    fetched_corpora,
    read_record,
)
from smolmix.workspace import Workspace

FILE = FetchedFile(path="raw/c/r/b.parquet", size=3, sha256="ab", url="http://x/b.parquet")
RECORD = FetchRecord(
    corpus="c",
    revision="r",
    hub_id="lab/c",
    licence="MIT",
    scope={"limit": 7, "files": ["*.parquet"], "annotations": False},
    files=(
        replace(FILE, path="raw/c/r/_shards/a-00000.tar", url="", parts=("raw/c/r/a.tgz",)),
        replace(FILE, path="raw/c/r/a.tgz", rewritten=True),
        replace(FILE, row_groups=(1, 6), rows_digest="d"),
    ),
    media=UserMedia(folder="/mine", files=2, digest="m"),
    media_repos={"lab/media": "2" * 40},
    catalogue={"id": "c"},
    complete=True,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize("record", [RECORD, FetchRecord(corpus="c", revision="r")])
def test_a_record_is_read_as_it_was_written(workspace: Workspace, record: FetchRecord) -> None:
    record.write(workspace)
    found = read_record(workspace, "c")
    assert found is not None
    assert replace(found, scope=record.scope) == record
    assert found.limit == record.limit
    assert fetched_corpora(workspace) == ["c"]


def test_a_corpus_that_is_not_fetched_completely_says_how_to_go_on(workspace: Workspace) -> None:
    assert read_record(workspace, "c") is None
    with pytest.raises(IncompleteError, match="run `smolmix fetch c`"):
        fetched(workspace, "c")
    replace(RECORD, complete=False).write(workspace)
    with pytest.raises(IncompleteError, match="resumes where it stopped"):
        fetched(workspace, "c")
    RECORD.write(workspace)
    assert fetched(workspace, "c").complete


@pytest.mark.parametrize("value", [[], {"files": [{"size": 1}]}, {"files": 3}, {"media": 3}])
def test_a_damaged_record_is_named(workspace: Workspace, value: object) -> None:
    workspace.raw("c").write_json("fetch.json", value)
    with pytest.raises(DataError, match=r"fetch\.json: damaged .*smolmix fetch c"):
        read_record(workspace, "c")


def test_archives_that_were_rewritten_are_not_readable_and_count_as_existing(
    workspace: Workspace,
) -> None:
    assert [f.path for f in RECORD.readable] == ["raw/c/r/_shards/a-00000.tar", "raw/c/r/b.parquet"]
    assert RECORD.files[1].exists(workspace)
    assert not FILE.exists(workspace)
    workspace.write_bytes(FILE.path, b"abc")
    assert FILE.exists(workspace)
    workspace.write_bytes(FILE.path, b"abcd")
    assert not FILE.exists(workspace)


def test_published_paths_are_below_the_revision() -> None:
    assert RECORD.root == "raw/c/r"
    assert RECORD.published_path("raw/c/r/_shards/d/a-00000.tar") == "d/a-00000.tar"
    assert RECORD.published_path("raw/c/r/d/b.parquet") == "d/b.parquet"

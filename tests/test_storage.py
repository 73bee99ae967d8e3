"""Folders work alike on disk and on an object store; digests depend on content alone."""

import io
import tempfile
import uuid
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from smolmix.errors import DataError, IncompleteError
from smolmix.storage import Folder, digest_file, digest_json
from smolmix.workspace import stage_record


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "disk":
        return Folder(tmp_path / "out")
    return Folder(f"memory://{uuid.uuid4().hex}/out")


def test_files_are_written_read_and_listed(folder: Folder) -> None:
    assert folder.names() == []
    folder.write_json("a.json", {"b": 1})
    folder.child("below").write_bytes("c.bin", b"c")
    assert folder.names(".json") == ["a.json"]
    assert folder.read_json("a.json") == {"b": 1}
    assert folder.child("below").read_bytes("c.bin") == b"c"
    folder.remove("a.json")
    folder.remove("a.json")
    assert folder.names(".json") == []


def test_a_file_is_moved_in_from_another_disk(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        source = tmp_path / "made.parquet"
        source.write_bytes(b"x" * 1000)
        folder = Folder(other).child("out")
        folder.put(source, "a.parquet")
        assert folder.read_bytes("a.parquet") == b"x" * 1000
        assert [p.name for p in folder.local().iterdir()] == ["a.parquet"]
    assert not source.exists()


def test_a_missing_file_and_a_broken_one_are_named(folder: Folder) -> None:
    with pytest.raises(DataError, match=r"absent\.json: no such file"):
        folder.read_json("absent.json")
    folder.write_bytes("broken.json", b"{")
    with pytest.raises(DataError, match=r"broken\.json: not JSON"):
        folder.read_json("broken.json")


def test_a_remote_folder_has_no_local_path() -> None:
    with pytest.raises(DataError, match="needs a local workspace"):
        Folder("memory://nowhere").local()


def test_a_missing_folder_names_those_that_exist(folder: Folder) -> None:
    folder.child("curated", "easy-vqa").write_bytes("a", b"a")
    folder.child("curated", "_hidden").write_bytes("a", b"a")
    folder.child("curated", "docvqa").write_bytes("a", b"a")
    folder.child("curated").write_bytes("file", b"a")
    assert folder.child("curated").folders() == ["docvqa", "easy-vqa"]
    with pytest.raises(IncompleteError) as caught:
        stage_record(folder.child("curated", "eazy-vqa"))
    assert str(caught.value).endswith("; available: docvqa, easy-vqa; did you mean 'easy-vqa'?")
    with pytest.raises(IncompleteError, match=r"; it contains docvqa, easy-vqa$"):
        stage_record(folder.child("curated"))
    assert folder.child("nowhere", "x").instead() == ""


def test_equal_json_has_one_digest_and_other_json_another() -> None:
    one = digest_json({"a": 1, "b": [1, 2], "é": None})
    assert digest_json({"é": None, "b": [1, 2], "a": 1}) == one
    assert digest_json({"a": 1, "b": [2, 1], "é": None}) != one
    assert digest_json({"a": "1", "b": [1, 2], "é": None}) != one


@given(st.binary(max_size=200))
def test_a_streams_digest_is_that_of_its_bytes(data: bytes) -> None:
    assert digest_file(io.BytesIO(data)) == xxhash.xxh3_128_hexdigest(data)


def test_a_write_leaves_no_temporary_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for text in (b"one", b"two"):
        folder.write_bytes("a.bin", text)
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert folder.read_bytes("a.bin") == b"two"
    folder.child("below").write_bytes("b.bin", b"b")
    folder.remove_tree()
    folder.remove_tree()
    assert not tmp_path.exists()


@pytest.mark.parametrize("name", ["out*", "[out]", "ou?"])
def test_a_folder_is_removed_by_its_name_and_not_by_a_pattern(folder: Folder, name: str) -> None:
    for one in (folder, Folder(f"{folder.path.rpartition('/')[0]}/{name}", folder.fs)):
        one.child("below").write_bytes("a.bin", b"a")
    Folder(f"{folder.path.rpartition('/')[0]}/{name}", folder.fs).remove_tree()
    assert folder.child("below").read_bytes("a.bin") == b"a"
    assert not Folder(f"{folder.path.rpartition('/')[0]}/{name}", folder.fs).child("below").names()

"""Folders work alike on disk and on an object store, and readers trust only manifests."""

import tempfile
import uuid
from pathlib import Path

import pytest

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import DataError, IncompleteError, IntegrityError
from smolmix.storage import Folder
from smolmix.workspace import Workspace, part_files, stage_record, verify_files


def _write(unit: Unit[None], context: UnitContext) -> Result:
    (context.out / f"{unit.name}.parquet").write_bytes(unit.name.encode() * 100)
    (context.out / f"{unit.name}.dropped.parquet").write_bytes(b"")
    return Result(accounting=RowAccounting(samples=1, kept=1))


STAGE = Stage(name="write", version=1, run=_write)
UNITS = [Unit(name=f"part-{i:05d}", inputs={}, params={}, payload=None) for i in range(3)]


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


def test_a_stage_is_readable_only_when_whole(folder: Folder) -> None:
    with pytest.raises(IncompleteError, match="missing or not finished"):
        stage_record(folder)
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    assert part_files(folder) == [f"part-{i:05d}.parquet" for i in range(3)]
    assert part_files(folder, ".dropped.parquet") == [
        f"part-{i:05d}.dropped.parquet" for i in range(3)
    ]
    assert verify_files(folder) == 6


def test_a_changed_byte_is_found_and_repaired_by_running_again(folder: Folder) -> None:
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    folder.write_bytes("part-00001.parquet", b"x" + folder.read_bytes("part-00001.parquet")[1:])
    with pytest.raises(IntegrityError, match=r"part-00001\.parquet: digest"):
        verify_files(folder)
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    assert verify_files(folder) == 6


def test_a_remote_folder_has_no_local_path() -> None:
    with pytest.raises(DataError, match="needs a local workspace"):
        Folder("memory://nowhere").local()


def test_the_workspace_lists_whole_corpora_only(workspace: Workspace) -> None:
    run_stage(STAGE, UNITS, folder=workspace.curated("b"), options=RunOptions(quiet=True))
    workspace.curated("a").write_bytes("part-00000.parquet", b"no manifest")
    assert workspace.corpora() == ["b"]
    assert workspace.corpora("measured") == []


def test_a_folder_that_is_not_there_names_those_that_are(folder: Folder) -> None:
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

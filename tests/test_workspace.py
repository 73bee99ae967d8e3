"""Readers trust only manifests: a finished stage is readable, anything else is refused."""

import uuid
from pathlib import Path

import pytest

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import IncompleteError, IntegrityError
from smolmix.storage import Folder
from smolmix.workspace import (
    MANIFESTS,
    STAGE_FILE,
    Manifest,
    Workspace,
    manifests,
    part_files,
    read_manifest,
    stage_record,
    verify_files,
)


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


def test_a_stage_is_readable_only_when_finished(folder: Folder) -> None:
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


def test_the_workspace_lists_finished_corpora_only(workspace: Workspace) -> None:
    run_stage(STAGE, UNITS, folder=workspace.curated("b"), options=RunOptions(quiet=True))
    workspace.curated("a").write_bytes("part-00000.parquet", b"no manifest")
    assert workspace.corpora() == ["b"]
    assert workspace.corpora("measured") == []


def test_a_manifest_survives_the_round_trip(folder: Folder) -> None:
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    manifest = read_manifest(folder, "part-00001")
    assert manifest is not None
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert [f.size for f in manifest.files] == [0, 1000]
    assert [m.unit for m in manifests(folder)] == [u.name for u in UNITS]
    assert read_manifest(folder, "part-00009") is None


def test_what_another_version_wrote_is_refused_and_done_again(folder: Folder) -> None:
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    for name in (STAGE_FILE, *(f"{MANIFESTS}/{u.name}.json" for u in UNITS)):
        value = folder.read_json(name)
        folder.write_json(name, {("rows" if k == "accounting" else k): v for k, v in value.items()})
    with pytest.raises(IncompleteError, match="written by another version of smolmix"):
        stage_record(folder)
    assert read_manifest(folder, "part-00000") is None
    assert run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True)).done == 3
    assert verify_files(folder) == 6


def test_a_finished_stage_without_a_manifest_is_refused(folder: Folder) -> None:
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    folder.remove(f"{MANIFESTS}/part-00002.json")
    with pytest.raises(IncompleteError, match="part-00002 has no manifest"):
        list(manifests(folder))


def test_each_stage_has_a_folder_of_its_own(workspace: Workspace) -> None:
    folders = {
        workspace.raw("c").path, workspace.measured("c").path, workspace.curated("c").path,
        workspace.counts("256m", "c").path, workspace.mixture("c").path, workspace.run("c").path,
        workspace.report("c").path,
    }  # fmt: skip
    assert len(folders) == 7
    assert all(f.startswith(workspace.path) for f in folders)


def test_units_of_another_version_that_are_no_longer_wanted_are_removed(folder: Folder) -> None:
    run_stage(STAGE, UNITS, folder=folder, options=RunOptions(quiet=True))
    folder.write_json(f"{MANIFESTS}/part-00002.json", {"unit": "part-00002"})
    run_stage(STAGE, UNITS[:2], folder=folder, options=RunOptions(quiet=True))
    assert folder.child(MANIFESTS).names() == ["part-00000.json", "part-00001.json"]
    assert list(stage_record(folder).units) == ["part-00000", "part-00001"]

"""The engine commits complete units, survives dying workers, and accounts for every row."""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle

from smolmix.accounting import RowAccounting
from smolmix.engine import ray_pool
from smolmix.engine.run import print_summary, run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Summary, Unit, UnitContext
from smolmix.errors import ConservationError, DataError, UsageError
from smolmix.storage import Folder
from smolmix.workspace import manifests, stage_record, verify_files

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # Ray

ROWS = 40


def _square(unit: Unit[None], context: UnitContext) -> Result:
    """Write the squares of the unit's rows; a row in `kills` kills the process."""
    kept: list[int] = []
    dropped: dict[str, int] = {}
    for row in context.rows or range(ROWS):
        if row in context.poison:
            dropped["worker-killed"] = dropped.get("worker-killed", 0) + 1
            continue
        if row in unit.params.get("kills", ()):
            os.kill(os.getpid(), signal.SIGKILL)
        if unit.params.get("hangs") == row:
            time.sleep(60)
        kept.append((row + unit.params["add"]) ** 2)
    (context.out / f"{unit.name}.json").write_text(json.dumps(kept))
    accounting = RowAccounting(
        rows=ROWS, rows_adapted=len(kept), rows_dropped=dropped, samples=len(kept), kept=len(kept)
    )
    return Result(accounting=accounting)


def _count(_unit: Unit[None]) -> int:
    return ROWS


STAGE = Stage(name="square", version=1, run=_square, count_rows=_count)


def _units(count: int = 3, **params: object) -> list[Unit[None]]:
    return [
        Unit(
            name=f"part-{i:05d}",
            inputs={"raw": f"digest{i}"},
            params={"add": i, **params},
            payload=None,
        )
        for i in range(count)
    ]


def _digests(folder: Folder) -> dict[str, str]:
    return {f.name: f.digest for m in manifests(folder) for f in m.files}


def _run(
    folder: Folder, units: list[Unit[None]], stage: Stage[None] = STAGE, workers: int = 0
) -> Summary:
    return run_stage(
        stage,
        units,
        folder=folder,
        options=RunOptions(workers=workers, quiet=True),
    )


def test_complete_units_are_skipped_and_changed_ones_done_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path / "out")
    assert _run(folder, _units()).done == 3
    again = _run(folder, _units())
    assert (again.done, again.skipped) == (0, 3)
    changed = [replace(_units()[0], params={"add": 7}), *_units()[1:]]
    summary = run_stage(STAGE, changed, folder=folder)
    assert (summary.done, summary.skipped, summary.redone) == (1, 2, 1)
    assert "part-00000 again: parameter add changed" in capsys.readouterr().err
    newer = replace(STAGE, version=2)
    assert _run(folder, changed, newer).redone == 3


def test_a_deleted_file_is_made_again(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    _run(folder, _units())
    before = _digests(folder)
    folder.remove("part-00001.json")
    assert _run(folder, _units()).done == 1
    assert _digests(folder) == before
    assert verify_files(folder) == 3


def _pieces(unit: Unit[None], context: UnitContext) -> Result:
    for number in range(unit.params["pieces"]):
        (context.out / f"{unit.name}-{number}.txt").write_text(f"{number}")
    return Result(accounting=RowAccounting(samples=1, kept=1))


def test_a_unit_redone_leaves_no_file_of_before(tmp_path: Path) -> None:
    folder, stage = Folder(tmp_path / "out"), Stage(name="pieces", version=1, run=_pieces)
    for pieces in (3, 1, 2):
        units = [Unit(name="a", inputs={}, params={"pieces": pieces}, payload=None)]
        run_stage(stage, units, folder=folder, options=RunOptions(quiet=True))
        assert folder.names(".txt") == [f"a-{n}.txt" for n in range(pieces)]


def test_units_no_longer_asked_for_are_removed(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    _run(folder, _units(3))
    _run(folder, _units(2))
    assert folder.names(".json") == ["part-00000.json", "part-00001.json", "stage.json"]
    assert list(stage_record(folder).units) == ["part-00000", "part-00001"]


def test_output_does_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    folders = []
    for workers in (0, 1, 2):
        folder = Folder(tmp_path / str(workers))
        _run(folder, _units(5), workers=workers)
        folders.append((_digests(folder), stage_record(folder)))
    assert folders[0] == folders[1] == folders[2]


def test_a_row_that_kills_its_worker_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "out")
    units = [
        *_units(2),
        Unit(name="part-9", inputs={}, params={"add": 0, "kills": [7, 31]}, payload=None),
    ]
    summary = _run(folder, units, workers=2)
    assert summary.accounting.rows_dropped == {"worker-killed": 2}
    assert summary.accounting.kept == 3 * ROWS - 2
    kept = json.loads(folder.read_bytes("part-9.json"))
    assert kept == [row**2 for row in range(ROWS) if row not in (7, 31)]


def test_a_unit_that_hangs_is_killed_and_named(tmp_path: Path) -> None:
    stage = replace(STAGE, timeout_s=2.0, count_rows=None)
    units = [Unit(name="part-0", inputs={}, params={"add": 0, "hangs": 1}, payload=None)]
    with pytest.raises(DataError, match=r"part-0: its worker died 3 times"):
        _run(Folder(tmp_path / "out"), units, stage, workers=1)


def _slow(unit: Unit[None], context: UnitContext) -> Result:
    time.sleep(0.3)
    return Result(accounting=RowAccounting())


def test_a_unit_that_waits_for_a_worker_is_not_late(tmp_path: Path) -> None:
    import ray

    ray.shutdown()
    ray_pool.start(1, None)
    try:
        units = [Unit(name=f"part-{i}", inputs={}, params={}, payload=None) for i in range(16)]
        summary = _run(
            Folder(tmp_path / "out"), units,
            Stage(name="slow", version=1, run=_slow, timeout_s=1.0), workers=16,
        )  # fmt: skip
        assert summary.done == 16
    finally:
        ray.shutdown()


def test_without_row_counts_a_unit_that_kills_workers_fails_and_the_others_are_kept(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "out")
    units = [
        *_units(2),
        Unit(name="part-9", inputs={}, params={"add": 0, "kills": [3]}, payload=None),
    ]
    with pytest.raises(DataError, match=r"1 of 3 files of square failed \(part-9: its worker died"):
        _run(folder, units, replace(STAGE, count_rows=None), workers=2)
    assert folder.exists("part-00001.json")
    assert not folder.exists("stage.json")


def _lossy(unit: Unit[None], context: UnitContext) -> Result:
    (context.out / f"{unit.name}.json").write_text("[]")
    return Result(accounting=RowAccounting(rows=10, rows_adapted=10, samples=10, kept=9))


def _fill(unit: Unit[None], context: UnitContext) -> Result:
    """Write to a device that is always full."""
    if unit.params["add"] == 1:
        Path("/dev/full").write_bytes(b"x" * 100_000)
    return _square(unit, context)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has a full device")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_fails_its_unit_in_one_line_and_the_others_are_kept(
    workers: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage = replace(STAGE, run=_fill)
    with pytest.raises(DataError) as caught:
        run_stage(
            stage,
            _units(),
            folder=Folder(tmp_path),
            options=RunOptions(workers=workers, quiet=True),
        )
    assert "(part-00001: No space left on device; free some space)" in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err
    assert Folder(tmp_path).names(".json") == ["part-00000.json", "part-00002.json"]


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    ray_pool.stop()  # one that earlier tests started would be taken
    with pytest.raises(UsageError, match=r"--ray-address 1\.2\.3: no Ray cluster answers there"):
        run_stage(
            STAGE,
            _units(),
            folder=Folder(tmp_path),
            options=RunOptions(workers=2, ray_address="1.2.3", quiet=True),
        )


def test_a_lost_sample_fails_the_stage(tmp_path: Path) -> None:
    stage = Stage(name="lossy", version=1, run=_lossy)
    with pytest.raises(DataError, match="1 unaccounted for"):
        _run(Folder(tmp_path / "out"), _units(1), stage)
    assert issubclass(ConservationError, DataError)


def test_a_stage_that_keeps_nothing_or_filters_nothing_says_so(tmp_path: Path) -> None:
    notes = _run(Folder(tmp_path / "all"), _units(1), replace(STAGE, filters=True)).notes
    assert notes == (f"square kept all {ROWS} samples: no filter dropped any",)


def test_two_units_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two units are named part-00000"):
        _run(Folder(tmp_path), [*_units(1), *_units(1)])


def test_a_summary_says_so_when_nothing_was_kept(capsys: pytest.CaptureFixture[str]) -> None:
    lost = RowAccounting(rows=3, rows_dropped={"json-broken": 3})
    print_summary("curate mine", "", lost, 1.0)
    assert capsys.readouterr().err.splitlines() == [
        "curate mine: 3 rows, dropped 3 json-broken (1.0 s)",
        "note: curate mine kept none of 3 rows",
    ]
    print_summary("curate mine", "", RowAccounting(samples=2, kept=1, duplicates=1), 1.0)
    assert "note" not in capsys.readouterr().err

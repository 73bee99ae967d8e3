"""What `runs/<name>` holds, and how training, reports and statistics read it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smolmix.errors import DataError, UsageError
from smolmix.model.arch.checkpoint import RECORD_FILE
from smolmix.model.train import run_record
from smolmix.workspace import Workspace


def checkpoint(run: Path, name: str, **record: object) -> Path:
    folder = run / name
    folder.mkdir(parents=True)
    (folder / RECORD_FILE).write_text(json.dumps(record))
    return folder


def test_checkpoints_are_ordered_by_step_and_the_last_are_kept(tmp_path: Path) -> None:
    assert run_record.checkpoints(tmp_path / "none") == []
    for step in (200, 30, 1000):
        checkpoint(tmp_path, run_record.checkpoint_name(step))
    (tmp_path / ".checkpoint-1100.partial").mkdir()
    (tmp_path / "checkpoint-x").mkdir()
    assert [step for step, _ in run_record.checkpoints(tmp_path)] == [30, 200, 1000]
    checkpoint(tmp_path, run_record.FINAL)
    run_record.remove_checkpoints(tmp_path, keep=5)
    assert len(run_record.checkpoints(tmp_path)) == 3
    run_record.remove_checkpoints(tmp_path, keep=1)
    assert [step for step, _ in run_record.checkpoints(tmp_path)] == [1000]
    run_record.remove_checkpoints(tmp_path)
    assert run_record.checkpoints(tmp_path) == []
    assert (tmp_path / run_record.FINAL).is_dir()


def test_the_trained_checkpoint_is_the_final_or_else_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="no checkpoint; run `smolmix train` first"):
        run_record.trained_checkpoint(tmp_path)
    checkpoint(tmp_path, "checkpoint-9")
    checkpoint(tmp_path, "checkpoint-10")
    assert run_record.trained_checkpoint(tmp_path).name == "checkpoint-10"
    assert "not finished; using checkpoint-10" in capsys.readouterr().err
    checkpoint(tmp_path, run_record.FINAL)
    assert run_record.trained_checkpoint(tmp_path).name == run_record.FINAL
    assert capsys.readouterr().err == ""


def test_a_run_resumes_from_its_last_checkpoint_and_only_if_it_is_the_same_run(
    tmp_path: Path,
) -> None:
    assert run_record.resume_point(tmp_path, "mine") == (0, None)
    checkpoint(tmp_path, "checkpoint-3", digest="mine")
    last = checkpoint(tmp_path, "checkpoint-12", digest="mine")
    assert run_record.resume_point(tmp_path, "mine") == (12, last)
    assert not run_record.is_complete(tmp_path, "mine")
    with pytest.raises(UsageError, match="a run of another recipe or mixture"):
        run_record.resume_point(tmp_path, "other")


def test_a_finished_run_is_complete_for_its_own_identity_alone(tmp_path: Path) -> None:
    checkpoint(tmp_path, run_record.FINAL, digest="mine")
    assert run_record.is_complete(tmp_path, "mine")
    assert not run_record.is_complete(tmp_path, "other")
    with pytest.raises(UsageError, match="give the recipe another name"):
        run_record.resume_point(tmp_path, "other")


def test_metrics_end_at_a_torn_line_and_sums_skip_what_is_missing(workspace: Workspace) -> None:
    run = workspace.run("one")
    assert run_record.read_metrics(run) == run_record.read_timing(run) == []
    lines = [
        '{"step": 1, "loss": 2.0, "tokens": 10, "supervised": 4, "tiles": 2, "taken": true}',
        '{"step": 2, "loss": NaN, "tokens": 20, "supervised": 5, "tiles": 1, "taken": false}',
        '{"step": 3, "loss": 1.0, "to',
    ]
    run.write_bytes(run_record.METRICS_FILE, "\n".join(lines).encode())
    run.write_bytes(run_record.TIMING_FILE, b'{"step": 1, "seconds": 2}\n{"step": 2, "seconds": 4}')
    metrics = run_record.read_metrics(run)
    assert [m["loss"] for m in metrics] == [2.0, None]
    found = run_record.totals(metrics, run_record.read_timing(run))
    assert (found.steps, found.tokens, found.supervised, found.tiles) == (2, 30, 9, 3)
    assert (found.skipped_steps, found.seconds, found.tokens_per_s) == (1, 6.0, 5.0)
    assert run_record.totals(metrics).tokens_per_s is None
    assert run_record.totals([]).steps == 0


def test_trained_runs_are_those_with_metrics(workspace: Workspace) -> None:
    assert run_record.trained_runs(workspace) == []
    for name in ("b", "a"):
        workspace.run(name).write_bytes(run_record.METRICS_FILE, b"")
    workspace.run("evaluated-only").write_json("evaluation/x.json", {})
    assert run_record.trained_runs(workspace) == ["a", "b"]


def test_a_run_without_a_record_may_have_used_any_mixture(workspace: Workspace) -> None:
    run = workspace.run("one")
    assert run_record.may_have_used(run, "m")
    run.child(run_record.FINAL).write_json(RECORD_FILE, {"mixtures": ["m", "n"]})
    assert run_record.may_have_used(run, "m")
    assert not run_record.may_have_used(run, "other")


def test_scores_and_predictions_are_found_by_corpus(workspace: Workspace) -> None:
    run = workspace.run("one")
    results = run_record.evaluation(run)
    results.write_json(run_record.scores_file("toy"), {"metric": "anls"})
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"answer": ["red"]}), sink)
    results.write_bytes(run_record.predictions_file("toy"), sink.getvalue().to_pybytes())
    assert run_record.read_scores(run) == {"toy": {"metric": "anls"}}
    assert run_record.predicted(run) == ["toy"]
    assert run_record.read_predictions(results, "toy")["answer"].to_pylist() == ["red"]
    with pytest.raises(DataError, match=r"other\.parquet: no such file; `smolmix evaluate`"):
        run_record.read_predictions(results, "other")


def test_a_run_needs_a_local_disk(workspace: Workspace) -> None:
    assert run_record.local_run(workspace.run("one")) == Path(workspace.run("one").path)
    with pytest.raises(UsageError, match="runs are written to a local disk"):
        run_record.local_run(Workspace("memory://somewhere").run("one"))

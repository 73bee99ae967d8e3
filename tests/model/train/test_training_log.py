"""A run's log: a line a step, nothing after the step that a run resumes from."""

import json
from pathlib import Path
from typing import Any

import pytest

from smolmix.model.train.run_record import METRICS_FILE, TENSORBOARD, TIMING_FILE
from smolmix.model.train.training_log import TrainingLog, peak_memory_bytes, truncate_after


def write(run: Path, steps: range, **options: Any) -> None:
    with TrainingLog(run, resume_step=steps.start - 1, **options) as log:
        for step in steps:
            log.write(step, {"loss": 1 / step, "losses": {"modality/text": 2.0}}, {"seconds": 0.5})


def test_a_step_is_a_line_in_each_file(tmp_path: Path) -> None:
    write(tmp_path, range(1, 4), tensorboard=False)
    lines = [json.loads(x) for x in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert lines[1] == {"step": 2, "loss": 0.5, "losses": {"modality/text": 2.0}}
    timing = [json.loads(x) for x in (tmp_path / TIMING_FILE).read_text().splitlines()]
    assert timing == [{"step": n, "seconds": 0.5} for n in (1, 2, 3)]
    assert not (tmp_path / TENSORBOARD).exists()


@pytest.mark.parametrize("torn", ["", '{"step": 6, "lo'])
def test_a_resumed_run_has_the_lines_of_an_undisturbed_one(tmp_path: Path, torn: str) -> None:
    write(tmp_path / "undisturbed", range(1, 8), tensorboard=False)
    write(tmp_path / "killed", range(1, 6), tensorboard=False)
    with (tmp_path / "killed" / METRICS_FILE).open("a") as stream:
        stream.write(torn)
    write(tmp_path / "killed", range(4, 8), tensorboard=False)
    for name in (METRICS_FILE, TIMING_FILE):
        texts = [(tmp_path / run / name).read_text() for run in ("undisturbed", "killed")]
        assert texts[0] == texts[1]


def test_truncating_keeps_steps_up_to_the_last_one_that_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    truncate_after(path, 3)
    assert not path.exists()
    path.write_text("".join(f'{{"step": {n}}}\n' for n in range(1, 6)))
    truncate_after(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]
    truncate_after(path, 0)
    assert path.read_text() == ""


def test_tensorboard_has_nested_numbers_by_path(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]  # without types
        EventAccumulator,
    )

    write(tmp_path, range(1, 3))
    events = EventAccumulator(str(tmp_path / TENSORBOARD))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"metrics/loss", "metrics/losses/modality/text", "timing/seconds"} <= set(tags)
    assert [e.value for e in events.Scalars("metrics/loss")] == [1.0, 0.5]


def test_peak_memory_counts_bytes() -> None:
    assert 10e6 < peak_memory_bytes() < 1e12

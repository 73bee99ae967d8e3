"""Checkpoint folders: complete or absent, and read back as they were written."""

from pathlib import Path

import pytest
import torch

from smolmix.errors import DataError
from smolmix.model.arch.build import build, from_checkpoint, weights_digest
from smolmix.model.arch.checkpoint import (
    STATE_FILE,
    is_checkpoint,
    read_record,
    read_state,
    save,
    write_atomically,
)
from smolmix.model.arch.spec import ModelSpec
from smolmix.profiles import profile

NANO = profile("nano", style="inference")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    def good(folder: Path) -> None:
        (folder / "name").write_text("old")

    def bad(folder: Path) -> None:
        (folder / "name").write_text("new")
        raise RuntimeError("killed")

    write_atomically(tmp_path / "one", good)
    for name in ("one", "two"):
        with pytest.raises(RuntimeError):
            write_atomically(tmp_path / name, bad)
    assert (tmp_path / "one" / "name").read_text() == "old"
    assert not (tmp_path / "two").exists()
    write_atomically(tmp_path / "two", good)  # what the failed write left does no harm
    assert [p.name for p in (tmp_path / "two").iterdir()] == ["name"]


def test_weights_record_and_state_are_read_back(tmp_path: Path) -> None:
    model = build(ModelSpec(preset="tiny"), seed=5)
    state = {"step": 3, "momentum": torch.arange(4.0), "random": (1, "x")}
    save(tmp_path / "one", model, {"stage": 1, "step": 3}, state, NANO)
    assert is_checkpoint(tmp_path / "one")
    record = read_record(tmp_path / "one")
    assert (record["stage"], record["step"]) == (1, 3)
    assert record["profile"]["pixel"]["tile_px"] == NANO.pixel.tile_px
    found = read_state(tmp_path / "one")
    assert torch.equal(found.pop("momentum"), torch.arange(4.0))
    assert found == {"step": 3, "random": (1, "x")}
    loaded = from_checkpoint(str(tmp_path / "one")).state_dict()
    assert loaded.keys() == model.state_dict().keys()
    assert all(torch.equal(loaded[n], w) for n, w in model.state_dict().items())


def test_a_final_checkpoint_has_no_training_state(tmp_path: Path) -> None:
    save(tmp_path / "final", build(ModelSpec(preset="tiny")), {}, None, NANO)
    assert is_checkpoint(tmp_path / "final")
    assert not (tmp_path / "final" / STATE_FILE).exists()


def test_another_folder_is_not_a_checkpoint(tmp_path: Path) -> None:
    assert not is_checkpoint(tmp_path)
    with pytest.raises(DataError, match="not a smolmix checkpoint"):
        read_record(tmp_path)


def test_the_digest_of_weights_follows_every_weight_and_size(tmp_path: Path) -> None:
    model = build(ModelSpec(preset="tiny"), seed=0)
    before = weights_digest(model)
    assert weights_digest(build(ModelSpec(preset="tiny"), seed=0)) == before
    digests = {before, weights_digest(build(ModelSpec(preset="tiny"), seed=1))}
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    digests.add(weights_digest(model))
    assert len(digests) == 3

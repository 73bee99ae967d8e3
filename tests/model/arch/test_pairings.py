"""Pairings of towers, and building one into a folder."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForImageTextToText

from smolmix.errors import UsageError
from smolmix.model.arch.checkpoint import read_record
from smolmix.model.arch.pairings import build_to, pairing_table

CHOICE: dict[str, Any] = {
    "preset": None, "vision": "siglip-nano", "lm": "smollm2-nano", "shuffle": 4,
    "vision_weights": None, "lm_weights": None, "position_tokens": "learned",
    "frame_average": 1, "seed": 0,
}  # fmt: skip


def test_the_table_has_every_pairing_that_divides_and_the_released_totals() -> None:
    rows = pairing_table()
    assert {(r["vision"], r["shuffle"]) for r in rows} == {
        ("siglip-b16-512", 2), ("siglip-b16-512", 4), ("siglip-so400m-14-384", 3),
    }  # fmt: skip
    released = {r["parameters"] for r in rows if r["note"].startswith("released")}
    assert released == {256_484_928, 507_482_304, 2_246_784_880}
    tokens = {r["tokens_per_image"] for r in rows if r["note"].startswith("released")}
    assert tokens == {862, 1083}  # 1600 × 1200: facts of the released processors


def test_a_pairing_is_built_into_a_folder_that_transformers_opens(tmp_path: Path) -> None:
    facts = build_to(str(tmp_path / "new"), **CHOICE)
    parts = sum(facts[tower] for tower in ("vision", "connector", "lm"))
    assert parts == facts["parameters"] == facts["total"]
    model: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "new")
    assert sum(p.numel() for p in model.parameters()) == facts["parameters"]
    record = read_record(tmp_path / "new")
    assert record["profile"]["pixel"]["tokens_per_tile"] == 1  # 4 × 4 patches, 4 merged an edge
    assert json.loads((tmp_path / "new" / "config.json").read_text())["scale_factor"] == 4


def test_a_folder_in_use_and_parts_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="not empty; name a new folder"):
        build_to(str(tmp_path), **CHOICE)
    with pytest.raises(UsageError, match="a file; name a new folder"):
        build_to(str(tmp_path / "file"), **CHOICE)
    with pytest.raises(UsageError, match="build: give one of: preset"):
        build_to(str(tmp_path / "new"), **{**CHOICE, "preset": "nano"})
    with pytest.raises(UsageError, match="shuffle 3 does not divide"):
        build_to(str(tmp_path / "new"), **{**CHOICE, "shuffle": 3})
    assert not (tmp_path / "new").exists()

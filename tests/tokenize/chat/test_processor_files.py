"""The files next to a checkpoint's weights: transformers reads them; other profiles are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smolmix.errors import UsageError
from smolmix.profiles import PIXEL_PRESETS, profile
from smolmix.tokenize.chat import processor_files


def test_checkpoint_files_read_back_as_the_released_ones(tmp_path: Path) -> None:
    from transformers import AutoTokenizer
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    for preset, pixel in PIXEL_PRESETS.items():
        processor_files.write(tmp_path / preset, profile(preset))
        images: Any = SmolVLMImageProcessorPil.from_pretrained(tmp_path / preset)
        assert images.size.longest_edge == pixel.longest_edge_px
        assert images.max_image_size["longest_edge"] == pixel.tile_px
        read = AutoTokenizer.from_pretrained(tmp_path / preset)
        assert (read.pad_token_id, read.eos_token_id, read.bos_token_id) == (2, 49279, 1)
        assert read.image_token == "<image>"
        assert read.chat_template == processor_files.CHAT_TEMPLATE
        assert len(read) == 49_280


def test_a_checkpoint_of_another_profile_is_refused(tmp_path: Path) -> None:
    processor_files.write(tmp_path, profile("256m"))
    processor_files.check(tmp_path, profile("256m"))
    processor_files.check(tmp_path, profile("500m"))
    with pytest.raises(UsageError, match="image_seq_len is 64"):
        processor_files.check(tmp_path, profile("2.2b"))


def test_every_named_file_is_written_and_valid(tmp_path: Path) -> None:
    names = processor_files.write(tmp_path / "made" / "here", profile("256m"))
    assert names == sorted(p.name for p in (tmp_path / "made" / "here").iterdir())
    read = [
        json.loads((tmp_path / "made" / "here" / n).read_text())
        for n in names
        if n.endswith("json")
    ]
    assert len(read) == 8
    template = (tmp_path / "made" / "here" / "chat_template.jinja").read_text()
    assert template == processor_files.CHAT_TEMPLATE


def test_sizes_and_sampling_are_the_profiles() -> None:
    pixel = replace(PIXEL_PRESETS["256m"], split=False, fps=2.0)
    images, clips = processor_files.image_processor(pixel), processor_files.video_processor(pixel)
    assert images["size"] == {"longest_edge": 2048}
    assert images["max_image_size"] == {"longest_edge": 512}
    assert images["do_image_splitting"] is False
    assert clips["size"] == {"longest_edge": 512}  # frames are never split
    assert (clips["fps"], clips["num_frames"]) == (2.0, pixel.max_frames)
    assert "do_image_splitting" not in clips


def test_a_processor_in_transformers_5_files_is_compared_too(tmp_path: Path) -> None:
    processor_files.write(tmp_path, profile("256m"))
    path = tmp_path / "processor_config.json"
    nested = json.loads(path.read_text()) | {"image_processor": {"size": {"longest_edge": 1024}}}
    path.write_text(json.dumps(nested))
    with pytest.raises(UsageError, match="size is 1024; profile 256m has 2048"):
        processor_files.check(tmp_path, profile("256m"))

"""The vocabulary: SmolLM2's, SmolVLM's 128 added tokens at the released ids, from anywhere."""

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

from smolmix.errors import DataError, UsageError
from smolmix.profiles import PIXEL_PRESETS, profile
from smolmix.tokenize.chat import processor_files, special, tokenizer
from smolmix.tokenize.chat.tokenizer import Vocabulary


def test_special_tokens_have_the_released_ids(vocabulary: Vocabulary) -> None:
    anchors = {
        "<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<global-img>": 49152,
        "<row_1_col_1>": 49153, "<row_6_col_6>": 49188, "<fake_token_around_image>": 49189,
        "<image>": 49190, "<end_of_utterance>": 49279,
    }  # fmt: skip
    assert len(vocabulary) == 49_280
    assert len(special.ADDED) == 128
    for token, number in anchors.items():
        assert vocabulary.full.token_to_id(token) == number


def test_digits_stand_alone_and_apart_from_the_spaces_before_them(vocabulary: Vocabulary) -> None:
    tokens = [vocabulary.decode([i]) for i in vocabulary.encode("in  2024, x12")]
    assert tokens == ["in", "  ", "2", "0", "2", "4", ",", " x", "1", "2"]


def test_the_released_system_turn_is_forty_tokens(vocabulary: Vocabulary) -> None:
    from smolmix.tokenize.chat.render import RELEASED_SYSTEM

    text = f"<|im_start|>System: {RELEASED_SYSTEM}<end_of_utterance>\n"
    assert len(vocabulary.full.encode(text, add_special_tokens=False).ids) == 40


def test_a_folder_gives_the_same_vocabulary(vocabulary: Vocabulary, tmp_path: Path) -> None:
    processor_files.write(tmp_path, profile("256m"))
    again = tokenizer.load(str(tmp_path))
    text = "One  2 three\n\n<image> 東京"
    assert again.digest == vocabulary.digest
    assert again.encode(text) == vocabulary.encode(text)


def test_a_plain_smollm2_tokenizer_is_given_the_added_tokens(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    tokenizer._from_gguf(tokenizer._packaged_gguf()).save(str(tmp_path / "tokenizer.json"))
    assert tokenizer.load(str(tmp_path)).digest == vocabulary.digest


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    Tokenizer(models.BPE({"a": 0, "b": 1}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="49152"):
        tokenizer.load(str(tmp_path))
    with pytest.raises(UsageError, match=r"tokenizer\.json"):
        tokenizer.load(str(tmp_path.parent))
    with pytest.raises(UsageError, match="no such"):
        tokenizer.load("no-such-thing")


def _load_digest(home: str) -> str:
    import os

    os.environ["XDG_CACHE_HOME"] = home
    return Vocabulary(tokenizer._default()).digest


def test_processes_that_convert_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        digests = pool.map(_load_digest, [str(tmp_path)] * 2)
    assert digests == [tokenizer.load().digest] * 2
    assert len(list((tmp_path / "smolmix").iterdir())) == 1


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

"""The vocabulary: SmolLM2's with SmolVLM's added tokens, the same from every source."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from smolmix.errors import DataError, UsageError
from smolmix.profiles import profile
from smolmix.tokenize.chat import processor_files, special, tokenizer
from smolmix.tokenize.chat.tokenizer import Vocabulary


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
    spec = json.loads(vocabulary.full.to_str())
    base = [t for t in spec["added_tokens"] if t["content"] not in special.ADDED]
    assert len(base) == len(spec["added_tokens"]) - 128
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec | {"added_tokens": base}))
    assert tokenizer.load(str(tmp_path)).digest == vocabulary.digest


def test_another_vocabulary_is_refused(tmp_path: Path) -> None:
    Tokenizer(models.BPE({"a": 0, "b": 1}, [])).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="49152"):
        tokenizer.load(str(tmp_path))
    with pytest.raises(UsageError, match=r"tokenizer\.json"):
        tokenizer.load(str(tmp_path.parent))
    with pytest.raises(UsageError, match="no such"):
        tokenizer.load("no-such-thing")


def test_processes_that_convert_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = "from smolmix.tokenize.chat import tokenizer; print(tokenizer.load().digest)"
    home = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=home, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    digests = [process.communicate(timeout=120)[0].strip() for process in started]
    assert digests == [tokenizer.load().digest] * 2
    assert len(list((tmp_path / "smolmix").iterdir())) == 1

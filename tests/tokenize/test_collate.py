"""Batches for the Hugging Face Trainer: joined without padding, and a SmolVLM learns from them."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, Trainer, TrainingArguments

from smolmix.engine.stage import RunOptions
from smolmix.errors import UsageError
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import Profile
from smolmix.tokenize.collate import collate, normalise
from smolmix.tokenize.loader import SequenceDataset
from smolmix.workspace import Workspace


def _tiny() -> SmolVLMForConditionalGeneration:
    config = SmolVLMConfig(
        image_token_id=49190,
        scale_factor=2,
        text_config={
            "model_type": "llama", "vocab_size": 49280, "hidden_size": 32, "num_hidden_layers": 1,
            "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2,
            "pad_token_id": 2, "max_position_embeddings": 1024,
        },
        vision_config={
            "image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 32,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    return SmolVLMForConditionalGeneration(config)


def item(tokens: int, tiles: int, groups: list[int]) -> dict[str, Any]:
    return {
        "input_ids": torch.arange(tokens),
        "labels": torch.full((tokens,), -100),
        "position_ids": torch.arange(tokens),
        "tiles": torch.full((tiles, 3, 2, 2), 255, dtype=torch.uint8),
        "tile_groups": torch.tensor(groups, dtype=torch.long),
    }


def test_sequences_are_joined_end_to_end_without_a_mask() -> None:
    batch = collate([item(3, 2, [1, 1]), item(2, 1, [1])])
    assert set(batch) == {"input_ids", "labels", "position_ids", "pixel_values", "use_cache"}
    assert batch["input_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]  # restarts at each document
    assert batch["labels"].shape == (1, 5)
    assert batch["pixel_values"].shape == (1, 3, 3, 2, 2)
    assert batch["pixel_values"].dtype == torch.float32
    assert not batch["use_cache"]


def test_text_alone_has_no_pixels() -> None:
    assert "pixel_values" not in collate([item(4, 0, [])])


def test_tiles_are_scaled_to_minus_one_to_one() -> None:
    tiles = torch.tensor([0, 127, 255], dtype=torch.uint8)
    assert normalise(tiles).tolist() == pytest.approx([-1, 127 / 127.5 - 1, 1])
    assert normalise(tiles, torch.bfloat16).dtype == torch.bfloat16


def test_averaged_frames_are_refused() -> None:
    with pytest.raises(UsageError, match="frame_average 1"):
        collate([item(4, 3, [2, 1])])


@pytest.mark.parametrize("rows", [1, 2])
def test_the_hugging_face_trainer_learns_from_the_sequences(
    filled: Workspace, nano: Profile, tmp_path: Path, rows: int
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    dataset = SequenceDataset(filled, made.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers' own, on a CPU
        trainer = Trainer(
            model=_tiny(),
            args=TrainingArguments(
                output_dir=str(tmp_path), max_steps=6, per_device_train_batch_size=rows,
                learning_rate=5e-3, report_to=[], use_cpu=True, disable_tqdm=True,
                logging_steps=1, remove_unused_columns=False, save_strategy="no",
            ),
            train_dataset=dataset,
            data_collator=collate,
        )  # fmt: skip
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(losses) == 6
    assert losses[-1] < losses[0]


def test_documents_of_a_packed_sequence_do_not_see_each_other_in_transformers(
    filled: Workspace, nano: Profile
) -> None:
    made = tokenize_mixture(filled, "m", nano, 512, options=RunOptions(quiet=True))
    dataset = SequenceDataset(filled, made.folder)
    item = next(i for i in (dataset[n] for n in range(len(dataset))) if len(i["corpora"]) > 2)
    model: Any = _tiny()
    model.train(False)
    first = int(item["boundaries"][1])
    with torch.no_grad():
        whole = collate([item, item])
        whole.pop("labels")
        before = model(**whole).logits[0, first:]
        whole["input_ids"][0, : first - 1][whole["input_ids"][0, : first - 1] != 49190] = 77
        after = model(**whole).logits[0, first:]
    assert torch.allclose(before, after, atol=1e-5)

"""The sequences train a SmolVLM with the Hugging Face Trainer, without the rest of smolmix."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, Trainer, TrainingArguments

from smolmix.engine.stage import RunOptions
from smolmix.pipelines.pretokenize.run import tokenize_mixture
from smolmix.profiles import Profile
from smolmix.tokenize.collate import collate
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

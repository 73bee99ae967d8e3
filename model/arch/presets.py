"""The sizes of SmolVLM as transformers configs, and a nano size for tests and the demo.

A preset is what a released checkpoint's `config.json` says, so a model built from one can
take the released weights, and `parameters` counts them without allocating any.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import LlamaConfig, SmolVLMConfig, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig

from smolmix.errors import UsageError, nearest
from smolmix.profiles import PixelProfile

VOCABULARY = 49_280  # SmolLM2's 49,152 entries and the 128 that SmolVLM adds
BOS_ID = 1  # <|im_start|>
PAD_ID = 2  # <|im_end|>
IMAGE_ID = 49_190  # <image>
EOS_ID = 49_279  # <end_of_utterance>


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionTower:
    """A SigLIP encoder without its pooling head."""

    name: str
    image_px: int
    patch_px: int
    hidden: int
    layers: int
    heads: int
    mlp: int
    initializer_range: float = 0.02
    nano: bool = False  # for tests, the demo and ablations; no released weights

    @property
    def patches(self) -> int:
        """Patches of one tile."""
        return (self.image_px // self.patch_px) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageModel:
    """A SmolLM2 decoder."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    rope_base: float
    context: int
    initializer_range: float = 0.02  # the connector's too
    nano: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPreset:
    """A vision tower, a language model, and the pixel shuffle between them."""

    name: str
    vision: VisionTower
    lm: LanguageModel
    shuffle: int  # patches merged along each edge into one token
    tied: bool = False  # the released heads are not tied to the embedding

    @property
    def tokens_per_tile(self) -> int:
        """Visual tokens of one tile."""
        return (self.vision.image_px // self.vision.patch_px // self.shuffle) ** 2


# Source: the released checkpoints' config.json; SigLIP's two sizes; SmolLM2's three.
SIGLIP_B = VisionTower(
    name="siglip-b16-512", image_px=512, patch_px=16, hidden=768, layers=12, heads=12, mlp=3072
)
SIGLIP_SO400M = VisionTower(
    name="siglip-so400m-14-384",
    image_px=384,
    patch_px=14,
    hidden=1152,
    layers=27,
    heads=16,
    mlp=4304,
)
# A tower so narrow is nearly linear at first with weights of 0.02, and so shallow with two layers:
# either way it told shapes apart after twice as many images (benchmarks/model/RESULTS.md).
SIGLIP_NANO = VisionTower(
    name="siglip-nano", image_px=32, patch_px=8, hidden=64, layers=4, heads=2, mlp=192,
    initializer_range=0.12, nano=True,
)  # fmt: skip
SIGLIP_NANO_L = replace(
    SIGLIP_NANO, name="siglip-nano-l", hidden=128, heads=4, mlp=384, initializer_range=0.08
)
SMOLLM2_135M = LanguageModel(
    name="smollm2-135m", hidden=576, layers=30, heads=9, kv_heads=3, mlp=1536,
    rope_base=100_000.0, context=8192,
)  # fmt: skip
SMOLLM2_360M = LanguageModel(
    name="smollm2-360m", hidden=960, layers=32, heads=15, kv_heads=5, mlp=2560,
    rope_base=100_000.0, context=8192,
)  # fmt: skip
SMOLLM2_1_7B = LanguageModel(
    name="smollm2-1.7b", hidden=2048, layers=24, heads=32, kv_heads=32, mlp=8192,
    rope_base=273_768.0, context=16_384,
)  # fmt: skip
LM_NANO = LanguageModel(
    name="smollm2-nano", hidden=128, layers=3, heads=4, kv_heads=4, mlp=384,
    rope_base=10_000.0, context=8192, initializer_range=0.04, nano=True,
)  # fmt: skip
LM_NANO_L = replace(
    LM_NANO, name="smollm2-nano-l", hidden=192, layers=4, heads=6, kv_heads=6, mlp=576
)

VISION_TOWERS = {t.name: t for t in (SIGLIP_B, SIGLIP_SO400M, SIGLIP_NANO, SIGLIP_NANO_L)}
LANGUAGE_MODELS = {
    m.name: m for m in (SMOLLM2_135M, SMOLLM2_360M, SMOLLM2_1_7B, LM_NANO, LM_NANO_L)
}

PRESETS: dict[str, ModelPreset] = {
    p.name: p
    for p in (
        ModelPreset(name="nano", vision=SIGLIP_NANO, lm=LM_NANO, shuffle=2, tied=True),
        ModelPreset(name="256m", vision=SIGLIP_B, lm=SMOLLM2_135M, shuffle=4),
        ModelPreset(name="500m", vision=SIGLIP_B, lm=SMOLLM2_360M, shuffle=4),
        ModelPreset(name="2.2b", vision=SIGLIP_SO400M, lm=SMOLLM2_1_7B, shuffle=3),
    )
}


def preset(name: str) -> ModelPreset:
    """Return the preset of that name.

    Raises:
        UsageError: no preset has that name.
    """
    if name not in PRESETS:
        raise UsageError(
            f"model preset {name!r} is unknown; known: {', '.join(PRESETS)}{nearest(name, PRESETS)}"
        )
    return PRESETS[name]


def pairing(vision: VisionTower, lm: LanguageModel, shuffle: int) -> ModelPreset:
    """Return the sizes of a pairing; what holds for the nano preset holds for all nano pairings.

    Raises:
        UsageError: the pixel shuffle does not divide the tile's patches.
    """
    side = vision.image_px // vision.patch_px
    if shuffle < 1 or side % shuffle:
        allowed = [str(n) for n in range(1, side + 1) if side % n == 0]
        raise UsageError(
            f"shuffle {shuffle} does not divide {vision.name}'s {side} patches per edge; "
            f"allowed: {', '.join(allowed)}"
        )
    return ModelPreset(
        name=f"{vision.name}+{lm.name}",
        vision=vision,
        lm=lm,
        shuffle=shuffle,
        tied=vision.nano and lm.nano,
    )


def check_fits(model: str, tile_px: int, tokens_per_tile: int, pixel: PixelProfile) -> None:
    """Refuse a pixel profile that makes other tiles, or other tokens of them, than the model.

    Raises:
        UsageError: they differ; the message says what the profile must be.
    """
    if (tile_px, tokens_per_tile) != (pixel.tile_px, pixel.tokens_per_tile):
        raise UsageError(
            f"model {model} makes {tokens_per_tile} tokens of a tile of {tile_px} px; profile "
            f"{pixel.name} has {pixel.tokens_per_tile} of {pixel.tile_px} px; give the profile "
            f"pixel: {{tile_px: {tile_px}, tokens_per_tile: {tokens_per_tile}}}, or the model "
            "another tower or shuffle"
        )


def config(preset: ModelPreset, *, rope_base: float | None = None) -> SmolVLMConfig:
    """Return the transformers config of a preset.

    Args:
        preset: the sizes.
        rope_base: another RoPE base than the preset's, for context extension.

    Raises:
        UsageError: the pixel shuffle does not divide the tile's patches.
    """
    vision, lm = preset.vision, preset.lm
    if (vision.image_px // vision.patch_px) % preset.shuffle:
        raise UsageError(
            f"{preset.name}: pixel shuffle {preset.shuffle} does not divide {vision.name}'s "
            f"{vision.image_px // vision.patch_px} patches per edge"
        )
    return SmolVLMConfig(
        text_config=LlamaConfig(
            vocab_size=VOCABULARY,
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
    """Return the number of parameters of each tower and in all, without allocating them."""
    with torch.device("meta"):
        model = SmolVLMForConditionalGeneration(config(preset))
    return count_parameters(model)


def count_parameters(model: Any) -> dict[str, int]:
    """Return a model's parameters: vision, connector, lm (with its head) and total."""
    counts = {"vision": 0, "connector": 0, "lm": 0}
    for name, parameter in model.named_parameters():
        counts[tower_of(name)] += parameter.numel()
    return {**counts, "total": sum(counts.values())}


def tower_of(parameter: str) -> str:
    """Return which tower a parameter belongs to: vision, connector or lm."""
    if ".vision_model." in parameter:
        return "vision"
    return "connector" if ".connector." in parameter else "lm"

"""The sizes of SmolVLM's towers and models, and a nano size for tests and the demo.

A preset has the sizes that a released checkpoint's `config.json` has, so a model built from one can
take the released weights. Imports neither torch nor transformers: recipes are checked against it.
"""

from dataclasses import dataclass, replace

from smolmix.errors import UsageError, nearest
from smolmix.profiles import PixelProfile
from smolmix.tokenize.chat import special

BOS_ID = special.IM_START_ID
PAD_ID = special.PAD_ID
IMAGE_ID = special.IMAGE_ID
EOS_ID = special.END_OF_UTTERANCE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionTower:
    """A SigLIP encoder without its pooling head."""

    name: str
    image_px: int  # edge of a tile
    patch_px: int  # edge of a patch
    hidden: int
    layers: int
    heads: int
    mlp: int
    initializer_range: float = 0.02  # standard deviation of random weights
    nano: bool = False  # for tests, the demo and ablations; no released weights

    @property
    def patches_per_edge(self) -> int:
        """Patches along one edge of a tile."""
        return self.image_px // self.patch_px


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
        return (self.vision.patches_per_edge // self.shuffle) ** 2


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
# With weights of 0.02 so narrow a tower starts out nearly linear, and with two layers it is too
# shallow: either way it needed twice as many images to tell shapes apart
# (benchmarks/model/RESULTS.md).
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
    """Return the sizes of a pairing. The head is tied to the embedding where both towers are nano.

    Raises:
        UsageError: the pixel shuffle does not divide the tile's patches.
    """
    side = vision.patches_per_edge
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
    """Refuse a pixel profile whose tiles, or visual tokens of a tile, are not the model's.

    Args:
        model: its name, for the message.
        tile_px: edge of a tile that the model takes.
        tokens_per_tile: visual tokens that the model makes of a tile.
        pixel: the profile.

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


def tower_of(parameter: str) -> str:
    """Return which tower a parameter belongs to: vision, connector or lm."""
    if ".vision_model." in parameter:
        return "vision"
    return "connector" if ".connector." in parameter else "lm"

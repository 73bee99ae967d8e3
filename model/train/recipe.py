"""Recipes: which model is trained on which mixtures, in which order, and how.

A recipe is a YAML file. Each stage starts from the weights that the stage before it ended with.
Unknown keys are refused, and a message names the file, the key and what is allowed. Imports no
torch, so that a typo is answered at once.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from smolmix.config import StrictModel, read_mapping, validated
from smolmix.errors import UsageError
from smolmix.model.arch.presets import check_fits
from smolmix.model.arch.spec import ModelSpec
from smolmix.profiles import Profile, ProfileChoice

RECIPES = Path(__file__).parent.parent / "recipes"
HOLDS = "a recipe has at least name, profile, model and stages"
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]


class Rates(StrictModel):
    """Peak learning rate of each part of the model.

    A rate of 0 freezes that part, and its backward pass is skipped.
    """

    vision: Rate
    """Peak rate of the vision tower."""

    connector: Rate
    """Peak rate of the connector between vision tower and language model."""

    lm: Rate
    """Peak rate of the language model."""

    embeddings: Rate | None = None
    """Peak rate of token embedding and output head. Not set: as `lm`."""


class Schedule(StrictModel):
    """How the learning rate rises and falls."""

    kind: Literal["cosine", "linear", "constant"] = "cosine"
    """Shape of the decay after the warm-up."""

    warmup: Share = 0.03
    """Share of the steps in which the rate rises to its peak."""

    floor: Share = 0.0
    """Rate at the last step, as a share of the peak."""


class Guards(StrictModel):
    """What to do when a step goes wrong."""

    nan: Literal["stop", "skip"] = "stop"
    """When loss or gradient is not finite: stop the run, or skip the step."""

    spike: Literal["stop", "skip", "off"] = "off"
    """When the gradient norm is unusually large: stop, skip the step, or ignore it."""

    spike_factor: Annotated[float, Field(gt=1)] = 10.0
    """A spike is a norm above this multiple of the running median."""

    window: Annotated[int, Field(ge=2)] = 64
    """Number of steps in that median."""

    patience: Annotated[int, Field(ge=1)] = 20
    """Stop anyway after more skipped steps in a row than this."""


class StageSpec(StrictModel):
    """One stage of training.

    Give either `steps` or `epochs`, and either `sequences_per_step` or `tokens_per_step`.
    """

    name: Name
    """Name of the stage."""

    mixture: str
    """Mixture to train on, by name or file."""

    sequence_tokens: Count
    """Length of a packed sequence, in tokens. The mixture must be tokenized at this length."""

    learning_rate: Rates
    """Peak learning rate of each part of the model."""

    steps: Count | None = None
    """Number of optimizer steps."""

    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the packed mixture; may be a fraction."""

    sequences_per_step: Count | None = None
    """Global batch: sequences in one step, over all ranks."""

    tokens_per_step: Count | None = None
    """Global batch in tokens, rounded down to sequences, at least one."""

    schedule: Schedule = Schedule()
    """How the learning rate rises and falls."""

    guards: Guards = Guards()
    """What to do when a step goes wrong."""

    rope_base: Annotated[float, Field(gt=0)] | None = None
    """Base of the rotary position embedding. Not set: the base of the checkpoint or preset."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """Optimizer. `muon` updates matrices; embeddings and vectors stay with AdamW."""

    weight_decay: Rate = 0.0
    """Weight decay, as in AdamW; vectors, norms and biases are not decayed."""

    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay rates of the first and second moment of AdamW."""

    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient; larger ones are scaled down to it."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`bf16`: autocast with fp32 weights. `auto`: bf16 on a GPU, fp32 on a CPU."""

    separate_documents: bool = True
    """Each packed sample attends only to itself. `false` lets it see the samples before it; for
    ablations."""

    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, more time."""

    checkpoint_every: Count = 250
    """Steps between two checkpoints."""

    keep: Count = 2
    """Number of latest checkpoints to keep."""

    note: str = ""
    """Where the numbers come from; not used."""

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

    def total_steps(self, sequences: int) -> int:
        """Return the stage's optimizer steps over a mixture of `sequences` packed sequences."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        passed = int(round(self.epochs * sequences, 6))  # 0.29 × 100 is 28.999999999999996
        return max(1, passed // self.global_batch)


class Recipe(StrictModel):
    """A training run from the first weights to the evaluation."""

    name: Name
    """Name of the run. Its folder is `runs/NAME`."""

    title: str = ""
    """One line about the run, shown in reports."""

    profile: ProfileChoice
    """Profile of all mixtures of the recipe: a preset, or a mapping."""

    model: ModelSpec
    """Where the first weights come from."""

    seed: int = 0
    """Seed of random weights and of the order of data."""

    threads: Count | None = None
    """CPU threads of torch. Not set: torch decides."""

    sharding: Literal["ddp", "fsdp"] = "ddp"
    """How several ranks share the model. `ddp`: each holds a full copy. `fsdp`: each holds a part
    of the weights; needs `optimizer: adamw`."""

    compiled: bool = False
    """Compile the layers when a run starts on a GPU. It takes half a minute and saves time and
    memory afterwards. Ignored on a CPU."""

    stages: Annotated[tuple[StageSpec, ...], Field(min_length=1)]
    """Stages of training, in order. Each starts from the weights the one before it ended with."""

    evaluate: tuple[str, ...] = ()
    """Corpora whose held-out questions are answered after training."""

    @model_validator(mode="after")
    def _names(self) -> Self:
        names = [s.name for s in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"stages share a name: {', '.join(names)}; each needs its own")
        return self

    @model_validator(mode="after")
    def _shards(self) -> Self:
        if self.sharding == "fsdp" and any(s.optimizer == "muon" for s in self.stages):
            raise ValueError(
                "sharding: fsdp goes with optimizer: adamw; muon needs complete matrices"
            )
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
        """Return the pixel and chat profile that every stage's mixture is tokenized with."""
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
    """Return the recipe that a parsed file holds.

    Args:
        value: the file's content.
        where: the file's name, for messages.

    Raises:
        UsageError: it is not a recipe; one line for each error.
    """
    return validated(Recipe, value, where)

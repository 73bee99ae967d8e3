"""What a mixture's YAML may say: components, shares, caps, total, seed, profile.

A number may be written as it is, or with its source as
`{value: 0.14, source: "arXiv 2504.05299 §4.1"}`; `smolmix.mixtures.spec.load` removes sources
before this model sees the file. A percentage may be written `14 %`.
"""

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from smolmix.config import StrictModel
from smolmix.mixtures.spec import conditions
from smolmix.profiles import ProfileChoice
from smolmix.sample import Cot, Modality

Unit = Literal["samples", "tokens", "text_tokens", "visual_tokens", "supervised_tokens"]
UNITS: tuple[Unit, ...] = (
    "samples",
    "tokens",
    "text_tokens",
    "visual_tokens",
    "supervised_tokens",
)
Rule = Literal["hash", "first", "end", "random"]
FAMILIES = ("component", "corpus", "subset", "modality", "category", "cot", "licence", "language")
VALUES = {"modality": get_args(Modality), "cot": get_args(Cot)}  # of families with fixed values
ROUNDED = 1e-3  # fixed shares that miss 1 by at most this were written rounded
DEFAULT_BUCKETS = (30.0, 60.0, 120.0, 180.0, 300.0, 600.0)


def _fraction(value: Any) -> Any:
    """Return 0.14 for `14 %`, and anything else unchanged."""
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return float(value.strip()[:-1]) / 100
        except ValueError as error:
            raise ValueError("a percentage is a number and a percent sign, as in 14 %") from error
    return value


def _share(value: Any) -> Any:
    value = _fraction(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("a share is a number between 0 and 1, or a percentage")
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError("a share is between 0 and 1")
    return float(value)


def _condition(value: Any) -> conditions.Condition:
    if isinstance(value, conditions.Condition):
        return value
    return conditions.parse(str(value))


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Share = Annotated[float, BeforeValidator(_share)]
Conditions = Annotated[
    tuple[Annotated[conditions.Condition, BeforeValidator(_condition)], ...],
    BeforeValidator(_listed),
]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class SpecModel(StrictModel):
    """A part of a spec; each may say where its numbers are from."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    source: str = ""  # where the numbers are from


class Bounds(SpecModel):
    """A share: fixed, or between `min` and `max`; a single number fixes it."""

    min: Share = 0.0
    max: Share = 1.0
    unit: Unit | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, dict | Bounds):
            return value
        share = _share(value)
        return {"min": share, "max": share}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Cap(SpecModel):
    """A share of samples that no prefix of the mixture exceeds; a single number is the maximum."""

    min: Share = 0.0
    max: Share = 1.0

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Cap) else {"max": _share(value)}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Take(SpecModel):
    """How much of a component is used: all of it, a number of samples, or a percentage."""

    samples: int | None = None
    percent: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, dict | Take):
            return value
        if value == "all":
            return {"percent": 100.0}
        if isinstance(value, str):
            fraction = _fraction(value)
            if isinstance(fraction, float) and math.isfinite(fraction) and fraction >= 0:
                return {"percent": float(value.strip()[:-1])}
        elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return {"samples": value}
        raise ValueError("take is 'all', a number of samples, or a percentage such as 76.05 %")

    def count(self, available: int) -> int:
        """Return how many samples that is; a percentage is rounded up, as the released code does.

        Source: huggingface/smollm vision/smolvlm2 dataset.py (`math.ceil` of the percentage).
        """
        if self.samples is not None:
            return self.samples
        assert self.percent is not None
        return max(math.ceil(available * self.percent / 100), min(available, 1))


class Declared(SpecModel):
    """What is known of a component before it is curated; token counts are means per sample."""

    samples: Annotated[int | None, Field(ge=0)] = None
    text_tokens: Annotated[float | None, Field(ge=0)] = None
    visual_tokens: Annotated[float | None, Field(ge=0)] = None
    supervised_tokens: Annotated[float | None, Field(ge=0)] = None
    duration_s: Annotated[float | None, Field(ge=0)] = None
    durations: dict[float, Share] = {}  # upper end of a bucket in seconds -> share of the samples
    bytes_on_disk: Annotated[float | None, Field(ge=0)] = None  # of the raw files, all of them
    cot: Share | None = None  # share of the samples with declared chain of thought
    assumed: Names = ()  # which of the numbers above are assumptions


class Component(SpecModel):
    """One source of samples."""

    corpus: str
    subset: Names = ()
    where: Conditions = ()
    take: Take | None = None
    rule: Rule = "hash"
    flexible: bool = False  # `take` is an upper bound
    share: Bounds | None = None
    epochs: Annotated[int | None, Field(ge=1)] = None
    modality: Modality | None = None  # used until the corpus is curated
    category: str | None = None  # label of all its samples, in place of their own
    licence: str | None = None  # used until the corpus is curated
    declared: Declared = Declared()
    unpublished: str = ""  # reason the data are not public
    note: str = ""

    @model_validator(mode="after")
    def _take_or_share(self) -> Self:
        if self.take is not None and self.share is not None and not self.flexible:
            raise ValueError("take and share are both set; a component has one or neither")
        if self.flexible and self.take is None:
            raise ValueError("flexible is set without take; set take to the most that may be used")
        if self.rule != "hash" and self.take is None:
            raise ValueError(f"rule is {self.rule!r} without take; set how much to take")
        return self


class Duration(SpecModel):
    """Length of videos: none above `max`, the mean within `within` of `mean`."""

    max: Annotated[float, Field(gt=0)] = math.inf
    mean: Annotated[float | None, Field(gt=0)] = None
    within: Annotated[float | None, Field(gt=0)] = (
        None  # seconds; one hundredth of the mean where not set
    )
    buckets: tuple[float, ...] = DEFAULT_BUCKETS

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(
                "buckets are not in rising order; write their upper ends in rising order"
            )
        if self.mean is not None and self.mean > self.max:
            raise ValueError(f"mean {self.mean:g} s is above max {self.max:g} s")
        return self


class Caps(SpecModel):
    """Upper limits."""

    cot: Cap = Cap()  # chain of thought that was added: samples whose `cot` is "declared"
    cot_detected: Cap = Cap()  # chain of thought found in other samples; off by default
    epochs: Annotated[int, Field(ge=1)] = 1
    duration_s: Duration = Duration()
    tokens_per_sample: Annotated[int | None, Field(ge=1)] = None


class Total(SpecModel):
    """How large the mixture is; as large as possible where neither key is set."""

    samples: Annotated[int | None, Field(ge=1)] = None
    tokens: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if isinstance(value, dict | Total):
            return value
        if value == "max":
            return {}
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return {"samples": value}
        raise ValueError("total is 'max', a number of samples, {samples: N} or {tokens: N}")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.samples is not None and self.tokens is not None:
            raise ValueError("samples and tokens are both set; a total has one")
        return self


class Spec(SpecModel):
    """A mixture."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    about: str = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    profile: ProfileChoice = ProfileChoice()  # whose counts the mixture is solved on
    unit: Unit = "samples"
    total: Total = Total()
    where: Conditions = ()
    components: dict[str, Component] = Field(min_length=1)
    shares: dict[str, dict[str, Bounds]] = {}
    caps: Caps = Caps()

    def epochs(self, component: str) -> int:
        """Return how often a sample of the component may be used."""
        return self.components[component].epochs or self.caps.epochs

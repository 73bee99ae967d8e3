"""The base class of all rules, and what a rule sees of a sample."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, dataclass_transform

from smolmix.pipelines.curate.measure.media_features import MediaFeatures
from smolmix.sample import Media, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSample:
    """A sample with its measures, the features of its media, and its scores by models."""

    sample: Sample
    features: Mapping[str, MediaFeatures] = field(default_factory=dict)  # by digest of the medium
    scores: Mapping[str, float] = field(default_factory=dict)  # by scorer

    @property
    def media(self) -> tuple[Media, ...]:
        """The media that are fetched; those known by name only are skipped."""
        return tuple(m for m in self.sample.media if not m.names)

    def features_of(self, media: Media) -> MediaFeatures | None:
        """Return the medium's features; None where its bytes could not be read."""
        return self.features.get(media.digest)

    def is_document(self) -> bool:
        """Whether the sample is plain text for language modelling: one assistant turn alone."""
        return len(self.sample.turns) == 1 and self.sample.turns[0].role == "assistant"


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Rule(ABC):
    """One test that a sample must pass, with its thresholds.

    A rule is a subclass with a `name`, which policies use and which is also the reason written
    with each sample it drops. Annotated fields are its thresholds. The first line of its docstring
    says what is true of a sample that passes. Defining the class registers it.
    """

    name: ClassVar[str] = ""  # a class without a name is a base of others

    def __init_subclass__(cls, **more: Any) -> None:
        """Make the subclass a frozen dataclass and register it.

        Raises:
            TypeError: another rule has its name.
        """
        super().__init_subclass__(**more)
        dataclass(frozen=True, kw_only=True)(cls)
        if not cls.name:
            return
        other = RULES.get(cls.name)
        if other is not None and other.__qualname__ != cls.__qualname__:
            raise TypeError(f"two rules are named {cls.name}: {other.__name__}, {cls.__name__}")
        RULES[cls.name] = cls

    @abstractmethod
    def problem(self, measured: MeasuredSample) -> str | None:
        """Return what is wrong with the sample, or None where it passes."""


RULES: dict[str, type[Rule]] = {}


class MediaError(Rule):
    """The base of the rules on media that cannot be read: one rule for each kind of error."""

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the detail of the first such error."""
        for error in measured.sample.errors:
            reason, _, detail = error.partition(":")
            if reason == self.name:
                return detail.strip() or reason
        return None

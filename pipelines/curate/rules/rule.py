"""What a rule sees of a sample: the measured sample, and the features of its media."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from smolmix.pipelines.curate.measure.media_features import MediaFeatures
from smolmix.sample import Media, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A measured sample and the features of its media by digest."""

    sample: Sample
    features: Mapping[str, MediaFeatures]
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


class Rule(Protocol):
    """One named test with its thresholds. Implementations are frozen dataclasses."""

    name: ClassVar[str]  # also the reason written beside what it drops

    def why(self, view: View) -> str | None:
        """Return what is wrong, or None where the sample passes."""
        ...

"""Rules on images: size, shape, content."""

from dataclasses import dataclass
from typing import ClassVar

from smolmix.pipelines.curate.rules.rule import Rule, View

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTiny:
    """Both edges are long enough to show something."""

    name: ClassVar[str] = "image-tiny"
    min_edge_px: int

    def why(self, view: View) -> str | None:
        """Return the size of the first tiny image."""
        for m in view.media:
            if m.kind == "image" and min(m.width, m.height) < self.min_edge_px:
                return f"{m.width}×{m.height}, at least {self.min_edge_px} px an edge"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAspect:
    """The longer edge is at most so many times the shorter."""

    name: ClassVar[str] = "image-aspect"
    max_ratio: float

    def why(self, view: View) -> str | None:
        """Return the size of the first sliver."""
        for m in view.media:
            short, long = sorted((m.width, m.height))
            if m.kind == "image" and short and long > self.max_ratio * short:
                return f"{m.width}×{m.height}, at most {self.max_ratio:g} to 1"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBlank:
    """No image is one flat colour."""

    name: ClassVar[str] = "image-blank"
    max_spread_levels: int  # of 255, between the darkest and the lightest of any channel

    def why(self, view: View) -> str | None:
        """Return the spread of the first blank image."""
        for m in view.media:
            found = view.features_of(m) if m.kind == "image" else None
            if found and not found.error and found.spread <= self.max_spread_levels:
                return f"{found.spread} levels from darkest to lightest"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageAnimated:
    """No image moves: training would see its first frame alone."""

    name: ClassVar[str] = "image-animated"
    max_frames: int = 1

    def why(self, view: View) -> str | None:
        """Return the frames of the first animation."""
        for m in view.media:
            found = view.features_of(m) if m.kind == "image" else None
            if found and found.animated > self.max_frames:
                return f"{found.animated} frames"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDeep:
    """No image has levels that the model's processor cuts off: it shows all above 255 as white.

    Of 16-bit grey and of whole numbers or fractions a pixel nothing is left but black and white.
    Colour of 16 bits is not among them: Pillow opens it as 8.
    """

    name: ClassVar[str] = "image-deep"

    def why(self, view: View) -> str | None:
        """Return the mode of the first such image."""
        for m in view.media:
            found = view.features_of(m) if m.kind == "image" else None
            if found and found.mode in _DEEP:
                return f"mode {found.mode}, over 8 bits a pixel of grey"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyImages:
    """A sample shows at most so many media."""

    name: ClassVar[str] = "too-many-images"
    max_images: int

    def why(self, view: View) -> str | None:
        """Return how many there are."""
        count = len(view.sample.media)
        return f"{count} images, at most {self.max_images}" if count > self.max_images else None


RULES: tuple[type[Rule], ...] = (
    ImageTiny,
    ImageAspect,
    ImageBlank,
    ImageAnimated,
    ImageDeep,
    TooManyImages,
)

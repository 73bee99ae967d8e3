"""Rules on images: errors, size, shape, content."""

from smolmix.pipelines.curate.rules.rule import MeasuredSample, MediaError, Rule

_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


class ImageMissing(MediaError):
    """The image's file, row or archive member exists."""

    name = "image-missing"


class ImageEmpty(MediaError):
    """The image has more than 0 bytes."""

    name = "image-empty"


class ImageNotAnImage(MediaError):
    """The bytes are in an image format: not HTML, text, an archive or a video."""

    name = "image-not-an-image"


class ImageTruncated(MediaError):
    """The image's file is complete."""

    name = "image-truncated"


class ImageCorrupt(MediaError):
    """The image can be decoded, and its checksums are right."""

    name = "image-corrupt"


class ImageBomb(MediaError):
    """The image is not larger than Pillow's decompression-bomb limit (89 Mpx)."""

    name = "image-bomb"


class ImageTiny(Rule):
    """Both edges are at least `min_edge_px` long."""

    name = "image-tiny"
    min_edge_px: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the size of the first tiny image."""
        for m in measured.media:
            if m.kind == "image" and min(m.width, m.height) < self.min_edge_px:
                return f"{m.width}×{m.height}, at least {self.min_edge_px} px an edge"
        return None


class ImageAspect(Rule):
    """The longer edge is at most `max_ratio` times the shorter."""

    name = "image-aspect"
    max_ratio: float

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the size of the first image that is too long."""
        for m in measured.media:
            short, long = sorted((m.width, m.height))
            if m.kind == "image" and short and long > self.max_ratio * short:
                return f"{m.width}×{m.height}, at most {self.max_ratio:g} to 1"
        return None


class ImageBlank(Rule):
    """No image is one flat colour."""

    name = "image-blank"
    max_spread_levels: int  # of 255, between the darkest and the lightest of any channel

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the spread of the first blank image."""
        for m in measured.media:
            found = measured.features_of(m) if m.kind == "image" else None
            if found and not found.error and found.spread <= self.max_spread_levels:
                return f"{found.spread} levels from darkest to lightest"
        return None


class ImageAnimated(Rule):
    """No image is animated: training would show only its first frame."""

    name = "image-animated"
    max_frames: int = 1

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the frames of the first animation."""
        for m in measured.media:
            found = measured.features_of(m) if m.kind == "image" else None
            if found and found.animated > self.max_frames:
                return f"{found.animated} frames"
        return None


class ImageDeep(Rule):
    """No image has more than 8 bits of grey a pixel.

    The model's processor shows every level above 255 as white, so only black and white are left.
    16-bit colour is no problem: Pillow opens it as 8-bit.
    """

    name = "image-deep"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the mode of the first such image."""
        for m in measured.media:
            found = measured.features_of(m) if m.kind == "image" else None
            if found and found.mode in _DEEP:
                return f"mode {found.mode}, over 8 bits a pixel of grey"
        return None


class TooManyImages(Rule):
    """A sample has at most `max_images` media."""

    name = "too-many-images"
    max_images: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return how many there are."""
        count = len(measured.sample.media)
        return f"{count} images, at most {self.max_images}" if count > self.max_images else None

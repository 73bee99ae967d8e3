"""Rules on videos: duration, frame rate, size, content."""

from dataclasses import dataclass
from typing import ClassVar

from smolmix.pipelines.curate.rules.rule import Rule, View


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoDuration:
    """Each clip's length is within bounds."""

    name: ClassVar[str] = "video-duration"
    min_s: float
    max_s: float

    def why(self, view: View) -> str | None:
        """Return the length of the first clip out of bounds."""
        for m in view.media:
            if m.kind != "image" and not self.min_s <= m.duration_s <= self.max_s:
                return f"{m.duration_s:.2f} s, between {self.min_s:g} and {self.max_s:g}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRate:
    """Each clip's frame rate is one a camera or an editor would give."""

    name: ClassVar[str] = "video-rate"
    min_fps: float
    max_fps: float

    def why(self, view: View) -> str | None:
        """Return the rate of the first clip out of bounds."""
        for m in view.media:
            if m.kind == "video" and not self.min_fps <= m.fps <= self.max_fps:
                return f"{m.fps:.3g} frames/s, between {self.min_fps:g} and {self.max_fps:g}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoTiny:
    """Both edges are long enough to show something."""

    name: ClassVar[str] = "video-tiny"
    min_edge_px: int

    def why(self, view: View) -> str | None:
        """Return the size of the first tiny clip."""
        for m in view.media:
            if m.kind != "image" and min(m.width, m.height) < self.min_edge_px:
                return f"{m.width}×{m.height}, at least {self.min_edge_px} px an edge"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStatic:
    """Something moves between the sampled frames."""

    name: ClassVar[str] = "video-static"
    min_motion_levels: float  # mean grey difference of 64×64 frames, the largest of 7

    def why(self, view: View) -> str | None:
        """Return how little moves in the first still clip."""
        for m in view.media:
            found = view.features_of(m) if m.kind != "image" else None
            if found and not found.error and m.frames > 1 and found.motion < self.min_motion_levels:
                return f"{found.motion:.3f} levels of change, at least {self.min_motion_levels:g}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoBlack:
    """Some sampled frame shows something: it is not dark all over, nor flat."""

    name: ClassVar[str] = "video-black"
    min_level: float  # mean grey of the brightest frame, 0 to 255
    min_spread_levels: int

    def why(self, view: View) -> str | None:
        """Return the brightness of the first black clip."""
        for m in view.media:
            found = view.features_of(m) if m.kind != "image" else None
            if found is None or found.error:
                continue
            if found.spread < self.min_spread_levels and found.level < self.min_level:
                return f"mean level {found.level:.1f}, {found.spread} levels from dark to light"
        return None


RULES: tuple[type[Rule], ...] = (VideoDuration, VideoRate, VideoTiny, VideoStatic, VideoBlack)

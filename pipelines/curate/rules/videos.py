"""Rules on clips: errors, duration, frame rate, size, content."""

from smolmix.pipelines.curate.rules.rule import MeasuredSample, MediaError, Rule


class VideoMissing(MediaError):
    """The clip's file, row or archive member exists."""

    name = "video-missing"


class VideoEmpty(MediaError):
    """The clip has more than 0 bytes."""

    name = "video-empty"


class VideoNotAVideo(MediaError):
    """The bytes are in a video format: not HTML, text, an archive or an image."""

    name = "video-not-a-video"


class VideoNoPicture(MediaError):
    """The clip has a video stream, not only audio or a cover picture."""

    name = "video-no-picture"


class VideoNoFrames(MediaError):
    """The video stream has at least one frame."""

    name = "video-no-frames"


class VideoTruncated(MediaError):
    """The clip has the frames and the length that its header gives."""

    name = "video-truncated"


class VideoCorrupt(MediaError):
    """The clip can be decoded from start to end."""

    name = "video-corrupt"


class VideoDuration(Rule):
    """Each clip's duration is within bounds."""

    name = "video-duration"
    min_s: float
    max_s: float

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the length of the first clip out of bounds."""
        for m in measured.media:
            if m.kind != "image" and not self.min_s <= m.duration_s <= self.max_s:
                return f"{m.duration_s:.2f} s, between {self.min_s:g} and {self.max_s:g}"
        return None


class VideoRate(Rule):
    """Each clip's frame rate is within bounds."""

    name = "video-rate"
    min_fps: float
    max_fps: float

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the rate of the first clip out of bounds."""
        for m in measured.media:
            if m.kind == "video" and not self.min_fps <= m.fps <= self.max_fps:
                return f"{m.fps:.3g} frames/s, between {self.min_fps:g} and {self.max_fps:g}"
        return None


class VideoTiny(Rule):
    """Both edges are at least `min_edge_px` long."""

    name = "video-tiny"
    min_edge_px: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the size of the first tiny clip."""
        for m in measured.media:
            if m.kind != "image" and min(m.width, m.height) < self.min_edge_px:
                return f"{m.width}×{m.height}, at least {self.min_edge_px} px an edge"
        return None


class VideoHdr(Rule):
    """No clip is in high dynamic range (PQ or HLG), which is shown pale without tone mapping.

    Decoders and the model's processor take its levels for those of ordinary video.
    """

    name = "video-hdr"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the transfer function of the first such clip."""
        for m in measured.media:
            found = measured.features_of(m) if m.kind == "video" else None
            if found and found.mode in ("PQ", "HLG"):
                return f"transfer function {found.mode}; convert it to BT.709"
        return None


class VideoStatic(Rule):
    """Something moves between the sampled frames."""

    name = "video-static"
    min_motion_levels: float  # mean grey difference of 64×64 frames, the largest of 7

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return how little moves in the first still clip."""
        for m in measured.media:
            found = measured.features_of(m) if m.kind != "image" else None
            if found and not found.error and m.frames > 1 and found.motion < self.min_motion_levels:
                return f"{found.motion:.3f} levels of change, at least {self.min_motion_levels:g}"
        return None


class VideoBlack(Rule):
    """At least one sampled frame is neither dark nor of one flat colour."""

    name = "video-black"
    min_level: float  # mean grey of the brightest frame, 0 to 255
    min_spread_levels: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the brightness of the first black clip."""
        for m in measured.media:
            found = measured.features_of(m) if m.kind != "image" else None
            if found is None or found.error:
                continue
            if found.spread < self.min_spread_levels and found.level < self.min_level:
                return f"mean level {found.level:.1f}, {found.spread} levels from dark to light"
        return None

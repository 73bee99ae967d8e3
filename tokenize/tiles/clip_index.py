"""How many frames a video has and how fast it shows them, from its packets; nothing is decoded."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

# What PyAV raises on damaged files, by observation.
AV_ERRORS = (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError, MemoryError)

_RATE_GAP = 0.1  # relative difference between the container's rate and that of its time stamps


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIndex:
    """Frames and timing of a video stream, by its packets."""

    packets: int
    frames: int  # that a player shows
    fps: float
    last_s: float  # time of the last shown frame

    @property
    def duration_s(self) -> float:
        """Seconds of the clip: frames / fps, as transformers computes it."""
        return self.frames / self.fps


def read_index(container: Any, stream: Any) -> ClipIndex:
    """Return the index of a video stream; of a damaged file, of the packets that can be read.

    Packets that an edit list hides are not counted: a clip that was cut out of another without
    re-encoding carries the frames before its first one, because the decoder needs them.

    Args:
        container: opened by PyAV, at its start.
        stream: its video stream.
    """
    packets = frames = 0
    stamps: list[float] = []
    try:
        for packet in container.demux(stream):
            if packet.size:
                packets += 1
                if packet.is_discard:
                    continue
                frames += 1
                if packet.pts is not None and packet.time_base:
                    stamps.append(float(packet.pts * packet.time_base))
    except AV_ERRORS:
        pass  # the packets before the damage count
    first, last = min(stamps, default=0.0), max(stamps, default=0.0)
    fps = _rate(stream, frames, last - first)
    return ClipIndex(packets=packets, frames=frames, fps=fps, last_s=max(last, 0.0))


def _rate(stream: Any, frames: int, shown_s: float) -> float:
    """Return frames per second: the container's rate, unless its time stamps contradict it.

    Matroska states a recorder's nominal rate, even where it recorded fewer frames.
    """
    rate: Fraction | None = stream.average_rate or stream.guessed_rate
    stamped = (frames - 1) / shown_s if frames > 1 and shown_s > 0 else 0.0
    if rate and rate > 0 and not (stamped and abs(float(rate) / stamped - 1) > _RATE_GAP):
        return float(rate)
    return stamped or 1.0

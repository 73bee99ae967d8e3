"""How many frames a video shows and how fast, by its packets alone: nothing is decoded."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

# What PyAV was seen to raise on damaged files.
AV_ERRORS = (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError, MemoryError)

_RATE_GAP = 0.1  # relative, between the rate a container states and that of its time stamps


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIndex:
    """What the packets of a video stream say."""

    packets: int
    frames: int  # those that are shown
    fps: float
    last_s: float  # when the last one is shown

    @property
    def duration_s(self) -> float:
        """Seconds of the clip: frames / fps, as transformers reckons it."""
        return self.frames / self.fps


def read_index(container: Any, stream: Any) -> ClipIndex:
    """Return what the stream's packets say; of a damaged file, those that can be read.

    An edit list hides the frames before the first one wanted: a clip cut out of another without
    encoding it anew carries them to decode from.

    Args:
        container: opened by PyAV, at its start.
        stream: of its pictures.
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
        pass  # what was read until then counts
    first, last = min(stamps, default=0.0), max(stamps, default=0.0)
    fps = _rate(stream, frames, last - first)
    return ClipIndex(packets=packets, frames=frames, fps=fps, last_s=max(last, 0.0))


def _rate(stream: Any, frames: int, shown_s: float) -> float:
    """Return frames per second: as the container says, unless its time stamps say otherwise.

    Matroska states the rate that a recorder aimed at, whatever the rate that it reached.
    """
    rate: Fraction | None = stream.average_rate or stream.guessed_rate
    stamped = (frames - 1) / shown_s if frames > 1 and shown_s > 0 else 0.0
    if rate and rate > 0 and not (stamped and abs(float(rate) / stamped - 1) > _RATE_GAP):
        return float(rate)
    return stamped or 1.0

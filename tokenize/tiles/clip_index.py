"""The shown frames of a video, their times, and whether its packets alone tell them.

Most clips are plain: every packet has a time stamp of its own and the first picture stands alone,
so that frames are listed without decoding and reached from any picture that stands alone. Of other
clips (transport streams, AVI, clips that begin between key frames, packets without a time stamp)
only a decoder that starts at the beginning knows the frames: they are decoded once to list them,
and counted again when they are read.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

import av
import av.stream

# What PyAV raises on damaged files, by observation.
AV_ERRORS = (av.FFmpegError, OSError, ValueError, ArithmeticError, LookupError, MemoryError)

_RATE_GAP = 0.1  # relative difference between the container's rate and that of its time stamps
_ROUNDING_S = 0.002  # Matroska and FLV round time stamps to milliseconds
_STAMPED = frozenset({"mp4", "matroska"})  # containers whose packets carry presentation times
_STILL = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff"})
_REORDERED = 16  # pictures that H.264 and HEVC may hold back: their largest picture buffer
# A longer step is a new clock: ffmpeg's -dts_delta_threshold for transport streams, and its
# -dts_error_threshold for the others.
_LONGEST_STEP_S = {True: 10.0, False: 30 * 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketList:
    """What the packets of a video stream say; nothing is decoded."""

    packets: int
    frames: int  # packets that no edit list hides
    stamps: tuple[int, ...]  # presentation times of those that have one, ascending
    starts: tuple[int, ...]  # presentation times of pictures that decoding can start at, ascending
    plain: bool  # the frames can be listed from packets, and reached from `starts`


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIndex:
    """Frames and timing of a video stream."""

    packets: int
    width: int  # of its frames as coded, in pixels
    height: int
    frames: int  # that a player shows
    fps: float
    last_s: float  # time of the last shown frame
    second_starts: tuple[int, ...] = ()  # see `Media.second_starts`

    @property
    def duration_s(self) -> float:
        """Seconds of the clip: frames / fps, as transformers computes it."""
        return self.frames / self.fps


def video_stream(container: Any) -> Any | None:
    """Return the stream that is the film, or None: cover pictures and previews are none."""
    cover = av.stream.Disposition.attached_pic
    films = [s for s in container.streams.video if not s.disposition & cover]
    moving = [s for s in films if s.codec_context.name not in _STILL]
    return next(iter(moving or films), None)


def list_packets(container: Any, stream: Any) -> PacketList:
    """Return what the packets say; of a damaged file, those before the damage.

    Packets that an edit list hides are not shown: a clip that was cut out of another without
    re-encoding carries the frames before its first one, because the decoder needs them.

    Args:
        container: opened by PyAV, at its start.
        stream: its video stream.
    """
    packets = frames = 0
    stamps: list[int] = []
    starts: list[int] = []
    plain = bool(_STAMPED.intersection(container.format.name.split(",")))
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            packets += 1
            alone = packet.is_keyframe and _stands_alone(packet, stream)
            if packets == 1:
                plain = plain and alone and packet.pts is not None
                first = packet.pts
            if not packet.is_discard:
                frames += 1
                if packet.pts is not None:
                    stamps.append(packet.pts)
                    # Pictures shown before the first one refer to pictures that are missing.
                    plain = plain and first <= packet.pts
            if alone and packet.pts is not None:
                starts.append(packet.pts)
    except AV_ERRORS:
        pass
    stamps.sort()
    plain = plain and len(stamps) == frames and all(a < b for a, b in pairwise(stamps))
    return PacketList(
        packets=packets,
        frames=frames,
        stamps=tuple(stamps),
        starts=tuple(sorted(starts)),
        plain=plain,
    )


def _stands_alone(packet: Any, stream: Any) -> bool:
    """Return whether decoding may start at this key packet.

    Containers call H.264's recovery points key frames too. With periodic intra refresh, pictures
    are wrong for a while after one.
    """
    name = stream.codec_context.name
    if name not in ("h264", "hevc"):
        return True
    header = stream.codec_context.extradata or b""
    if name == "h264":
        length = (header[4] & 3) + 1 if len(header) > 4 and header[0] == 1 else 0
        return any(unit[0] & 31 == 5 for unit in _units(bytes(packet), length))  # IDR
    length = (header[21] & 3) + 1 if len(header) > 21 and header[0] == 1 else 0
    return any(16 <= unit[0] >> 1 & 63 <= 21 for unit in _units(bytes(packet), length))  # IRAP


def _units(data: bytes, length: int) -> Iterator[bytes]:
    """Yield the first byte of each NAL unit, after a length of so many bytes or a start code."""
    at = 0
    while length and at + length < len(data):
        yield data[at + length : at + length + 1]
        at += length + int.from_bytes(data[at : at + length], "big")
    while not length and (at := data.find(b"\0\0\1", at) + 3) > 2 and at < len(data):
        yield data[at : at + 1]


def decoded(data: bytes, *, threads: str) -> Iterator[Any]:
    """Yield the frames that a player shows of a video file, from its start.

    A packet that cannot be decoded is skipped; a container that cannot be read on ends. The file
    is opened for it: seeking to the start of a transport stream may lose its first frames.

    Args:
        data: a video file.
        threads: "NONE" or "AUTO"; threads may change what is shown of a damaged clip.
    """
    with av.open(io.BytesIO(data), "r", metadata_errors="ignore") as container:
        stream = video_stream(container)
        if stream is None:
            return
        stream.thread_type = threads
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except AV_ERRORS:
                packet = None
            with suppress(*AV_ERRORS):
                yield from stream.codec_context.decode(None) if packet is None else packet.decode()
            if packet is None:
                return


def read_index(data: bytes) -> ClipIndex | None:
    """Return the index of a video file, or None without a video stream.

    Of a damaged file, the index of what can be read. A clip that is not plain is decoded.

    Raises:
        AV_ERRORS: the file cannot be opened.
    """
    with av.open(io.BytesIO(data), "r") as container:
        stream = video_stream(container)
        if stream is None:
            return None
        listed = list_packets(container, stream)
        if listed.plain:
            return index_of_packets(listed, stream)
        stamps = [(frame.pts, frame.dts) for frame in decoded(data, threads="NONE")]
        return index_of_frames(listed, stamps, container, stream)


def index_of_packets(listed: PacketList, stream: Any) -> ClipIndex:
    """Return the index of a plain clip."""
    times = [float(stamp * stream.time_base) for stamp in listed.stamps]
    return _index(listed.packets, times, stream)


def index_of_frames(
    listed: PacketList,
    stamps: Sequence[tuple[int | None, int | None]],
    container: Any,
    stream: Any,
) -> ClipIndex:
    """Return the index of a clip that was decoded.

    Args:
        listed: its packets.
        stamps: presentation and decoding time of each frame, in the order of decoding.
        container: of the stream.
        stream: its video stream.
    """
    base = float(stream.time_base)
    longest = _LONGEST_STEP_S[container.format.name in ("mpegts", "mpeg")]
    shown = [pts * base for pts, _ in stamps if pts is not None]
    decoding = [dts * base for _, dts in stamps if dts is not None]
    for times in (shown, decoding):
        if len(times) == len(stamps) and all(0 < b - a <= longest for a, b in pairwise(times)):
            return _index(listed.packets, times, stream)
    if shown and len(shown) == len(stamps):
        return _index(listed.packets, _one_clock(shown, longest), stream)
    rate = float(stream.average_rate or stream.guessed_rate or 1)
    return _index(listed.packets, [i / rate for i in range(len(stamps))], stream)


def _one_clock(times: Sequence[float], longest_s: float) -> list[float]:
    """Return ascending times of a clip whose clock starts over, jumps, or is out of order.

    Recordings joined as files have a clock each; one follows the other after a usual step.
    """
    steps = [b - a for a, b in pairwise(times) if 0 < b - a <= longest_s]
    step = median(steps) if steps else 1.0
    parts = [[times[0]]]
    for time in times[1:]:
        ahead = time - parts[-1][-1]
        if time <= parts[-1][0] or ahead < -_REORDERED * step or ahead > longest_s:
            parts.append([time])
        else:
            parts[-1].append(time)
    out: list[float] = []
    for part in parts:
        part.sort()
        shift = out[-1] + step - part[0] if out else 0.0
        out += [time + shift for time in part]
    return out


def _index(packets: int, times: Sequence[float], stream: Any) -> ClipIndex:
    first, last = (times[0], times[-1]) if times else (0.0, 0.0)
    frames = len(times)
    stamped = (frames - 1) / (last - first) if frames > 1 and last > first else 0.0
    fps = _rate(stream, stamped)
    starts = _second_starts(times, fps)
    if starts and stamped:
        fps = stamped
    return ClipIndex(
        packets=packets,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        frames=frames,
        fps=fps,
        last_s=max(last, 0.0),
        second_starts=starts,
    )


def _rate(stream: Any, stamped: float) -> float:
    """Return frames per second: the container's rate, unless its time stamps contradict it.

    Matroska states a recorder's nominal rate, even where it recorded fewer frames.
    """
    rate: Fraction | None = stream.average_rate or stream.guessed_rate
    if rate and rate > 0 and not (stamped and abs(float(rate) / stamped - 1) > _RATE_GAP):
        return float(rate)
    return stamped or 1.0


def _second_starts(times: Sequence[float], fps: float) -> tuple[int, ...]:
    """Return the first frame at or after each second; nothing where index / fps says the same."""
    starts: list[int] = []
    even = True
    for frame, time in enumerate(times):
        own = time - times[0]
        if abs(own - frame / fps) > _ROUNDING_S:
            even = even and int(own + 1e-6) == int(frame / fps)
        while len(starts) < int(own + 1e-6):
            starts.append(frame)
    return () if even else tuple(starts)

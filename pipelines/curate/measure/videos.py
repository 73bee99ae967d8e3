"""Facts of one video: its index, and frames sampled from start to end."""

import io
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from PIL import Image

from smolmix.pipelines.curate.measure import structure
from smolmix.tokenize.tiles.clip_index import (
    AV_ERRORS,
    ClipIndex,
    PacketList,
    decoded,
    index_of_frames,
    index_of_packets,
    list_packets,
    video_stream,
)

_HIGH_RANGE = {16: "PQ", 18: "HLG"}  # transfer characteristics of ITU-T H.273, table 3
PROBES = 8  # frames sampled, first and last included
DECODE_PX = 256
_INTERLEAVED_S = 2.0  # packets of the streams of a file lie closer together than that
_COMPLETE = 0.95  # a file with fewer of the frames, or seconds, its header names is truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What a video's bytes say. With an error, what follows it may be unset."""

    error: str = ""  # "video-truncated: ...": a reason, a colon, the detail
    format: str = ""  # codec
    mode: str = "RGB"  # of its pixels: RGB, or the transfer function PQ or HLG of high range
    width: int = 0  # as displayed, after rotation
    height: int = 0
    frames: int = 0
    fps: float = 0.0
    duration_s: float = 0.0  # frames / fps, as transformers computes it
    second_starts: tuple[int, ...] = ()  # see `Media.second_starts`
    sampled: tuple[Image.Image, ...] = ()  # RGB frames, longest edge at most `decode_px`


def _error(reason: str, detail: object) -> str:
    text = " ".join(str(detail).split())
    return f"video-{reason}: {text[:200]}"


def read_video(data: bytes, *, decode: bool = True, decode_px: int = DECODE_PX) -> VideoFacts:
    """Return the video's facts, with frames from start to end if `decode`.

    Never raises for what the bytes hold: an error says what is wrong.
    """
    if not data:
        return VideoFacts(error=_error("empty", "0 bytes"))
    try:
        container = av.open(io.BytesIO(data), metadata_errors="ignore")
    except AV_ERRORS as error:
        return VideoFacts(error=_unopened(data, error))
    with container:
        try:
            return _facts(container, data, decode_px if decode else 0)
        except AV_ERRORS as error:
            return VideoFacts(error=_error("corrupt", error))


def _unopened(data: bytes, error: Exception) -> str:
    kind = structure.looks_like(data)
    if kind == "mp4" and b"moov" not in data:
        return _error("truncated", "no moov box: the index of the file is missing")
    if kind in ("mp4", "matroska", "avi", "mpeg"):
        return _error("corrupt", f"a {kind} file that cannot be opened: {error}")
    return _error("not-a-video", f"{kind or 'unknown bytes'}, {len(data)} bytes")


def _facts(container: Any, data: bytes, decode_px: int) -> VideoFacts:
    name = container.format.name
    if not len(container.streams):
        return VideoFacts(error=_error("corrupt", f"a {name} file without any stream"))
    if not container.streams.video:
        return VideoFacts(error=_error("no-picture", f"a {name} file without a video stream"))
    if any(n in name for n in ("image2", "_pipe", "gif", "ico")) or name in ("tty", "apng"):
        return VideoFacts(error=_error("not-a-video", f"a {name} file"))
    stream = video_stream(container)
    if stream is None:
        return VideoFacts(error=_error("no-picture", "only a cover picture"))
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        return VideoFacts(error=_error("corrupt", "no frame size in its header"))
    listed = list_packets(container, stream)
    if not listed.frames:
        return VideoFacts(error=_error("no-frames", "no packet of the video stream can be read"))
    shown = _Shown()
    if decode_px or not listed.plain:
        shown = _decode(data, listed, decode_px)
    if listed.plain and (not decode_px or shown.agrees(listed)):
        index = index_of_packets(listed, stream)
    else:
        index = index_of_frames(listed, shown.stamps, container, stream)
    known: dict[str, Any] = {
        "format": stream.codec_context.name,
        "mode": _HIGH_RANGE.get(stream.codec_context.color_trc, "RGB"),
        "width": width,
        "height": height,
        "frames": index.frames or listed.frames,
        "fps": index.fps,
        "duration_s": index.duration_s,
        "second_starts": index.second_starts,
    }
    if cut := _cut(container, stream, data, index):
        return VideoFacts(error=_error("truncated", cut), **known)
    if decode_px and len(shown.sampled) < 3 and listed.frames >= 3:
        found = f"{len(shown.sampled)} of {PROBES} frames from start to end can be decoded"
        return VideoFacts(error=_error("corrupt", found), **known)
    if lost := shown.lost(listed) if decode_px or not listed.plain else "":
        return VideoFacts(error=_error("corrupt", lost), **known)
    if shown.turned:
        known |= {"width": height, "height": width}
    return VideoFacts(sampled=tuple(shown.sampled), **known)


def _cut(container: Any, stream: Any, data: bytes, index: ClipIndex) -> str:
    """Return how the file ends before its header says, or an empty string."""
    step = 1 / index.fps
    end = index.last_s + step
    length = float(stream.duration * stream.time_base) if stream.duration else 0.0
    # AVI counts the frames that a recorder dropped too.
    dropped = container.format.name == "avi" and end >= _COMPLETE * length
    if stream.frames and index.packets < _COMPLETE * stream.frames and not dropped:
        return f"{index.packets} of {stream.frames} frames are present"
    length = float(container.duration / av.time_base) if container.duration else 0.0
    start = float(container.start_time / av.time_base) if container.start_time else 0.0

    def short(end: float) -> bool:
        return not stream.frames and length > 1 and end - start < _COMPLETE * length - max(1, step)

    # The container is as long as its longest stream: the film of a file whose sound goes on after
    # it is complete.
    if short(end) and short(last := _last_packet_s(data)) and last < end + _INTERLEAVED_S:
        return f"its frames end at {end - start:.1f} of {length:.1f} s"
    return ""


def _last_packet_s(data: bytes) -> float:
    """Return where the last packet of any stream ends, in seconds."""
    end = 0.0
    try:
        with av.open(io.BytesIO(data), "r", metadata_errors="ignore") as container:
            for packet in container.demux():
                if packet.size and packet.pts is not None and packet.time_base:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    except AV_ERRORS:
        pass  # the packets before the damage count
    return end


@dataclass(slots=True)
class _Shown:
    """What decoding a clip from its start gives."""

    stamps: list[tuple[int | None, int | None]] = field(default_factory=list)
    sampled: list[Image.Image] = field(default_factory=list)
    turned: bool = False  # by a quarter

    def agrees(self, listed: PacketList) -> bool:
        """Return whether exactly the listed frames are shown, in their order."""
        return [pts for pts, _ in self.stamps] == list(listed.stamps)

    def lost(self, listed: PacketList) -> str:
        """Return how many frames behind the first one cannot be decoded, if they are many.

        What a clip that begins between key frames has before the first one is not shown.
        """
        first = min((pts for pts, _ in self.stamps if pts is not None), default=0)
        wanted = sum(stamp >= first for stamp in listed.stamps)
        if len(self.stamps) < _COMPLETE * wanted:
            return f"{len(self.stamps)} of {wanted} frames can be decoded"
        return ""


def probes(frames: int) -> list[int]:
    """Return which of so many frames are sampled, first and last included."""
    return sorted({int(i) for i in np.linspace(0, frames - 1, PROBES)})


def _decode(data: bytes, listed: PacketList, decode_px: int) -> _Shown:
    """Return the time stamps of all frames, and pictures of some unless `decode_px` is 0."""
    wanted = probes(listed.frames) if decode_px else []
    shown, found = _Shown(), 0
    for index, frame in enumerate(decoded(data, threads="AUTO" if listed.plain else "NONE")):
        shown.stamps.append((frame.pts, frame.dts))
        shown.turned = shown.turned or frame.rotation % 180 != 0
        if found < len(wanted) and index >= wanted[found]:
            scale = min(1.0, decode_px / max(frame.width, frame.height))
            size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
            shown.sampled.append(frame.to_image(width=size[0], height=size[1]))
            found += 1
    return shown

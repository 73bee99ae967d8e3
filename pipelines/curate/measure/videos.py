"""Facts of one video: its index, and frames sampled from start to end."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from PIL import Image

from smolmix.pipelines.curate.measure import structure
from smolmix.tokenize.tiles.clip_index import AV_ERRORS, read_index

PROBES = 8  # frames sampled, first and last included
DECODE_PX = 256
_COMPLETE = 0.95  # a file with fewer of the frames, or seconds, its header names is truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What a video's bytes say. With a error, what follows it may be unset."""

    error: str = ""  # "video-truncated: ...": a reason, a colon, the detail
    format: str = ""  # codec
    width: int = 0  # as displayed, after rotation
    height: int = 0
    frames: int = 0
    fps: float = 0.0
    duration_s: float = 0.0  # frames / fps, as transformers computes it
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
            return _facts(container, decode_px if decode else 0)
        except AV_ERRORS as error:
            return VideoFacts(error=_error("corrupt", error))


def _unopened(data: bytes, error: Exception) -> str:
    kind = structure.looks_like(data)
    if kind == "mp4" and b"moov" not in data:
        return _error("truncated", "no moov box: the index of the file is missing")
    if kind in ("mp4", "matroska", "avi", "mpeg"):
        return _error("corrupt", f"a {kind} file that cannot be opened: {error}")
    return _error("not-a-video", f"{kind or 'unknown bytes'}, {len(data)} bytes")


def _facts(container: Any, decode_px: int) -> VideoFacts:
    name = container.format.name
    if not len(container.streams):
        return VideoFacts(error=_error("corrupt", f"a {name} file without any stream"))
    if not container.streams.video:
        return VideoFacts(error=_error("no-picture", f"a {name} file without a video stream"))
    if any(n in name for n in ("image2", "_pipe", "gif", "ico")) or name in ("tty", "apng"):
        return VideoFacts(error=_error("not-a-video", f"a {name} file"))
    stream = container.streams.video[0]
    if stream.disposition & av.stream.Disposition.attached_pic:
        return VideoFacts(error=_error("no-picture", "only a cover picture"))
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        return VideoFacts(error=_error("corrupt", "no frame size in its header"))
    index = read_index(container, stream)
    if not index.frames:
        return VideoFacts(error=_error("no-frames", "no packet of the video stream can be read"))
    frames, fps = index.frames, index.fps
    known: dict[str, Any] = {
        "format": stream.codec_context.name,
        "width": width,
        "height": height,
        "frames": frames,
        "fps": fps,
        "duration_s": index.duration_s,
    }
    if cut := _cut(container, stream, index.packets, index.last_s + 1 / fps):
        return VideoFacts(error=_error("truncated", cut), **known)
    if not decode_px:
        return VideoFacts(**known)
    try:
        sampled, turned = _sample_frames(container, stream, frames, decode_px)
    except AV_ERRORS as error:
        return VideoFacts(error=_error("corrupt", error), **known)
    if len(sampled) < 3 and frames >= 3:
        found = f"{len(sampled)} of {PROBES} frames from start to end can be decoded"
        return VideoFacts(error=_error("corrupt", found), **known)
    if turned:
        known |= {"width": height, "height": width}
    return VideoFacts(sampled=tuple(sampled), **known)


def _cut(container: Any, stream: Any, packets: int, end: float) -> str:
    if stream.frames and packets < _COMPLETE * stream.frames:
        return f"{packets} of {stream.frames} frames are present"
    length = float(container.duration / av.time_base) if container.duration else 0.0
    start = float(container.start_time / av.time_base) if container.start_time else 0.0
    if not stream.frames and length > 1 and end - start < _COMPLETE * length - 1:
        return f"its frames end at {end - start:.1f} of {length:.1f} s"
    return ""


def probes(frames: int) -> list[int]:
    """Return which of so many frames are sampled, first and last included."""
    return sorted({int(i) for i in np.linspace(0, frames - 1, PROBES)})


def _sample_frames(
    container: Any, stream: Any, frames: int, decode_px: int
) -> tuple[list[Image.Image], bool]:
    """Return frames spread over the clip, and whether it is shown turned by a quarter."""
    wanted = probes(frames)
    container.seek(0)
    stream.thread_type = "AUTO"
    sampled, turned, found = list[Image.Image](), False, 0
    for index, frame in enumerate(_decoded(container, stream)):
        if found < len(wanted) and index >= wanted[found]:
            scale = min(1.0, decode_px / max(frame.width, frame.height))
            size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
            sampled.append(frame.to_image(width=size[0], height=size[1]))
            turned = turned or frame.rotation % 180 != 0
            found += 1
    return sampled, turned


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yield frames; a packet that cannot be decoded is skipped."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except AV_ERRORS:
            continue

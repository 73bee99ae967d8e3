"""Facts of one video: its index, and a look at frames spread over it."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from PIL import Image

from smolmix.pipelines.curate.measure import structure
from smolmix.tokenize.tiles.clip_index import AV_ERRORS, read_index

PROBES = 8  # frames looked at, first and last included
_LOOK_PX = 256
_COMPLETE = 0.95  # a file with fewer of the frames, or seconds, its header names is truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFacts:
    """What a video's bytes say. With a fault, what follows it may be unset."""

    fault: str = ""  # "video-truncated: ...": a reason, a colon, the detail
    format: str = ""  # codec
    width: int = 0  # as displayed, after rotation
    height: int = 0
    frames: int = 0
    fps: float = 0.0
    duration_s: float = 0.0  # frames / fps, as transformers reckons it
    looks: tuple[Image.Image, ...] = ()  # RGB frames, longest edge at most `look_px`


def _fault(reason: str, detail: object) -> str:
    text = " ".join(str(detail).split())
    return f"video-{reason}: {text[:200]}"


def read_video(data: bytes, *, look: bool = True, look_px: int = _LOOK_PX) -> VideoFacts:
    """Return the video's facts, with frames from start to end where `look` asks for them.

    Never raises for what the bytes hold: a fault says what is wrong.
    """
    if not data:
        return VideoFacts(fault=_fault("empty", "0 bytes"))
    try:
        container = av.open(io.BytesIO(data), metadata_errors="ignore")
    except AV_ERRORS as error:
        return VideoFacts(fault=_unopened(data, error))
    with container:
        try:
            return _facts(container, look_px if look else 0)
        except AV_ERRORS as error:
            return VideoFacts(fault=_fault("corrupt", error))


def _unopened(data: bytes, error: Exception) -> str:
    kind = structure.looks_like(data)
    if kind == "mp4" and b"moov" not in data:
        return _fault("truncated", "no moov box: the index of the file is missing")
    if kind in ("mp4", "matroska", "avi", "mpeg"):
        return _fault("corrupt", f"a {kind} file that cannot be opened: {error}")
    return _fault("not-a-video", f"{kind or 'unknown bytes'}, {len(data)} bytes")


def _facts(container: Any, look_px: int) -> VideoFacts:
    name = container.format.name
    if not len(container.streams):
        return VideoFacts(fault=_fault("corrupt", f"a {name} file without any stream"))
    if not container.streams.video:
        return VideoFacts(fault=_fault("no-picture", f"a {name} file without a video stream"))
    if any(n in name for n in ("image2", "_pipe", "gif", "ico")) or name in ("tty", "apng"):
        return VideoFacts(fault=_fault("not-a-video", f"a {name} file"))
    stream = container.streams.video[0]
    if stream.disposition & av.stream.Disposition.attached_pic:
        return VideoFacts(fault=_fault("no-picture", "only a cover picture"))
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        return VideoFacts(fault=_fault("corrupt", "no frame size in its header"))
    index = read_index(container, stream)
    if not index.frames:
        return VideoFacts(fault=_fault("no-frames", "no packet of the video stream can be read"))
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
        return VideoFacts(fault=_fault("truncated", cut), **known)
    if not look_px:
        return VideoFacts(**known)
    try:
        looks, turned = _looks(container, stream, frames, look_px)
    except AV_ERRORS as error:
        return VideoFacts(fault=_fault("corrupt", error), **known)
    if len(looks) < 3 and frames >= 3:
        found = f"{len(looks)} of {PROBES} frames from start to end can be decoded"
        return VideoFacts(fault=_fault("corrupt", found), **known)
    if turned:
        known |= {"width": height, "height": width}
    return VideoFacts(looks=tuple(looks), **known)


def _cut(container: Any, stream: Any, packets: int, end: float) -> str:
    if stream.frames and packets < _COMPLETE * stream.frames:
        return f"{packets} of {stream.frames} frames are there"
    length = float(container.duration / av.time_base) if container.duration else 0.0
    start = float(container.start_time / av.time_base) if container.start_time else 0.0
    if not stream.frames and length > 1 and end - start < _COMPLETE * length - 1:
        return f"its frames end at {end - start:.1f} of {length:.1f} s"
    return ""


def probes(frames: int) -> list[int]:
    """Return which of so many frames are looked at, first and last included."""
    return sorted({int(i) for i in np.linspace(0, frames - 1, PROBES)})


def _looks(
    container: Any, stream: Any, frames: int, look_px: int
) -> tuple[list[Image.Image], bool]:
    """Return frames spread over the clip, and whether it is shown turned by a quarter."""
    wanted = probes(frames)
    container.seek(0)
    stream.thread_type = "AUTO"
    looks, turned, found = list[Image.Image](), False, 0
    for index, frame in enumerate(_decoded(container, stream)):
        if found < len(wanted) and index >= wanted[found]:
            scale = min(1.0, look_px / max(frame.width, frame.height))
            size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
            looks.append(frame.to_image(width=size[0], height=size[1]))
            turned = turned or frame.rotation % 180 != 0
            found += 1
    return looks, turned


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yield frames; a packet that cannot be decoded is passed over."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except AV_ERRORS:
            continue

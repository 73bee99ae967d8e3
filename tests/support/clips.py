"""Clips in shades of grey, and clips as other programs leave them."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np

SIZE = (96, 64)  # width and height of the clips in shades of grey


def shades(frames: int) -> list[int]:
    """Return the grey of each frame of `grey_clip`."""
    return [20 + (i * 200) // max(1, frames - 1) for i in range(frames)]


def grey_clip(
    frames: int,
    *,
    codec: str = "libx264",
    container: str = "mp4",
    stamps: list[int] | None = None,
    gop: int = 12,
    bframes: int = 2,
) -> bytes:
    """Return a clip whose frames get lighter one by one, with a dark band on top."""
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as out:
        video: Any = out.add_stream(codec, rate=30)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        video.options = {"g": str(gop)} | ({"bf": str(bframes)} if codec == "libx264" else {})
        video.codec_context.time_base = Fraction(1, 600)
        for i, shade in enumerate(shades(frames)):
            grey = np.full((SIZE[1], SIZE[0], 3), shade, np.uint8)
            grey[: SIZE[1] // 4] = 0
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = stamps[i] if stamps else i * 20
            frame.time_base = Fraction(1, 600)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return stream.getvalue()


def spliced(data: bytes, start_s: float) -> bytes:
    """Cut a clip's beginning off without encoding it anew, as `ffmpeg -ss … -c copy` does."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as whole, av.open(out, "w", format="mp4") as part:
        pictures: Any = whole.streams.video[0]
        track = part.add_stream_from_template(pictures)
        start = int(start_s / pictures.time_base)
        whole.seek(start, stream=pictures)
        for packet in whole.demux(pictures):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - start,
                    packet.dts - start,
                    track,
                )
                part.mux(packet)
    return out.getvalue()

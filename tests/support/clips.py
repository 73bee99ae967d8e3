"""Clips in shades of grey, and clips as other programs leave them."""

import io
from contextlib import suppress
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
    options: dict[str, str] | None = None,
    transfer: int | None = None,
) -> bytes:
    """Return a clip whose frames get lighter one by one, with a dark band on top.

    `options` are the encoder's own, in place of `gop` and `bframes`; `transfer` is the number of
    its transfer function in ITU-T H.273.
    """
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as out:
        video: Any = out.add_stream(codec, rate=30)
        video.width, video.height = SIZE
        video.pix_fmt = "yuv420p"
        usual = {"g": str(gop)} | ({"bf": str(bframes)} if codec == "libx264" else {})
        video.options = options or usual
        video.codec_context.time_base = Fraction(1, 600)
        if transfer is not None:
            video.codec_context.color_trc = transfer
        for i, shade in enumerate(shades(frames)):
            grey = np.full((SIZE[1], SIZE[0], 3), shade, np.uint8)
            grey[: SIZE[1] // 4] = 0
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = stamps[i] if stamps else i * 20
            frame.time_base = Fraction(1, 600)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    return stream.getvalue()


def spliced(data: bytes, start_s: float, *, container: str = "mp4") -> bytes:
    """Cut a clip's beginning off without encoding it anew, as `ffmpeg -ss … -c copy` does."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as whole, av.open(out, "w", format=container) as part:
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


def copied(data: bytes, container: str, *, skip: int = 0) -> bytes:
    """Return the clip in another container, without its first packets and not encoded again."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as whole, av.open(out, "w", format=container) as part:
        pictures: Any = whole.streams.video[0]
        track = part.add_stream_from_template(pictures)
        for number, packet in enumerate(whole.demux(pictures)):
            if packet.dts is not None and number >= skip:
                packet.stream = track
                part.mux(packet)
    return out.getvalue()


def with_sound(data: bytes, container: str, *, seconds: int) -> bytes:
    """Return the clip with silence of so many seconds."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as whole, av.open(out, "w", format=container) as both:
        pictures: Any = whole.streams.video[0]
        track = both.add_stream_from_template(pictures)
        sound: Any = both.add_stream("aac", rate=8000)
        for packet in whole.demux(pictures):
            if packet.dts is not None:
                packet.stream = track
                both.mux(packet)
        for index in range(seconds * 8):
            silence = av.AudioFrame(format="fltp", layout="mono", samples=1000)
            silence.planes[0].update(bytes(silence.planes[0].buffer_size))
            silence.rate, silence.pts, silence.time_base = 8000, index * 1000, Fraction(1, 8000)
            both.mux(sound.encode(silence))
        both.mux(sound.encode(None))
    return out.getvalue()


def with_preview(data: bytes) -> bytes:
    """Return the clip as mp4 whose first stream is one still picture, as cameras write it."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as whole, av.open(out, "w", format="mp4") as part:
        preview: Any = part.add_stream("mjpeg", rate=1)
        preview.width, preview.height, preview.pix_fmt = 32, 32, "yuvj420p"
        pictures: Any = whole.streams.video[0]
        track = part.add_stream_from_template(pictures)
        picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255, np.uint8), format="rgb24")
        picture.pts = 0
        part.mux(preview.encode(picture))
        part.mux(preview.encode(None))
        for packet in whole.demux(pictures):
            if packet.dts is not None:
                packet.stream = track
                part.mux(packet)
    return out.getvalue()


def shown(data: bytes) -> tuple[list[Any], list[float]]:
    """Return what a player shows: each frame in RGB, and its seconds after the first one."""
    frames: list[Any] = []
    opened: Any
    with av.open(io.BytesIO(data)) as opened:
        for packet in opened.demux(opened.streams.video[0]):
            with suppress(av.FFmpegError):  # before the first picture that stands alone
                frames += packet.decode()
    times = [float(f.pts * f.time_base) for f in frames]
    return [f.to_ndarray(format="rgb24") for f in frames], [t - times[0] for t in times]

"""Thumbnails: small re-encoded pictures, the only form in which the report shows pixels."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from smolmix.cost import clip_frames, clip_timing, frame_time, media_grid
from smolmix.errors import SmolmixError
from smolmix.media import MediaReader
from smolmix.profiles import PIXEL_PRESETS, PixelProfile
from smolmix.sample import Media
from smolmix.tokenize.tiles.image import decode
from smolmix.tokenize.tiles.video import read_frames

EDGE_PX = 384
FRAME_EDGE_PX = 160
_QUALITY = 72
FRAMES_SHOWN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """One re-encoded picture."""

    name: str  # derived from the content, so equal pictures share a file
    data: bytes  # WebP


def thumbnail(image: Image.Image, edge_px: int) -> Thumbnail:
    """Return the picture scaled down to `edge_px` and re-encoded without its metadata."""
    small = image.copy()
    small.thumbnail((edge_px, edge_px), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    small.save(out, "WEBP", quality=_QUALITY, method=4)
    data = out.getvalue()
    return Thumbnail(name=hashlib.sha256(data).hexdigest()[:20] + ".webp", data=data)


def shown_frames(media: Media, pixel: PixelProfile, most: int) -> tuple[list[int], list[int]]:
    """Return the frames that the profile samples, and at most `most` of them to show."""
    sampled = clip_frames(media, pixel)
    if len(sampled) <= most:
        return sampled, sampled
    at = np.unique(np.linspace(0, len(sampled) - 1, most, dtype=int))
    return sampled, [sampled[i] for i in at]


def _video(media: Media, blobs: Sequence[bytes], frames: list[int]) -> list[Image.Image]:
    if media.kind == "frames":
        return [decode(blobs[i]) for i in frames]
    found = read_frames(blobs[0], frames, frames=media.frames)
    return [Image.fromarray(frame) for frame in found]


def describe(
    media: Media, reader: MediaReader, pixel: PixelProfile | None, *, frames: int = FRAMES_SHOWN
) -> tuple[dict[str, Any], list[Thumbnail]]:
    """Return how the browser shows a medium, and its thumbnails.

    Args:
        media: one medium of a sample.
        reader: reads its bytes.
        pixel: defines sub-images and frames; None falls back to the smallest released preset and
            shows no sub-image grid.
        frames: most frames of a clip to show.

    Returns:
        `{kind, width, height, format, ...}` with `grid` and `picture` for an image, `frames` with
        their times for a clip, or `error` if the medium cannot be read.
    """
    rates = pixel or PIXEL_PRESETS["256m"]
    about: dict[str, Any] = {
        "kind": "image" if media.kind == "image" else "video",
        "width": media.width,
        "height": media.height,
        "format": media.format,
        "bytes": media.bytes_on_disk,
    }
    try:
        if media.kind == "image":
            small = thumbnail(decode(reader.read(media.refs[0]), exif=rates.exif), EDGE_PX)
            about["picture"] = small.name
            if pixel is not None and media.width and media.height:
                grid = media_grid(media, pixel)
                about["grid"] = [grid.rows, grid.cols]
            return about, [small]
        seconds, fps = clip_timing(media) if media.frames else (0.0, 1.0)
        about |= {"duration_s": round(seconds, 3), "fps": round(fps, 3), "native": media.frames}
        sampled, shown = shown_frames(media, rates, frames)
        if not sampled:
            return {**about, "error": "no frame"}, []
        reader_blobs = reader.read_all(media)
        pictures = [thumbnail(frame, FRAME_EDGE_PX) for frame in _video(media, reader_blobs, shown)]
        about["sampled"] = len(sampled)
        about["frames"] = [
            {"t": round(frame_time(media, i), 2), "picture": p.name}
            for i, p in zip(shown, pictures, strict=True)
        ]
        return about, pictures
    except (SmolmixError, OSError, ValueError, IndexError) as error:
        return {**about, "error": f"{type(error).__name__}: {error}"}, []

"""Facts of one image: its header, and its pixels decoded small."""

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError
from PIL.Image import DecompressionBombError, DecompressionBombWarning

from smolmix.pipelines.curate.measure import structure
from smolmix.tokenize.tiles.image import DECODER_ERRORS, FORMATS

DECODE_PX = 256  # a JPEG is decoded at the smallest scale with both edges at least this long
_ORIENTATION = 0x0112
Image.init()  # registers every format: `open` otherwise knows only the common ones


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What an image's bytes say. With a error, what follows it may be unset."""

    error: str = ""  # "image-truncated: ...": a reason, a colon, the detail
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    orientation: int = 1  # EXIF, 1 to 8: how Pillow would still turn the pixels it reads
    frames: int = 1
    pixels: Image.Image | None = None  # RGB, possibly reduced; None when only headers were read


def _error(reason: str, detail: object) -> str:
    text = " ".join(str(detail).split())
    return f"image-{reason}: {text[:200]}"


def read_image(data: bytes, *, decode: bool = True, decode_px: int = DECODE_PX) -> ImageFacts:
    """Return the image's facts, with its pixels if `decode`.

    Never raises for what the bytes hold: an error says what is wrong.
    """
    if not data:
        return ImageFacts(error=_error("empty", "0 bytes"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except (DecompressionBombError, DecompressionBombWarning) as error:
            return ImageFacts(error=_error("bomb", error))
        except UnidentifiedImageError:
            return ImageFacts(error=_unopened(data, _unidentified(data)))
        except DECODER_ERRORS as error:
            return ImageFacts(error=_unopened(data, _error("corrupt", f"header: {error}")))
        with image:
            return _facts(image, data, decode_px if decode else 0)


def _unopened(data: bytes, error: str) -> str:
    """Return the container's damage where it explains why the header cannot be read."""
    reason, _, detail = structure.image_damage(data).partition(": ")
    return _error(reason, detail) if reason == "truncated" else error


def _unidentified(data: bytes) -> str:
    kind = structure.looks_like(data)
    if kind in ("png", "jpeg", "gif", "bmp", "webp", "avif"):
        return _error("corrupt", f"a {kind} file whose header cannot be read")
    return _error("not-an-image", f"{kind or 'unknown bytes'}, {len(data)} bytes")


def _facts(image: Image.Image, data: bytes, decode_px: int) -> ImageFacts:
    try:
        orientation = _orientation(image)
    except DECODER_ERRORS:
        orientation = 1  # broken EXIF does not spoil the picture
    try:
        frames = int(getattr(image, "n_frames", 1))
    except DECODER_ERRORS:
        frames = 1
    known: dict[str, Any] = {
        "format": (image.format or "").lower(),
        "mode": image.mode,
        "width": image.width,
        "height": image.height,
        "orientation": orientation,
        "frames": 1 if image.format == "MPO" else frames,
    }
    if damage := structure.image_damage(data):
        reason, _, detail = damage.partition(": ")
        return ImageFacts(error=_error(reason, detail), **known)
    if not decode_px:
        return ImageFacts(**known)
    try:
        pixels = _pixels(image, data, decode_px)
    except MemoryError as error:
        return ImageFacts(error=_error("bomb", f"out of memory {error}"), **known)
    except DECODER_ERRORS as error:
        cut = any(w in str(error).lower() for w in ("truncated", "premature end of jpeg"))
        return ImageFacts(error=_error("truncated" if cut else "corrupt", error), **known)
    return ImageFacts(pixels=pixels, **known)


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":
        return 1  # Pillow turns these itself, and gives their size as turned
    found = image.getexif().get(_ORIENTATION, 1)
    return int(found) if found in range(1, 9) else 1


def _pixels(image: Image.Image, data: bytes, decode_px: int) -> Image.Image:
    """Return frame 0 as RGB on white; JPEGs strictly and at reduced scale."""
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB"):
        try:
            # libjpeg only warns, and Pillow ignores the warning; strict makes it an error.
            array = simplejpeg.decode_jpeg(
                data, min_height=decode_px, min_width=decode_px, min_factor=1.0, strict=True
            )
            return Image.fromarray(np.asarray(array))
        except ValueError as error:
            if "extraneous bytes" not in str(error) and "JPEG" in str(error):
                raise
    image.seek(0)
    image.draft("RGB", (decode_px, decode_px))
    image.load()
    return to_rgb(image)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as 8-bit RGB: transparency on white, 16 bits scaled."""
    if image.mode.startswith(("I;16", "I")) or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        top = 65535.0 if values.max(initial=0) > 255 else 255.0
        grey = np.clip(values * (255.0 / top), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        front = image.convert("RGBA")
        back = Image.new("RGBA", front.size, (255, 255, 255, 255))
        return Image.alpha_composite(back, front).convert("RGB")
    return image.convert("RGB")

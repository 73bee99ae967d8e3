"""Pictures that tests draw, always the same for the same seed."""

import io
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return the picture's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Return smooth colour with texture: as unlike any other as two photographs are."""
    rng = np.random.default_rng(seed)
    layers = []
    for edge, weight in ((4, 0.5), (12, 0.3), (48, 0.2)):
        noise = (rng.random((edge, edge, 3)) * 255).astype(np.uint8)
        up = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        layers.append(np.asarray(up, dtype=np.float32) * weight)
    return Image.fromarray(np.sum(layers, axis=0).astype(np.uint8))


def blots(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Return large blots of colour."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)

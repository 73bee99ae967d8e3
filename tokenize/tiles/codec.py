"""How tiles are stored: as the image's own bytes, raw, or encoded tile by tile.

`source` keeps an image's original bytes; its tiles are cut when they are loaded, exactly as they
would have been before. It is the default: the smallest by far and without loss, at the price of
one decode and two resizes in the loader's worker (figures in benchmarks/tokenize/RESULTS.md).
"""

import io
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from smolmix.errors import UsageError
from smolmix.profiles import PixelProfile
from smolmix.tokenize.tiles.image import Tiles, decode, split

_JPEG = re.compile(r"jpeg:(\d{1,3})")


def check(codec: str) -> str:
    """Return the codec if it is one.

    Raises:
        UsageError: it is not; the message says what is allowed.
    """
    quality = _JPEG.fullmatch(codec)
    if codec in ("source", "raw", "png") or (quality and 1 <= int(quality[1]) <= 100):
        return codec
    raise UsageError(f"codec {codec!r}; known: source, raw, png, jpeg:1 to jpeg:100")


def encode_tiles(tiles: Tiles, codec: str) -> list[bytes]:
    """Return the blobs of tiles (n, edge, edge, 3): one for "raw", else one a tile."""
    if codec == "raw":
        return [tiles.tobytes()]
    quality = _JPEG.fullmatch(codec)
    out = []
    for tile in tiles:
        stream = io.BytesIO()
        image = Image.fromarray(tile)
        if quality:
            image.save(stream, "JPEG", quality=int(quality[1]), subsampling=0)  # chroma kept
        else:
            image.save(stream, "PNG", compress_level=1)
        out.append(stream.getvalue())
    return out


def decode_tiles(blobs: Sequence[bytes], codec: str, profile: PixelProfile) -> Tiles:
    """Return the tiles (n, edge, edge, 3) in blobs written by `encode_tiles`, or cut them now."""
    edge = profile.tile_px
    if codec == "source":
        return split(decode(blobs[0], exif=profile.exif), profile)[1]
    if codec == "raw":
        return np.frombuffer(blobs[0], np.uint8).reshape(-1, edge, edge, 3)
    out = np.empty((len(blobs), edge, edge, 3), np.uint8)
    for tile, blob in zip(out, blobs, strict=True):
        tile[...] = np.asarray(Image.open(io.BytesIO(blob)))
    return out

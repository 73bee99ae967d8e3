"""Codecs of stored tiles: the image's own bytes, raw pixels, or one PNG or JPEG a tile.

`source` keeps an image's original bytes, and the loader cuts them into tiles; the pixels are the
same. It is the default: lossless and by far the smallest, at the cost of one decode and two
resizes in the loader's worker (measured in benchmarks/tokenize/RESULTS.md).
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


def encodes(codec: str) -> bool:
    """Return whether the codec encodes tiles as pictures: png, or jpeg with a valid quality."""
    quality = _JPEG.fullmatch(codec)
    return codec == "png" or (quality is not None and 1 <= int(quality[1]) <= 100)


def check(codec: str) -> str:
    """Return the codec's name if it is known.

    Raises:
        UsageError: it is unknown; the message lists the known codecs.
    """
    if codec in ("source", "raw") or encodes(codec):
        return codec
    raise UsageError(f"codec {codec!r}; known: source, raw, png, jpeg:1 to jpeg:100")


def encode_tiles(tiles: Tiles, codec: str) -> list[bytes]:
    """Return the encoded tiles: one blob for all of them for "raw", else one a tile.

    Args:
        tiles: (tiles, tile_px, tile_px, 3) uint8.
        codec: raw, png or jpeg:Q; "source" keeps the file's bytes and encodes nothing.
    """
    if codec == "raw":
        return [tiles.tobytes()]
    quality = _JPEG.fullmatch(codec)
    out = []
    for tile in tiles:
        stream = io.BytesIO()
        image = Image.fromarray(tile)
        if quality:
            image.save(stream, "JPEG", quality=int(quality[1]), subsampling=0)  # full chroma
        else:
            image.save(stream, "PNG", compress_level=1)
        out.append(stream.getvalue())
    return out


def decode_tiles(blobs: Sequence[bytes], codec: str, profile: PixelProfile) -> Tiles:
    """Return the tiles of stored blobs.

    Args:
        blobs: as `encode_tiles` returned them; for "source", the image file's bytes.
        codec: that they were stored with.
        profile: tile size and, for "source", how the image is cut.

    Returns:
        (tiles, tile_px, tile_px, 3) uint8.

    Raises:
        ImageError: a "source" image cannot be decoded.
    """
    edge = profile.tile_px
    if codec == "source":
        return split(decode(blobs[0], exif=profile.exif), profile)[1]
    if codec == "raw":
        return np.frombuffer(blobs[0], np.uint8).reshape(-1, edge, edge, 3)
    out = np.empty((len(blobs), edge, edge, 3), np.uint8)
    for tile, blob in zip(out, blobs, strict=True):
        tile[...] = np.asarray(Image.open(io.BytesIO(blob)))
    return out

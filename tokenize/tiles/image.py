"""Images as tiles, equal bit for bit to transformers' PIL SmolVLM image processor.

An image is resized twice (to the longest edge, then to a multiple of the tile) and cut into
sub-images row by row; the last tile is the full image, squashed to a square. Tiles are uint8:
rescaling and normalising to [-1, 1] are done on the device.
"""

import io
import struct
import warnings
import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from smolmix.cost import Grid, image_grid, resized, split_size
from smolmix.errors import DataError
from smolmix.profiles import PixelProfile
from smolmix.tokenize.tiles.resample import Pixels, resize

Tiles = NDArray[np.uint8]  # (tiles, tile_px, tile_px, 3)

# Formats with a reliable signature that need no external program (EPS would start one). MPO opens
# as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO")
# What Pillow's decoders raise on damaged files, by observation.
DECODER_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)

MAX_PIXELS = 178_956_970  # Pillow's own bound; a larger header is refused before decoding


class ImageError(DataError):
    """An image cannot be decoded; `reason` is the sample's `Dropped.reason`."""

    def __init__(self, reason: str, detail: str):
        """Take a short fixed reason and the decoder's message."""
        super().__init__(f"image: {reason}: {detail}; its sample is dropped")
        self.reason = reason
        self.detail = detail


def decode(data: bytes, *, exif: str = "ignore") -> Image.Image:
    """Return the image as RGB, transparent pixels on white.

    Args:
        data: a file in one of `FORMATS`; of an animation, the first frame is read.
        exif: "apply" turns the image upright; "ignore" leaves it as stored, as transformers does.

    Raises:
        ImageError: the bytes are not a complete image, or its header claims over `MAX_PIXELS`.
    """
    Image.init()  # registers every format: `open` otherwise knows only the common ones
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd but readable metadata
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError("image-too-large", f"{image.width} × {image.height} pixels")
                image.load()
                upright = ImageOps.exif_transpose(image) if exif == "apply" else image
                return to_rgb(upright)
    except UnidentifiedImageError as error:
        raise ImageError("image-unreadable", str(error)) from error
    except Image.DecompressionBombError as error:
        raise ImageError("image-too-large", str(error)) from error
    except DECODER_ERRORS as error:
        reason = "image-truncated" if "truncated" in str(error) else "image-corrupt"
        raise ImageError(reason, f"{type(error).__name__}: {error}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as RGB, transparent pixels on white.

    Source: transformers `image_transforms.convert_to_rgb`.
    """
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def split(image: Image.Image | Pixels, profile: PixelProfile) -> tuple[Grid, Tiles]:
    """Return the image's grid and tiles: the sub-images row by row, then the global image.

    Args:
        image: RGB; a Pillow image or (height, width, 3) uint8.
        profile: sizes, whether to split, and whether to resize in the two steps of the release
            (`exact`) or directly from the source (`fast`).

    Returns:
        The grid, and (rows * cols + 1, tile_px, tile_px, 3) uint8.
    """
    source: Pixels = np.asarray(image)
    height, width = source.shape[:2]
    grid = image_grid(width, height, profile)
    tile, fast = profile.tile_px, profile.resize == "fast"
    first = source if fast else resize(source, *resized(width, height, profile))
    if grid.rows == 0 and (fast or not profile.split):
        return grid, resize(first, tile, tile)[None]
    enlarged = resize(first, *split_size(width, height, profile))
    if grid.rows == 0:
        return grid, resize(enlarged, tile, tile)[None]
    tiles = np.empty((grid.tiles, tile, tile, 3), dtype=np.uint8)
    # Writing through a view in the shape of the enlarged image copies each pixel once.
    tiles[:-1].reshape(grid.rows, grid.cols, tile, tile, 3).swapaxes(1, 2)[...] = enlarged.reshape(
        grid.rows, tile, grid.cols, tile, 3
    )
    # The release resizes the enlarged image to the global tile; `fast` resizes the source.
    tiles[-1] = resize(source if fast else enlarged, tile, tile)
    return grid, tiles


def squash(frame: Pixels, profile: PixelProfile) -> Pixels:
    """Return a video frame as one tile, resized to the tile's edge and then to a square.

    Args:
        frame: (height, width, 3) uint8.
        profile: tile size, and whether to resize in two steps.

    Returns:
        (tile_px, tile_px, 3) uint8.

    Source: SmolVLM2's training (`size.longest_edge` set to the tile, splitting off) and
    transformers' unsplit image path.
    """
    one = replace(profile, longest_edge_px=profile.tile_px, split=False, upscale=True)
    tile: Pixels = split(frame, one)[1][0]
    return tile

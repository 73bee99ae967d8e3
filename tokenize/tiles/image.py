"""Images to sub-images, equal bit for bit to transformers' PIL SmolVLM image processor.

Two resizes (to the longest edge, then to whole tiles), crops in row-major order, and the whole
image squashed to one tile last. What leaves here is uint8; rescaling and normalising to [-1, 1]
belong to the device.
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

# Formats with a trustworthy signature and no outside program (EPS would start one). MPO opens
# as JPEG.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO")
# What Pillow's decoders were seen to raise on damaged files.
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

MAX_PIXELS = 178_956_970  # Pillow's own bound: a header beyond it is refused before decoding


class ImageError(DataError):
    """An image cannot be decoded; `reason` is a word fit for `Dropped.reason`."""

    def __init__(self, reason: str, detail: str):
        """Carry a short reason and the decoder's words."""
        super().__init__(f"image: {reason}: {detail}; its sample is dropped")
        self.reason = reason
        self.detail = detail


def decode(data: bytes, *, exif: str = "ignore") -> Image.Image:
    """Return the RGB image in `data`; transparency is laid on white.

    Args:
        data: one of `FORMATS`; of an animation, the first frame.
        exif: "apply" turns the image upright; "ignore" leaves it, as transformers does.

    Raises:
        ImageError: the bytes are not a whole image, or claim more than `MAX_PIXELS`.
    """
    Image.init()  # registers every format: `open` otherwise knows only the common ones
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd but readable metadata
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
    """Return the image in RGB, what is transparent laid on white.

    Source: transformers `image_transforms.convert_to_rgb`.
    """
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def split(image: Image.Image | Pixels, profile: PixelProfile) -> tuple[Grid, Tiles]:
    """Return the image's grid and its tiles, sub-images row by row and the global one last.

    Args:
        image: RGB, of Pillow or (height, width, 3) uint8.
        profile: sizes, whether to split, and whether to resize in the two steps of the release
            (`exact`) or straight from the source (`fast`).

    Returns:
        The grid, and tiles (rows · cols + 1, tile_px, tile_px, 3) uint8.
    """
    source: Pixels = np.asarray(image)
    height, width = source.shape[:2]
    grid = image_grid(width, height, profile)
    tile, fast = profile.tile_px, profile.resize == "fast"
    first = source if fast else resize(source, *resized(width, height, profile))
    if grid.rows == 0 and (fast or not profile.split):
        return grid, resize(first, tile, tile)[None]
    whole = resize(first, *split_size(width, height, profile))
    if grid.rows == 0:
        return grid, resize(whole, tile, tile)[None]
    tiles = np.empty((grid.tiles, tile, tile, 3), dtype=np.uint8)
    # The view has the shape of the cut image, so that pixels are copied once.
    tiles[:-1].reshape(grid.rows, grid.cols, tile, tile, 3).swapaxes(1, 2)[...] = whole.reshape(
        grid.rows, tile, grid.cols, tile, 3
    )
    # As released, the global tile is made from the enlarged image; fast makes it from the source.
    tiles[-1] = resize(source if fast else whole, tile, tile)
    return grid, tiles


def squash(frame: Pixels, profile: PixelProfile) -> Pixels:
    """Return a video frame as one tile: to the tile's edge, then to a square.

    Args:
        frame: (height, width, 3) uint8.
        profile: its tile size, and whether to resize in two steps.

    Returns:
        (tile_px, tile_px, 3) uint8.

    Source: SmolVLM2's training (`size.longest_edge` set to the tile, splitting off) and
    transformers' unsplit image path.
    """
    one = replace(profile, longest_edge_px=profile.tile_px, split=False, upscale=True)
    tile: Pixels = split(frame, one)[1][0]
    return tile

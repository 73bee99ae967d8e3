"""Images to sub-images, equal bit for bit to transformers' PIL SmolVLM image processor.

Two resizes (to the longest edge, then to whole tiles), crops in row-major order, and the whole
image squashed to one tile last. What leaves here is uint8; rescaling and normalising to [-1, 1]
belong to the device.
"""

import io
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from smolmix.cost import Grid, image_grid, resized, split_size
from smolmix.errors import DataError
from smolmix.profiles import PixelProfile

Tiles = NDArray[np.uint8]  # (tiles, tile_px, tile_px, 3)

LANCZOS = Image.Resampling.LANCZOS
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
        data: any format Pillow reads; of an animation, the first frame.
        exif: "apply" turns the image upright; "ignore" leaves it, as transformers does.

    Raises:
        ImageError: the bytes are not a whole image, or claim more than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on odd but readable metadata
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ImageError("image-too-large", f"{image.width} × {image.height} pixels")
                image.load()
                upright = ImageOps.exif_transpose(image) if exif == "apply" else image
                return to_rgb(upright)
    except UnidentifiedImageError as error:
        raise ImageError("image-unreadable", str(error)) from error
    except Image.DecompressionBombError as error:
        raise ImageError("image-too-large", str(error)) from error
    except (OSError, SyntaxError, ValueError, IndexError, KeyError, EOFError) as error:
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


def split(image: Image.Image, profile: PixelProfile) -> tuple[Grid, Tiles]:
    """Return the image's grid and its tiles, sub-images row by row and the global one last.

    Args:
        image: RGB.
        profile: sizes, whether to split, and how exactly to resize.

    Returns:
        The grid, and tiles (rows · cols + 1, tile_px, tile_px, 3) uint8.
    """
    grid = image_grid(image.width, image.height, profile)
    resize = _resize_fast if profile.resize == "fast" else _resize_exact
    tile = profile.tile_px
    square = (tile, tile)
    if grid.rows == 0:
        sizes = [resized(image.width, image.height, profile), square]
        if profile.split:
            sizes.insert(1, split_size(image.width, image.height, profile))
        return grid, np.asarray(resize(image, sizes))[None]
    whole_size = split_size(image.width, image.height, profile)
    whole = resize(image, [resized(image.width, image.height, profile), whole_size])
    tiles = np.empty((grid.tiles, tile, tile, 3), dtype=np.uint8)
    # The view has the shape of the cut image, so that pixels are copied once.
    tiles[:-1].reshape(grid.rows, grid.cols, tile, tile, 3).swapaxes(1, 2)[...] = np.asarray(
        whole
    ).reshape(grid.rows, tile, grid.cols, tile, 3)
    # As released, the global tile is made from the enlarged image; fast makes it from the source.
    tiles[-1] = np.asarray(resize(image if profile.resize == "fast" else whole, [square]))
    return grid, tiles


def squash(frame: Tiles, profile: PixelProfile) -> Tiles:
    """Return a video frame as one tile: to the tile's edge, then to a square.

    Args:
        frame: (height, width, 3) uint8.
        profile: its tile size, and how exactly to resize.

    Returns:
        (tile_px, tile_px, 3) uint8.

    Source: SmolVLM2's training (`size.longest_edge` set to the tile, splitting off) and
    transformers' unsplit image path.
    """
    one = replace(profile, longest_edge_px=profile.tile_px, split=False, upscale=True)
    tile: Tiles = split(Image.fromarray(frame), one)[1][0]
    return tile


def _resize_exact(image: Image.Image, sizes: list[tuple[int, int]]) -> Image.Image:
    for size in sizes:
        if image.size != size:  # Pillow copies where the size is right already
            image = image.resize(size, LANCZOS)
    return image


def _resize_fast(image: Image.Image, sizes: list[tuple[int, int]]) -> Any:
    """Go to the last size in one step, with torch's fixed-point antialiased Lanczos."""
    width, height = sizes[-1]
    if image.size == (width, height):
        return image
    # (1, 3, h, w) in channels-last memory, which is how the pixels lie already.
    batch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
    out = torch.nn.functional.interpolate(
        batch, size=(height, width), mode="lanczos", antialias=True
    )
    return out[0].permute(1, 2, 0).numpy()

"""Coarse descriptors of a picture: they distinguish pictures whose hashes are too similar.

Mean luma on a 20 × 20 grid, mean chroma on 3 × 3, and half of how much luma changes along both
axes on 6 × 6, which shows fine patterns that a perceptual hash averages away: all of it from the
stored thumbnail. Among 600 forms of one template a grid of 12 × 12 left 15 % of cropped copies
behind 24 nearer forms, one of 20 × 20 1 %.

At most 512 values of 8 bits: the product of two descriptors is a whole number up to 2²³, exact in
float32 in any order of its sum, so that neighbours do not depend on threads.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Descriptors = NDArray[np.int8]
_LUMA, _CHROMA, _CHANGE = 20, 3, 6  # edges of the grids
SIZE = _LUMA**2 + 2 * _CHROMA**2 + 2 * _CHANGE**2


def _changes(luma: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return how much luma differs from the next pixel's along x and along y, as float pictures."""
    values = np.asarray(luma, dtype=np.float32)
    along_x = np.abs(np.diff(values, axis=1, append=values[:, -1:]))
    along_y = np.abs(np.diff(values, axis=0, append=values[-1:]))
    return Image.fromarray(along_x), Image.fromarray(along_y)


def describe(
    picture: Image.Image, crops: Sequence[tuple[float, float, float, float]]
) -> tuple[Descriptors, Descriptors]:
    """Return the descriptors of an RGB picture and of its mirror image, each (crops, `SIZE`).

    Args:
        picture: a thumbnail.
        crops: (left, top, right, bottom) margins to cut off first, in parts of the edge.
    """
    luma, *chroma = picture.convert("YCbCr").split()
    planes = [(luma.convert("F"), _LUMA, 1.0, 128.0)]
    planes += [(plane.convert("F"), _CHROMA, 1.0, 128.0) for plane in chroma]
    planes += [(plane, _CHANGE, 0.5, 0.0) for plane in _changes(luma)]
    found = np.zeros((2, len(crops), SIZE), np.int8)
    for number, (left, top, right, bottom) in enumerate(crops):
        w, h = picture.size
        box = left * w, top * h, (1 - right) * w, (1 - bottom) * h
        at = 0
        for plane, edge, weight, middle in planes:
            cells = plane.resize((edge, edge), Image.Resampling.BOX, box=box)
            grid = np.clip(np.rint(np.asarray(cells) * weight - middle), -128, 127)
            found[0, number, at : at + edge**2] = grid.ravel()
            found[1, number, at : at + edge**2] = grid[:, ::-1].ravel()
            at += edge**2
    return found[0], found[1]

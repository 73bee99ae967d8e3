"""The comparison of pixels that decides whether two pictures are the same.

`register` finds by how much one picture was cropped against the other; `residual` then compares
them window by window: the energy of the difference against the energy of the pictures.
First on the stored thumbnails, which opens no media and decides nearly all candidates, then on
the media at up to 768 px. Measured on photographs, pages, forms, charts and formulas: a copy
that was scaled, cropped and recompressed has at most 0.6 in its worst window at 768 px; one
changed field of a form at least 1.3.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_Plane = NDArray[np.float64]

WORK_PX = 768
MAX_CROP = 0.04  # at each edge; 3 % and the search's own coarseness
MAX_RESIDUAL = 0.9
MAX_THUMBNAIL_RESIDUAL = 1.2  # more lenient: it only saves opening the media
MAX_SMALL_RESIDUAL = 0.10  # for pictures too small to crop: nothing explains a shift
MAX_SMALL_COLOUR_GAP = 8.0
MAX_SMALL_CHROMA_RESIDUAL = 0.9  # red and blue stripes have one mean, and may have one luma
MAX_COLOUR_GAP = 28.0  # levels of mean chroma in a window; JPEG at quality 40 moves 15
_PROFILE_PX = 128
_STEP = 0.005
_TRIED = 3  # crops of each axis that are tried in the plane: shifted lines of text are similar
_REFINE_PX = 128
_FINE_PX = 384
_SURE = 0.35  # a straight comparison of thumbnails this good needs no registration
_HOPELESS = 1.75  # times the limit: registered, and still another picture; copies have at most 1.31
_WINDOW_PX = 8
_EDGES = 1.25  # what windows at the edges, counted once where others are twice, may add to a mean
_FLOOR = 10.0  # levels: noise that counts as nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """Margins in parts of the edge: positive ones are cut off `one`, negative off `other`."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def boxes(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return what is left of `one` and of `other`, as (left, top, right, bottom) in 0..1."""
        one = max(self.left, 0), max(self.top, 0), 1 - max(self.right, 0), 1 - max(self.bottom, 0)
        other = (
            max(-self.left, 0),
            max(-self.top, 0),
            1 - max(-self.right, 0),
            1 - max(-self.bottom, 0),
        )
        return one, other


def _sampled(profile: _Plane, low: _Plane, high: _Plane) -> _Plane:
    """Return (crops, 128) values of a profile between each crop's margins."""
    x = low[:, None] + np.linspace(0, 1, 128)[None, :] * (1 - low - high)[:, None]
    place = np.arange(_PROFILE_PX) / (_PROFILE_PX - 1)
    return np.interp(x.ravel(), place, profile).reshape(x.shape)


def _profile_crops(one: _Plane, other: _Plane) -> list[tuple[float, float]]:
    """Return the (low, high) margins that best bring two profiles of one axis together."""
    steps = np.arange(-MAX_CROP, MAX_CROP + 1e-9, _STEP)
    low, high = (g.ravel() for g in np.meshgrid(steps, steps, indexing="ij"))
    a = _sampled(one, np.maximum(low, 0), np.maximum(high, 0))
    b = _sampled(other, np.maximum(-low, 0), np.maximum(-high, 0))
    cost = np.square(a - b).mean(axis=1) + 1e-3 * (np.abs(low) + np.abs(high))
    best: list[tuple[float, float]] = []
    for i in np.argsort(cost, kind="stable"):
        here = float(low[i]), float(high[i])
        if all(max(abs(here[0] - b[0]), abs(here[1] - b[1])) > 2 * _STEP for b in best):
            best.append(here)
        if len(best) == _TRIED:
            break
    return best


def _cut(image: Image.Image, box: tuple[float, ...], size: tuple[int, int]) -> Image.Image:
    left, top, right, bottom = box
    w, h = image.size
    return image.resize(
        size, Image.Resampling.BICUBIC, box=(left * w, top * h, right * w, bottom * h)
    )


def _distance(one: Image.Image, other: Image.Image, crop: Crop) -> float:
    first, second = crop.boxes()
    edge = max(_REFINE_PX, min(2 * _REFINE_PX, one.width, other.width))
    a = np.asarray(_cut(one, first, (edge, edge)), dtype=np.float32)
    b = np.asarray(_cut(other, second, (edge, edge)), dtype=np.float32)
    return float(np.square(a - b).mean())


def register(one: Image.Image, other: Image.Image) -> Crop:
    """Return by how much one grey picture was cropped against the other, `MAX_CROP` at most."""
    size = (_PROFILE_PX, _PROFILE_PX)
    a = one.resize(size, Image.Resampling.BOX)
    b = other.resize(size, Image.Resampling.BOX)
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    trials = [Crop()]
    for left, right in _profile_crops(x.mean(axis=0), y.mean(axis=0)):
        for top, bottom in _profile_crops(x.mean(axis=1), y.mean(axis=1)):
            trials.append(Crop(left=left, top=top, right=right, bottom=bottom))
    return min(trials, key=lambda c: _distance(a, b, c))


def refine(one: Image.Image, other: Image.Image, crop: Crop, steps: tuple[float, ...]) -> Crop:
    """Return the crop improved by trying each margin a step more and a step less."""
    margins = [crop.left, crop.top, crop.right, crop.bottom]
    cost = _distance(one, other, crop)
    for step in steps:
        improved = True
        while improved:
            improved = False
            for i in range(4):
                for sign in (step, -step):
                    trial = list(margins)
                    trial[i] += sign
                    if abs(trial[i]) > MAX_CROP:
                        continue
                    found = _distance(one, other, _crop(trial))
                    if found < cost * 0.999:
                        margins, cost, improved = trial, found, True
    return _crop(margins)


def _crop(margins: list[float]) -> Crop:
    left, top, right, bottom = margins
    return Crop(left=left, top=top, right=right, bottom=bottom)


def _windows(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Return means over `size`-px windows of a plane at half-window steps."""
    half = size // 2
    high, wide = max(2, values.shape[0] // half), max(2, values.shape[1] // half)
    missing = max(0, high * half - values.shape[0]), max(0, wide * half - values.shape[1])
    if any(missing):
        values = np.pad(values, ((0, missing[0]), (0, missing[1])), mode="edge")
    blocks = values[: high * half, : wide * half].reshape(high, half, wide, half)
    sums = blocks.sum(axis=3).sum(axis=1)
    sums = sums[1:] + sums[:-1]
    sums = sums[:, 1:] + sums[:, :-1]
    return np.asarray(sums / np.float32(size * size))


def residual(
    one: Image.Image, other: Image.Image, crop: Crop, work_px: int = WORK_PX
) -> tuple[float, float]:
    """Return how two YCbCr pictures differ in their worst windows.

    Returns:
        The energy of the luma's difference relative to the luma's own, and the largest gap of
        mean chroma, in levels.
    """
    first, second = crop.boxes()
    wide = min(one.width * (first[2] - first[0]), other.width * (second[2] - second[0]))
    high = min(one.height * (first[3] - first[1]), other.height * (second[3] - second[1]))
    scale = min(1.0, work_px / max(wide, high))
    size = max(_WINDOW_PX, round(wide * scale)), max(_WINDOW_PX, round(high * scale))
    a = np.asarray(_cut(one, first, size), dtype=np.float32)
    b = np.asarray(_cut(other, second, size), dtype=np.float32)
    worst = _plane_residual(a[:, :, 0], b[:, :, 0])
    gaps = [np.abs(_windows(a[:, :, c] - b[:, :, c], 2 * _WINDOW_PX)).max() for c in (1, 2)]
    return worst, float(max(gaps))


def _plane_residual(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the worst window's energy of difference relative to the pictures' own energy."""
    shown = []
    for plane in (one, other):
        mean = _windows(plane, _WINDOW_PX)
        shown.append(_windows(np.square(plane), _WINDOW_PX) - np.square(mean))
    difference = _windows(np.square(one - other), _WINDOW_PX)
    return float((difference / (np.maximum(*shown) + _FLOOR**2)).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How two pictures compare."""

    same: bool
    crop: Crop
    residual: float
    colour_gap: float

    def __str__(self) -> str:
        c = self.crop
        margins = (
            ""
            if c == Crop()
            else (f", margins {c.left:.1%} {c.top:.1%} {c.right:.1%} {c.bottom:.1%}")
        )
        return f"residual {self.residual:.2f}, colour {self.colour_gap:.0f}{margins}"


def _compared(
    one: Image.Image, other: Image.Image, crop: Crop, limit: float, work_px: int
) -> Comparison:
    worst, gap = residual(one, other, crop, work_px)
    same = worst <= limit and gap <= MAX_COLOUR_GAP
    return Comparison(same=same, crop=crop, residual=worst, colour_gap=gap)


def least_residual(one: Image.Image, other: Image.Image) -> float:
    """Return a lower bound of the residual of two YCbCr pictures of one size.

    It is the mean over all windows, whose own energy is at most both pictures' variance.
    """
    a, b = (np.asarray(p.getchannel(0), dtype=np.float32) for p in (one, other))
    shown = float(a.var() + b.var()) + _FLOOR**2
    return float(np.square(a - b).mean()) / (_EDGES * shown)


def compare_small(one: Image.Image, other: Image.Image) -> Comparison:
    """Compare two RGB pictures too small to have been cropped, pixel on pixel."""
    if one.size != other.size:
        return Comparison(same=False, crop=Crop(), residual=np.inf, colour_gap=np.inf)
    a, b = one.convert("YCbCr"), other.convert("YCbCr")
    if (least := least_residual(a, b)) > MAX_SMALL_RESIDUAL:
        return Comparison(same=False, crop=Crop(), residual=least, colour_gap=np.inf)
    found = _compared(a, b, Crop(), MAX_SMALL_RESIDUAL, WORK_PX)
    if not found.same or found.colour_gap > MAX_SMALL_COLOUR_GAP:
        return replace(found, same=False)
    x, y = (np.asarray(picture, dtype=np.float32) for picture in (a, b))
    chroma = max(_plane_residual(x[:, :, c], y[:, :, c]) for c in (1, 2))
    return replace(found, same=chroma <= MAX_SMALL_CHROMA_RESIDUAL)


def compare_thumbnails(one: Image.Image, other: Image.Image) -> Comparison:
    """Compare two RGB thumbnails; "not the same" is final, "the same" is to be confirmed."""
    a, b = one.convert("YCbCr"), other.convert("YCbCr")
    straight = _compared(a, b, Crop(), MAX_THUMBNAIL_RESIDUAL, _REFINE_PX)
    if straight.same and straight.residual < _SURE:
        return straight
    grey_a, grey_b = a.getchannel(0), b.getchannel(0)
    crop = register(grey_a, grey_b)
    found = _compared(a, b, crop, MAX_THUMBNAIL_RESIDUAL, _REFINE_PX)
    if found.residual > _HOPELESS * MAX_THUMBNAIL_RESIDUAL:
        return found
    crop = refine(grey_a, grey_b, crop, (0.01, 0.005, 0.0025))
    refined = _compared(a, b, crop, MAX_THUMBNAIL_RESIDUAL, _REFINE_PX)
    return min(straight, found, refined, key=lambda c: (not c.same, c.residual))


def compare(one: Image.Image, other: Image.Image, hint: Crop) -> Comparison:
    """Compare two RGB pictures, cropped against each other by about `hint`: this decides."""
    a, b = one.convert("YCbCr"), other.convert("YCbCr")
    first = _compared(a, b, hint, MAX_RESIDUAL, WORK_PX)
    if first.same:
        return first
    size = (_FINE_PX, _FINE_PX)
    grey_a = a.getchannel(0).resize(size, Image.Resampling.BOX)
    grey_b = b.getchannel(0).resize(size, Image.Resampling.BOX)
    crop = refine(grey_a, grey_b, hint, (0.005, 0.0025, 0.00125, 0.0006))
    return _compared(a, b, crop, MAX_RESIDUAL, WORK_PX)

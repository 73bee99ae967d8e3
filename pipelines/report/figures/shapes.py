"""Distributions: measures by modality, image sizes, sub-image grids, video durations."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from smolmix.cost import image_grid
from smolmix.pipelines.stats.summary import ValueCounts, distribution, histogram, value_counts
from smolmix.profiles import PixelProfile

DISTRIBUTIONS = ("tokens", "text_tokens", "visual_tokens", "tiles", "answer_chars", "n_turns")


def label(low: float, high: float, *, integers: bool = False) -> str:
    """Return a bin's name: `12 to 20`, or a single number for a bin of one integer."""
    if integers and high - low == 1:
        return f"{low:,.0f}"
    return f"{low:,.10g} to {high:,.10g}"


def by_modality(frame: pl.DataFrame) -> dict[str, Any]:
    """Return the distribution of each measure, with counts by modality in each bin.

    Args:
        frame: the selected rows, with `modality`.
    """
    out: dict[str, Any] = {}
    modalities = sorted(frame["modality"].unique().to_list())
    for name in DISTRIBUTIONS:
        if name not in frame.columns:
            continue
        values = value_counts(frame[name])
        if not values.total:
            continue
        shape = distribution(values, bins=16)
        bins = []
        for modality in modalities:
            one = value_counts(frame.filter(pl.col("modality") == modality)[name])
            counts = histogram(one, shape.histogram.edges, log=shape.histogram.log).counts
            for at, (edges, count) in enumerate(
                zip(pairwise(shape.histogram.edges), counts, strict=True)
            ):
                row = {"at": at, "bin": label(*edges, integers=True), "modality": modality}
                bins.append({**row, "samples": count})
        out[name] = {**asdict(shape), "bins": bins}
    return out


def _edge_class(edge: int) -> str:
    low = 1 << (max(edge, 1).bit_length() - 1)
    return f"{low:,} to {2 * low - 1:,}"


def image_sizes(sizes: pl.DataFrame, pixel: PixelProfile | None) -> dict[str, Any]:
    """Return images by size class, and by sub-image grid under the profile.

    Args:
        sizes: distinct `width`, `height` (pixels) and `count`.
        pixel: how images are split; None gives no grids.
    """
    classes: dict[tuple[int, int], dict[str, Any]] = {}
    grids: dict[tuple[int, int], int] = {}
    for row in sizes.iter_rows(named=True):
        wide, high, count = row["width"], row["height"], row["count"]
        key = (max(wide, 1).bit_length(), max(high, 1).bit_length())
        cell = classes.setdefault(
            key, {"width": _edge_class(wide), "height": _edge_class(high), "images": 0}
        )
        cell["images"] += count
        if pixel is not None and wide > 0 and high > 0:
            grid = image_grid(wide, high, pixel)
            grids[grid.rows, grid.cols] = grids.get((grid.rows, grid.cols), 0) + count
    return {
        "classes": [{"w": k[0], "h": k[1], **v} for k, v in sorted(classes.items())],
        "grids": [
            {"rows": r, "cols": c, "tiles": r * c + 1, "images": n}
            for (r, c), n in sorted(grids.items())
        ],
        "images": int(sizes["count"].sum()) if sizes.height else 0,
        "distinct_sizes": sizes.height,
    }


def durations(seconds: pl.Series, buckets: Sequence[float]) -> dict[str, Any]:
    """Return videos by duration bucket, with their mean and quantiles.

    Args:
        seconds: duration of each drawn sample with video.
        buckets: upper bounds in ascending order; one more bucket holds longer videos.
    """
    counted: ValueCounts = value_counts(seconds)
    edges = [0.0, *buckets, np.inf]
    place = np.searchsorted(np.asarray(buckets), counted.values, side="left")
    table = np.bincount(place, weights=counted.counts, minlength=len(buckets) + 1)
    rows = [
        {
            "at": at,
            "bucket": f"over {low:g} s" if high == np.inf else f"{low:g} to {high:g} s",
            "from_s": low,
            "to_s": None if high == np.inf else high,
            "samples": int(table[at]),
        }
        for at, (low, high) in enumerate(pairwise(edges))
    ]
    quantiles = {f"p{round(q * 100)}": counted.quantile(q) for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
    return {
        "buckets": rows,
        "samples": counted.total,
        "mean_s": counted.mean,
        "quantiles": quantiles,
    }

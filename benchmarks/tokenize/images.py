"""Images a second against transformers' processor, from the same JPEG bytes, on one core.

Run: python -m benchmarks.tokenize.images
"""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.tokenize.measure import one_core, report, side_by_side
from PIL import Image
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from smolmix.profiles import PixelProfile, pixel_preset
from smolmix.tokenize.tiles.image import decode, split

SIZES = {"small": (448, 336), "medium": (1024, 768), "a4": (1240, 1754)}


def jpeg(width: int, height: int) -> bytes:
    """Return a JPEG with detail of many sizes."""
    rng = np.random.default_rng(width)
    image = np.zeros((height, width, 3))
    for scale in (4, 16, 64):
        noise = rng.integers(0, 255, (height // scale + 1, width // scale + 1, 3), dtype=np.uint8)
        image += np.asarray(Image.fromarray(noise).resize((width, height)))
    stream = io.BytesIO()
    Image.fromarray((image / 3).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def main() -> None:
    """Check equality, then time."""
    one_core()
    torch.set_num_threads(1)
    files = {name: jpeg(*size) for name, size in SIZES.items()}
    out: dict[str, Any] = {}
    for preset in ("256m", "2.2b"):
        pixel = pixel_preset(preset)
        fast = replace(pixel, resize="fast")
        processor: Any = SmolVLMImageProcessorPil(
            size={"longest_edge": pixel.longest_edge_px},
            max_image_size={"longest_edge": pixel.tile_px},
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
        )

        def theirs(names: tuple[str, ...], processor: Any = processor) -> None:
            for name in names:
                image = Image.open(io.BytesIO(files[name]))
                processor([[image]], return_tensors="pt")

        def ours(names: tuple[str, ...], profile: PixelProfile) -> None:
            for name in names:
                split(decode(files[name]), profile)

        for name, data in files.items():  # equality first
            wanted = processor([[Image.open(io.BytesIO(data))]], return_tensors="np")
            back = np.round((wanted["pixel_values"][0] * 0.5 + 0.5) * 255).astype(np.uint8)
            assert np.array_equal(back, split(decode(data), pixel)[1].transpose(0, 3, 1, 2)), name
            gap = np.abs(split(decode(data), fast)[1].astype(int) - split(decode(data), pixel)[1])
            out[f"{preset} fast difference {name}"] = {
                "max": int(gap.max()),
                "mean": round(float(gap.mean()), 3),
                "share above 2": round(float((gap > 2).mean()), 5),
            }
        for names in (*((n,) for n in files), tuple(files)):
            contenders: dict[str, Callable[[], Any]] = {
                "transformers": partial(theirs, names),
                "exact": partial(ours, names, pixel),
                "fast": partial(ours, names, fast),
            }
            seconds = side_by_side(contenders)
            out[f"{preset} {'+'.join(names)}"] = {
                "images/s": {k: round(len(names) / v, 2) for k, v in seconds.items()},
                "exact is faster by": round(seconds["transformers"] / seconds["exact"], 2),
                "fast is faster by": round(seconds["transformers"] / seconds["fast"], 2),
            }
    report("images", out)


if __name__ == "__main__":
    main()

"""What each stored form of an image costs on disk and to load, against tokenizing it online.

Run: python -m benchmarks.tokenize.storage
"""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.tokenize.images import SIZES, jpeg
from benchmarks.tokenize.measure import one_core, report, side_by_side
from PIL import Image
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from smolmix.profiles import PixelProfile, pixel_preset
from smolmix.tokenize.tiles.codec import decode_tiles, encode_tiles
from smolmix.tokenize.tiles.image import decode, split


def load(stored: list[list[bytes]], codec: str, pixel: PixelProfile) -> None:
    """Decode all images as the loader does."""
    for blobs in stored:
        np.array(decode_tiles(blobs, codec, pixel))  # the loader copies into one tensor


def online(files: list[bytes], processor: Any) -> None:
    """Do what a training loop without pre-tokenization does for each image."""
    for data in files:
        processor([[Image.open(io.BytesIO(data))]], return_tensors="pt")


def main() -> None:
    """Store three JPEGs in each form, then load them."""
    one_core()
    torch.set_num_threads(1)
    pixel = pixel_preset("256m")
    files = [jpeg(*size) for size in SIZES.values()]
    cut = [split(decode(f), pixel)[1] for f in files]
    processor: Any = SmolVLMImageProcessorPil(
        size={"longest_edge": pixel.longest_edge_px},
        max_image_size={"longest_edge": pixel.tile_px},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    contenders: dict[str, Callable[[], Any]] = {
        "online (transformers)": partial(online, files, processor)
    }
    sizes, worst = {"online (transformers)": sum(map(len, files))}, {}
    for codec in ("source", "source, fast", "jpeg:90", "jpeg:95", "png", "raw"):
        form = codec.removesuffix(", fast")
        made = replace(pixel, resize="fast" if "fast" in codec else "exact")
        stored = [
            [f] if form == "source" else encode_tiles(t, form)
            for f, t in zip(files, cut, strict=True)
        ]
        contenders[codec] = partial(load, stored, form, made)
        sizes[codec] = sum(len(b) for blobs in stored for b in blobs)
        back = [decode_tiles(b, form, made) for b in stored]
        error = np.mean([np.mean((a.astype(int) - b) ** 2) for a, b in zip(cut, back, strict=True)])
        worst[codec] = "none" if error == 0 else f"PSNR {10 * np.log10(255**2 / error):.1f} dB"
    seconds = side_by_side(contenders, rounds=3)
    baseline = seconds["online (transformers)"]
    report(
        "storage",
        {
            name: {
                "MB an image": round(sizes[name] / len(files) / 1e6, 3),
                "images/s to load": round(len(files) / s, 1),
                "faster than online": round(baseline / s, 1),
                "loss": worst.get(name, "none"),
            }
            for name, s in seconds.items()
        },
    )


if __name__ == "__main__":
    main()

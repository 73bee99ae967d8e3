"""Lengths and tiles of samples drawn like SmolVLM2's published mixture (256M and 500M).

Shares of modalities, duration buckets and the largest sources are those of the released YAML;
lengths are computed by `smolmix.cost` from sizes and durations, texts are log-normal.

Source: `onevision_no_mammoth_more_image_balanced`, facts in RESULTS.md.
"""

import numpy as np
from numpy.typing import NDArray

from smolmix import cost
from smolmix.profiles import pixel_preset
from smolmix.sample import Media

# (modality, share in %)
SHARES = {"text": 21.49, "image": 33.83, "multi-image": 11.56, "video": 33.12}
# Durations in seconds of the buckets, and their share of the videos in %.
BUCKETS = ((5, 30, 37.2), (30, 120, 39.3), (120, 180, 23.5))
SIZES = ((640, 480), (480, 640), (1024, 768), (336, 336), (1000, 1414), (1600, 400), (224, 224))
_FRAME_LABEL = 10  # tokens of "Frame from 00:00:"
_SYSTEM = 40

Ints = NDArray[np.int64]


def draw(samples: int, preset: str, seed: int = 0) -> tuple[Ints, Ints, list[str]]:
    """Return (tokens, tiles, modality) of samples in a random order."""
    rng = np.random.default_rng(seed)
    pixel = pixel_preset(preset)
    names = list(SHARES)
    share = np.array(list(SHARES.values()))
    kinds = rng.choice(len(names), samples, p=share / share.sum())
    seconds = np.array([b[2] for b in BUCKETS])
    tokens, tiles = np.zeros(samples, np.int64), np.zeros(samples, np.int64)
    for i, kind in enumerate(kinds):
        name = names[kind]
        media: list[Media] = []
        text = int(np.clip(rng.lognormal(4.4, 0.9), 12, 3000)) + _SYSTEM + 20
        if name == "text":
            text = int(np.clip(rng.lognormal(6.4, 0.7), 40, 8000)) + _SYSTEM
        elif name == "video":
            low, high, _ = BUCKETS[rng.choice(3, p=seconds / seconds.sum())]
            length = float(rng.uniform(low, high))
            media = [
                Media(kind="video", refs=(), frames=int(length * 30), fps=30.0, duration_s=length)
            ]
            text += 30 + _FRAME_LABEL * len(cost.clip_frames(media[0], pixel))
        else:
            count = 1 if name == "image" else int(rng.integers(2, 6))
            for _ in range(count):
                width, height = SIZES[rng.integers(len(SIZES))]
                media.append(Media(kind="image", refs=(), width=width, height=height))
        tokens[i] = text + cost.visual_tokens(media, pixel)
        tiles[i] = cost.media_tiles(media, pixel)
    return tokens, tiles, [names[k] for k in kinds]

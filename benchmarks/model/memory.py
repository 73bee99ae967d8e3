"""Memory of a preset in bf16 inference, batch 1, one image, on a CPU: weights and activations.

To compare: the paper gives 0.8 GB of GPU memory for the 256M at batch 1. Weights are random, since
memory does not depend on them.

Example: python benchmarks/model/memory.py --preset 256m
"""

import argparse
import json
import time

import numpy as np
import psutil
import torch
from transformers import SmolVLMForConditionalGeneration

from smolmix.cost import image_grid
from smolmix.model.arch.build import config
from smolmix.model.arch.presets import preset
from smolmix.model.eval.generate import generate
from smolmix.model.eval.prompts import PromptTiles
from smolmix.model.train.training_log import peak_memory_bytes
from smolmix.profiles import profile
from smolmix.tokenize.chat.encode import block_ids
from smolmix.tokenize.chat.tokenizer import load


def main() -> None:
    """Build the preset, answer 16 tokens about one image, print its time and memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="256m")
    parser.add_argument("--size", type=int, nargs=2, default=(1600, 1200))
    args = parser.parse_args()
    chosen = profile(args.preset, style="inference")
    before = psutil.Process().memory_info().rss
    torch.set_default_dtype(torch.bfloat16)
    model = SmolVLMForConditionalGeneration(config(preset(args.preset))).eval()  # type: ignore[no-untyped-call]  # untyped in transformers
    torch.set_default_dtype(torch.float32)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    grid = image_grid(args.size[0], args.size[1], chosen.pixel)
    ids = np.concatenate([[1], block_ids(grid, chosen, load()), np.arange(100, 120)])
    edge = chosen.pixel.tile_px
    tiles = torch.randint(0, 256, (grid.tiles, 3, edge, edge), dtype=torch.uint8)
    start = time.perf_counter()
    shown = PromptTiles(tiles=tiles, groups=(1,) * grid.tiles)
    generate(model, [ids.astype(np.int64)], [shown], max_new_tokens=16)
    print(
        json.dumps(
            {
                "preset": args.preset,
                "tiles": grid.tiles,
                "tokens": len(ids),
                "weights_gb": round(weights / 1e9, 3),
                "process_before_gb": round(before / 1e9, 3),
                "peak_over_that_gb": round((peak_memory_bytes() - before) / 1e9, 3),
                "seconds": round(time.perf_counter() - start, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

"""How time and memory of one step grow with tokens, with tiles, and with documents.

Each point runs in a process of its own, so that its peak memory is its own. `dense` is the same
step with transformers' block mask of tokens², its default for positions that restart.

Example: python benchmarks/model/growth.py
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
import torch

from smolmix.model.arch.build import build
from smolmix.model.arch.presets import IMAGE_ID
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.train.step import PackedModel, hidden_states, pack, token_losses
from smolmix.model.train.training_log import peak_memory_bytes

_POINTS = [
    {"tokens": t, "tiles": 0, "documents": t // 64, "dense": 0} for t in (1024, 2048, 4096, 8192)
]
_POINTS += [{"tokens": t, "tiles": 0, "documents": t // 64, "dense": 1} for t in (2048, 8192)]
_POINTS += [{"tokens": 8192, "tiles": 0, "documents": 1, "dense": 0}]
_POINTS += [{"tokens": 2048, "tiles": n, "documents": 32, "dense": 0} for n in (64, 128, 256)]


def one(tokens: int, tiles: int, documents: int, dense: int) -> dict[str, float]:
    """Take three steps' forward and backward on one sequence; return the best."""
    model = build(ModelSpec(preset="nano"))
    length = tokens // documents
    ids = np.random.default_rng(0).integers(3, 40_000, tokens)
    labels = np.full(tokens, -100)
    for start in range(0, tokens, length):
        shown = tiles // documents * 4
        ids[start + 1 : start + 1 + shown] = IMAGE_ID
        labels[start + length - 2 : start + length] = ids[start + length - 2 : start + length]
    packed = pack(
        {
            "input_ids": ids,
            "labels": labels,
            "position_ids": np.tile(np.arange(length), documents),
            "tiles": np.zeros((tiles // documents * documents, 3, 32, 32), np.uint8),
        }
    )
    PackedModel(model)
    if dense:
        model.model.text_model.config._attn_implementation = "sdpa"
    before = peak_memory_bytes()
    times = []
    for _ in range(3):
        start_s = time.perf_counter()
        loss = token_losses(model, hidden_states(model, packed), packed).sum()
        torch.autograd.backward(loss)
        times.append(time.perf_counter() - start_s)
    return {"seconds": min(times), "over_before_mb": (peak_memory_bytes() - before) / 1e6}


def main() -> None:
    """Run every point and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--point")
    args = parser.parse_args()
    if args.point:
        print(json.dumps(one(**json.loads(args.point))))
        return
    print("tokens  tiles  documents  dense  ms/step  MB over the weights")
    for point in _POINTS:
        command = [sys.executable, __file__, "--point", json.dumps(point)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.strip().splitlines()[-1])
        print(
            f"{point['tokens']:>6} {point['tiles']:>6} {point['documents']:>10} "
            f"{point['dense']:>6} {1000 * found['seconds']:>8.0f} {found['over_before_mb']:>8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

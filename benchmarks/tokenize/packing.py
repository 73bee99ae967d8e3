"""Packing fullness and tile balance against next-fit, nanoVLM's knapsack and ms-swift's binning.

Run: python -m benchmarks.tokenize.packing
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from benchmarks.tokenize.measure import report
from benchmarks.tokenize.published import draw

from smolmix.tokenize.shards.packing import SequenceBudget, pack

LENGTH = 8192
Bins = list[list[int]]


def next_fit(lengths: Sequence[int]) -> Bins:
    """SmolVLM2's builder and lmms-engine's "first fit": only the last sequence is open."""
    bins: Bins = [[]]
    space = LENGTH
    for i, length in enumerate(lengths):
        if length > space:
            bins.append([])
            space = LENGTH
        bins[-1].append(i)
        space -= length
    return bins


def nanovlm(lengths: Sequence[int], buffer: int = 64) -> Bins:
    """nanoVLM's balanced knapsack: a buffer of `buffer` sequences, longest to the emptiest.

    Source: nanoVLM `advanced_datasets._balanced_greedy_knapsack`, described in its own words.
    """
    out: Bins = []
    chunk: list[int] = []
    total = 0
    for i in range(len(lengths) + 1):
        if i == len(lengths) or total >= LENGTH * buffer:
            count = -(-total // LENGTH) + 5
            bins: Bins = [[] for _ in range(count)]
            used = [0] * count
            for j in sorted(chunk, key=lambda j: -lengths[j]):
                least = int(np.argmin(used))
                if used[least] + lengths[j] > LENGTH:
                    bins.append([])
                    used.append(0)
                    least = len(bins) - 1
                bins[least].append(j)
                used[least] += lengths[j]
            out += [b for b in bins if b]
            chunk, total = [], 0
        if i < len(lengths):
            chunk.append(i)
            total += int(lengths[i])
    return out


def first_fit_decreasing(lengths: Sequence[int], window: int = 1000) -> Bins:
    """ms-swift's `binpacking.to_constant_volume` on windows of 1,000: decreasing, first that fits.

    Source: ms-swift packing dataset; `binpacking` puts each into the fullest bin that holds it.
    """
    out: Bins = []
    for start in range(0, len(lengths), window):
        bins: Bins = []
        space: list[int] = []
        for i in sorted(range(start, min(start + window, len(lengths))), key=lambda i: -lengths[i]):
            fits = [(s, b) for b, s in enumerate(space) if s >= lengths[i]]
            if fits:
                _, chosen = min(fits)
            else:
                bins.append([])
                space.append(LENGTH)
                chosen = len(bins) - 1
            bins[chosen].append(i)
            space[chosen] -= int(lengths[i])
        out += bins
    return out


def ours(lengths: Any, tiles: Any, window: int, cap: int) -> Bins:
    """Return our sequences."""
    made = pack(lengths, tiles, SequenceBudget(tokens=LENGTH, tiles=cap, window=window))
    return [[s.sample for s in q] for q in made.sequences]


def main() -> None:
    """Pack the same samples with all of them."""
    out: dict[str, Any] = {}
    for preset in ("256m", "2.2b"):
        lengths, tiles, _ = draw(40_000, preset)
        fits = (lengths <= LENGTH) & (tiles <= 96)  # of what no cap below leaves out
        lengths, tiles = lengths[fits], tiles[fits]
        ways: dict[str, Callable[[], Bins]] = {
            "next-fit": lambda n=lengths: next_fit(n),  # type: ignore[misc]  # mypy infers no lambda with defaults
            "nanoVLM knapsack": lambda n=lengths: nanovlm(n),  # type: ignore[misc]  # mypy infers no lambda with defaults
            "ms-swift, window 1000": lambda n=lengths: first_fit_decreasing(n),  # type: ignore[misc]  # mypy infers no lambda with defaults
        }
        for window, cap in ((1024, 0), (4096, 0), (40_000, 0), (4096, 112), (4096, 104),
                            (4096, 100), (4096, 96)):  # fmt: skip
            name = f"smolmix, window {window}" + (f", at most {cap} tiles" if cap else "")
            ways[name] = lambda n=lengths, t=tiles, w=window, c=cap: ours(n, t, w, c)  # type: ignore[misc]  # mypy infers no lambda with defaults
        for name, way in ways.items():
            start = time.process_time()
            bins = way()
            seconds = time.process_time() - start
            assert sorted(i for b in bins for i in b) == list(range(len(lengths)))
            load = [int(tiles[b].sum()) for b in bins]
            assert max(int(lengths[b].sum()) for b in bins) <= LENGTH
            waiting = np.array(load[: len(load) // 8 * 8]).reshape(-1, 8)
            out[f"{preset} {name}"] = {
                "sequences": len(bins),
                "at least": int(-(-lengths.sum() // LENGTH)),
                "full %": round(100 * float(lengths.sum()) / (len(bins) * LENGTH), 2),
                "tiles p50, p99, max": [int(x) for x in np.percentile(load, (50, 99, 100))],
                "8 ranks wait for tiles %": round(
                    100 * (1 - float(waiting.mean() / waiting.max(1).mean())), 1
                ),
                "samples/s": round(len(lengths) / seconds),
            }
    report("packing", out)


if __name__ == "__main__":
    main()

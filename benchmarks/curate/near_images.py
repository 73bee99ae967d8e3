"""All pairs within 4 bits among 64-bit hashes: 10M of them by default, planted pairs among them.

python benchmarks/curate/near_images.py --hashes 10000000
"""

import argparse
import json
import resource
import time

import numpy as np

from smolmix.pipelines.curate.dedup.media import hamming


def main() -> None:
    """Search and print time, peak memory and recall of the planted pairs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hashes", type=int, default=10_000_000)
    parser.add_argument("--bits", type=int, default=4)
    args = parser.parse_args()
    rng = np.random.default_rng(3)
    hashes = rng.integers(0, 1 << 63, args.hashes, dtype=np.uint64) * np.uint64(2)
    hashes |= rng.integers(0, 2, args.hashes, dtype=np.uint64)
    planted = args.hashes // 100
    for _ in range(args.bits):  # the last hundredth: copies of the first with bits flipped
        flip = np.uint64(1) << rng.integers(0, 64, planted, dtype=np.uint64)
        hashes[-planted:] = (hashes[:planted] if _ == 0 else hashes[-planted:]) ^ flip
    at, found, pairs = time.monotonic(), 0, 0
    for band in range(hamming.bands_for(args.bits)):
        for i, j, _bits in hamming.near_in_band(hashes, hashes, band=band, max_bits=args.bits):
            low, high = np.minimum(i, j), np.maximum(i, j)
            found += int((high - low == args.hashes - planted).sum())
            pairs += len(i)
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss / 1024
    print(
        json.dumps(
            {"hashes": args.hashes, "bits": args.bits, "seconds": round(time.monotonic() - at, 1),
             "cpu_s": round(used.ru_utime + used.ru_stime, 1),
             "peak_mib": round(peak), "recall": found / planted, "other_pairs": pairs - found}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()

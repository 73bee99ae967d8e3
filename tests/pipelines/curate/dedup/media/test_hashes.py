"""Hash search finds every close pair, each once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.curate.dedup.media import hamming

HASHES = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=25)


def spread(seeds: list[int], rng: np.random.Generator) -> list[int]:
    """Return each hash and a copy with up to nine bits changed, so that near pairs exist."""
    found = []
    for seed in seeds:
        changed = seed
        for bit in rng.choice(64, int(rng.integers(0, 10)), replace=False):
            changed ^= 1 << int(bit)
        found += [seed, changed]
    return found


@given(HASHES, st.integers(0, 8), st.integers(0, 99), st.booleans())
def test_the_bands_together_find_each_close_pair_once(
    seeds: list[int], max_bits: int, seed: int, within: bool
) -> None:
    rng = np.random.default_rng(seed)
    one = np.array(spread(seeds, rng), np.uint64)
    other = one if within else np.array(spread(seeds[::-1], rng), np.uint64)
    found = [
        (int(a), int(b), int(bits))
        for band in range(hamming.bands_for(max_bits))
        for i, j, apart in hamming.near_in_band(one, other, band=band, max_bits=max_bits)
        for a, b, bits in zip(i, j, apart, strict=True)
    ]
    wanted = {
        (i, j, (int(a) ^ int(b)).bit_count())
        for i, a in enumerate(one)
        for j, b in enumerate(other)
        if (int(a) ^ int(b)).bit_count() <= max_bits and (i < j or not within)
    }
    ordered = [(min(a, b), max(a, b), bits) for a, b, bits in found] if within else found
    assert len(ordered) == len(set(ordered))
    assert set(ordered) == wanted


def test_the_bands_cover_all_bits_once() -> None:
    for bands in range(2, 10):
        ones = np.array([2**64 - 1], np.uint64)
        widths = [int(hamming.band_of(ones, b, bands)[0]).bit_count() for b in range(bands)]
        assert sum(widths) == 64
        assert max(widths) - min(widths) <= 1

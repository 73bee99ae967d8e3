"""Words and runs of words as 64-bit hashes: what MinHash signs, and contamination looks up.

A word's hash is odd when the word holds a digit, so a text's numbers can be compared alone.
"""

import numpy as np
import xxhash
from numpy.typing import NDArray

from smolmix.pipelines.measure.texts import bare, unified

Hashes = NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15
_CACHED_WORDS = 1 << 18
_VANISHES = 0


def _hash(token: str) -> int:
    """Return the hash of a word of the normal form; words of letters in small letters."""
    word = bare(token)
    if not word:
        return _VANISHES
    if len(word) > 1 and word.replace("'", "").isalpha():  # a lone letter is a symbol
        return xxhash.xxh3_64_intdigest(word.lower().encode(errors="replace")) & ~1 or 2
    digit = not word.isalpha() and any(map(str.isdigit, word))
    return xxhash.xxh3_64_intdigest(word.encode(errors="replace")) & ~1 | digit or 2


class _Words(dict[str, int]):
    """Hashes of the words seen last; a plain dict's speed where a word is known."""

    def __missing__(self, token: str) -> int:
        if len(self) >= _CACHED_WORDS:
            self.clear()
        self[token] = found = _hash(token)
        return found


_WORDS = _Words()


def words(text: str) -> Hashes:
    """Return the hashes of a text's words, in order."""
    split = unified(text).split()
    hashed = np.fromiter(map(_WORDS.__getitem__, split), np.uint64, len(split))
    kept: Hashes = hashed[hashed != _VANISHES]
    return kept


def runs(said: Hashes, size: int) -> Hashes:
    """Return the hashes of all runs of `size` words; fewer words have none."""
    count = len(said) - size + 1
    if count < 1:
        return np.zeros(0, np.uint64)
    total, power = np.zeros(count, np.uint64), 1
    for at in range(size):
        total += said[at : at + count] * np.uint64(power)
        power = power * _BASE % (1 << 64)
    return total


def shingles(said: Hashes, size: int) -> Hashes:
    """Return the runs of `size` words; a shorter text is one run."""
    return runs(said, min(size, max(1, len(said))))


def whole(said: Hashes) -> int:
    """Return the hash of a whole text."""
    return xxhash.xxh3_64_intdigest(said.tobytes())


def numbers(said: Hashes) -> int:
    """Return a 64-bit key of the multiset of words that hold a digit."""
    return whole(np.sort(said[said & np.uint64(1) == 1]))

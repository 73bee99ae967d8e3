"""Words and runs of words as 64-bit hashes, for MinHash and the search for contamination.

A word's hash is odd when the word has a digit, so the numbers of texts can be compared separately.
In scripts without spaces a word is a character; its hash is short, so that words can be counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from smolmix.pipelines.curate.measure.texts import CHARACTERS_PER_WORD, bare, is_character, spaced

Hashes = NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15
_CACHED_WORDS = 1 << 18
_VANISHES = 0
_CHARACTER_BITS = 33  # of a character's hash; one word in 2^31 has so short a hash too


def _hash(token: str) -> int:
    """Return the hash of a word of the normal form; words of letters in small letters."""
    word = bare(token)
    if not word:
        return _VANISHES
    if is_character(word):
        return xxhash.xxh3_64_intdigest(word.encode()) >> 64 - _CHARACTER_BITS & ~1 or 2
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
    split = spaced(text).split()
    hashed = np.fromiter(map(_WORDS.__getitem__, split), np.uint64, len(split))
    kept: Hashes = hashed[hashed != _VANISHES]
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The hashed words of several texts, one after another."""

    hashes: Hashes
    offsets: NDArray[np.int64]  # (texts + 1,): where each text starts, and the last one ends

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Return what `words` returns of each text, at a quarter of its cost."""
        split = pc.utf8_split_whitespace(pa.array(map(spaced, texts), pa.string()))
        found = split.flatten().dictionary_encode()
        known = np.fromiter(map(_WORDS.__getitem__, found.dictionary.to_pylist()), np.uint64)
        hashed = known[found.indices.to_numpy()]
        stays = hashed != _VANISHES
        offsets = np.concatenate([[0], np.cumsum(stays)])[split.offsets.to_numpy()]
        return cls(hashes=hashed[stays], offsets=offsets)

    def shingles(self, size: int) -> "Words":
        """Return the runs of `size` words of each text; a shorter text is one run."""
        lengths = np.diff(self.offsets)
        ends = np.repeat(self.offsets[1:], lengths)
        starts = np.repeat(self.offsets[:-1], lengths)
        place = np.arange(len(self.hashes))
        total, power = self.hashes.copy(), _BASE
        for at in range(1, size):
            inside = max(0, len(total) - at)
            said = self.hashes[at:] * np.uint64(power)
            total[:inside] += np.where(place[at:] < ends[:inside], said, 0)
            power = power * _BASE % (1 << 64)
        whole_runs = (place + size <= ends) | (place == starts)
        offsets = np.concatenate([[0], np.cumsum(whole_runs)])[self.offsets]
        return Words(hashes=total[whole_runs], offsets=offsets)

    def numbers(self) -> Hashes:
        """Return a 64-bit key of each text's multiset of words with a digit."""
        digits = np.where(self.hashes & np.uint64(1) == 1, _mixed(self.hashes), 0)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(digits, dtype=np.uint64)])
        return np.asarray(sums[self.offsets[1:]] - sums[self.offsets[:-1]])


def _mixed(hashes: Hashes) -> Hashes:
    """Return hashes whose sums distinguish multisets."""
    found = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(_BASE)
    return np.asarray(found ^ (found >> np.uint64(29)))


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


def length(said: Hashes) -> float:
    """Return how many words a text has: of characters, two count as one."""
    characters = int((said < 1 << _CHARACTER_BITS).sum())
    return len(said) - characters + characters / CHARACTERS_PER_WORD


def whole(said: Hashes) -> int:
    """Return the hash of a full text."""
    return xxhash.xxh3_64_intdigest(said.tobytes())

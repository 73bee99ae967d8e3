"""Overlap of word n-grams between a training sample and a benchmark's texts.

A benchmark text is found in a sample when enough of its n-grams are there. N-grams that many of
the benchmark's texts share ("Answer with the option's letter from the given choices") are
boilerplate and count for nothing. A text shorter than an n-gram must be the whole sample.
In scripts without spaces n-grams are of characters, and two characters count as one word.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from smolmix.pipelines.curate.dedup.text.shingles import Hashes, length, runs, whole, words
from smolmix.pipelines.curate.settings import Decontaminate
from smolmix.sample import Sample

MIN_WORDS = 4  # shorter benchmark texts are not searched
MIN_WORDS_WITH_MEDIA = 20  # a short question alone does not identify a benchmark sample


def words_of(sample: Sample) -> Hashes:
    """Return the hashed words of what user and assistant say, in order."""
    return words("\n".join(t.text for t in sample.turns if t.role != "system"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The n-grams of some benchmarks' texts."""

    ids: NDArray[np.str_]  # of the texts
    counts: NDArray[np.int64]  # n-grams of each text, without boilerplate
    grams: NDArray[np.uint64]  # sorted, one entry for each (n-gram, text)
    texts: NDArray[np.int64]  # the text of each entry of `grams`
    wholes: NDArray[np.uint64]  # sorted
    whole_texts: NDArray[np.int64]

    @classmethod
    def build(cls, items: Iterable[tuple[str, Hashes]], settings: Decontaminate) -> "Index":
        """Return the index of (id, words) texts."""
        ids: list[str] = []
        found: list[NDArray[np.uint64]] = []
        owners: list[NDArray[np.int64]] = []
        wholes: list[int] = []
        whole_texts: list[int] = []
        for name, said in items:
            size = length(said)
            if size < MIN_WORDS:
                continue
            number = len(ids)
            ids.append(name)
            wholes.append(whole(said))
            whole_texts.append(number)
            own = np.unique(runs(said, settings.ngram_words))
            if size < settings.ngram_words:
                own = own[:0]
            found.append(own)
            owners.append(np.full(len(own), number, np.int64))
        every = np.concatenate([*found, np.zeros(0, np.uint64)])
        owner = np.concatenate([*owners, np.zeros(0, np.int64)])
        order = np.argsort(every, kind="stable")
        every, owner = every[order], owner[order]
        _, at, often = np.unique(every, return_inverse=True, return_counts=True)
        rare = often[at] <= settings.common_in
        every, owner = every[rare], owner[rare]
        order = np.argsort(np.array(wholes, np.uint64), kind="stable")
        return cls(
            ids=np.array(ids, dtype=np.str_),
            counts=np.bincount(owner, minlength=len(ids)),
            grams=every,
            texts=owner,
            wholes=np.array(wholes, np.uint64)[order],
            whole_texts=np.array(whole_texts, np.int64)[order],
        )

    def save(self, stream: IO[bytes]) -> None:
        """Write the index."""
        np.savez(stream, **{name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, stream: IO[bytes]) -> "Index":
        """Read what `save` wrote."""
        with np.load(stream, allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def match(self, said: Hashes, settings: Decontaminate) -> tuple[str, str] | None:
        """Return (id, how) of the benchmark text with the largest share of n-grams, or None."""
        at = np.searchsorted(self.wholes, np.uint64(whole(said))) if len(self.wholes) else 0
        if at < len(self.wholes) and self.wholes[at] == whole(said):
            return str(self.ids[self.whole_texts[at]]), "the whole text"
        own = np.unique(runs(said, settings.ngram_words))
        first = np.searchsorted(self.grams, own, side="left")
        last = np.searchsorted(self.grams, own, side="right")
        hit = np.flatnonzero(last > first)
        if not len(hit):
            return None
        texts = np.concatenate([self.texts[first[i] : last[i]] for i in hit])
        names, held = np.unique(texts, return_counts=True)
        share = held / self.counts[names]
        enough = (share >= settings.min_coverage) & (held >= np.minimum(2, self.counts[names]))
        if not enough.any():
            return None
        best = int(np.argmax(np.where(enough, share, 0.0)))
        how = f"{held[best]} of {self.counts[names[best]]} {settings.ngram_words}-grams"
        return str(self.ids[names[best]]), how

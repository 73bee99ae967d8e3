"""Rules on quality, all opt-in: datatrove's own filters of text, and scores by models.

datatrove splits words with spaCy, which takes 95 % of its time. Here one regular expression splits
them, which does not matter to its thresholds; the filters themselves are datatrove's code.

`smolmix.pipelines.curate.measure.model_scores` defines the scorers.
"""

import re
from functools import lru_cache
from typing import Any

from smolmix.pipelines.curate.rules.rule import MeasuredSample, Rule

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


@lru_cache(maxsize=1)
def _words() -> Any:
    """Return a word tokenizer for datatrove that needs no model."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return _WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [s for s in _SENTENCE.split(text) if s.strip()]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [m.span() for m in _WORD.finditer(text)]

    return Words("en")


@lru_cache(maxsize=8)
def _filter(name: str) -> Any:
    from datatrove.pipeline import filters

    return getattr(filters, name)(language=_words())


def _datatrove_problem(measured: MeasuredSample, name: str) -> str | None:
    from datatrove.data import Document

    said = [t.text for t in measured.sample.turns if t.role != "system"]
    found = _filter(name).filter(Document(text="\n".join(said), id=measured.sample.id))
    if isinstance(found, tuple):
        return None if found[0] else str(found[1])
    return None if found else name


class GopherRepetition(Rule):
    """The text does not repeat itself."""

    name = "gopher-repetition"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return datatrove's reason."""
        return _datatrove_problem(measured, "GopherRepetitionFilter")


class GopherQuality(Rule):
    """The text has the words, lengths and symbols of prose."""

    name = "gopher-quality"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return datatrove's reason."""
        return _datatrove_problem(measured, "GopherQualityFilter")


class C4Quality(Rule):
    """The text has sentences, and no lorem ipsum, braces or cookie notices."""

    name = "c4-quality"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return datatrove's reason."""
        return _datatrove_problem(measured, "C4QualityFilter")


class FineWebQuality(Rule):
    """Lines end like sentences and are not short or repeated."""

    name = "fineweb-quality"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return datatrove's reason."""
        return _datatrove_problem(measured, "FineWebQualityFilter")


class ScoreLow(Rule):
    """A model's score is high enough."""

    name = "score-low"
    scorer: str
    min_score: float

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the score that is too low."""
        found = measured.scores[self.scorer]
        if found >= self.min_score:
            return None
        return f"{self.scorer} {found:.3f}, at least {self.min_score:g}"

"""Rules on quality, all opt-in: datatrove's own filters of text, and scores by models.

datatrove splits words with spaCy, which takes 95 % of its time. Here one regular expression splits
them, which does not matter to its thresholds; the filters themselves are datatrove's code.

In a text of scripts without spaces a word is a character. Two of them count as one word, so bounds
on words double, and what holds for English alone (stop words, the length of a word) is not asked.

`smolmix.pipelines.curate.measure.model_scores` defines the scorers.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from smolmix.pipelines.curate.measure.texts import (
    CHARACTERS_PER_WORD,
    characters,
    is_character,
    spaced,
)
from smolmix.pipelines.curate.rules.rule import MeasuredSample, Rule

_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_SENTENCE_SPAN = re.compile(r"\S.*?(?:(?<=[.!?])(?=\s)|$)", re.MULTILINE)


_ENDS = str.maketrans({"。": ". ", "।": ".", "။": ".", "។": "."})
_CLAUSE = re.compile(
    r"(?<=[\u0e01-\u0eff])[ \t]*(?=\n|\Z)|(?<=[\u0e01-\u0eff])[ \t]+(?=[\u0e01-\u0eff])"
)
# Shares of characters count the spaces by which datatrove joins the words of a top n-gram.
_OF_CHARACTERS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "GopherRepetitionFilter": {
            "top_n_grams": tuple(
                (2 * n, share * (4 * n - 1) / (2 * n))
                for n, share in ((2, 0.2), (3, 0.18), (4, 0.16))
            ),
            "dup_n_grams": tuple((2 * n, (20 - n) / 100) for n in range(5, 11)),
        },
        "GopherQualityFilter": {
            "min_doc_words": 50 * CHARACTERS_PER_WORD,
            "max_doc_words": 100_000 * CHARACTERS_PER_WORD,
            "min_avg_word_length": None,
            "max_avg_word_length": None,
            "max_symbol_word_ratio": 0.1 / CHARACTERS_PER_WORD,
            "min_stop_words": None,
        },
        "C4QualityFilter": {"min_words_per_line": 3 * CHARACTERS_PER_WORD},
        "FineWebQualityFilter": {
            "line_punct_exclude_zero": True,  # Thai and Lao have no full stop
            "short_line_length": 30 // CHARACTERS_PER_WORD,
            "new_line_ratio": 0.3 / CHARACTERS_PER_WORD,
        },
    }
)


def _in_characters(text: str) -> bool:
    """Whether most of a text's words are characters of scripts without spaces."""
    found = len(characters(text))
    return bool(found) and found > CHARACTERS_PER_WORD * (len(_characters_and_words(text)) - found)


def _characters_and_words(text: str) -> list[str]:
    return [
        word
        for token in spaced(text).split()
        for word in ([token] if is_character(token) else _WORD.findall(token))
    ]


@lru_cache(maxsize=2)
def _words(by_character: bool) -> Any:
    """Return a word tokenizer for datatrove that needs no model."""
    from datatrove.utils.word_tokenizers import WordTokenizer

    class Words(WordTokenizer):  # type: ignore[misc]  # datatrove has no types
        def word_tokenize(self, text: str) -> list[str]:
            return _characters_and_words(text) if by_character else _WORD.findall(text)

        def sent_tokenize(self, text: str) -> list[str]:
            return [s for s in _SENTENCE.split(text) if s.strip()]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            spans = _SENTENCE_SPAN if by_character else _WORD
            return [m.span() for m in spans.finditer(text)]

    return Words("en")


@lru_cache(maxsize=16)
def _filter(name: str, by_character: bool) -> Any:
    from datatrove.pipeline import filters

    settings = _OF_CHARACTERS[name] if by_character else {}
    return getattr(filters, name)(language=_words(by_character), **settings)


def _datatrove_problem(measured: MeasuredSample, name: str) -> str | None:
    from datatrove.data import Document

    text = "\n".join(t.text for t in measured.sample.turns if t.role != "system")
    by_character = _in_characters(text)
    if by_character and name == "C4QualityFilter":
        text = _as_c4_reads(text)
    found = _filter(name, by_character).filter(Document(text=text, id=measured.sample.id))
    if isinstance(found, tuple):
        return None if found[0] else str(found[1])
    return None if found else name


def _as_c4_reads(text: str) -> str:
    """Return the text with full stops, clauses and words in the form that C4's rules look for."""
    text = _CLAUSE.sub(". ", text.translate(_ENDS))
    return "\n".join(re.sub(r"\s+([.!?\"'])", r"\1", spaced(line)) for line in text.split("\n"))


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

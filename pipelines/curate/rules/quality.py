"""Text quality by datatrove's own filters: opt-in, for documents and other text-only samples.

datatrove splits words with spaCy (95 % of its time); here words are cut by one expression, which
its thresholds do not feel, and the filters' own code does the rest.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from smolmix.pipelines.curate.rules.rule import Rule, View

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


def _why(view: View, name: str) -> str | None:
    from datatrove.data import Document

    said = [t.text for t in view.sample.turns if t.role != "system"]
    found = _filter(name).filter(Document(text="\n".join(said), id=view.sample.id))
    if isinstance(found, tuple):
        return None if found[0] else str(found[1])
    return None if found else name


@dataclass(frozen=True, slots=True, kw_only=True)
class GopherRepetition:
    """The text does not repeat itself."""

    name: ClassVar[str] = "gopher-repetition"

    def why(self, view: View) -> str | None:
        """Return datatrove's reason."""
        return _why(view, "GopherRepetitionFilter")


@dataclass(frozen=True, slots=True, kw_only=True)
class GopherQuality:
    """The text has the words, lengths and symbols of prose."""

    name: ClassVar[str] = "gopher-quality"

    def why(self, view: View) -> str | None:
        """Return datatrove's reason."""
        return _why(view, "GopherQualityFilter")


@dataclass(frozen=True, slots=True, kw_only=True)
class C4Quality:
    """The text has sentences, and no lorem ipsum, braces or cookie notices."""

    name: ClassVar[str] = "c4-quality"

    def why(self, view: View) -> str | None:
        """Return datatrove's reason."""
        return _why(view, "C4QualityFilter")


@dataclass(frozen=True, slots=True, kw_only=True)
class FineWebQuality:
    """Lines end like sentences and are not short or repeated."""

    name: ClassVar[str] = "fineweb-quality"

    def why(self, view: View) -> str | None:
        """Return datatrove's reason."""
        return _why(view, "FineWebQualityFilter")


RULES: tuple[type[Rule], ...] = (GopherRepetition, GopherQuality, C4Quality, FineWebQuality)

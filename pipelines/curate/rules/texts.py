"""Rules on text: length, language, repetition."""

from dataclasses import dataclass
from typing import ClassVar

from smolmix.pipelines.curate.rules.rule import Rule, View


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLength:
    """The text's length in tokens is within bounds."""

    name: ClassVar[str] = "text-length"
    min_tokens: int
    max_tokens: int

    def why(self, view: View) -> str | None:
        """Return the length out of bounds."""
        tokens = view.sample.text_tokens
        if self.min_tokens <= tokens <= self.max_tokens:
            return None
        return f"{tokens} tokens, between {self.min_tokens} and {self.max_tokens}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerLength:
    """The answers together are within bounds."""

    name: ClassVar[str] = "answer-length"
    min_chars: int = 0
    max_chars: int

    def why(self, view: View) -> str | None:
        """Return the length out of bounds."""
        chars = view.sample.answer_chars
        if self.min_chars <= chars <= self.max_chars:
            return None
        return f"{chars} characters, between {self.min_chars} and {self.max_chars}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The language is one of these; too short a text to tell passes."""

    name: ClassVar[str] = "language"
    allowed: tuple[str, ...]

    def why(self, view: View) -> str | None:
        """Return the language found."""
        found = view.sample.language
        return found if found and found not in self.allowed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGarbled:
    """Few characters are control signs or U+FFFD, the mark of a wrong encoding."""

    name: ClassVar[str] = "text-garbled"
    max_share: float

    def why(self, view: View) -> str | None:
        """Return the share of garbled characters."""
        text = "".join(t.text for t in view.sample.turns)
        bad = sum(c == "\ufffd" or (c < " " and c not in "\t\n\r\f") for c in text)
        if not text or bad <= self.max_share * len(text):
            return None
        return f"{bad} of {len(text)} characters"


RULES: tuple[type[Rule], ...] = (TextLength, AnswerLength, Language, TextGarbled)

"""Rules on text: length, language, encoding."""

from smolmix.pipelines.curate.rules.rule import MeasuredSample, Rule


class TextLength(Rule):
    """The text's length in tokens is within bounds."""

    name = "text-length"
    min_tokens: int
    max_tokens: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the length out of bounds."""
        tokens = measured.sample.text_tokens
        if self.min_tokens <= tokens <= self.max_tokens:
            return None
        return f"{tokens} tokens, between {self.min_tokens} and {self.max_tokens}"


class AnswerLength(Rule):
    """The length of all answers together is within bounds."""

    name = "answer-length"
    min_chars: int = 0
    max_chars: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the length out of bounds."""
        chars = measured.sample.answer_chars
        if self.min_chars <= chars <= self.max_chars:
            return None
        return f"{chars} characters, between {self.min_chars} and {self.max_chars}"


class Language(Rule):
    """The language is an allowed one; a text too short to tell passes."""

    name = "language"
    allowed: tuple[str, ...]

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the language found."""
        found = measured.sample.language
        return found if found and found not in self.allowed else None


class TextGarbled(Rule):
    """Few characters are control characters or U+FFFD, which mark a wrong encoding."""

    name = "text-garbled"
    max_share: float

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the share of garbled characters."""
        text = "".join(t.text for t in measured.sample.turns)
        bad = sum(c == "\ufffd" or (c < " " and c not in "\t\n\r\f") for c in text)
        if not text or bad <= self.max_share * len(text):
            return None
        return f"{bad} of {len(text)} characters"

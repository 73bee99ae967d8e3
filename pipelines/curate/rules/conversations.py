"""Rules on turns: who speaks, whether there is an answer, whether placeholders match media."""

import re
from dataclasses import dataclass
from typing import ClassVar

from smolmix.pipelines.curate.measure.texts import words
from smolmix.pipelines.curate.rules.rule import Rule, View

_REFUSAL = re.compile(
    r"^\W*(i('?m| am) (very |so |really |truly )?(sorry|afraid)|(my )?apologies|i apologi[sz]e|"
    r"(unfortunately,? )?i (can('|no)?t|am (unable|not able)|'?m (unable|not able)|do not|don'?t|"
    r"won'?t|will not|could not|couldn'?t)\b[^.\n]{0,30}\b(assist|help|answer|provide|see|view|"
    r"access|comply|fulfil\w*|determine|identify|process|discuss|support|generate|create|continue|"
    r"engage|have (access|the ability))|"
    r"as an? (ai|artificial|large|language|text)[ -]|sorry,? (but )?(i|the)\b)",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"^\W*(n/a|null|nan|undefined|not available|no answer|tbd|todo|"
    r"\[?(answer|response|text|caption|placeholder|insert[^\]]*)\]?|lorem ipsum.*|"
    r"click here.*|error.*:.*|https?://\S+|\{\{.*\}\}|<[a-z_/]+>)\W*$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"<(image|video|img)(_?\d+)?>", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolesAlternate:
    """An optional system turn, then user and assistant in turns, the assistant last."""

    name: ClassVar[str] = "roles-do-not-alternate"

    def why(self, view: View) -> str | None:
        """Return the roles where they do not alternate."""
        roles = [t.role for t in view.sample.turns]
        if view.is_document():
            return None
        body = roles[1:] if roles and roles[0] == "system" else roles
        wanted = ["user", "assistant"] * (len(body) // 2)
        if body and len(body) % 2 == 0 and body == wanted:
            return None
        return " ".join(roles[:8]) or "no turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEmpty:
    """Every assistant turn says something."""

    name: ClassVar[str] = "answer-empty"

    def why(self, view: View) -> str | None:
        """Return which turn is empty."""
        answers = [i for i, t in enumerate(view.sample.turns) if t.role == "assistant"]
        if not answers:
            return "no assistant turn"
        empty = [i for i in answers if not view.sample.turns[i].text.strip()]
        return f"turn {empty[0]}" if empty else None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionEmpty:
    """Every user turn has text or a medium."""

    name: ClassVar[str] = "question-empty"

    def why(self, view: View) -> str | None:
        """Return which turn is empty."""
        for number, turn in enumerate(view.sample.turns):
            if turn.role != "user":
                continue
            if not turn.text.strip() and all(p.media is None for p in turn.parts):
                return f"turn {number}"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaMismatch:
    """Each medium is shown exactly once, in order, and not by the assistant."""

    name: ClassVar[str] = "media-mismatch"

    def why(self, view: View) -> str | None:
        """Return how places and media differ."""
        shown = [p.media for t in view.sample.turns for p in t.parts if p.media is not None]
        if shown != list(range(len(view.sample.media))):
            return f"{len(shown)} places for {len(view.sample.media)} media: {shown[:8]}"
        for turn in view.sample.turns:
            if turn.role == "assistant" and any(p.media is not None for p in turn.parts):
                return "a medium in an answer"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceholderLeft:
    """A media sample's text holds no `<image>` that no medium took."""

    name: ClassVar[str] = "placeholder-left"

    def why(self, view: View) -> str | None:
        """Return the placeholder."""
        if not view.sample.media:
            return None
        for turn in view.sample.turns:
            if found := _PLACEHOLDER.search(turn.text):
                return f"{found.group(0)} in a {turn.role} turn"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRefuses:
    """No answer is a refusal or an apology."""

    name: ClassVar[str] = "answer-refuses"

    def why(self, view: View) -> str | None:
        """Return the beginning of the refusal."""
        if view.is_document():
            return None
        for turn in view.sample.turns:
            if turn.role == "assistant" and _REFUSAL.match(turn.text[:200]):
                return turn.text[:80]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBoilerplate:
    """No answer is a stand-in: "N/A", "[insert answer]", a bare link."""

    name: ClassVar[str] = "answer-boilerplate"
    allowed: tuple[str, ...] = ()  # stand-ins that a corpus means, in small letters

    def why(self, view: View) -> str | None:
        """Return the stand-in."""
        if view.is_document():
            return None
        for turn in view.sample.turns:
            text = turn.text.strip()
            if turn.role != "assistant" or text.strip(" .").lower() in self.allowed:
                continue
            if len(text) < 120 and _BOILERPLATE.match(text):
                return text[:80]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptEchoed:
    """No answer repeats its question."""

    name: ClassVar[str] = "prompt-echoed"
    min_words: int = 4  # shorter questions may be answered in their own words

    def why(self, view: View) -> str | None:
        """Return the beginning of the echo."""
        question: list[str] = []
        for turn in view.sample.turns:
            said = [w.lower() for w in words(turn.text)]
            if turn.role == "user":
                question = said
            elif turn.role == "assistant" and len(question) >= self.min_words and said == question:
                return turn.text[:80]
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyTurns:
    """A conversation is at most so long."""

    name: ClassVar[str] = "too-many-turns"
    max_turns: int

    def why(self, view: View) -> str | None:
        """Return the number of turns."""
        count = len(view.sample.turns)
        return f"{count} turns, at most {self.max_turns}" if count > self.max_turns else None


RULES: tuple[type[Rule], ...] = (
    RolesAlternate,
    AnswerEmpty,
    QuestionEmpty,
    MediaMismatch,
    PlaceholderLeft,
    AnswerRefuses,
    AnswerBoilerplate,
    PromptEchoed,
    TooManyTurns,
)

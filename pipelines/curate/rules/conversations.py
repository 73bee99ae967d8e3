"""Rules on turns: roles, empty turns, placeholders of media, refusals, stand-ins."""

import re

from smolmix.pipelines.curate.measure.texts import words, words_in
from smolmix.pipelines.curate.rules.rule import MeasuredSample, Rule

_REFUSAL = re.compile(
    r"^\W*(i('?m| am) (very |so |really |truly )?(sorry|afraid)|(my )?apologies|i apologi[sz]e|"
    r"(unfortunately,? )?i (can('|no)?t|am (unable|not able)|'?m (unable|not able)|do not|don'?t|"
    r"won'?t|will not|could not|couldn'?t)\b[^.\n]{0,30}\b(assist|help|answer|provide|see|measured|"
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
# A numbered mark anywhere; a plain one, which HTML and SVG have too, where no sentence holds it.
_NUMBERED = re.compile(r"<(image|video|img)[_ ]?\d+>", re.IGNORECASE)
_STANDING = re.compile(r"(?:\A|^)\s*<(image|video|img)>\s*$|\A\s*<(image|video|img)>", re.I | re.M)


class RolesAlternate(Rule):
    """User and assistant alternate after an optional system turn, and the assistant is last."""

    name = "roles-do-not-alternate"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the roles where they do not alternate."""
        roles = [t.role for t in measured.sample.turns]
        if measured.is_document():
            return None
        body = roles[1:] if roles and roles[0] == "system" else roles
        wanted = ["user", "assistant"] * (len(body) // 2)
        if body and len(body) % 2 == 0 and body == wanted:
            return None
        return " ".join(roles[:8]) or "no turn"


class AnswerEmpty(Rule):
    """Every assistant turn has text."""

    name = "answer-empty"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return which turn is empty."""
        answers = [i for i, t in enumerate(measured.sample.turns) if t.role == "assistant"]
        if not answers:
            return "no assistant turn"
        empty = [i for i in answers if not measured.sample.turns[i].text.strip()]
        return f"turn {empty[0]}" if empty else None


class QuestionEmpty(Rule):
    """Every user turn has text or a medium."""

    name = "question-empty"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return which turn is empty."""
        for number, turn in enumerate(measured.sample.turns):
            if turn.role != "user":
                continue
            if not turn.text.strip() and all(p.media is None for p in turn.parts):
                return f"turn {number}"
        return None


class MediaMismatch(Rule):
    """Each medium is shown exactly once, in order, and not by the assistant."""

    name = "media-mismatch"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return how placeholders and media differ."""
        shown = [p.media for t in measured.sample.turns for p in t.parts if p.media is not None]
        if shown != list(range(len(measured.sample.media))):
            return f"{len(shown)} placeholders for {len(measured.sample.media)} media: {shown[:8]}"
        for turn in measured.sample.turns:
            if turn.role == "assistant" and any(p.media is not None for p in turn.parts):
                return "a medium in an answer"
        return None


class PlaceholderLeft(Rule):
    """A sample with media has no leftover `<image_1>`, nor `<image>` where a question begins."""

    name = "placeholder-left"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the placeholder."""
        if not measured.sample.media:
            return None
        for turn in measured.sample.turns:
            found = _NUMBERED.search(turn.text)
            if not found and turn.role != "assistant":
                found = _STANDING.search(turn.text)
            if found:
                return f"{found.group(0).strip()} in a {turn.role} turn"
        return None


class AnswerRefuses(Rule):
    """No answer is a refusal or an apology."""

    name = "answer-refuses"

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the beginning of the refusal."""
        if measured.is_document():
            return None
        for turn in measured.sample.turns:
            if turn.role == "assistant" and _REFUSAL.match(turn.text[:200]):
                return turn.text[:80]
        return None


class AnswerBoilerplate(Rule):
    """No answer is a stand-in: "N/A", "[insert answer]", a bare link."""

    name = "answer-boilerplate"
    allowed: tuple[str, ...] = ()  # stand-ins that are real answers in a corpus, in lower case

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the stand-in."""
        if measured.is_document():
            return None
        for turn in measured.sample.turns:
            text = turn.text.strip()
            if turn.role != "assistant" or text.strip(" .").lower() in self.allowed:
                continue
            if len(text) < 120 and _BOILERPLATE.match(text):
                return text[:80]
        return None


class PromptEchoed(Rule):
    """No answer repeats its question."""

    name = "prompt-echoed"
    min_words: int = 4  # shorter questions may be answered in their own words; two characters of a
    # script without spaces count as one word

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the beginning of the echo."""
        question: list[str] = []
        for turn in measured.sample.turns:
            said = [w.lower() for w in words(turn.text)]
            if turn.role == "user":
                question = said
            elif (
                turn.role == "assistant"
                and said == question
                and words_in(question) >= self.min_words
            ):
                return turn.text[:80]
        return None


class TooManyTurns(Rule):
    """A conversation has at most `max_turns` turns."""

    name = "too-many-turns"
    max_turns: int

    def problem(self, measured: MeasuredSample) -> str | None:
        """Return the number of turns."""
        count = len(measured.sample.turns)
        return f"{count} turns, at most {self.max_turns}" if count > self.max_turns else None

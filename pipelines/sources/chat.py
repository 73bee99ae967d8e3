"""Turns from published chats: roles, order, empty answers, and the places of media.

Each rule is one that a published corpus needs. Turns that are dropped are counted on the row.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import MediaKind, Part, Role, Turn

_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}
IMAGE = ("<image>",)
VIDEO = ("<video>",)
ANY = (*IMAGE, *VIDEO)

# A marker in sets of LLaVA-NeXT, which removes it when training.
_NOISE = "QA_GT_caption_based_noisy"

Message = tuple[Role, str]


class Shown(NamedTuple):
    """A medium's place in a message that is written as parts."""

    kind: MediaKind
    named: Any = None  # what the part itself names; None: the row's next medium of this kind
    fps: float = 0.0


class Spoken(NamedTuple):
    """One message: text, or texts and media in order."""

    role: Role
    content: tuple[str | Shown, ...]
    supervised: bool = True

    @property
    def blank(self) -> bool:
        """Whether it has neither words nor media."""
        return all(isinstance(piece, str) and not piece.strip() for piece in self.content)

    def joined(self, other: "Spoken") -> "Spoken":
        """Return this message and one of the same role after it as one.

        Raises:
            RowError: one of two answers is supervised and the other is not.
        """
        if self.blank or other.blank:
            return other if self.blank else self
        if self.role == "assistant" and self.supervised != other.supervised:
            raise RowError("loss-mixed", "two answers in a row, of which one counts in the loss")
        content = [*self.content]
        rest = [*other.content]
        last, first = content[-1], rest[0]
        if isinstance(last, str) and isinstance(first, str):
            content[-1] = f"{last}\n{first}"
            rest = rest[1:]
        return Spoken(self.role, (*content, *rest), self.supervised)


def in_order(row: Row, messages: Iterable[Spoken]) -> list[Spoken]:
    """Return questions and answers in turn, after the system turn if there is one.

    Messages of one role in a row are joined. An answer before any question, a question without an
    answer, one whose answer is empty, and a system turn inside the chat are dropped and counted.

    Raises:
        RowError: no question has an answer.
    """
    ordered: list[Spoken] = []
    system: Spoken | None = None
    asked: list[Spoken] = []  # questions that wait for their answer
    emptied = False  # their answer was empty
    for one in messages:
        if one.role == "system":
            if ordered or asked:
                row.drop_turn("system-later")
            elif not one.blank:
                system = one if system is None else system.joined(one)
        elif one.role == "user":
            if emptied:
                row.drop_turn("answer-empty")
                asked, emptied = [], False
            asked.append(one)
        elif asked:
            if one.blank:
                emptied = True
                continue
            question = asked[0]
            for further in asked[1:]:
                question = question.joined(further)
            ordered += (question, one)
            asked, emptied = [], False
        elif ordered:
            ordered[-1] = ordered[-1].joined(one)
        else:
            row.drop_turn("turn-order")
    for _ in asked[:1] if emptied else asked:
        row.drop_turn("answer-empty" if emptied else "turn-unanswered")
    if not ordered:
        raise RowError("no-turns", "no question with an answer")
    return [system, *ordered] if system else ordered


def messages_of(row: Row, entries: Iterable[Any]) -> list[Message]:
    """Return (role, text) of LLaVA-style or OpenAI-style entries, each question with its answer.

    Both `from`/`value` and `role`/`content` are read. See `in_order` for what is joined or dropped.

    Raises:
        RowError: an entry has no known role, or no question has an answer.
    """
    spoken = in_order(row, (_spoken(entry) for entry in entries))
    return [(one.role, text) for one in spoken for text in one.content if isinstance(text, str)]


def without_noise(messages: Sequence[Message]) -> list[Message]:
    """Return the messages without the marker that LLaVA-NeXT removes when training."""
    return [(role, text.replace(_NOISE, "").strip()) for role, text in messages]


def pairs_of(row: Row, entries: Iterable[Any]) -> list[Message]:
    """Return (role, text) of Cauldron-style {user, assistant} pairs; empty ones are counted.

    Raises:
        RowError: no question has an answer.
    """
    found: list[Message] = []
    for entry in entries:
        user = entry.get("user") if isinstance(entry, dict) else None
        assistant = entry.get("assistant") if isinstance(entry, dict) else None
        if not isinstance(user, str) or not isinstance(assistant, str):
            row.drop_turn("turn-type")
        elif not assistant.strip():
            row.drop_turn("answer-empty")
        else:
            found += [("user", user.strip()), ("assistant", assistant.strip())]
    if not found:
        raise RowError("no-turns", "no question with an answer")
    return found


def turns_with_media(
    messages: Sequence[Message],
    media: int,
    *,
    placeholders: Sequence[str] = IMAGE,
    otherwise: Literal["refuse", "front"] = "front",
) -> tuple[Turn, ...]:
    """Return turns with the media at their placeholders in the questions.

    Without placeholders, every medium goes before the first question. If all questions together, or
    the first one, have as many placeholders as there are media, each medium replaces one. For any
    other number see `otherwise`. A mark in an answer is text; so is one inside a sentence, if their
    number is not that of the media.

    Args:
        messages: from `messages_of` or `pairs_of`.
        media: number of media of the sample.
        placeholders: the marks that this corpus uses; none: no word is ever taken for one.
        otherwise: refuse the row, or put all media before the first question and remove the marks
            that begin a question or have a line of their own.

    Raises:
        RowError: the numbers differ and `otherwise` is "refuse".
    """
    spoken = [Spoken(role, (text,)) for role, text in messages]
    marks = _marks(spoken, placeholders)
    standing = [m for m in marks if m.standing]
    first = next((at for at, one in enumerate(spoken) if one.role == "user"), 0)
    placed: list[_Mark] = []
    if media:
        opening = [m for m in marks if m.message == first]
        tried = (marks, standing, opening, [m for m in opening if m.standing])
        placed = next((found for found in tried if len(found) == media), [])
    if not placed and otherwise == "refuse" and (standing or (marks and media)):
        raise RowError("placeholder-mismatch", f"{len(marks)} placeholders, {media} media")
    numbers: dict[_Mark, int | None] = dict.fromkeys(standing)
    numbers |= {mark: number for number, mark in enumerate(placed)}
    return _laid_out(spoken, numbers, range(0 if placed else media))


def turns_by_kind(messages: Sequence[Spoken], kinds: Sequence[MediaKind]) -> tuple[Turn, ...]:
    """Return turns with each medium at a mark of its kind in the questions.

    For chats of an unknown origin: marks are placeholders only if as many media of that kind exist.
    Without placeholders, every medium goes before the first question.

    Args:
        messages: each with one text.
        kinds: the kind of each medium of the row.

    Raises:
        RowError: placeholders and media differ in number.
    """
    marks = _marks(messages, ANY)
    images = [m for m in marks if m.mark in IMAGE]
    videos = [m for m in marks if m.mark in VIDEO]
    pictures = [number for number, kind in enumerate(kinds) if kind == "image"]
    clips = [number for number, kind in enumerate(kinds) if kind != "image"]
    if clips and not pictures and not videos:
        # LLaVA-Video's rows write `<image>` for a clip.
        images = [m for m in images if m.standing]
        numbers = dict(zip(_agreeing(images, len(clips), "media"), clips, strict=False))
    else:
        numbers = dict(zip(_agreeing(images, len(pictures), "images"), pictures, strict=False))
        numbers |= dict(zip(_agreeing(videos, len(clips), "videos"), clips, strict=False))
    if numbers and len(numbers) != len(kinds):
        raise RowError(
            "placeholder-mismatch",
            f"{len(numbers)} placeholders, {len(pictures)} images and {len(clips)} videos",
        )
    return _laid_out(messages, numbers, range(0 if numbers else len(kinds)))


class _Mark(NamedTuple):
    """A placeholder, or words that look like one."""

    message: int
    start: int  # with the white space around it
    end: int
    mark: str
    standing: bool  # begins a question, ends one after its last sentence, or is a line of its own


def _marks(messages: Sequence[Spoken], placeholders: Sequence[str]) -> list[_Mark]:
    """Return the marks in the questions, in order; none that quote a tag of HTML."""
    if not placeholders:
        return []
    names = "|".join(map(re.escape, placeholders))
    found = []
    for number, one in enumerate(messages):
        text = one.content[0]
        if one.role != "user" or not isinstance(text, str) or "<" not in text:
            continue
        for match in _pattern(names).finditer(text):
            mark = match.group(1)
            if mark.replace("<", "</") in text:
                continue
            start, end = match.span()
            found.append(_Mark(number, start, end, mark, _is_standing(text, match, names)))
    return found


@lru_cache
def _pattern(names: str) -> re.Pattern[str]:
    quoted = r"(?:elements?|tags?|attributes?|nodes?)\b"
    return re.compile(rf"\s*(?<!`)({names})(?!`|\s*{quoted})\s*")


def _is_standing(text: str, match: re.Match[str], names: str) -> bool:
    before = re.sub(names, "", text[: match.start(1)])
    after = re.sub(names, "", text[match.end(1) :])
    if not before.strip():
        return True
    if not after.strip() and before.rstrip().endswith((".", "?", "!", ":")):
        return True
    return not before.rpartition("\n")[2].strip() and not after.partition("\n")[0].strip()


def _agreeing(marks: Sequence[_Mark], media: int, what: str) -> Sequence[_Mark]:
    """Return the marks that are placeholders: all, those that stand apart, or none."""
    standing = [m for m in marks if m.standing]
    for found in (marks, standing):
        if len(found) == media:
            return found
    if standing or (marks and media):
        raise RowError("placeholder-mismatch", f"{len(marks)} placeholders, {media} {what}")
    return ()


def _laid_out(
    messages: Sequence[Spoken], numbers: Mapping[_Mark, int | None], front: Iterable[int]
) -> tuple[Turn, ...]:
    """Return turns with media in place of marks.

    Args:
        messages: each with one text.
        numbers: the medium of a mark, or None if it is only removed.
        front: media before the first question.
    """
    of: dict[int, list[_Mark]] = {}
    for mark in sorted(numbers):
        of.setdefault(mark.message, []).append(mark)
    first = [Part(media=number) for number in front]
    turns = []
    for at, one in enumerate(messages):
        text = one.content[0]
        assert isinstance(text, str)
        parts = _parts(text, of[at], numbers) if at in of else [Part(text=text)]
        if one.role == "user":
            parts = [*first, *(p for p in parts if p.text != "")]
            first = []
        turns.append(Turn(role=one.role, parts=tuple(parts), supervised=one.supervised))
    return tuple(turns)


def _parts(text: str, marks: Sequence[_Mark], numbers: Mapping[_Mark, int | None]) -> list[Part]:
    """Return a question's texts and media; a removed mark leaves a space or a line break."""
    parts: list[Part] = []
    words, at = "", 0
    for mark in marks:
        piece = text[at : mark.start]
        words, at = words + piece if piece else words.rstrip(), mark.end
        if (number := numbers[mark]) is not None:
            parts += [Part(text=words), Part(media=number)]
            words = ""
        elif words:
            words += "\n" if "\n" in text[mark.start : mark.end] else " "
    rest = text[at:]
    return [*parts, Part(text=words + rest if rest else words.rstrip())]


def _spoken(entry: Any) -> Spoken:
    if not isinstance(entry, dict):
        raise RowError("field-type", f"a turn that is a {type(entry).__name__}")
    text = entry.get("value", entry.get("content"))
    if text is not None and not isinstance(text, str):
        raise RowError("field-type", f"a turn's text that is a {type(text).__name__}")
    return Spoken(role_of(entry), ((text or "").strip(),))


def role_of(entry: Mapping[str, Any]) -> Role:
    """Return who speaks an entry.

    Raises:
        RowError: its name is unknown.
    """
    name = entry.get("from", entry.get("role"))
    role = _ROLES.get(str(name).lower())
    if role is None:
        raise RowError("role-unknown", f"{name!r}; {', '.join(_ROLES)} are read")
    return role

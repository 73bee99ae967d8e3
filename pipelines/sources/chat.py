"""Turns from published chats: roles, order, empty answers, and the places of media.

Each rule is one that a published corpus needs. Turns that are dropped are counted on the row.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import Part, Role, Turn

_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}
IMAGE = ("<image>",)
ANY = ("<image>", "<video>")

# A marker in sets of LLaVA-NeXT, which removes it when training.
_NOISE = "QA_GT_caption_based_noisy"

Message = tuple[Role, str]


def messages_of(row: Row, entries: Iterable[Any]) -> list[Message]:
    """Return (role, text) of LLaVA-style or OpenAI-style entries, each question with its answer.

    Both `from`/`value` and `role`/`content` are read. An answer before any question, a second
    answer in a row, a question without an answer and an empty turn are dropped and counted.

    Raises:
        RowError: an entry has no known role, or no question has an answer.
    """
    ordered: list[Message] = []
    system: Message | None = None
    question: str | None = None
    for entry in entries:
        role, text = _message(entry)
        if role == "system":
            system = system or ((role, text) if text else None)
        elif role == "user":
            if question is not None:
                row.drop_turn("turn-unanswered")
            question = text
        elif question is None:
            row.drop_turn("turn-order")
        elif not text:
            row.drop_turn("answer-empty")
            question = None
        else:
            ordered += [("user", question), ("assistant", text)]
            question = None
    if question is not None:
        row.drop_turn("turn-unanswered")
    if not ordered:
        raise RowError("no-turns", "no question with an answer")
    return [system, *ordered] if system else ordered


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
    other number see `otherwise`. Placeholders in answers are text.

    Args:
        messages: from `messages_of` or `pairs_of`.
        media: number of media of the sample.
        placeholders: the marks that this corpus uses.
        otherwise: refuse the row, or put all media before the first question and remove the marks.

    Raises:
        RowError: the numbers differ and `otherwise` is "refuse".
    """
    marks = re.compile(r"\s*(?:" + "|".join(map(re.escape, placeholders)) + r")\s*")
    counts = [len(marks.findall(text)) for role, text in messages if role == "user"]
    total = sum(counts)
    if total == media:
        in_place = total
    elif media and counts[0] == media:
        in_place = media
    elif total and otherwise == "refuse":
        raise RowError("placeholder-mismatch", f"{total} placeholders, {media} media")
    else:
        in_place = 0
    numbers = iter(range(media))
    front = [] if in_place else list(numbers)
    turns = []
    for role, text in messages:
        if role != "user":
            turns.append(Turn(role=role, parts=(Part(text=text),)))
            continue
        parts = [*(Part(media=n) for n in front), *_parts(text, marks, numbers)]
        front = []
        turns.append(Turn(role=role, parts=tuple(parts)))
    return tuple(turns)


def _parts(text: str, marks: re.Pattern[str], numbers: Iterator[int]) -> Iterator[Part]:
    pieces = marks.split(text)
    for at, piece in enumerate(pieces):
        if at:
            number = next(numbers, None)
            if number is not None:
                yield Part(media=number)
            elif piece and pieces[at - 1]:
                piece = f" {piece}"
        if piece:
            yield Part(text=piece)


def _message(entry: Any) -> Message:
    if not isinstance(entry, dict):
        raise RowError("field-type", f"a turn that is a {type(entry).__name__}")
    name = entry.get("from", entry.get("role"))
    text = entry.get("value", entry.get("content"))
    role = _ROLES.get(str(name).lower())
    if role is None:
        raise RowError("role-unknown", repr(name))
    if text is not None and not isinstance(text, str):
        raise RowError("field-type", f"a turn's text that is a {type(text).__name__}")
    return role, (text or "").strip()

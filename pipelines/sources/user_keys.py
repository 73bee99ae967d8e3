"""The keys of a user's rows: which are read, and which may not be missed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from smolmix.pipelines.sources.row import RowError

VIDEO_ENDINGS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif",
)  # fmt: skip

CHATS = ("conversations", "messages", "conversation", "dialogue", "dialog")
PAIRS = "texts"
QUESTIONS = ("instruction", "question", "query", "prompt")
ANSWERS = ("output", "answer", "response", "completion")
CAPTIONS = ("caption", "captions", "text", "txt")
SYSTEMS = ("system", "system_prompt")
IDS = ("id", "_key")
LOSS = ("loss", "weight", "loss_weight", "train")
RATES = ("fps", "sample_fps")

_PLACE = r"(?:_?(?:path|file_?name|file|name|url|uri)s?)?"
IMAGE_KEY = re.compile(rf"(?:image|img|picture|photo)s?{_PLACE}", re.IGNORECASE)
VIDEO_KEY = re.compile(rf"(?:video|clip)s?{_PLACE}", re.IGNORECASE)
_TEXT_KEY = re.compile(
    r"(?:(?:user|assistant|human|gpt|model|system|input|output|target|final|correct|full|raw)_)?"
    r"(?:system|instruction|input|context|passage|document|question|query|prompt|answer|response"
    r"|completion|output|caption|text|txt|history|conversation|message|dialog|dialogue|choice"
    r"|option|hint|rationale|explanation|solution|thinking|reasoning|reasoning_content|thought"
    r"|description|content|chosen|rejected|story|tool|tool_call|function|function_call)"
    r"(?:e?s)?",
    re.IGNORECASE,
)
_MEDIA_KEY = re.compile(
    r"(?:.*_)?(?:image|img|picture|photo|video|clip|frame|audio|speech|sound)s?(?:_?\d+)?"
    r"(?:_?(?:path|file_?name|file|bytes|base64|b64|data))?s?",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"orig|source|url|thumb", re.IGNORECASE)  # keys that tell of an origin
_ROLES = ("user", "assistant", "human", "gpt", "model", "system", "text", "image", "video")


def is_read(column: str) -> bool:
    """Whether a column is read, or would have to be if it had a value."""
    known = (*IDS, *LOSS, *RATES, *SYSTEMS, PAIRS)
    patterns = (IMAGE_KEY, VIDEO_KEY, _TEXT_KEY, _MEDIA_KEY)
    return column in known or any(pattern.fullmatch(column) for pattern in patterns)


def is_empty(value: Any) -> bool:
    """Whether a value says nothing: null, empty, or a struct of nulls."""
    if isinstance(value, dict):
        return all(v is None for v in value.values())
    return value is None or (isinstance(value, str | bytes | list | tuple) and not value)


def frame_rate(values: Mapping[str, Any]) -> float:
    """Return the frames a second that a row or a part states, or 0."""
    for key in RATES:
        value = values.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return float(value)
    return 0.0


def supervised(values: Mapping[str, Any]) -> bool:
    """Return whether a row or a message counts in the loss.

    Raises:
        RowError: it counts in part, which is not supported.
    """
    for key in LOSS:
        value = values.get(key)
        if value is None or value is True or (value == 1 and not isinstance(value, str)):
            continue
        if value is False or (value == 0 and not isinstance(value, str)):
            return False
        raise RowError("loss-weight", f"{key}: {value!r}; true, false, 1 and 0 are read")
    return True


def check_unread(
    values: Mapping[str, Any], read: set[str], *, text: str, media: set[str], where: str = ""
) -> set[str]:
    """Return the keys that are not read and that the sample can do without.

    Args:
        values: of a row or a message, without empty ones.
        read: its keys that are read.
        text: all text of the sample: a key that repeats some of it is not missed.
        media: names, without ending, of the sample's media.
        where: what precedes the keys in reports.

    Raises:
        RowError: a key that is not read holds text or media that the sample lacks.
    """
    unread = {key for key in values if key not in read}
    for key in unread:
        value = values[key]
        if _TEXT_KEY.fullmatch(key):
            missed = [s for s in strings(value) if s.strip() not in text and s not in _ROLES]
        elif _MEDIA_KEY.fullmatch(key) or IMAGE_KEY.fullmatch(key) or VIDEO_KEY.fullmatch(key):
            missed = _missed_media(value, media, named_so=True)
        elif not _ELSEWHERE.match(key):
            missed = _missed_media(value, media, named_so=False)
        else:
            continue
        if missed:
            raise RowError(
                "key-unread",
                f"{where}{key}: {missed[0][:80]!r} is not read; rename the key to one that is "
                f"(docs/your-own-data.md), or list it under `ignore` in the catalogue",
            )
    return {f"{where}{key}" for key in unread}


def strings(value: Any) -> Iterator[str]:
    """Yield all text inside a value, but no keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from strings(inner)


def stem(name: str) -> str:
    """Return a file's name without folders and ending."""
    base = name.replace("\\", "/").rpartition("/")[2]
    head, dot, _ = base.rpartition(".")
    return head if dot else base


def holds_bytes(value: Any) -> bool:
    """Whether there are bytes somewhere in a value."""
    if isinstance(value, dict):
        return any(map(holds_bytes, value.values()))
    if isinstance(value, list):
        return any(map(holds_bytes, value))
    return isinstance(value, bytes) and bool(value)


def is_address(name: str) -> bool:
    """Whether a medium is named by its address on the web."""
    return name.startswith(("http://", "https://"))


def _missed_media(value: Any, media: set[str], *, named_so: bool) -> list[str]:
    if isinstance(value, list | dict) or named_so:
        found = [s for s in strings(value) if _is_medium(s) or (named_so and "data:" not in s)]
    else:
        found = [value] if isinstance(value, str) and _is_medium(value) else []
    missed = [s for s in found if stem(s) not in media and not (is_address(s) and media)]
    return missed or (["bytes"] if holds_bytes(value) else [])


def _is_medium(text: str) -> bool:
    short = len(text) < 300 and "\n" not in text
    return (short and text.lower().endswith((*IMAGE_ENDINGS, *VIDEO_ENDINGS))) or (
        text.startswith(("data:image", "data:video"))
    )

"""Rows of a user's own data: chats, Cauldron-style pairs, or a medium with its caption."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from smolmix.pipelines.sources.conversation import ANY, messages_of, pairs_of, turns_with_media
from smolmix.pipelines.sources.prompts import DESCRIBE_IMAGE, DESCRIBE_VIDEO, pick
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.sample import Cot, Media, MediaKind, Sample, Turn, turns_of

VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
_CAPTIONS = ("caption", "text", "txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """Adapts rows of any of the layouts a catalogue knows, by the fields a row has."""

    category: str
    cot: Cot = "none"

    def __call__(self, row: Row) -> Iterator[Sample]:
        """Yield the row's one sample."""
        media = _media(row)
        key = next((v for n in ("id", "_key") if (v := row.values.get(n)) is not None), None)
        yield row.sample(
            key=key,
            turns=_turns(row, media, str(key)),
            media=media,
            category=self.category,
            cot=self.cot,
            cot_evidence="the catalogue says so" if self.cot == "declared" else "",
        )


def _turns(row: Row, media: list[Media], key: str) -> tuple[Turn, ...]:
    for field in ("conversations", "messages"):
        if row.values.get(field) is not None:
            messages = messages_of(row, row.list(field))
            return turns_with_media(messages, len(media), placeholders=ANY, otherwise="refuse")
    if row.values.get("texts") is not None:
        return turns_with_media(pairs_of(row, row.list("texts")), len(media), placeholders=ANY)
    caption = next((row.text(n) for n in _CAPTIONS if row.values.get(n) is not None), "")
    if not caption:
        raise RowError(
            "field-missing", "one of conversations, messages, texts, caption, text is needed"
        )
    if not media:
        return turns_of(("assistant", caption))
    prompts = DESCRIBE_VIDEO if media[0].kind == "video" else DESCRIBE_IMAGE
    asked = pick(prompts, key if key != "None" else caption)
    return turns_of(("user", [*range(len(media)), asked]), ("assistant", caption))


def _media(row: Row) -> list[Media]:
    members = row.values.get("_media")
    if isinstance(members, dict):
        # Members are indexed under the folder of their tar: raw/<corpus>/<revision>/<folder>/x.tar
        above = "/".join(row.path.split("/")[3:-1])
        names = [name for _, name in sorted(members.items())]
        return [_named(row, f"{above}/{name}" if above else name) for name in names]
    if isinstance(images := row.values.get("images"), list):
        if images and isinstance(images[0], str):
            return [_named(row, path) for path in images]
        return [row.cell("images", at) for at in range(len(images))]
    for field in ("image", "video"):
        value = row.values.get(field)
        if isinstance(value, dict | bytes):
            return [row.cell(field)]
        if value:
            paths = value if isinstance(value, list) else [value]
            return [_named(row, path, "video" if field == "video" else None) for path in paths]
    return []


def _named(row: Row, path: Any, kind: MediaKind | None = None) -> Media:
    if not isinstance(path, str):
        raise RowError("field-type", f"a medium that is a {type(path).__name__}, not a path")
    shown: MediaKind = "video" if path.lower().endswith(VIDEOS) else "image"
    return row.find(path.removeprefix("./"), kind=kind or shown)
